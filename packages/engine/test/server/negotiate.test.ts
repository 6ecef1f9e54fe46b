/** What a server decides, whatever a client says of itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parsePeerInfo } from '@seikan/core';
import { parseConfig } from '@seikan/engine';
import { createCrypto } from '@seikan/native';

import { agreeOnPush } from '#src/client/agreement.js';
import { capabilitiesOf } from '#src/negotiation.js';
import { plainClientConfig } from '#src/options/client-config.js';
import { PushReader } from '#src/options/pull.js';
import type { Instance } from '#src/server/instance.js';
import { negotiate } from '#src/server/negotiate.js';
import { pushOptions } from '#src/server/push.js';
import type { Top } from '#src/server/top.js';
import { TunnelLog } from '#src/tunnel-log.js';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

test("the digest of CBC packets is the server's own: a client cannot name a weaker one", () => {
  const world = new World(81);
  const cipher = 'data-ciphers AES-256-CBC\n';
  const server = world.add('server', `${PLAIN_SERVER}${cipher}auth SHA512\n`, '198.51.100.1');
  world.add('ada', `${PLAIN_CLIENT}${cipher}auth SHA1\n`, '198.51.100.2');
  world.run(10_000);
  assert.ok(
    server.log.includes("Data Channel: cipher 'AES-256-CBC', auth 'SHA512', peer-id: 0"),
    server.log.join('\n'),
  );
});

const REFUSED = 'refused: Data channel cipher negotiation failed (no shared cipher)';

interface Client {
  readonly info?: string;
  readonly optionsString?: string;
  readonly config?: string;
}

/** What a server logs about a client that says this of itself, and what it pushes to it, or that it refuses it. */
function served({ info = '', optionsString = '', config = '' }: Client): string[] {
  const { options } = parseConfig(PLAIN_SERVER + config, 's', { read: () => undefined });
  const peerInfo = parsePeerInfo(info.split(' ').join('\n'));
  const said: string[] = [];
  const log = new TunnelLog((output) => void (output.output === 'log' && said.push(output.text)));
  const top = { options, settings: { options, crypto: createCrypto(), abilities: { epoch: false, offload: false } } };
  const instance = {
    log,
    peerInfo,
    capabilities: capabilitiesOf(peerInfo),
    config: plainClientConfig(options),
    peer: { index: 5, generation: 1 },
    token: { current: undefined },
    context: { session: { active: { primary: { peerHello: { options: optionsString } } } }, negotiated: undefined },
  };
  const choice = negotiate(top as unknown as Top, instance as unknown as Instance, instance.config);
  if (typeof choice === 'string') return [...said, `refused: ${choice}`];
  const agreed = { ...instance, context: { ...instance.context, negotiated: choice.data } };
  const pushed = pushOptions(top as unknown as Top, agreed as unknown as Instance).filter(
    (option) => !/^(route-gateway|topology) /.test(option),
  );
  return [...said, pushed.join(',')];
}

const CIPHERS = 'IV_CIPHERS=AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305';
const OWN = 'data-ciphers AES-256-GCM:AES-128-GCM:AES-256-CBC\n';
const OLD =
  'V4,dev-type tun,link-mtu 1549,tun-mtu 1500,proto UDPv4,cipher AES-256-CBC,auth SHA1,key-method 2,tls-client';

test('each bit of IV_PROTO counts for itself; a peer-id, a derivation and flags go to those who know them', () => {
  for (const [proto, pushed] of [
    ['0', 'cipher AES-256-GCM'],
    ['1', 'cipher AES-256-GCM'],
    ['2', 'peer-id 5,cipher AES-256-GCM'],
    ['4', 'cipher AES-256-GCM'],
    ['6', 'peer-id 5,cipher AES-256-GCM'],
    ['8', 'cipher AES-256-GCM,key-derivation tls-ekm'],
    ['10', 'peer-id 5,cipher AES-256-GCM,key-derivation tls-ekm'],
    ['130', 'peer-id 5,cipher AES-256-GCM,protocol-flags cc-exit'],
    ['138', 'peer-id 5,cipher AES-256-GCM,protocol-flags cc-exit tls-ekm'],
    ['642', 'peer-id 5,cipher AES-256-GCM,protocol-flags cc-exit dyn-tls-crypt'],
    ['990', 'peer-id 5,cipher AES-256-GCM,protocol-flags cc-exit tls-ekm dyn-tls-crypt'],
    ['-2', 'cipher AES-256-GCM'],
    ['6x', 'peer-id 5,cipher AES-256-GCM'],
    ['x', 'cipher AES-256-GCM'],
  ] as const)
    assert.deepEqual(served({ info: `${CIPHERS} IV_PROTO=${proto}`, config: OWN }), [pushed], proto);
});

test('force-tls-key-material-export turns away who cannot export, with a reason', () => {
  const config = `${OWN}force-tls-key-material-export\n`;
  assert.deepEqual(served({ info: `${CIPHERS} IV_PROTO=10`, config }), [
    'peer-id 5,cipher AES-256-GCM,key-derivation tls-ekm',
  ]);
  assert.match(
    served({ info: `${CIPHERS} IV_PROTO=2`, config }).at(-1) ?? '',
    /^refused: Client incompatible with this server\. Keying Material Exporters \(RFC 5705\) support missing\./,
  );
});

