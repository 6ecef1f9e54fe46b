import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { DataKey } from '@seikan/core';

import { joinKey, splitKey } from '#src/thread-messages.js';

test('the bytes of a key cross in memory of their own, which is wiped when they have arrived', () => {
  const key: DataKey = {
    format: 'aead',
    cipher: 'AES-128-GCM',
    digest: 'none',
    send: { cipher: Uint8Array.of(1, 2, 3), auth: Uint8Array.of(4) },
    receive: { cipher: Uint8Array.of(5, 6), auth: new Uint8Array(0) },
    replayWindow: 64,
    replayTime: 15_000,
    longPacketId: false,
  };
  const split = splitKey(key);
  assert.deepEqual(
    Object.keys(split.terms).filter((name) => name === 'send' || name === 'receive'),
    [],
  );
  assert.deepEqual([...new Uint8Array(split.secrets.memory)], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual(joinKey(split.terms, split.secrets), key);
  assert.deepEqual([...new Uint8Array(split.secrets.memory)], [0, 0, 0, 0, 0, 0]);
  assert.deepEqual(key.send.cipher, Uint8Array.of(1, 2, 3), "the sender's own bytes are not touched");
});
