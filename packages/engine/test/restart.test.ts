/** Where a client turns to after an attempt or a tunnel has ended, and how long it waits before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { TunnelSignal } from '@seikan/engine';

import { parseConfig } from '@seikan/engine';
import { ConnectionList } from '#src/client/connection-list.js';
import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

const FAILOVER = `${PLAIN_CLIENT}remote 198.51.100.3 1194\n`;

/** The addresses that were tried, in order. */
function tried(client: Host): (string | undefined)[] {
  return client.outputs.flatMap((output) =>
    output.output === 'ask' && output.ask === 'open-link' ? [output.remote?.address] : [],
  );
}

const pauses = (host: Host): string[] => host.log.filter((line) => line.startsWith('Restart pause'));

test('a client goes on to the next remote when the first one pushes what it rejects', () => {
  const world = new World(1);
  world.add('server', `${PLAIN_SERVER}push "route 10.9.0.0 255.255.255.0"\n`, '198.51.100.1');
  world.add('other', PLAIN_SERVER, '198.51.100.3');
  const client = world.add('client', `${FAILOVER}pull-filter reject "route 10.9"\n`, '198.51.100.2');
  world.run(10_000);
  assert.deepEqual(tried(client), ['198.51.100.1', '198.51.100.3']);
  assert.ok(client.log.includes('Initialization Sequence Completed'));
});

test('a signal before the tunnel is up moves on to the next remote, one afterwards does not', () => {
  const world = new World(2);
  const client = world.add('client', FAILOVER, '198.51.100.2');
  world.add('server', PLAIN_SERVER, '198.51.100.3');
  client.machine.handleSignal('SIGUSR1', world.time);
  world.drain(client);
  world.run(10_000);
  client.machine.handleSignal('SIGUSR1', world.time);
  world.drain(client);
  world.run(20_000);
  assert.deepEqual(tried(client), ['198.51.100.1', '198.51.100.3', '198.51.100.3']);
});

test('after a server that does not answer the next one is tried at once', () => {
  const world = new World(3);
  const client = world.add('client', `${FAILOVER}connect-timeout 5\n`, '198.51.100.2');
  world.run(world.now + 7_000);
  assert.deepEqual(tried(client), ['198.51.100.1', '198.51.100.3']);
  assert.deepEqual(pauses(client), []);
});

test('auth-retry nointeract waits 10 s after whatever ended, and connect-retry bounds it', () => {
  for (const [limits, line] of [
    ['connect-retry 1 300', 'Restart pause, 10 second(s)'],
    ['connect-retry 1 4', 'Restart pause, 4 second(s)'],
  ] as const) {
    const world = new World(4);
    const client = world.add('client', `${PLAIN_CLIENT}auth-retry nointeract\n${limits}\n`, '198.51.100.2');
    client.machine.handleSignal('SIGUSR1', world.time);
    world.drain(client);
    assert.deepEqual(pauses(client), [line]);
  }
});

test('SIGUSR1 turned into another signal ends the process softly, of a server too', () => {
  for (const [signal, line] of [
    ['SIGHUP', 'SIGHUP[soft,] received, process restarting'],
    ['SIGTERM', 'SIGTERM[soft,] received, process exiting'],
  ] as const) {
    const world = new World(5);
    const client = world.add('client', `${PLAIN_CLIENT}remap-usr1 ${signal}\n`, '198.51.100.2');
    client.machine.handleSignal('SIGUSR1', world.time);
    world.drain(client);
    assert.equal(client.log.at(-1), line);
    const server = world.add('server', `${PLAIN_SERVER}remap-usr1 ${signal}\n`, '198.51.100.1');
    world.run(1_000);
    server.machine.handleSignal('SIGUSR1', world.time);
    world.drain(server);
    assert.match(server.log.at(-1) ?? '', new RegExp(`^${signal}`));
  }
});

test('a process that begins anew waits first, and can be ended meanwhile', () => {
  for (const config of [PLAIN_CLIENT, `${PLAIN_SERVER}ifconfig-pool-persist pool.txt\n`]) {
    const world = new World(6);
    const host = world.add('again', config, '198.51.100.4', true);
    assert.deepEqual(pauses(host), ['Restart pause, 1 second(s)']);
    assert.equal(
      host.outputs.some(({ output }) => output === 'ask'),
      false,
    );
    host.machine.handleSignal('SIGTERM', world.time);
    world.drain(host);
    assert.equal(host.outputs.at(-1)?.output, 'end');
    // The leases that stand in the file are not overwritten with none.
    assert.equal(
      host.outputs.some(({ output }) => output === 'write-file'),
      false,
    );
  }
});

