/**
 * A small fuzzer: inputs are damaged copies of a corpus, and a copy that makes a parser behave in a new way joins it.
 * "A new way" is a label that the target returns (a drop reason, the shape of what was parsed), not code coverage.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { SeededRandom } from '@seikan/testkit';

import { Mutator } from './mutator.js';

export interface FuzzTarget {
  readonly name: string;
  /** Inputs that are known to reach deep, besides the kept corpus. */
  seeds(): Uint8Array[];
  /** Parses, checks what must hold of the result, and names what happened. A throw is a finding. */
  run(input: Uint8Array): string;
}

export interface FuzzOptions {
  /** Of the processor, not of the clock. */
  readonly seconds: number;
  readonly seed: number;
  /** Folder of kept inputs, one folder a target. */
  readonly corpus: string;
  /** Where findings are written. */
  readonly findings: string;
  /** Keep inputs with new labels in the corpus. */
  readonly keep: boolean;
}

export interface FuzzResult {
  readonly runs: number;
  readonly labels: readonly string[];
  /** What failed, with the file that holds the input. */
  readonly finding: string | undefined;
}

/** One input may take this long of the processor, twice in a row, before it counts as a finding. */
const SLOW_MS = 100;
const CHECK_CLOCK_EVERY = 64;

/** Milliseconds that this process has computed: a busy machine makes nothing slow. */
function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** Runs the whole corpus, then damaged inputs until the time is over or something is found. */
export function fuzz(target: FuzzTarget, options: FuzzOptions): FuzzResult {
  const random = new SeededRandom(options.seed);
  const mutator = new Mutator(random);
  const folder = join(options.corpus, target.name);
  const pool: Uint8Array[] = [];
  const labels = new Set<string>();
  let runs = 0;
  const finding = (input: Uint8Array, what: string): FuzzResult => {
    const file = write(options.findings, `${target.name}-`, input);
    return { runs, labels: [...labels], finding: `${what} (input in ${file}, seed ${options.seed})` };
  };

  const attempt = (input: Uint8Array): string | undefined => {
    runs += 1;
    const started = processorTime();
    let label: string;
    try {
      label = target.run(input);
      if (processorTime() - started > SLOW_MS) {
        const again = processorTime();
        target.run(input);
        if (processorTime() - again > SLOW_MS) return `takes more than ${SLOW_MS} ms`;
      }
    } catch (error) {
      return error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    if (!labels.has(label)) {
      labels.add(label);
      pool.push(input.slice());
      if (options.keep) write(folder, '', input);
    }
    return undefined;
  };

  for (const input of [...target.seeds(), ...readCorpus(folder), new Uint8Array()]) {
    const failure = attempt(input);
    if (failure !== undefined) return finding(input, failure);
  }
  const end = processorTime() + options.seconds * 1_000;
  const pick = () => pool[random.below(pool.length)] ?? new Uint8Array();
  do {
    for (let i = 0; i < CHECK_CLOCK_EVERY; i += 1) {
      const input = mutator.mutate(pick(), pick());
      const failure = attempt(input);
      if (failure !== undefined) return finding(input, failure);
    }
  } while (processorTime() < end);
  return { runs, labels: [...labels], finding: undefined };
}

function readCorpus(folder: string): Uint8Array[] {
  mkdirSync(folder, { recursive: true });
  return readdirSync(folder)
    .toSorted()
    .map((name) => new Uint8Array(readFileSync(join(folder, name))));
}

function write(folder: string, prefix: string, input: Uint8Array): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, prefix + createHash('sha256').update(input).digest('hex').slice(0, 16));
  writeFileSync(file, input);
  return file;
}
