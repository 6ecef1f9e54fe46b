import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readIfThere } from '#src/temp-file.js';

test('a pipe in the place of an answer file does not hold us up', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-pipe-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  assert.equal(readIfThere(path).length, 0);
  assert.equal(readIfThere(join(folder, 'none')).length, 0);
});
