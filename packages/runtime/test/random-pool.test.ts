import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RandomPool } from '#src/random-pool.js';

test('every need gets bytes of its own, whatever sizes are asked for', () => {
  const pool = new RandomPool();
  const seen = new Set<string>();
  let count = 0;
  for (let round = 0; round < 200; round += 1) {
    for (const size of [16, 32, 48, 1_000, 1_024, 5_000]) {
      const bytes = new Uint8Array(size);
      pool.fill(bytes);
      // No stretch of 16 bytes comes twice, within a need or in another one.
      for (let at = 0; at + 16 <= Math.min(size, 48); at += 16) {
        seen.add(Buffer.from(bytes.subarray(at, at + 16)).toString('hex'));
        count += 1;
      }
      assert.ok(!bytes.every((byte) => byte === 0));
    }
  }
  assert.equal(seen.size, count);
  assert.doesNotThrow(() => pool.fill(new Uint8Array(0)));
});