test('with explicit-exit-notify a server tells its clients before it restarts too; they come back at once', () => {
  for (const signal of ['SIGUSR1', 'SIGHUP', 'SIGTERM'] as const) {
    const world = new World(7);
    const server = world.add('server', `${PLAIN_SERVER}explicit-exit-notify 1\n`, '198.51.100.1');
    const client = world.add('client', PLAIN_CLIENT, '198.51.100.2');
    world.run(5_000);
    server.machine.handleSignal(signal, world.time);
    world.drain(server);
    world.run(7_000);
    const does = signal === 'SIGTERM' ? 'exiting' : 'restarting';
    assert.equal(server.log.at(-1), `${signal}[hard,] received, process ${does}`);
    assert.ok(client.log.includes('SIGUSR1[soft,server-pushed-connection-reset] received, process restarting'));
  }
});

test('who is told twice to end does not wait until everybody has been told', () => {
  const world = new World(8);
  const notify = 'explicit-exit-notify 5\n';
  const server = world.add('server', `${PLAIN_SERVER}explicit-exit-notify 1\n`, '198.51.100.1');
  const client = world.add('client', PLAIN_CLIENT + notify, '198.51.100.2');
  world.run(5_000);
  for (const host of [client, server]) {
    host.machine.handleSignal('SIGTERM', world.time);
    world.drain(host);
    assert.notEqual(host.outputs.at(-1)?.output, 'end');
    host.machine.handleSignal('SIGTERM', world.time);
    world.drain(host);
    assert.equal(host.log.at(-1), 'SIGTERM[hard,] received, process exiting');
  }
});

test('who is saying goodbye does not begin anew: a signal is ignored, a restart by the server ends it', () => {
  const world = new World(11);
  const server = world.add('server', `${PLAIN_SERVER}explicit-exit-notify 1\n`, '198.51.100.1');
  const client = world.add('client', `${PLAIN_CLIENT}explicit-exit-notify 8\n`, '198.51.100.2');
  world.run(5_000);
  const signal = (host: Host, name: TunnelSignal): void => {
    host.machine.handleSignal(name, world.time);
    world.drain(host);
  };
  const before = client.log.length;
  for (const name of ['SIGTERM', 'SIGUSR1', 'SIGHUP'] as const) signal(client, name);
  world.run(8_000);
  signal(server, 'SIGTERM');
  world.run(9_000);
  assert.deepEqual(client.log.slice(before), [
    'SIGTERM received, sending exit notification to peer',
    "SENT CONTROL [server]: 'EXIT' (status=1)",
    'Ignoring SIGUSR1 received during exit notification',
    'Ignoring SIGHUP received during exit notification',
    "Connection reset command was pushed by server ('')",
    'Converting soft SIGUSR1 received during exit notification to SIGTERM',
    'SIGTERM[soft,exit-with-notification] received, process exiting',
  ]);
});

test('an address that there is no route for is left at once', () => {
  const world = new World(9);
  const client = world.add('client', FAILOVER, '198.51.100.2');
  world.add('other', PLAIN_SERVER, '198.51.100.3');
  const text = 'write UDPv4 [ENETUNREACH]: Network is unreachable (code=101)';
  client.machine.handleEvent({ event: 'linkError', link: client.link, text, unreachable: true }, world.time);
  world.drain(client);
  world.run(world.now + 5_000);
  assert.deepEqual(tried(client), ['198.51.100.1', '198.51.100.3']);
  assert.ok(client.log.includes('Network unreachable, restarting'));
  const later = { event: 'linkError', link: client.link, text, unreachable: true } as const;
  client.machine.handleEvent(later, world.time);
  world.drain(client);
  world.run(world.now + 5_000);
  // A tunnel that is up may outlive a moment without a route.
  assert.equal(tried(client).length, 2);
});

test('a server that does not answer is missed after ping-restart, when that is before connect-timeout', () => {
  for (const [timers, line] of [
    ['ping-restart 3', '[UNDEF] Inactivity timeout (--ping-restart), restarting'],
    ['ping-exit 3', '[UNDEF] Inactivity timeout (--ping-exit), exiting'],
  ] as const) {
    const world = new World(10);
    const client = world.add('client', `${FAILOVER}${timers}\n`, '198.51.100.2');
    world.run(world.now + 2_900);
    assert.equal(client.log.includes(line), false);
    world.run(world.now + 200);
    assert.ok(client.log.includes(line), client.log.join('\n'));
  }
});

const CHECKED = 'script-security 3\nauth-user-pass-verify /bin/true via-env\n';

