/** tls-crypt-v2: a client's own key, and what it was issued with, are those of the session that it has opened. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type ClientKey, encodeText, MetadataType, wrapClientKey } from '@seikan/core';
import { createCrypto } from '@seikan/native';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const crypto = createCrypto();
const serverKey = Uint8Array.from({ length: 128 }, (_, i) => i);
const HARD_RESET_CLIENT_V3 = 10;

function issue(seed: number, to: string): ClientKey {
  const key = Uint8Array.from({ length: 256 }, (_, i) => (i * seed) & 255);
  const metadata = { type: MetadataType.user, data: encodeText(to) };
  return { key, wrapped: wrapClientKey({ crypto, serverKey, key, metadata }) };
}

/** A server with a `tls-crypt-v2-verify` that accepts all but Mallory's key; the first packet of another client, as anybody sees it. */
function captured(config = '') {
  const world = new World(131);
  world.asked.add('tls-crypt-v2-verify');
  const shown: string[] = [];
  world.events = (_host, { metadata = new Uint8Array(0) }) => {
    const owner = new TextDecoder().decode(metadata);
    shown.push(owner);
    return { result: owner === 'mallory' ? 'failure' : 'success' };
  };
  world.keys = { tlsCryptV2Server: serverKey };
  const server = world.add('server', PLAIN_SERVER + config, '198.51.100.1');
  let first: Uint8Array | undefined;
  world.copies = (bytes) => {
    if ((bytes[0] ?? 0) >> 3 === HARD_RESET_CLIENT_V3) first ??= bytes.slice();
    return 1;
  };
  world.keys = { tlsCryptV2Client: issue(3, 'ada') };
  world.add('ada', PLAIN_CLIENT, '198.51.100.2');
  world.run(5_000);
  assert.ok(first !== undefined);
  assert.deepEqual(shown, ['ada']);
  return { world, server, first, shown };
}

test('with the first packet of another client repeated from its address, a client is still asked about by its own', () => {
  const { world, server, first, shown } = captured();
  world.keys = { tlsCryptV2Client: issue(5, 'mallory') };
  const mallory = world.add('mallory', PLAIN_CLIENT, '198.51.100.3');
  const began = (): number => server.log.filter((line) => line === 'MULTI: multi_create_instance called').length;
  while (began() < 2) world.run(world.now + 1);
  assert.deepEqual(shown, ['ada']);
  server.machine.handleEvent({ event: 'control', link: server.link, from: mallory.address, bytes: first }, world.time);
  world.drain(server);
  world.run(world.now + 5_000);
  assert.deepEqual([...new Set(shown)], ['ada', 'mallory']);
  assert.equal(shown.filter((owner) => owner === 'ada').length, 1);
  assert.ok(!mallory.log.includes('Initialization Sequence Completed'));
});

test('somebody else’s first packet from a client’s address does not spoil its next renegotiation', () => {
  const { world, server, first } = captured('reneg-sec 30 30\n');
  world.keys = { tlsCryptV2Client: issue(7, 'bob') };
  const bob = world.add('bob', `${PLAIN_CLIENT}reneg-sec 0\n`, '198.51.100.4');
  world.run(world.now + 5_000);
  server.machine.handleEvent({ event: 'control', link: server.link, from: bob.address, bytes: first }, world.time);
  world.drain(server);
  world.run(world.now + 50_000);
  const keys = bob.commands.filter(({ verb }) => verb === 'newKey');
  assert.equal(keys.length, 2, bob.log.join('\n'));
});
