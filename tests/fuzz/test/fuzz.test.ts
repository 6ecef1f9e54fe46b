import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { configTargets } from '#fuzz/config-targets.js';
import { controlTargets } from '#fuzz/control-targets.js';
import { dataTargets } from '#fuzz/data-targets.js';
import { type FuzzOptions, type FuzzTarget, fuzz } from '#fuzz/fuzz.js';
import { keyTargets } from '#fuzz/key-targets.js';

function inFolder<T>(use: (options: FuzzOptions) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'fuzz-test-'));
  try {
    return use({ seconds: 5, seed: 1, corpus: join(folder, 'corpus'), findings: join(folder, 'findings'), keep: true });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('the fuzzer finds a parser that trusts a length, and keeps the input', () => {
  const careless: FuzzTarget = {
    name: 'careless',
    seeds: () => [Uint8Array.of(0x42, 0x01, 0x01, 0x07)],
    run(input) {
      if (input[0] !== 0x42 || input[1] !== 0x01) return 'refused';
      const length = input[2] ?? 0;
      if (length > input.length - 3) throw new RangeError('reads past the end');
      return `length ${Math.min(length, 3)}`;
    },
  };
  inFolder((options) => {
    const { finding } = fuzz(careless, options);
    assert.match(finding ?? '', /reads past the end/);
    const [file = ''] = readdirSync(options.findings);
    const input = readFileSync(join(options.findings, file));
    assert.throws(() => careless.run(input), RangeError);
    assert.ok(readdirSync(join(options.corpus, 'careless')).length >= 2, 'inputs that behaved in new ways are kept');
  });
});

test('a parser that takes ever longer is found', () => {
  const slow: FuzzTarget = {
    name: 'slow',
    seeds: () => [new Uint8Array(2)],
    run(input) {
      const before = process.cpuUsage();
      while (input.length > 2 && process.cpuUsage(before).user < 150_000);
      return 'done';
    },
  };
  inFolder((options) => assert.match(fuzz(slow, options).finding ?? '', /more than 100 ms/));
});

for (const target of [...controlTargets, ...dataTargets, ...keyTargets, ...configTargets]) {
  test(`${target.name} holds on its kept corpus and on some damaged inputs`, () => {
    const corpus = fileURLToPath(new URL('../corpus', import.meta.url));
    inFolder((options) => {
      const { finding, labels } = fuzz(target, { ...options, seconds: 0.1, corpus, keep: false });
      assert.equal(finding, undefined);
      assert.ok(labels.length >= 2, `only: ${labels.join(', ')}`);
    });
  });
}
