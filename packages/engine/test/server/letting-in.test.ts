/** Who is let in, who is not, and what becomes of whoever was there before. As OpenVPN 2.6.14 was seen to do it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { EventVerdict } from '@seikan/plugin-sdk';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const UP = 'Initialization Sequence Completed';
const REFUSED = 'AUTH: Received control message: AUTH_FAILED';

/** A server with these files, and one client after another. */
function clients(world: World, config: string, ...names: string[]): { server: Host; clients: Host[] } {
  const server = world.add('server', PLAIN_SERVER + config, '198.51.100.1');
  const added = names.map((name, index) => {
    const client = world.add(name, PLAIN_CLIENT, `198.51.100.${10 + index}`);
    world.run(world.now + 3_000);
    return client;
  });
  return { server, clients: added };
}

const peerIds = ({ log }: Host): string[] =>
  log.flatMap((line) => /'PUSH_REPLY,.*,peer-id (\d+),/.exec(line)?.[1] ?? []);

test('with ccd-exclusive only those with a file of their own, which DEFAULT is not', () => {
  const world = new World(71);
  for (const name of ['ada', 'DEFAULT']) world.files.set(`ccd/${name}`, { text: '' });
  const { server, clients: all } = clients(
    world,
    'client-config-dir ccd\nccd-exclusive\n',
    'ada',
    'bob',
    'DEFAULT',
    '..',
  );
  assert.deepEqual(
    all.map(({ log }) => [log.includes(UP), log.includes(REFUSED)]),
    [
      [true, false],
      [false, true],
      [false, true],
      [false, true],
    ],
  );
  for (const [name, file] of [
    ['bob', 'ccd/bob'],
    ['DEFAULT', 'ccd/DEFAULT'],
    ['..', 'UNDEF'],
  ])
    assert.ok(
      server.log.includes(
        `TLS Auth Error: --client-config-dir authentication failed for common name '${name}' file='${file}'`,
      ),
      server.log.join('\n'),
    );
});

test('who has lost its file is refused at the next renegotiation', () => {
  const world = new World(72);
  world.files.set('ccd/ada', { text: '' });
  const { clients: all } = clients(world, 'client-config-dir ccd\nccd-exclusive\nreneg-sec 30 30\n', 'ada');
  world.run(50_000);
  assert.ok(!all[0]?.log.includes(REFUSED));
  world.files.delete('ccd/ada');
  world.run(70_000);
  assert.ok(all[0]?.log.includes(REFUSED));
});

test('without ccd-exclusive DEFAULT is for all that have none; disable turns a client away', () => {
  const world = new World(73);
  world.files.set('ccd/DEFAULT', { text: 'push "route 10.20.0.0"' });
  world.files.set('ccd/ada', { text: 'push "route 10.21.0.0"' });
  world.files.set('ccd/eve', { text: 'disable' });
  const { clients: all } = clients(world, 'client-config-dir ccd\n', 'ada', 'bob', 'eve');
  const routes = all.map(({ log }) => /route (10\.2\d)/.exec(log.join('\n'))?.[1]);
  assert.deepEqual(routes, ['10.21', '10.20', undefined]);
  assert.ok(all[2]?.log.includes(REFUSED));
});

test('client-connect decides: by its exit, by disable, with a reason that reaches the client', () => {
  const verdicts: readonly (readonly [EventVerdict, string])[] = [
    [{ result: 'success' }, UP],
    [{ result: 'success', config: 'push "route 10.9.0.0"' }, UP],
    [{ result: 'failure' }, REFUSED],
    [{ result: 'failure', reason: 'not today' }, `${REFUSED},not today`],
    [{ result: 'success', config: 'disable' }, REFUSED],
  ];
  for (const [verdict, line] of verdicts) {
    const world = new World(74);
    world.asked.add('client-connect');
    world.events = () => verdict;
    const { clients: all } = clients(world, '', 'ada');
    assert.ok(all[0]?.log.includes(line), all[0]?.log.join('\n'));
  }
});

test('force-tls-key-material-export is content with clients that export', () => {
  const { clients: all } = clients(new World(75), 'force-tls-key-material-export\n', 'ada');
  assert.ok(all[0]?.log.includes(UP));
});

test('a second client of a name ends the first, unless names may be shared', () => {
  for (const [config, dropped] of [
    ['', 1],
    ['duplicate-cn\n', 0],
  ] as const) {
    const { server } = clients(new World(76), config, 'ada', 'ada');
    const lines = server.log.filter((line) =>
      line.startsWith("MULTI: new connection by client 'ada' will cause previous active sessions"),
    );
    assert.equal(lines.length, dropped);
    assert.equal(server.commands.filter(({ verb }) => verb === 'delPeer').length, dropped);
  }
});

test('max-clients: no more come in, and a place that is left is the next one’s, the lowest first', () => {
  const world = new World(77);
  const { server, clients: all } = clients(world, 'max-clients 3\n', 'ada', 'bob', 'eve', 'dan');
  assert.deepEqual(
    all.map(({ log }) => log.includes(UP)),
    [true, true, true, false],
  );
  assert.ok(
    server.log.includes('MULTI: new incoming connection would exceed maximum number of clients (3)'),
    server.log.join('\n'),
  );
  for (const index of [1, 0]) {
    const client = all[index];
    assert.ok(client !== undefined);
    client.machine.handleSignal('SIGTERM', world.time);
    world.drain(client);
    server.machine.handleEvent({ event: 'peerTimeout', peer: { index, generation: 1 } }, world.time);
    world.drain(server);
  }
  world.add('fay', PLAIN_CLIENT, '198.51.100.20');
  world.run(world.now + 3_000);
  assert.deepEqual(peerIds(server), ['0', '1', '2', '0']);
});

test('the address of another is taken over by the same certificate only', () => {
  for (const [name, config, moved] of [
    ['ada', 'duplicate-cn\n', true],
    ['bob', '', false],
  ] as const) {
    const world = new World(78);
    const { server } = clients(world, config, 'ada', name);
    const [first, second] = [0, 1].map((index) => ({ index, generation: 1 }));
    assert.ok(first !== undefined && second !== undefined);
    const to = { family: 4, address: '198.51.100.10', port: 1194 } as const;
    const link = server.link;
    server.machine.handleEvent({ event: 'floatConflict', peer: second, link, to, holder: first }, world.time);
    world.drain(server);
    const line = 'Disallow float to an address taken by another client 198.51.100.10:1194';
    assert.equal(server.log.includes(line), !moved, server.log.join('\n'));
    const setPeer = server.commands.filter((command) => command.verb === 'setPeer' && command.settings.remote === to);
    assert.equal(setPeer.length, moved ? 1 : 0);
    assert.equal(
      server.commands.some((command) => command.verb === 'delPeer' && command.peer.index === 0),
      moved,
    );
  }
});

test('a server that ends says RESTART to its clients, with explicit-exit-notify 2 that they go on to the next', () => {
  for (const [notify, text] of [
    ['1', 'RESTART'],
    ['2', 'RESTART,[N]'],
  ]) {
    const world = new World(79);
    const { server, clients: all } = clients(world, `explicit-exit-notify ${notify}\n`, 'ada');
    server.machine.handleSignal('SIGTERM', world.time);
    world.drain(server);
    world.run(world.now + 500);
    assert.ok(server.log.includes(`SENT CONTROL [ada]: '${text}' (status=1)`), server.log.join('\n'));
    const reset = `Connection reset command was pushed by server ('${notify === '2' ? '[N]' : ''}')`;
    assert.ok(all[0]?.log.includes(reset), all[0]?.log.join('\n'));
  }
});

test('who is refused is forgotten after 5 s', () => {
  const world = new World(80);
  world.asked.add('client-connect');
  world.events = () => ({ result: 'failure' });
  const server = world.add('server', PLAIN_SERVER, '198.51.100.1');
  world.add('ada', PLAIN_CLIENT, '198.51.100.2');
  const sent = "SENT CONTROL [ada]: 'AUTH_FAILED' (status=1)";
  while (!server.log.includes(sent)) world.run(world.now + 10);
  const line = 'SIGTERM[soft,delayed-exit] received, client-instance exiting';
  world.run(world.now + 4_900);
  assert.ok(!server.log.includes(line));
  world.run(world.now + 200);
  assert.ok(server.log.includes(line));
});

test('credentials that are too long are a refusal with a reason, and nobody is asked about them', () => {
  for (const [password, line] of [
    ['x'.repeat(4_095), UP],
    ['x'.repeat(4_096), `${REFUSED},Username or password is too long. Maximum length is 128 bytes`],
  ] as const) {
    const world = new World(81);
    world.asked.add('auth-user-pass-verify');
    let asked = 0;
    world.events = () => {
      asked += 1;
      return { result: 'success' };
    };
    world.credentials = { username: 'ada', password };
    const login = 'script-security 3\nauth-user-pass-verify /bin/true via-env\nauth-user-pass-optional\n';
    world.add('server', PLAIN_SERVER + login, '198.51.100.1');
    const client = world.add('ada', `${PLAIN_CLIENT}auth-user-pass\n`, '198.51.100.2');
    world.run(5_000);
    assert.ok(client.log.includes(line), client.log.join('\n'));
    assert.equal(asked, line === UP ? 1 : 0);
  }
});

test('who sends no password is turned away where one is checked, without asking', () => {
  const world = new World(82);
  world.asked.add('auth-user-pass-verify');
  const script = 'script-security 3\nauth-user-pass-verify /bin/true via-env\n';
  const { server, clients: all } = clients(world, script, 'ada');
  assert.ok(all[0]?.log.includes(REFUSED));
  assert.ok(server.log.includes('TLS Error: Auth Username/Password was not provided by peer'));
  assert.ok(!server.outputs.some((output) => output.output === 'ask' && output.ask === 'event'));
});

test('a token lives as long as its login may; the script decides with external-auth, and knows its state', () => {
  const timers = 'hand-window 20\nreneg-sec 60 60\nscript-security 3\nauth-user-pass-verify /bin/true via-env\n';
  for (const [token, states] of [
    ['auth-gen-token 100', ['Initial', 'Initial']],
    ['auth-gen-token 100 60 external-auth', ['Initial', 'Authenticated', 'Expired', 'Initial']],
  ] as const) {
    const world = new World(83);
    world.asked.add('auth-user-pass-verify');
    const seen: (string | undefined)[] = [];
    world.events = (_host, { env }) => {
      const state = env['session_state'];
      seen.push(state);
      return state === 'Expired' ? { result: 'failure', reason: 'SESSION: token expired' } : { result: 'success' };
    };
    const server = world.add('server', `${PLAIN_SERVER}${timers}${token}\n`, '198.51.100.1');
    const client = world.add('ada', `${PLAIN_CLIENT}auth-user-pass\nreneg-sec 0\nconnect-retry 6\n`, '198.51.100.2');
    world.run(140_000);
    assert.deepEqual(seen, states, server.log.join('\n'));
    assert.ok(client.log.includes(`${REFUSED},SESSION: token expired`), client.log.join('\n'));
    assert.equal(client.log.filter((line) => line === UP).length, 2, client.log.join('\n'));
  }
});

test('nor is the address of somebody who is not let in yet taken over by another', () => {
  const world = new World(81);
  world.asked.add('auth-user-pass-verify');
  const server = world.add(
    'server',
    `${PLAIN_SERVER}script-security 2\nauth-user-pass-verify login.sh via-env\n`,
    '198.51.100.1',
  );
  const login = `${PLAIN_CLIENT}auth-user-pass\n`;
  world.add('mallory', login, '198.51.100.10');
  world.run(5_000);
  world.held.add('auth-user-pass-verify');
  const ada = world.add('ada', login, '198.51.100.11');
  world.run(10_000);
  assert.equal(world.waiting.length, 1);
  const peer = { index: 0, generation: 1 };
  server.machine.handleEvent({ event: 'float', peer, link: server.link, to: ada.address }, world.time);
  world.drain(server);
  const back = { family: 4, address: '198.51.100.10', port: 1194 } as const;
  const last = server.commands.at(-1);
  assert.deepEqual(last, { verb: 'setPeer', peer, settings: { link: server.link, remote: back } });
  world.release();
  world.run(15_000);
  assert.ok(ada.log.includes(UP), server.log.join('\n'));
});
