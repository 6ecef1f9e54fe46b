/**
 * `node tests/fuzz/dist/main.js [--seconds n] [--jobs n] [--seed n] [--keep] [target …]`: fuzzes every parser, or those
 * named, for so many seconds of the processor each, `--jobs` of them at a time (1). `--keep` adds inputs that show
 * something new to tests/fuzz/corpus. Ends with 'N passed, N failed', one for each parser.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { configTargets } from './config-targets.js';
import { controlTargets } from './control-targets.js';
import { dataTargets } from './data-targets.js';
import { type FuzzTarget, fuzz } from './fuzz.js';
import { keyTargets } from './key-targets.js';
import { proxyTargets } from './proxy-targets.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '2' },
    jobs: { type: 'string', default: '1' },
    seed: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});
const targets = [...controlTargets, ...dataTargets, ...keyTargets, ...configTargets, ...proxyTargets];
const unknown = positionals.find((name) => !targets.some((target) => target.name === name));
if (unknown !== undefined) {
  console.error(`no target ${unknown}; targets: ${targets.map(({ name }) => name).join(' ')}`);
  process.exit(2);
}

const seed = Number(values.seed ?? Date.now() % 0x1_0000_0000);
const chosen = targets.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const folder = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Fuzzes here; true when nothing was found. */
function fuzzHere(target: FuzzTarget): boolean {
  const { runs, labels, finding } = fuzz(target, {
    seconds: Number(values.seconds),
    seed,
    corpus: folder('../corpus'),
    findings: folder('../../../.cache/fuzz'),
    keep: values.keep,
  });
  console.log(`${target.name}: ${runs} inputs, ${labels.length} kinds of behaviour (seed ${seed})`);
  if (finding !== undefined) console.log(`FAILED ${target.name}: ${finding}`);
  return finding === undefined;
}

/** Fuzzes in a process of its own, whose result is shown when it is complete; true when nothing was found. */
async function fuzzApart({ name }: FuzzTarget): Promise<boolean> {
  const options = ['--seconds', values.seconds, '--seed', String(seed), ...(values.keep ? ['--keep'] : [])];
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...options, name], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  child.stdout.setEncoding('utf8').on('data', (text: string) => lines.push(text));
  const [code] = (await once(child, 'close')) as [number | null];
  console.log(lines.join('').replace(/\n\d+ passed, \d+ failed\n$/, ''));
  return code === 0;
}

async function fuzzAll(): Promise<number> {
  const jobs = Math.max(1, Number(values.jobs));
  if (jobs === 1 || chosen.length === 1) return chosen.filter(fuzzHere).length;
  const waiting = [...chosen];
  let passed = 0;
  const worker = async (): Promise<void> => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
      if (await fuzzApart(target)) passed += 1;
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return passed;
}

const passed = await fuzzAll();
console.log(`${passed} passed, ${chosen.length - passed} failed`);
process.exitCode = passed === chosen.length ? 0 : 1;
