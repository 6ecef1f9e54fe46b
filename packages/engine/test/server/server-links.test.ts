import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const SERVER = `${PLAIN_SERVER}proto tcp-server
hand-window 30
max-clients 2
`;
const CLIENT = PLAIN_CLIENT.replace('proto udp', 'proto tcp');

/** A server, and connections made to it by somebody without a key. */
interface Scene {
  readonly world: World;
  readonly server: Host;
  readonly call: (link: number) => void;
  readonly say: (link: number, bytes: Uint8Array) => void;
}

function scene(): Scene {
  const world = new World(3);
  const server = world.add('server', SERVER, '198.51.100.1');
  world.run(1_500);
  const from = { family: 4, address: '203.0.113.9', port: 40_000 } as const;
  return {
    world,
    server,
    call(link) {
      server.machine.handleEvent({ event: 'linkUp', link, listener: server.link, remote: from }, world.time);
      world.drain(server);
    },
    say(link, bytes) {
      server.machine.handleEvent({ event: 'control', link, from, bytes }, world.time);
      world.drain(server);
    },
  };
}

function closed({ outputs }: Host): number[] {
  return outputs.flatMap((output) => (output.output === 'close-link' ? [output.link] : []));
}

test('a connection that says nothing is closed when the hand-window is over', () => {
  const { world, server, call } = scene();
  call(-100);
  world.run(20_000);
  call(-101);
  world.run(31_400);
  assert.deepEqual(closed(server), []);
  world.run(31_600);
  assert.deepEqual(closed(server), [-100]);
  world.run(60_000);
  assert.deepEqual(closed(server), [-100, -101]);
});

test('a connection ends at its first packet without the right key', () => {
  const { server, call, say } = scene();
  call(-100);
  say(-100, Uint8Array.of(0x38, 1, 2, 3, 4, 5, 6, 7, 8, ...new Uint8Array(60)));
  assert.deepEqual(closed(server), [-100]);
});

test('connections without a session count as clients, and are forgotten with their end', () => {
  const { world, server, call } = scene();
  call(-100);
  call(-101);
  call(-102);
  assert.deepEqual(closed(server), [-102]);
  assert.ok(server.log.some((line) => line.includes('would exceed maximum number of clients (2)')));
  server.machine.handleEvent({ event: 'linkDown', link: -100, reason: '0' }, world.time);
  server.machine.handleEvent({ event: 'linkDown', link: -101, reason: '0' }, world.time);
  for (const [index, round] of ['first', 'second', 'third'].entries()) {
    const client = world.add(round, CLIENT, `198.51.100.${index + 2}`);
    world.run(world.now + 5_000);
    assert.ok(client.log.includes('Initialization Sequence Completed'), client.log.join('\n'));
    client.machine.handleSignal('SIGTERM', world.time);
    world.drain(client);
    world.run(world.now + 10_000);
  }
});

test('a connection is closed once, with its instance', () => {
  const { world, server } = scene();
  const client = world.add('client', CLIENT, '198.51.100.2');
  world.run(10_000);
  assert.ok(client.log.includes('Initialization Sequence Completed'), client.log.join('\n'));
  server.machine.handleSignal('SIGTERM', world.time);
  world.drain(server);
  assert.deepEqual(closed(server), [-1, server.link]);
});

test('a connection without a session that breaks off is told of by its address, as programs that ban look for it', () => {
  const { world, server, call } = scene();
  call(-100);
  server.machine.handleEvent({ event: 'linkDown', link: -100, reason: 'closed by the peer' }, world.time);
  world.drain(server);
  assert.equal(server.log.at(-1), '203.0.113.9:40000 Connection reset, restarting [0]');
});
