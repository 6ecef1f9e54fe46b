import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '@seikan/testkit';

import { LongReplayWindow, ReplayWindow } from '#src/replay/replay-window.js';

const forever = { size: 64, time: 0 };

test('each id is accepted once, in any order inside the window', () => {
  const window = new ReplayWindow(forever);
  for (const id of [3, 1, 2, 64, 65]) assert.equal(window.accept(id, 0), 'accepted');
  for (const id of [3, 2, 64, 65]) assert.equal(window.accept(id, 0), 'replay');
  assert.equal(window.highest, 65);
});

test('id 0 never was sent by anyone', () => {
  assert.equal(new ReplayWindow(forever).accept(0, 0), 'bad-packet-id');
  assert.equal(new LongReplayWindow(forever).accept(0, 9, 0), 'bad-packet-id');
});

test('the window holds exactly its size, whatever the ring behind it holds', () => {
  for (const size of [1, 31, 32, 33, 64, 100, 65_536]) {
    const window = new ReplayWindow({ size, time: 0 });
    window.accept(100_000, 0);
    assert.equal(window.accept(100_000 - size, 0), 'too-old', `size ${size}`);
    if (size > 1) assert.equal(window.accept(100_000 - size + 1, 0), 'accepted', `size ${size}`);
  }
});

test('a jump forward is taken and leaves no stale bits behind', () => {
  const window = new ReplayWindow(forever);
  for (let id = 1; id <= 200; id += 1) assert.equal(window.accept(id, 0), 'accepted');
  for (const jump of [1, 31, 32, 33, 64, 95, 96, 127, 128, 129, 5_000, 2 ** 31, 2 ** 33]) {
    const id = window.highest + jump;
    assert.equal(window.accept(id, 0), 'accepted');
    for (let back = 1; back < Math.min(64, jump); back += 1) {
      assert.equal(window.accept(id - back, 0), 'accepted', `jump ${jump}, ${back} behind`);
    }
  }
});

test('48-bit counters work to their end', () => {
  const window = new ReplayWindow(forever);
  const last = 2 ** 48 - 1;
  assert.equal(window.accept(last - 70, 0), 'accepted');
  assert.equal(window.accept(last, 0), 'accepted');
  assert.equal(window.accept(last - 63, 0), 'accepted');
  assert.equal(window.accept(last - 63, 0), 'replay');
  assert.equal(window.accept(last - 64, 0), 'too-old');
});

test('an id that comes more than the time after a later one is too old', () => {
  const window = new ReplayWindow({ size: 64, time: 15_000 });
  window.accept(10, 1_000);
  assert.equal(window.accept(9, 15_500), 'accepted');
  assert.equal(window.accept(11, 15_600), 'accepted');
  assert.equal(window.accept(8, 20_000), 'too-old', 'id 10 was there 19 seconds ago');
  assert.equal(window.accept(13, 20_000), 'accepted');
  assert.equal(window.accept(12, 21_000), 'accepted', 'only id 13 came before it, a second ago');
});

test('after a long silence everything before it is too old', () => {
  const window = new ReplayWindow({ size: 64, time: 15_000 });
  window.accept(10, 1_000);
  assert.equal(window.accept(9, 3_600_000), 'too-old');
  assert.equal(window.accept(11, 3_600_000), 'accepted');
});

test('it agrees with a plain set of ids on random traffic', () => {
  const seed = 20_261_121;
  const random = new SeededRandom(seed);
  for (const size of [8, 64, 200]) {
    const window = new ReplayWindow({ size, time: 0 });
    const seen = new Set<number>();
    let highest = 0;
    for (let i = 0; i < 20_000; i += 1) {
      const id = Math.max(1, highest + random.below(size * 2 + 8) - size - (random.chance(0.9) ? 4 : -300));
      const expected = highest - id >= size ? 'too-old' : seen.has(id) ? 'replay' : 'accepted';
      assert.equal(window.accept(id, i), expected, `seed ${seed}, step ${i}: ${id} after ${highest}`);
      if (expected === 'accepted') seen.add(id);
      highest = Math.max(highest, id);
    }
    assert.ok(seen.size > 1_000);
  }
});

test('of the long form, a later time starts again and an earlier one is a replay', () => {
  const window = new LongReplayWindow(forever);
  assert.equal(window.accept(5, 100, 0), 'accepted');
  assert.equal(window.accept(5, 100, 0), 'replay');
  assert.equal(window.accept(1, 101, 0), 'accepted');
  assert.equal(window.accept(6, 100, 0), 'replay');
  assert.equal(window.accept(2, 101, 0), 'accepted');
});
