/** A process ends although the channel's thread blocks in the kernel. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const module = JSON.stringify(new URL('../dist/index.js', import.meta.url).href);

/** Runs `end` in a process of its own, twice, when the thread has had time to block. */
function statusAfter(end: string): (number | null)[] {
  const program = `
    import { DataThread } from ${module};
    new DataThread().start();
    setTimeout(() => { ${end} }, 300);`;
  return Array.from(
    { length: 2 },
    () =>
      spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 30_000, stdio: 'ignore' }).status,
  );
}

test('process.exit ends a process whose thread waits', () => {
  assert.deepEqual(statusAfter('process.exit(3)'), [3, 3]);
});

test('an error that nobody catches ends it too', () => {
  assert.deepEqual(statusAfter("throw new Error('nobody catches this')"), [1, 1]);
});
