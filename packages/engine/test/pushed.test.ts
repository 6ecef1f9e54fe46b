/** What a server may push has its effect on the client's machine, beyond addresses and routes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

/** A client that is connected to a server which pushes these options. */
function connected(pushed: readonly string[], events: readonly string[] = []): { world: World; client: Host } {
  const world = new World(11);
  for (const event of events) world.asked.add(event);
  world.add('server', PLAIN_SERVER + pushed.map((option) => `push "${option}"\n`).join(''), '198.51.100.1');
  const client = world.add('client', PLAIN_CLIENT, '198.51.100.2');
  world.run(10_000);
  assert.ok(client.log.includes('Initialization Sequence Completed'), client.log.join('\n'));
  return { world, client };
}

function signal(world: World, client: Host, name: 'SIGUSR1' | 'SIGTERM'): void {
  client.machine.handleSignal(name, world.time);
  world.drain(client);
}

function asks({ outputs }: Host, name: string): number {
  return outputs.filter((output) => output.output === 'ask' && output.ask === name).length;
}

test('explicit-exit-notify: a client that leaves says so', () => {
  const { world, client } = connected(['explicit-exit-notify 2']);
  signal(world, client, 'SIGTERM');
  assert.deepEqual(client.log.slice(-2), [
    'SIGTERM received, sending exit notification to peer',
    "SENT CONTROL [server]: 'EXIT' (status=1)",
  ]);
  world.run(world.now + 3_000);
  assert.equal(client.log.at(-1), 'SIGTERM[soft,exit-with-notification] received, process exiting');
});

test('persist-tun: the tun stays over a restart; without it, it does not', () => {
  for (const [pushed, opened] of [
    [['persist-tun'], 1],
    [[], 2],
  ] as const) {
    const { world, client } = connected(pushed);
    signal(world, client, 'SIGUSR1');
    world.run(world.now + 30_000);
    assert.equal(client.log.filter((line) => line.startsWith('Initialization Sequence')).length, 2);
    assert.equal(asks(client, 'open-tun'), opened);
  }
});

test('ping-exit: a client that hears nothing ends', () => {
  const { world, client } = connected(['ping-exit 4']);
  const { machine, commands } = client;
  const made = commands.find(({ verb }) => verb === 'newPeer');
  assert.ok(made?.verb === 'newPeer');
  assert.equal(made.settings.pingTimeout, 4_000);
  machine.handleEvent({ event: 'peerTimeout', peer: made.peer }, world.time);
  world.drain(client);
  assert.ok(client.log.includes('[server] Inactivity timeout (--ping-exit), exiting'), client.log.join('\n'));
  assert.equal(client.outputs.at(-1)?.output, 'end');
});

test('setenv-safe: scripts see it, by a name that cannot be mistaken', () => {
  const { client } = connected(['setenv-safe PATH /tmp'], ['up']);
  const up = client.outputs.find((output) => output.output === 'ask' && output.ask === 'event');
  assert.ok(up?.output === 'ask' && up.ask === 'event');
  assert.equal(up.request.env['OPENVPN_PATH'], '/tmp');
  assert.equal(up.request.env['PATH'], undefined);
});

test("verb, mute and the socket's buffers are handed to whoever keeps log and socket", () => {
  const { client } = connected(['verb 5', 'mute 7', 'sndbuf 300000', 'rcvbuf 200000']);
  const pulled = client.outputs.find(({ output }) => output === 'pulled');
  assert.ok(pulled?.output === 'pulled');
  assert.equal(pulled.link, client.link);
  assert.deepEqual([pulled.log.verb, pulled.log.mute], [5, 7]);
  assert.deepEqual([pulled.socket.sendBuffer, pulled.socket.receiveBuffer], [300_000, 200_000]);
});

test('what was taken is logged in the words and the order of OpenVPN', () => {
  const { client } = connected([
    'route 10.9.0.0 255.255.0.0',
    'dhcp-option DNS 10.8.0.1',
    'persist-tun',
    'setenv-safe A b',
    'sndbuf 1',
    'verb 3',
  ]);
  // As a stock 2.6.14 logged for the same push.
  assert.deepEqual(
    client.log.filter((line) => line.startsWith('OPTIONS IMPORT')),
    [
      'OPTIONS IMPORT: --verb and/or --mute level changed',
      'OPTIONS IMPORT: --sndbuf/--rcvbuf options modified',
      'OPTIONS IMPORT: --persist options modified',
      'OPTIONS IMPORT: --ifconfig/up options modified',
      'OPTIONS IMPORT: route options modified',
      'OPTIONS IMPORT: route-related options modified',
      'OPTIONS IMPORT: --ip-win32 and/or --dhcp-option options modified',
      'OPTIONS IMPORT: environment modified',
      'OPTIONS IMPORT: tun-mtu set to 1500',
    ],
  );
});

test('bind-dev cannot be pushed, which is said: the socket is open by then', () => {
  const { client } = connected(['bind-dev eth9']);
  assert.ok(
    client.log.some((line) => line.includes('bind-dev eth9 is not taken from a server')),
    client.log.join('\n'),
  );
});
