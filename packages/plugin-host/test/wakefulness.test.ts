import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { Wakefulness } from '#src/wakefulness.js';

const skip = availableParallelism() === 1 && 'with one core nobody stays awake';
const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('moments in which nothing came are followed by ever fewer, until something comes', { skip }, async () => {
  const wakefulness = new Wakefulness();
  const tries: number[] = [];
  for (let index = 0; index < 32; index += 1) {
    if (wakefulness.stay(0)) tries.push(index);
    await turn();
    await turn();
  }
  assert.deepEqual(tries, [0, 2, 6, 14, 22, 30]);

  while (!wakefulness.stay(1_000)) await turn();
  wakefulness.end();
  await turn();
  await turn();
  assert.equal(wakefulness.stay(0), true, 'the last time it was worth while');
});

test('all else is done meanwhile', { skip }, async () => {
  const wakefulness = new Wakefulness();
  wakefulness.stay(60_000);
  await new Promise((resolve) => setTimeout(resolve, 1));
  wakefulness.end(); // else this file would take a minute
});

test('whoever waits at once does so for a glance in each turn of the event loop', { skip }, async () => {
  let looks = 0;
  const look = (): boolean => {
    looks += 1;
    return false;
  };
  const wakefulness = new Wakefulness({ look, sleep: () => true });
  wakefulness.stay(60_000);
  wakefulness.wait();
  assert.ok(looks > 0);
  const inThisTurn = looks;
  wakefulness.wait();
  assert.equal(looks, inThisTurn);
  wakefulness.end();
  await turn();
});

test('waiting ends with what was waited for', { skip }, async () => {
  let looks = 0;
  const look = (): boolean => {
    looks += 1;
    if (looks === 3) wakefulness.end();
    return looks === 3;
  };
  const wakefulness: Wakefulness = new Wakefulness({ look, sleep: () => true }, 60_000);
  wakefulness.stay(60_000);
  wakefulness.wait();
  assert.equal(looks, 3);
  await turn();
});

test('with one core it sleeps', () => {
  const program = `import { Wakefulness } from ${JSON.stringify(import.meta.resolve('#src/wakefulness.js'))};
process.exit(new Wakefulness().stay(1) ? 1 : 0);`;
  const { status, stderr } = spawnSync(
    'taskset',
    ['--cpu-list', '0', process.execPath, '--input-type=module', '--eval', program],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
});
