import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

/** How long the client waited until it knew that it was refused, and the server's log. */
function refusedAfter(config: string, refuses: boolean): { readonly millis: number; readonly log: readonly string[] } {
  const world = new World(3);
  world.asked.add('tls-verify');
  world.events = (host) => ({ result: refuses && host.name === 'server' ? 'failure' : 'success' });
  const server = world.add('server', PLAIN_SERVER + config, '198.51.100.1');
  const client = world.add('client', PLAIN_CLIENT, '198.51.100.2');
  const from = world.now;
  const told = (): boolean => client.log.some((line) => line.startsWith('TLS alert received: '));
  while (!told() && world.now - from < 60_000) world.run(world.now + 100);
  return { millis: world.now - from, log: server.log };
}

test('a client that tls-verify refuses is told by an alert, not by silence', () => {
  const { millis, log } = refusedAfter('', true);
  assert.ok(
    log.some((line) => line.startsWith('VERIFY SCRIPT ERROR: depth=0')),
    log.join('\n'),
  );
  assert.ok(millis < 2_000, `${millis} ms\n${log.join('\n')}`);
});

test('so is one whose certificate the policy refuses inside the handshake', () => {
  const { millis, log } = refusedAfter('verify-x509-name somebody-else name\n', false);
  assert.ok(
    log.some((line) => line.startsWith('VERIFY X509NAME ERROR')),
    log.join('\n'),
  );
  assert.ok(millis < 2_000, `${millis} ms\n${log.join('\n')}`);
});