for (const { reason, more = '', where, lines } of [
  { reason: 'TEMP: later', where: ['1', '1'], lines: ['Restart pause, 1 second(s)'] },
  {
    reason: 'TEMP[backoff 5,advance no]: later',
    where: ['1', '1'],
    lines: [
      'SIGUSR1[soft,auth-temp-failure (server temporary reject)] received, process restarting',
      'Restart pause, 5 second(s)',
    ],
  },
  { reason: 'TEMP[advance remote]: later', where: ['1', '3'], lines: ['Restart pause, 1 second(s)'] },
  { reason: 'TEMP[advance addr]: later', where: ['1', '3'], lines: ['Restart pause, 1 second(s)'] },
  {
    reason: 'TEMP[moon 3,backoff z]: later',
    where: ['1', '1'],
    lines: [
      'WARNING: unknown AUTH_FAIL,TEMP flag: moon 3',
      'invalid AUTH_FAIL,TEMP flag: backoff z',
      'Restart pause, 1 second(s)',
    ],
  },
  // Nobody had a token.
  { reason: 'SESSION: gone', where: ['1'], lines: ['SIGTERM[soft,auth-failure] received, process exiting'] },
  { reason: 'wrong', where: ['1'], lines: ['SIGTERM[soft,auth-failure] received, process exiting'] },
  {
    reason: 'wrong',
    more: 'auth-retry nointeract\n',
    where: ['1', '1'],
    lines: ['SIGUSR1[soft,auth-failure] received, process restarting'],
  },
]) {
  test(`AUTH_FAILED,${reason} ${more}is answered as by openvpn`, () => {
    const world = new World(9);
    world.asked.add('auth-user-pass-verify');
    world.events = () => ({ result: 'failure', reason });
    world.add('server', PLAIN_SERVER + CHECKED, '198.51.100.1');
    const client = world.add('client', `${FAILOVER}auth-user-pass\n${more}`, '198.51.100.2');
    world.run(3_500);
    if (where.length > 1) {
      const from = tried(client).length;
      assert.equal(from, lines.some((line) => line.includes('pause, 1 ')) ? 2 : 1);
      world.run(15_000);
    }
    assert.deepEqual(
      tried(client).slice(0, where.length),
      where.map((last) => `198.51.100.${last}`),
    );
    for (const line of lines) assert.ok(client.log.includes(line), client.log.join('\n'));
  });
}

test('a temporary refusal leaves the token alone, another one takes it away', () => {
  for (const [reason, password] of [
    ['TEMP: later', 'SESS_ID_AT_'],
    ['no', 'secret'],
  ] as const) {
    const world = new World(10);
    world.asked.add('auth-user-pass-verify');
    const passwords: string[] = [];
    world.events = (_host, { env }) => {
      passwords.push(env['password'] ?? '');
      return passwords.length === 2 ? { result: 'failure', reason } : { result: 'success' };
    };
    world.add(
      'server',
      `${PLAIN_SERVER}${CHECKED}auth-gen-token 0 200 external-auth\nreneg-sec 60 60\n`,
      '198.51.100.1',
    );
    const client = world.add('client', `${PLAIN_CLIENT}auth-user-pass\nreneg-sec 0\n`, '198.51.100.2');
    world.run(80_000);
    assert.equal(passwords[0], 'secret');
    assert.ok(passwords[1]?.startsWith('SESS_ID_AT_'));
    assert.ok(passwords[2]?.startsWith(password), client.log.join('\n'));
  }
});

test('with auth-nocache each key asks for the login anew, unless there is a token', () => {
  for (const [token, asked] of [
    ['', 3],
    ['auth-gen-token 0 200\n', 1],
  ] as const) {
    const world = new World(11);
    world.asked.add('auth-user-pass-verify');
    const passwords: string[] = [];
    world.events = (_host, { env }) => {
      passwords.push(env['password'] ?? '');
      return { result: 'success' };
    };
    world.add('server', `${PLAIN_SERVER}${CHECKED}${token}reneg-sec 60 60\n`, '198.51.100.1');
    const client = world.add('client', `${PLAIN_CLIENT}auth-user-pass\nauth-nocache\nreneg-sec 0\n`, '198.51.100.2');
    world.run(10_000);
    world.credentials = { username: 'user', password: 'changed' };
    world.run(130_000);
    const asks = client.outputs.filter((output) => output.output === 'ask' && output.ask === 'credentials');
    assert.equal(asks.length, asked, client.log.join('\n'));
    assert.deepEqual(passwords, ['secret', 'changed', 'changed'].slice(0, asked));
    assert.equal(client.log.filter((line) => line.startsWith('Control Channel:')).length, 3);
  }
});

test('with connect-timeout 0 a server is waited for until the hand-window is over', () => {
  const world = new World(14);
  const client = world.add('client', `${FAILOVER}connect-timeout 0\n`, '198.51.100.2');
  world.run(world.now + 59_000);
  assert.deepEqual(tried(client), ['198.51.100.1']);
  world.run(world.now + 4_000);
  assert.deepEqual(tried(client), ['198.51.100.1', '198.51.100.3']);
});

test('connect-retry 0 does not try without a pause', () => {
  const { options } = parseConfig(`${PLAIN_CLIENT}connect-retry 0 0\n`, 'client.conf', { read: () => undefined });
  assert.equal(new ConnectionList(options.connections, undefined).pause(0), 500);
});
