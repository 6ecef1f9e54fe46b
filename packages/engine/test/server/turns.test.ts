import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type EndTurn, Turns } from '#src/server/turns.js';

const time = { now: 1, wallClock: 1 };

/** Takes turns by name; what has begun is listed, and ended by name. */
function board() {
  const turns = new Turns();
  const begun: string[] = [];
  const ends = new Map<string, EndTurn>();
  return {
    begun,
    take: (name: string, ...keys: string[]) =>
      turns.take(keys, time, (_at, end) => {
        begun.push(name);
        ends.set(name, end);
      }),
    end: (name: string) => ends.get(name)?.(time),
  };
}

test('work that shares a key waits, all else goes on', () => {
  const { begun, take, end } = board();
  take('a', 'x');
  take('b', 'x');
  take('c', 'y');
  assert.deepEqual(begun, ['a', 'c']);
  end('a');
  assert.deepEqual(begun, ['a', 'c', 'b']);
});

test('work with several keys waits for all of them, and whoever comes later waits for it', () => {
  const { begun, take, end } = board();
  take('a', 'x');
  take('b', 'y');
  take('c', 'x', 'y', 'x');
  take('d', 'y');
  end('a');
  assert.deepEqual(begun, ['a', 'b']);
  end('b');
  assert.deepEqual(begun, ['a', 'b', 'c']);
  end('c');
  assert.deepEqual(begun, ['a', 'b', 'c', 'd']);
});

test('an end counts once', () => {
  const { begun, take, end } = board();
  for (const name of ['a', 'b', 'c']) take(name, 'x');
  end('a');
  end('a');
  assert.deepEqual(begun, ['a', 'b']);
  end('b');
  end('c');
  take('d', 'x');
  assert.deepEqual(begun, ['a', 'b', 'c', 'd']);
});
