/** What a server's status file says of its clients. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const STATUS = `${PLAIN_SERVER}status status.txt 10\nstatus-version 2\n`;

/** The last status file's lines of one kind, split into their fields. */
function rows(server: Host, kind: string): string[][] {
  const text = server.outputs.findLast((output) => output.output === 'write-file')?.text ?? '';
  return text
    .split('\n')
    .map((line) => line.split(','))
    .filter(([first]) => first === kind);
}

test('bytes of control packets count, and the last file lists those who were connected', () => {
  const world = new World(31);
  const server = world.add('server', STATUS, '198.51.100.1');
  world.add('ada', PLAIN_CLIENT, '198.51.100.2');
  world.run(15_000);
  server.machine.handleSignal('SIGTERM', world.time);
  world.drain(server);
  const clients = rows(server, 'CLIENT_LIST');
  assert.deepEqual(
    clients.map((fields) => fields.slice(1, 4)),
    [['ada', '198.51.100.2:1194', '10.8.0.2']],
  );
  // A handshake alone takes more than this either way.
  for (const column of [5, 6]) assert.ok(Number(clients[0]?.[column]) > 500, clients[0]?.[column]);
});

test('an IPv6 client is named by its address alone, as in OpenVPN 2.6.14', () => {
  const world = new World(33);
  const server = world.add('server', STATUS, '2001:db8::1');
  world.add('ada', PLAIN_CLIENT.replace('198.51.100.1', '2001:db8::1'), '2001:db8::2');
  world.run(15_000);
  assert.equal(rows(server, 'CLIENT_LIST')[0]?.[2], '2001:db8::2');
  assert.equal(rows(server, 'ROUTING_TABLE')[0]?.[3], '2001:db8::2');
  const prefixes = server.outputs.flatMap((output) => (output.output === 'log' ? [output.prefix] : []));
  assert.ok(prefixes.includes('ada/2001:db8::2'), prefixes.join('\n'));
});

test('the last reference of a route follows what is sent to the client', () => {
  const world = new World(32);
  const server = world.add('server', STATUS, '198.51.100.1');
  world.add('ada', PLAIN_CLIENT, '198.51.100.2');
  const since = (): number => Number(rows(server, 'ROUTING_TABLE')[0]?.[5]);
  world.run(15_000);
  const connected = since();
  world.run(35_000);
  assert.equal(since(), connected);
  world.counters = { ...world.counters, tunRead: 84 };
  world.run(45_000);
  const used = since();
  assert.ok(used > connected + 20, `${used}`);
  world.run(75_000);
  assert.equal(since(), used);
});
