/**
 * Round trip per plugin event, compiled and TypeScript, in Seikan and in a stock OpenVPN, in one run: 62 variables, the
 * event tls-final, a plugin that says yes. Then what a plugin that sleeps costs another client of a server.
 *     bench/plugins [CALLS [ROUNDS]]          without rounds, 5; 0 leaves the second part out
 * "In stock OpenVPN" is a C program that calls the plugin as OpenVPN's process does (bench/c/plugin-caller.c).
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPlugin, createMember, type Member } from '@seikan/plugin-host';

const [calls = 2_000, rounds = 5] = process.argv.slice(2).map(Number);
const warmup = 300;
const folder = mkdtempSync(join(tmpdir(), 'seikan-bench-'));
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const place = { pluginDir: folder, folder, version: { major: 2, minor: 6, patch: '.14' } };
const env = Object.fromEntries(
  Array.from({ length: 62 }, (_, index) => [`variable_name_${index}`, `some value number ${index}`]),
);

interface Row {
  readonly what: string;
  readonly micros: number[];
}

async function inSeikan(what: string, name: string): Promise<Row> {
  const member = createMember({ name, parameters: [] }, place, () => {});
  await member.load();
  await member.open({});
  const micros: number[] = [];
  for (let round = -warmup; round < calls; round += 1) {
    const started = performance.now();
    const { result } = await call(member);
    if (result !== 'success') throw new Error(`${what}: ${result}`);
    if (round >= 0) micros.push((performance.now() - started) * 1_000);
  }
  await member.close();
  return { what, micros };
}

async function call(member: Member): ReturnType<Member['call']> {
  return member.call({ event: 'tls-final', context: 0, argv: [], env, deadline: 5_000 });
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

function print({ what, micros }: Row): void {
  const sorted = micros.toSorted((a, b) => a - b);
  const at = (share: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2).padStart(9);
  console.log(`${what.padEnd(28)} ${at(0.5)} ${at(0.9)} ${at(0.99)} ${at(1)}`);
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

  console.log(`${calls} calls, µs                      p50       p90       p99       max`);
  print(await inSeikan('compiled in Seikan', plain));
  print(await inSeikan('TypeScript in Seikan', yes));
  print(inStock('TypeScript in stock OpenVPN', library));
  print(inStock('C in stock OpenVPN', plain));
  if (rounds > 0) {
    const program = here('../../../tests/plugins/dist/stall-windows.js');
    execFileSync(process.execPath, [program, String(rounds)], { stdio: 'inherit' });
  }
} finally {
  rmSync(folder, { recursive: true });
}
