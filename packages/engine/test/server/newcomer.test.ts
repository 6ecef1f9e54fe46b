/** Who comes from an address at which somebody is known already, and who the peer of a session may turn out to be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Multi } from '@seikan/engine';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const UP = 'Initialization Sequence Completed';
const ADDRESS = '198.51.100.2';

const isUp = ({ log }: Host): boolean => log.includes(UP);
const verbs = (host: Host, from: number): string[] =>
  host.commands.slice(from).flatMap((command) => {
    if (command.verb === 'newKey' || command.verb === 'delKey') return [`${command.verb} ${command.keyId}`];
    return command.verb === 'newPeer' || command.verb === 'delPeer' ? [command.verb] : [];
  });

/** A client that is connected, and whatever else the configurations say. */
function connected(server: string, client = PLAIN_CLIENT, name = 'ada') {
  const world = new World(111);
  const [at, first] = [world.add('server', PLAIN_SERVER + server, '198.51.100.1'), world.add(name, client, ADDRESS)];
  world.run(5_000);
  assert.ok(isUp(first), first.log.join('\n'));
  return { world, server: at, first };
}

test('a client that comes back with a new session takes the place of its old one: same peer, new key, options again', () => {
  const { world, server, first } = connected('');
  world.remove(first);
  const from = server.commands.length;
  const pushes = (): number => server.log.filter((line) => line.startsWith('SENT CONTROL [ada]: ')).length;
  const before = pushes();
  const again = world.add('ada', PLAIN_CLIENT, ADDRESS);
  world.run(10_000);
  assert.ok(isUp(again), server.log.join('\n'));
  assert.deepEqual(verbs(server, from), ['delKey 0', 'newKey 0']);
  assert.equal(pushes(), before + 1);
  assert.ok(!server.log.some((line) => line.includes('client-instance')), server.log.join('\n'));
});

test('with single-session nobody else is answered at its address', () => {
  const { world, server, first } = connected('single-session\n');
  world.remove(first);
  const again = world.add('ada', PLAIN_CLIENT, ADDRESS);
  world.run(10_000);
  assert.equal(isUp(again), false);
  assert.ok(server.machine instanceof Multi);
  assert.ok((server.machine.drops.get('single-session') ?? 0) > 0);
});

test('a newcomer with another certificate does not take over, and the session before it goes on', () => {
  const { world, server, first } = connected('');
  world.remove(first);
  const from = server.commands.length;
  const other = world.add('mallory', PLAIN_CLIENT, ADDRESS);
  world.run(10_000);
  assert.equal(isUp(other), false);
  assert.ok(
    server.log.includes("TLS Auth Error: TLS object CN attempted to change from 'ada' to 'mallory' -- tunnel disabled"),
    server.log.join('\n'),
  );
  assert.deepEqual(verbs(server, from), []);
});

test('another user name in a running session ends it', () => {
  const login = 'script-security 2\nauth-user-pass-verify login.sh via-env\nreneg-sec 30 30\n';
  const world = new World(112);
  world.asked.add('auth-user-pass-verify');
  const server = world.add('server', PLAIN_SERVER + login, '198.51.100.1');
  const client = world.add('ada', `${PLAIN_CLIENT}auth-user-pass\nauth-nocache\nreneg-sec 0\n`, ADDRESS);
  world.run(10_000);
  assert.ok(isUp(client));
  world.credentials = { username: 'eve', password: 'secret' };
  world.run(35_000);
  const said = "TLS Auth Error: username attempted to change from 'user' to 'eve' -- tunnel disabled";
  assert.ok(server.log.includes(said), server.log.join('\n'));
  assert.ok(server.commands.some(({ verb }) => verb === 'delPeer'));
});

test('more new sessions in a span than connect-freq allows are turned away, with a line', () => {
  const world = new World(113);
  const server = world.add('server', `${PLAIN_SERVER}connect-freq 2 10\n`, '198.51.100.1');
  const clients = [2, 3, 4].map((n) => world.add(`client${n}`, PLAIN_CLIENT, `198.51.100.${n}`));
  world.run(2_500);
  assert.equal(clients.filter(isUp).length, 2);
  assert.ok(
    server.log.some((line) =>
      line.endsWith('would exceed new connection frequency limit as controlled by --connect-freq'),
    ),
    server.log.join('\n'),
  );
  world.run(30_000);
  assert.equal(clients.filter(isUp).length, 3);
});

test('a login that is deferred and never answered is refused after hand-window, or half of reneg-sec when that is less', () => {
  for (const [times, seconds] of [
    ['hand-window 30\n', 30],
    ['hand-window 30\nreneg-sec 40\n', 20],
  ] as const) {
    const world = new World(114);
    world.asked.add('auth-user-pass-verify');
    world.events = () => ({ result: 'deferred' });
    const login = `script-security 2\nauth-user-pass-verify login.sh via-env\n${times}`;
    const server = world.add('server', PLAIN_SERVER + login, '198.51.100.1');
    world.add('ada', `${PLAIN_CLIENT}auth-user-pass\n`, ADDRESS);
    const began = world.now;
    const isRefused = (): boolean => server.log.some((line) => line.includes("'AUTH_FAILED"));
    world.run(began + seconds * 1000 - 500);
    assert.equal(isRefused(), false, times);
    world.run(began + seconds * 1000 + 1_000);
    assert.equal(isRefused(), true, `${times}${server.log.join('\n')}`);
  }
});

