/** The program of tests/line/c: compiled, run, and what it says. */
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { execute, Program, type Teardown } from '@seikan/testkit';

import type { Hosts } from './pair.js';

export interface Traffic {
  readonly hosts: Hosts;
  readonly mtu: number;
  readonly seed: string;
  readonly streamBytes: number;
  readonly groups: number;
  readonly teardown: Teardown;
}

/** What came of one flow. */
export interface FlowReport {
  readonly phase: string;
  readonly flow: string;
  readonly bytes: number;
  readonly packets: number;
  readonly lost: number;
  /** Packets that came in a larger one. */
  readonly merged: number;
  /** Empty: all was well. */
  readonly failure: string;
}

const LIMIT_MS = 170_000;
const source = resolve(import.meta.dirname, '../c');

/** Gives the program's path. */
export async function compileTraffic(folder: string): Promise<string> {
  const program = join(folder, 'checked-traffic');
  const files = readdirSync(source)
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(source, name));
  await execute(['cc', '-O2', '-Wall', '-Wextra', '-pthread', '-o', program, ...files], { timeout: 60_000 });
  return program;
}

export async function runTraffic(
  program: string,
  { hosts, mtu, seed, streamBytes, groups, teardown }: Traffic,
): Promise<FlowReport[]> {
  const words = hosts.flatMap(({ namespace, device, v4, v6 }) => [namespace, device, v4, v6]);
  const command = [program, seed, `${mtu}`, `${streamBytes}`, `${groups}`, ...words] as const;
  const traffic = new Program({ name: 'checked-traffic', command, namespace: hosts[0].namespace, teardown });
  const late = setTimeout(() => traffic.signal('SIGKILL'), LIMIT_MS);
  const { code, signal } = await traffic.exited;
  clearTimeout(late);
  const reports = traffic.lines.filter((line) => line.startsWith('{'));
  if (code === 0 || (code === 1 && reports.length > 0)) return reports.map((line) => JSON.parse(line) as FlowReport);
  throw new Error(`checked-traffic ended (code ${code}, signal ${signal}): ${traffic.lines.slice(-5).join('\n')}`);
}
