import assert from 'node:assert/strict';
import { test } from 'node:test';

import { IdleWatch } from '#src/idle-watch.js';

const counters = (tunRead: number) => ({
  linkRead: 0,
  linkWritten: 0,
  tunRead,
  tunWritten: 0,
  packetsRead: 0,
  packetsWritten: 0,
  drops: {},
});

/** When it is over, in seconds, if `carried` tells the bytes by then. */
function overAt(span: number, bytes: number, carried: (seconds: number) => number): number | undefined {
  const watch = new IdleWatch({ span: span * 1000, bytes }, 0);
  for (let now = watch.nextLook; now <= 600_000; now = watch.nextLook)
    if (watch.isOver(counters(carried(now / 1000)), now)) return now / 1000;
  return undefined;
}

test('the time runs from the last packet, not from the last look', () => {
  assert.equal(
    overAt(60, 0, () => 0),
    60,
  );
  assert.equal(
    overAt(60, 0, (seconds) => (seconds < 30 ? 0 : 48)),
    90,
  );
  const end = overAt(60, 0, (seconds) => Math.floor(Math.min(seconds, 250) / 50));
  assert.ok(end !== undefined && end >= 310 && end <= 320, String(end));
});

test('with a number so many bytes count, however slowly they come', () => {
  assert.equal(
    overAt(60, 1_000, (seconds) => Math.floor(seconds) * 20),
    undefined,
  );
  assert.equal(
    overAt(60, 1_000, (seconds) => (seconds < 20 ? 0 : 999)),
    60,
  );
  assert.equal(
    overAt(60, 1_000, (seconds) => (seconds < 30 ? 0 : 1_000)),
    90,
  );
});
