/**
 * What a server tells of a client's traffic: control packets count, as in stock's status file and environment (forward.c
 * `process_incoming_link_part1`, `process_outgoing_link`, 2.6), but not the two with which it remembers nobody yet.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Host, PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

/** Bytes of the control packets that a host has sent, without the first. */
function controlBytes({ commands }: Host): number {
  const [, ...rest] = commands.flatMap((command) => (command.verb === 'sendControl' ? [command.bytes.length] : []));
  return rest.reduce((sum, length) => sum + length, 0);
}

test('status and client-disconnect count the bytes of both channels', () => {
  const world = new World(5);
  world.asked.add('client-disconnect');
  world.counters = { ...world.counters, linkRead: 70_000, linkWritten: 800_000 };
  const told: Readonly<Record<string, string>>[] = [];
  world.events = (_host, { event, env }) => {
    if (event === 'client-disconnect') told.push(env);
    return { result: 'success' };
  };
  const server = world.add('server', `${PLAIN_SERVER}proto udp\nstatus status.txt 1\n`, '198.51.100.1');
  const client = world.add('client', PLAIN_CLIENT, '198.51.100.7');
  world.run(10_000);
  const [received, sent] = [controlBytes(client), controlBytes(server)];
  assert.ok(received > 500 && sent > 500, `${received} and ${sent} bytes of control packets`);
  const text = server.outputs.findLast((output) => output.output === 'write-file')?.text ?? '';
  assert.match(text, new RegExp(`^client,198\\.51\\.100\\.7:1194,${70_000 + received},${800_000 + sent},`, 'm'));

  server.machine.handleSignal('SIGTERM', world.time);
  world.drain(server);
  world.run(20_000);
  // What the data channel counted comes with the end of the peer: none, in this world.
  assert.deepEqual(
    told.map(({ bytes_received, bytes_sent }) => [bytes_received, bytes_sent]),
    [[`${received}`, `${controlBytes(server)}`]],
  );
});
