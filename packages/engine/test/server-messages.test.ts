/** What a client does about a server's RESTART, HALT, EXIT and INFO. Each compared with 2.6.14 by client-kill of its management. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type EngineOutput, parseConfig } from '@seikan/engine';

import { AskBook, Asks } from '#src/asks.js';
import { ConnectionList } from '#src/client/connection-list.js';
import { Login } from '#src/client/login.js';
import { ServerMessages } from '#src/client/server-messages.js';
import { TunnelLog } from '#src/tunnel-log.js';

const TIME = { now: 1_000, wallClock: 1_795_000_000 };
const CONFIG = `client
dev tun
proto udp
nobind
remote vpn.example
remote other.example
ca ca.crt
auth-user-pass
`;

/** A client that is connected to the first of two addresses of its first remote, after a message of its server. */
function after(message: string) {
  const { options } = parseConfig(CONFIG, 'client.conf', { read: () => undefined });
  const outputs: EngineOutput[] = [];
  const emit = (output: EngineOutput): void => void outputs.push(output);
  const book = new AskBook();
  const login = new Login(new Asks(emit, book), options.auth);
  const asksForLogin = (): boolean => login.ask(() => undefined);
  assert.ok(asksForLogin());
  const [ask] = outputs;
  assert.ok(ask?.output === 'ask');
  book.handleAnswer(ask.id, { username: 'ada', password: 'secret' }, false, TIME);

  const connections = new ConnectionList(options.connections, undefined);
  const at = (address: string) => ({ family: 4, address, port: 1194 }) as const;
  connections.resolved([at('198.51.100.1'), at('198.51.100.2')]);
  connections.succeeded();
  const ended: string[] = [];
  const [connection] = options.connections;
  assert.ok(connection !== undefined);
  const messages = new ServerMessages({
    options,
    log: new TunnelLog(emit),
    connection,
    login,
    send: () => undefined,
    onState: () => undefined,
    pulled: () => undefined,
    restart: (reason, _time, manner) => {
      ended.push(`SIGUSR1 ${reason}`);
      connections.ended(manner?.advance);
    },
    leave: (source, reason) => ended.push(`SIGTERM[${source},${reason}]`),
  });
  messages.handle(message, TIME);
  return {
    ended,
    logged: outputs.flatMap((output) => (output.output === 'log' ? [output.text] : [])),
    nextAddress: connections.address?.address,
    nextRemote: connections.current.remote,
    asksForLogin: asksForLogin(),
  };
}

test('RESTART begins anew at the same place, and has the login read again', () => {
  const { ended, logged, nextAddress, asksForLogin } = after('RESTART');
  assert.deepEqual(ended, ['SIGUSR1 server-pushed-connection-reset']);
  assert.deepEqual(logged, ["Connection reset command was pushed by server ('')"]);
  assert.equal(nextAddress, '198.51.100.1');
  assert.equal(asksForLogin, true);
});

test('with P the login holds, with N the next address of the same name is tried first', () => {
  for (const [message, address, asks] of [
    ['RESTART,[P]stay', '198.51.100.1', false],
    ['RESTART,[N]go', '198.51.100.2', true],
    ['RESTART,[PN]', '198.51.100.2', false],
    ['RESTART,no flags: N P', '198.51.100.1', true],
    ['RESTART,[]N P', '198.51.100.1', true],
  ] as const) {
    const { nextAddress, nextRemote, asksForLogin } = after(message);
    assert.deepEqual([nextAddress, nextRemote, asksForLogin], [address, 'vpn.example', asks], message);
  }
});

test('HALT ends the process and EXIT begins anew; INFO is only told', () => {
  assert.deepEqual(after('HALT,bye').ended, ['SIGTERM[soft,server-pushed-halt]']);
  assert.deepEqual(after('HALT,bye').logged, ["Halt command was pushed by server ('bye')"]);
  assert.deepEqual(after('EXIT').ended, ['SIGUSR1 remote-exit']);
  for (const keyword of ['INFO', 'INFO_PRE']) {
    const { ended, logged, asksForLogin } = after(`${keyword},come, see`);
    assert.deepEqual(
      [ended, logged, asksForLogin],
      [[], ["Info command was pushed by server ('come, see')"], false],
      keyword,
    );
  }
  assert.deepEqual(after('NONSENSE,x').ended, []);
});