test('tun-mtu goes to those who tell theirs, with a warning where that is less', () => {
  const told = (mtu: string): string[] => served({ info: `${CIPHERS} IV_PROTO=2 IV_MTU=${mtu}`, config: OWN });
  const warning = (mtu: number): string =>
    `Warning: reported maximum MTU from client (${mtu}) is lower than MTU used on the server (1500). Add tun-max-mtu 1500 to client configuration.`;
  assert.deepEqual(told('1600'), ['peer-id 5,cipher AES-256-GCM,tun-mtu 1500']);
  assert.deepEqual(told('1400').slice(-1), ['peer-id 5,cipher AES-256-GCM,tun-mtu 1500']);
  assert.deepEqual(told('x'), ['peer-id 5,cipher AES-256-GCM']);
  const world = new World(82);
  const server = world.add('server', `${PLAIN_SERVER}tun-mtu 1700\n`, '198.51.100.1');
  world.add('ada', PLAIN_CLIENT, '198.51.100.2');
  world.run(5_000);
  assert.ok(server.log.includes(warning(1600).replaceAll('1500', '1700')), server.log.join('\n'));
});

test("the server's first that the client lists, or has in its options string", () => {
  const cases: readonly (readonly [Client, string])[] = [
    [{ info: 'IV_CIPHERS=AES-128-GCM:AES-256-GCM' }, 'cipher AES-256-GCM'],
    [{ info: 'IV_CIPHERS=FOO:AES-128-GCM' }, 'cipher AES-128-GCM'],
    [{ info: 'IV_NCP=2' }, 'cipher AES-256-GCM'],
    [{ info: 'IV_NCP=2', config: 'data-ciphers AES-256-CBC:AES-128-GCM\n', optionsString: OLD }, 'cipher AES-256-CBC'],
    [{ info: CIPHERS, config: 'data-ciphers AES-256-CBC:AES-128-GCM\n', optionsString: OLD }, 'cipher AES-256-CBC'],
    // These have no cipher but their own.
    [{ info: 'IV_NCP=1', optionsString: OLD }, ''],
    [{ optionsString: OLD }, ''],
  ];
  for (const [client, pushed] of cases)
    assert.deepEqual(served({ config: OWN, ...client }), [pushed], JSON.stringify(client));
});

test('without a shared cipher a client is refused; a fallback is for those who say nothing of theirs', () => {
  const line = 'PUSH: No common cipher between server and client. Server data-ciphers: ';
  const fallback = 'data-ciphers-fallback AES-192-CBC\n';
  for (const config of ['', fallback]) {
    const own = `data-ciphers AES-256-GCM\n${config}`;
    assert.deepEqual(served({ info: 'IV_CIPHERS=AES-128-GCM', config: own }), [
      `${line}'AES-256-GCM', client supported ciphers 'AES-128-GCM'`,
      REFUSED,
    ]);
    assert.deepEqual(served({ info: 'IV_CIPHERS=aes-256-gcm', config: own }).at(-1), REFUSED);
    assert.deepEqual(served({ optionsString: OLD, config: own }), [
      `${line}'AES-256-GCM', client supports cipher 'AES-256-CBC'`,
      REFUSED,
    ]);
    assert.deepEqual(served({ optionsString: 'V4,cipher [null-cipher]', config: own }), [
      `${line}'AES-256-GCM', client supports cipher 'none'`,
      REFUSED,
    ]);
  }
  const nothing = 'PUSH: No NCP or OCC cipher data received from peer.';
  assert.deepEqual(served({ config: `data-ciphers AES-256-GCM\n${fallback}` }), [
    nothing,
    "Using data channel cipher 'AES-192-CBC' since --data-ciphers-fallback is set.",
    '',
  ]);
  assert.deepEqual(served({ info: 'IV_NCP=1', config: 'data-ciphers AES-256-GCM\n' }), [
    nothing,
    'Use --data-ciphers-fallback with the cipher the client is using if you want to allow the client to connect',
    REFUSED,
  ]);
});

/** A client with `data-ciphers AES-256-GCM:AES-256-CBC`, and what it does about a push. */
function agreed(config: string, push: string, theirs: string): string {
  const { options } = parseConfig(`${PLAIN_CLIENT}data-ciphers AES-256-GCM:AES-256-CBC\n${config}`, 'c', {
    read: () => undefined,
  });
  const [connection] = options.connections;
  assert.ok(connection !== undefined);
  const read = new PushReader(options, connection).read(push);
  assert.ok(read.outcome === 'done');
  const agreement = agreeOnPush(options, read.pulled, theirs, createCrypto());
  return typeof agreement === 'string' ? agreement : agreement.negotiated.cipher;
}

test('a client takes the pushed cipher, else the one of the options string, else its fallback; none but its own', () => {
  assert.equal(agreed('', 'PUSH_REPLY,cipher AES-256-CBC', 'V4,cipher AES-128-CBC'), 'AES-256-CBC');
  assert.equal(
    agreed('', 'PUSH_REPLY,cipher AES-128-GCM', ''),
    'Error: negotiated cipher not allowed - AES-128-GCM not in AES-256-GCM:AES-256-CBC',
  );
  assert.equal(agreed('', 'PUSH_REPLY', 'V4,cipher AES-256-CBC'), 'AES-256-CBC');
  assert.match(agreed('', 'PUSH_REPLY', 'V4,cipher AES-128-CBC'), /Add the server's cipher \('AES-128-CBC'\)/);
  assert.equal(agreed('data-ciphers-fallback AES-192-CBC\n', 'PUSH_REPLY', 'V4'), 'AES-192-CBC');
  assert.match(agreed('', 'PUSH_REPLY', 'V4'), /Configure --data-ciphers-fallback/);
});
