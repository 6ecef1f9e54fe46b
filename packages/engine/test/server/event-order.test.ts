/**
 * Scripts may take their time, and who keeps a firewall or accounts by them needs their order: of one client, of one
 * address, and of those that come after each other with one name.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const SERVER = `${PLAIN_SERVER}server-ipv6 fd08::/64
`;
const CLIENT = `${PLAIN_CLIENT}explicit-exit-notify 1
`;

/** Every event that the server has asked for, with its arguments. */
function asked({ outputs }: Host): string[] {
  return outputs.flatMap((output) =>
    output.output === 'ask' && output.ask === 'event' ? [[output.request.event, ...output.request.argv].join(' ')] : [],
  );
}

function hostRoutes({ commands }: Host): number {
  return commands.filter(({ verb }) => verb === 'addRoute').length;
}

function leave(world: World, client: Host): void {
  client.machine.handleSignal('SIGTERM', world.time);
  world.drain(client);
  world.run(world.now + 8_000);
}

test('learn-address is asked for one address of a client after the other; none is routed before its answer', () => {
  const world = new World(3);
  world.asked.add('learn-address');
  world.held.add('learn-address');
  const server = world.add('server', SERVER, '198.51.100.1');
  world.add('ada', CLIENT, '198.51.100.2');
  world.run(10_000);
  assert.deepEqual(world.waiting, ['learn-address add 10.8.0.2 ada']);
  assert.equal(hostRoutes(server), 0);
  world.release();
  assert.equal(hostRoutes(server), 1);
  assert.deepEqual(world.waiting, ['learn-address add fd08::1000 ada']);
  world.release('failure');
  assert.equal(hostRoutes(server), 1);
});

test('an address that learn-address has refused is not taken back', () => {
  const world = new World(4);
  world.asked.add('learn-address');
  world.events = (_host, { argv }) => ({ result: argv[1] === 'fd08::1000' ? 'failure' : 'success' });
  const server = world.add('server', SERVER, '198.51.100.1');
  const client = world.add('ada', CLIENT, '198.51.100.2');
  world.run(10_000);
  leave(world, client);
  assert.deepEqual(asked(server), [
    'learn-address add 10.8.0.2 ada',
    'learn-address add fd08::1000 ada',
    'learn-address delete 10.8.0.2',
  ]);
});

test('a client that leaves while learn-address is asked is told of afterwards, and of the next address never', () => {
  const world = new World(5);
  for (const event of ['learn-address', 'client-disconnect']) world.asked.add(event);
  world.held.add('learn-address');
  const server = world.add('server', SERVER, '198.51.100.1');
  const client = world.add('ada', CLIENT, '198.51.100.2');
  world.run(10_000);
  leave(world, client);
  assert.deepEqual(asked(server), ['learn-address add 10.8.0.2 ada']);
  world.release();
  assert.deepEqual(asked(server).slice(1), ['client-disconnect', 'learn-address delete 10.8.0.2']);
  assert.equal(hostRoutes(server), 0);
});

test('whoever comes with the name of a client that is gone waits for its client-disconnect; others do not', () => {
  const world = new World(6);
  for (const event of ['client-connect', 'client-disconnect', 'learn-address']) world.asked.add(event);
  world.held.add('client-disconnect');
  const server = world.add('server', SERVER.replace('server-ipv6 fd08::/64\n', ''), '198.51.100.1');
  const first = world.add('ada', CLIENT, '198.51.100.2');
  world.run(10_000);
  leave(world, first);
  const again = world.add('ada', CLIENT, '198.51.100.3');
  const other = world.add('bob', CLIENT, '198.51.100.4');
  world.run(world.now + 5_000);
  assert.ok(other.log.includes('Initialization Sequence Completed'), other.log.join('\n'));
  assert.ok(!again.log.includes('Initialization Sequence Completed'));
  assert.deepEqual(asked(server), [
    'client-connect',
    'learn-address add 10.8.0.2 ada',
    'client-disconnect',
    'client-connect',
    'learn-address add 10.8.0.3 bob',
  ]);
  world.release();
  world.run(world.now + 5_000);
  assert.ok(again.log.includes('Initialization Sequence Completed'), again.log.join('\n'));
  assert.deepEqual(asked(server).slice(5), [
    'learn-address delete 10.8.0.2',
    'client-connect',
    'learn-address add 10.8.0.2 ada',
  ]);
});

test('an address is given to the next client while the last one is still being told of: added after it was deleted', () => {
  const world = new World(7);
  for (const event of ['client-disconnect', 'learn-address']) world.asked.add(event);
  world.held.add('client-disconnect');
  const config = SERVER.replace('server-ipv6 fd08::/64\n', '').replace(
    '255.255.255.0',
    '255.255.255.0 nopool\nifconfig-pool 10.8.0.2 10.8.0.2',
  );
  const server = world.add('server', config, '198.51.100.1');
  const first = world.add('ada', CLIENT, '198.51.100.2');
  world.run(10_000);
  leave(world, first);
  world.add('bob', CLIENT, '198.51.100.4');
  world.run(world.now + 5_000);
  assert.deepEqual(asked(server), ['learn-address add 10.8.0.2 ada', 'client-disconnect']);
  world.release();
  assert.deepEqual(asked(server).slice(2), ['learn-address delete 10.8.0.2', 'learn-address add 10.8.0.2 bob']);
});
