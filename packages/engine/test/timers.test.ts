/** What is said when time ends a tunnel or a key. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

const lastLines = ({ log }: Host): string[] => log.slice(-2);

test('session-timeout and inactive are named once, by client and server', () => {
  for (const [directive, line, signal] of [
    ['session-timeout 20', 'Session timeout, exiting', 'session-timeout'],
    ['inactive 20', 'Inactivity timeout (--inactive), exiting', 'inactive'],
  ] as const) {
    const world = new World(41);
    const server = world.add('server', `${PLAIN_SERVER}${directive}\n`, '198.51.100.1');
    const client = world.add('client', `${PLAIN_CLIENT}${directive}\n`, '198.51.100.2');
    world.run(18_000);
    assert.equal(client.log.includes(line), false);
    world.run(40_000);
    assert.deepEqual(lastLines(client), [line, `SIGTERM[soft,${signal}] received, process exiting`]);
    assert.deepEqual(
      server.log.filter((text) => text === line || text.includes(`[soft,${signal}]`)),
      [line, `SIGTERM[soft,${signal}] received, client-instance exiting`],
    );
  }
});

test('ping-exit names the peer, and ends a client of a server with SIGTERM', () => {
  const world = new World(42);
  const server = world.add('server', `${PLAIN_SERVER}ping-exit 20\n`, '198.51.100.1');
  const client = world.add('client', `${PLAIN_CLIENT}ping-exit 20\n`, '198.51.100.2');
  world.run(10_000);
  for (const host of [server, client]) {
    const peer = host.commands.findLast((command) => command.verb === 'newPeer')?.peer;
    assert.ok(peer !== undefined);
    host.machine.handleEvent({ event: 'peerTimeout', peer }, world.time);
    world.drain(host);
  }
  assert.deepEqual(lastLines(server), [
    '[client] Inactivity timeout (--ping-exit), exiting',
    'SIGTERM[soft,ping-exit] received, client-instance exiting',
  ]);
  assert.deepEqual(lastLines(client), [
    '[server] Inactivity timeout (--ping-exit), exiting',
    'SIGTERM[soft,ping-exit] received, process exiting',
  ]);
});

test('whoever begins a renegotiation says why: age and use of the key beside their limits', () => {
  const world = new World(43);
  const server = world.add('server', `${PLAIN_SERVER}reneg-sec 0\n`, '198.51.100.1');
  const client = world.add('client', `${PLAIN_CLIENT}reneg-sec 30\nreneg-bytes 5000\n`, '198.51.100.2');
  world.run(20_000);
  world.counters = { ...world.counters, linkRead: 4_000, linkWritten: 1_500, packetsRead: 9, packetsWritten: 8 };
  world.run(25_000);
  const said = (host: Host): string[] => host.log.filter((line) => line.startsWith('TLS: soft reset'));
  assert.match(said(client)[0] ?? '', /^TLS: soft reset sec=(19|20)\/30 bytes=5500\/5000 pkts=17\/0$/);
  world.run(60_000);
  assert.match(said(client)[1] ?? '', /^TLS: soft reset sec=30\/30 bytes=0\/5000 pkts=0\/0$/);
  assert.deepEqual(said(server), []);
});

test('strangers beyond connect-freq-initial are dropped, which is said once in each span', () => {
  const world = new World(44);
  const server = world.add('server', `${PLAIN_SERVER}connect-freq-initial 1 5\n`, '198.51.100.1');
  world.copies = (bytes) => ((bytes[0] ?? 0) >> 3 === 8 ? 0 : 1);
  for (let i = 2; i < 6; i += 1) world.add('client', PLAIN_CLIENT, `198.51.100.${i}`);
  world.run(2_000);
  assert.deepEqual(
    server.log.filter((line) => line.includes('--connect-freq-initial')),
    ['Note: --connect-freq-initial 1 5 rate limit exceeded, dropping initial handshake packets for the next 5 seconds'],
  );
});

test('tls-exit: a handshake that fails ends a client, and of a server the client instance alone', () => {
  const options = 'tls-exit\nhand-window 4\n';
  const alone = new World(45);
  const lonely = alone.add('lonely', `${PLAIN_CLIENT}${options}connect-timeout 60\n`, '198.51.100.2');
  alone.run(10_000);
  assert.equal(lonely.log.at(-1), 'SIGTERM[soft,tls-error] received, process exiting');

  const world = new World(46);
  const server = world.add('server', PLAIN_SERVER + options, '198.51.100.1');
  const client = world.add('client', PLAIN_CLIENT, '198.51.100.2');
  while (!server.log.some((line) => line.startsWith('TLS: Initial packet'))) world.run(world.now + 1);
  world.remove(client);
  world.run(20_000);
  assert.equal(server.log.at(-1), 'SIGTERM[soft,tls-error] received, client-instance exiting');
});
