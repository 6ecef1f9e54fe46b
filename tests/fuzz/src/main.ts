/**
 * `node tests/fuzz/dist/main.js [--seconds n] [--seed n] [--keep] [target …]`: fuzzes every parser, or those named,
 * for so many seconds each. `--keep` adds inputs that show something new to tests/fuzz/corpus.
 * Ends with 'N passed, N failed', one for each parser.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { configTargets } from './config-targets.js';
import { controlTargets } from './control-targets.js';
import { dataTargets } from './data-targets.js';
import { fuzz } from './fuzz.js';
import { keyTargets } from './key-targets.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string' }, seed: { type: 'string' }, keep: { type: 'boolean' } },
});
const targets = [...controlTargets, ...dataTargets, ...keyTargets, ...configTargets];
const unknown = positionals.find((name) => !targets.some((target) => target.name === name));
if (unknown !== undefined) {
  console.error(`no target ${unknown}; targets: ${targets.map(({ name }) => name).join(' ')}`);
  process.exit(2);
}

const seed = Number(values.seed ?? Date.now() % 0x1_0000_0000);
const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url));
let failed = 0;
const chosen = targets.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
for (const target of chosen) {
  const { runs, labels, finding } = fuzz(target, {
    seconds: Number(values.seconds ?? 2),
    seed,
    corpus: folder('../corpus'),
    findings: folder('../../../.cache/fuzz'),
    keep: values.keep === true,
  });
  console.log(`${target.name}: ${runs} inputs, ${labels.length} kinds of behaviour (seed ${seed})`);
  if (finding === undefined) continue;
  failed += 1;
  console.log(`FAILED ${target.name}: ${finding}`);
}
console.log(`${chosen.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