test('a client that says EXIT is known for five seconds more; one that says so in the data channel is gone at once', () => {
  const leaving = connected('', `${PLAIN_CLIENT}explicit-exit-notify 2\n`);
  leaving.first.machine.handleSignal('SIGTERM', leaving.world.time);
  leaving.world.drain(leaving.first);
  const { now } = leaving.world;
  const gone = (): boolean => leaving.server.commands.some(({ verb }) => verb === 'delPeer');
  leaving.world.run(now + 4_900);
  assert.ok(leaving.server.log.includes('CC-EEN exit message received by peer'), leaving.server.log.join('\n'));
  assert.equal(gone(), false);
  leaving.world.run(now + 5_200);
  assert.equal(gone(), true);

  const { world, server, first } = connected('');
  for (const [host, ends] of [
    [server, 'SIGUSR1[soft,remote-exit] received, client-instance restarting'],
    [first, 'SIGUSR1[soft,remote-exit] received, process restarting'],
  ] as const) {
    const peer = host.commands.findLast((command) => command.verb === 'newPeer')?.peer;
    assert.ok(peer !== undefined);
    host.machine.handleEvent({ event: 'message', peer, plaintext: Uint8Array.of(6) }, world.time);
    world.drain(host);
    assert.deepEqual(
      host.log.slice(-3).filter((line) => line === 'OCC exit message received by peer' || line === ends),
      ['OCC exit message received by peer', ends],
    );
  }
});

test('the session that was taken over is kept for its transition window, and freed then', () => {
  const { world, first, server } = connected('tran-window 60\n');
  world.remove(first);
  world.add('ada', PLAIN_CLIENT, ADDRESS);
  world.run(10_000);
  const { machine } = server;
  // Nothing is due before the keys are renegotiated but the end of the old session.
  const due = (): number => (machine.nextTimeout() ?? Number.POSITIVE_INFINITY) - world.now;
  assert.ok(due() > 50_000 && due() <= 60_000, String(due()));
  world.run(75_000);
  assert.ok(due() > 1_000_000, String(due()));
});

test('the reason of a refusal is as long as one message holds', () => {
  for (const letter of ['x', 'é']) {
    const world = new World(115);
    world.asked.add('auth-user-pass-verify');
    world.events = () => ({ result: 'failure', reason: letter.repeat(3_000) });
    world.add('server', `${PLAIN_SERVER}script-security 2\nauth-user-pass-verify login.sh via-env\n`, '198.51.100.1');
    const client = world.add('ada', `${PLAIN_CLIENT}auth-user-pass\n`, ADDRESS);
    world.run(5_000);
    const heard = 'AUTH: Received control message: ';
    const line = client.log.find((text) => text.startsWith(heard)) ?? '';
    const size = Buffer.byteLength(line.slice(heard.length));
    assert.ok(size <= 1_023 && size >= 1_022, `${letter}: ${size}`);
  }
});

test('a soft reset before the first key is there begins nothing', () => {
  const world = new World(116);
  world.keys = {};
  let sessionId: Uint8Array | undefined;
  world.copies = (bytes) => {
    // HARD_RESET_CLIENT_V2
    if ((bytes[0] ?? 0) >> 3 === 7) sessionId = bytes.slice(1, 9);
    return 1;
  };
  const server = world.add('server', PLAIN_SERVER, '198.51.100.1');
  const client = world.add('ada', PLAIN_CLIENT, ADDRESS);
  const { machine } = server;
  assert.ok(machine instanceof Multi);
  const began = (): boolean => server.log.includes('MULTI: multi_create_instance called');
  while (!began() && world.now < 5_000) world.run(world.now + 1);
  assert.ok(sessionId !== undefined && began());
  // SOFT_RESET_V1 of key 1, without acknowledgements, message 0
  const bytes = Uint8Array.of((3 << 3) | 1, ...sessionId, 0, 0, 0, 0, 0);
  machine.handleEvent({ event: 'control', link: server.link, from: client.address, bytes }, world.time);
  world.drain(server);
  assert.equal(machine.drops.get('wrong-state'), 1);
  world.run(10_000);
  assert.ok(isUp(client), client.log.join('\n'));
});

test('while the login of one newcomer is looked at no other is begun with', () => {
  const world = new World(117);
  world.asked.add('auth-user-pass-verify');
  world.held.add('auth-user-pass-verify');
  const login = 'script-security 2\nauth-user-pass-verify login.sh via-env\n';
  const server = world.add('server', PLAIN_SERVER + login, '198.51.100.1');
  for (let n = 0; n < 8; n += 1) {
    const client = world.add('ada', `${PLAIN_CLIENT}auth-user-pass\n`, ADDRESS);
    world.run(world.now + 4_000);
    world.remove(client);
  }
  assert.ok(server.machine instanceof Multi);
  assert.ok((server.machine.drops.get('busy') ?? 0) > 0);
  assert.equal(world.waiting.length, 2);
});
