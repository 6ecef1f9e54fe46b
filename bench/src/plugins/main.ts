/**
 * Round trip per plugin event, compiled and TypeScript, in Seikan and in a stock OpenVPN, in one run: 62 variables, the
 * event tls-final, a plugin that says yes; a value changes from call to call, as in a session. One call after the other, as in
 * a login, and calls with pauses of 5 ms before them. Then what a plugin that sleeps costs another client of a server.
 *     bench/plugins [CALLS [ROUNDS]]          5 000 and 25; 0 rounds leave the second part out
 * "In stock OpenVPN" is a C program that calls the plugin as OpenVPN's process does (bench/c/plugin-caller.c).
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildPlugin, createMember, type Member } from '@seikan/plugin-host';

const [calls = 5_000, rounds = 25] = process.argv.slice(2).map(Number);
/** So many calls, until V8 has compiled what they run through. */
const warmup = 5_000;
const pause = 5;
const pausedCalls = Math.min(calls, 500);
const folder = mkdtempSync(join(tmpdir(), 'seikan-bench-'));
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const place = { pluginDir: folder, folder, version: { major: 2, minor: 6, patch: '.14' } };
const env = Object.fromEntries(
  Array.from({ length: 62 }, (_, index) => [`variable_name_${index}`, `some value number ${index}`]),
);

interface Row {
  readonly what: string;
  readonly micros: number[];
  /** CPU time of our process for a call, without a helper's. */
  readonly cpu?: number;
}

async function inSeikan(what: string, name: string): Promise<Row[]> {
  const member = createMember({ name, parameters: [] }, place, () => {});
  await member.load();
  await member.open({});
  await timed(member, warmup, 0);
  const rows = [
    { what, ...(await timed(member, calls, 0)) },
    { what: `  with pauses of ${pause} ms`, ...(await timed(member, pausedCalls, pause)) },
  ];
  await member.close();
  return rows;
}

async function timed(member: Member, count: number, rest: number): Promise<Omit<Row, 'what'>> {
  const micros: number[] = [];
  const before = process.cpuUsage();
  for (let round = 0; round < count; round += 1) {
    if (rest > 0) await sleep(rest);
    const variables = { ...env, variable_name_61: `some value number ${round}` };
    const started = performance.now();
    const { result } = await member.call({ event: 'tls-final', context: 0, argv: [], env: variables, deadline: 5_000 });
    micros.push((performance.now() - started) * 1_000);
    if (result !== 'success') throw new Error(`${member.name}: ${result}`);
  }
  const { user, system } = process.cpuUsage(before);
  return { micros, cpu: (user + system) / count };
}

function inStock(what: string, library: string): Row {
  const output = execFileSync(join(folder, 'caller'), [library, String(warmup), String(calls)], { encoding: 'utf8' });
  return {
    what,
    micros: output
      .trim()
      .split('\n')
      .map((nanos) => Number(nanos) / 1_000),
  };
}

function print({ what, micros, cpu }: Row): void {
  const sorted = micros.toSorted((a, b) => a - b);
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2).padStart(9);
  const spent = cpu === undefined ? '' : cpu.toFixed(0).padStart(9);
  console.log(`${what.padEnd(28)} ${at(0.5)} ${at(0.9)} ${at(0.99)} ${at(1)} ${spent}`);
}

try {
  const compile = (output: string, source: string, ...flags: string[]): string => {
    const path = join(folder, output);
    execFileSync('cc', ['-O2', ...flags, '-o', path, here(`../../c/${source}`), '-ldl']);
    return path;
  };
  compile('caller', 'plugin-caller.c');
  const plain = compile('plain.so', 'plugin-plain.c', '-shared', '-fPIC');
  const yes = here('../../src/plugins/yes.ts');
  const library = join(folder, 'yes.so');
  await buildPlugin(yes, { output: library });

  console.log(
    `${availableParallelism()} cores, load average ${loadavg()
      .map((load) => load.toFixed(2))
      .join(' ')}`,
  );
  console.log(`${String(calls).padStart(6)} calls, µs                   p50       p90       p99       max   our CPU`);
  for (const row of await inSeikan('compiled in Seikan', plain)) print(row);
  for (const row of await inSeikan('TypeScript in Seikan', yes)) print(row);
  print(inStock('TypeScript in stock OpenVPN', library));
  print(inStock('C in stock OpenVPN', plain));
  if (rounds > 0) {
    const program = here('../../../tests/plugins/dist/stall-windows.js');
    execFileSync(process.execPath, [program, String(rounds)], { stdio: 'inherit' });
  }
} finally {
  rmSync(folder, { recursive: true });
}
