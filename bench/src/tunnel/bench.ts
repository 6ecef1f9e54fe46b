/** A run: the contenders of one setting, each with hosts of its own, warm, and what is measured of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeDeadNamespaces, type Teardown } from '@seikan/testkit';

import { prepare } from './contenders.js';
import { compile } from './forwarder.js';
import { namespacePrefix, segmentBeforeWire } from './hosts.js';
import { type Measure, type Progress, type Round, type Row, summarize, type Tunnels } from './measure.js';
import { startReceivers, transfer } from './traffic.js';
import type { ContenderName, Setting, Tunnel } from './tunnel.js';

export interface Bench {
  readonly tunnels: Tunnels;
  /** The compiled bench/c/tunnel-traffic.c. */
  readonly traffic: string;
  readonly versions: Readonly<Record<string, string>>;
}

export interface BenchOptions {
  readonly names: readonly ContenderName[];
  readonly setting: Setting;
  readonly teardown: Teardown;
  readonly progress: Progress;
}

/** Builds everything; it stands until `teardown` closes. */
export async function openBench({ names, setting, teardown, progress }: BenchOptions): Promise<Bench> {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  const swept = await removeDeadNamespaces(namespacePrefix);
  if (swept > 0) progress(`removed ${swept} namespaces of a run that was killed`);
  const folder = mkdtempSync(join(tmpdir(), 'seikan-tunnel-'));
  teardown.defer(() => rmSync(folder, { recursive: true, force: true }));
  const traffic = await compile('tunnel-traffic', folder);
  const chosen = await prepare(names, { folder, setting });
  const tunnels = new Map<ContenderName, Tunnel>();
  for (const { name, version, start } of chosen) {
    progress(`${name}: ${version}`);
    const tunnel = await start(teardown);
    if (setting.wire) await segmentBeforeWire(tunnel.hosts);
    await startReceivers(tunnel, traffic, teardown);
    tunnels.set(name, tunnel);
  }
  for (const tunnel of tunnels.values()) await transfer(tunnel, { streams: 4, seconds: 1 });
  progress('all tunnels are up and warm');
  return { tunnels, traffic, versions: Object.fromEntries(chosen.map(({ name, version }) => [name, version])) };
}

export async function runRounds(
  measure: Measure,
  { tunnels, rounds: count, progress }: { tunnels: Tunnels; rounds: number; progress: Progress },
): Promise<Row[]> {
  const rounds: Round[] = [];
  for (let round = 0; round < count; round += 1) {
    const tell = (text: string): void => progress(`${measure.name} ${round + 1}/${count}: ${text}`);
    rounds.push(await measure.round(tunnels, round, tell));
  }
  return summarize(measure, rounds);
}
