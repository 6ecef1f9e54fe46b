import assert from 'node:assert/strict';
import { test } from 'node:test';

import { UserAnswers } from '#src/server/user-answers.js';

test('answers are judged one after another, and of those that wait the last one', () => {
  const judged: string[] = [];
  const ends: ((time: { now: number; wallClock: number }) => void)[] = [];
  const end = (): void => ends.shift()?.({ now: 0, wallClock: 0 });
  const answers = new UserAnswers((answer, done) => {
    judged.push(answer);
    ends.push(done);
  });
  for (let i = 0; i < 10_000; i += 1) answers.take(`${i}`);
  assert.deepEqual(judged, ['0']);
  end();
  assert.deepEqual(judged, ['0', '9999']);
  end();
  assert.deepEqual([judged.length, ends.length], [2, 0]);
  answers.take('again');
  assert.deepEqual(judged, ['0', '9999', 'again']);
});
