/** A peer that closes its TLS connection (close notify) and stays: nothing more can be told to it, and nothing breaks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { TlsConnection } from '@seikan/core';
import { ScriptedTls } from '@seikan/testkit';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

test('what a server has to say to it is lost, and other clients come in', (t) => {
  const opened: TlsConnection[] = [];
  const { open } = ScriptedTls.prototype;
  t.mock.method(ScriptedTls.prototype, 'open', function (this: ScriptedTls, verify: Parameters<typeof open>[0]) {
    const connection = open.call(this, verify);
    opened.push(connection);
    return connection;
  });
  const world = new World(141);
  world.asked.add('client-connect');
  world.held.add('client-connect');
  const server = world.add('server', PLAIN_SERVER, '198.51.100.1');
  const mallory = world.add('mallory', PLAIN_CLIENT, '198.51.100.2');
  world.run(3_000);
  assert.deepEqual(world.waiting, ['client-connect']);
  // The client's was opened first.
  opened[0]?.shutdown();
  mallory.machine.handleTimeout(world.time);
  world.drain(mallory);
  world.remove(mallory);
  world.run(4_000);
  assert.equal(opened[1]?.state, 'closed');
  world.release();
  world.held.clear();
  const ada = world.add('ada', PLAIN_CLIENT, '198.51.100.3');
  world.run(12_000);
  assert.ok(ada.log.includes('Initialization Sequence Completed'), server.log.join('\n'));
});
