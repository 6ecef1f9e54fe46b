import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Deadlines } from '#src/server/deadlines.js';

describe('Deadlines', () => {
  it('tells the earliest, and gives out what is due in order', () => {
    const deadlines = new Deadlines();
    for (const [index, time] of [50, 20, 40, 10, 30].entries()) deadlines.set(index, time);
    assert.equal(deadlines.earliest, 10);
    assert.deepEqual(deadlines.takeDue(30), [3, 1, 4]);
    assert.equal(deadlines.earliest, 40);
    assert.deepEqual(deadlines.takeDue(39), []);
    assert.deepEqual(deadlines.takeDue(100), [2, 0]);
    assert.equal(deadlines.earliest, undefined);
  });

  it('moves a deadline both ways and takes it back', () => {
    const deadlines = new Deadlines();
    for (let index = 0; index < 8; index += 1) deadlines.set(index, 10 * (index + 1));
    deadlines.set(7, 5);
    deadlines.set(0, 45);
    deadlines.set(2, undefined);
    deadlines.set(2, undefined);
    assert.deepEqual(deadlines.takeDue(1_000), [7, 1, 3, 0, 4, 5, 6]);
  });

  it('keeps the order of a thousand that move about', () => {
    const deadlines = new Deadlines();
    // A full-period generator: every time from 0 to 1023 comes once.
    let time = 1;
    const times: number[] = [];
    for (let index = 0; index < 1_024; index += 1) {
      time = (time * 5 + 3) % 1_024;
      deadlines.set(index, 5_000 - index);
      times.push(time);
    }
    for (const [index, at] of times.entries()) deadlines.set(index, at);
    const order = deadlines.takeDue(2_000).map((index) => times[index]);
    assert.deepEqual(
      order,
      Array.from({ length: 1_024 }, (_, at) => at),
    );
  });
});
