/**
 * That what a tunnel carries arrives as it was, under every offload:
 *
 *     node tests/line/dist/main.js [--all] [--seed N]       half a minute; --all: gigabytes, 3 minutes
 *
 * Each tunnel is real (processes, tuns, two hosts in network namespaces). tests/line/c has the traffic: TCP streams both
 * ways, datagrams of 1 byte to 64 KiB and whole packets of all kinds, every byte compared with what was sent.
 * Ends with 'N passed, N failed', one for each tunnel.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type Counts,
  createAuthority,
  needRoot,
  removeDeadNamespaces,
  runTestProgram,
  Teardown,
} from '@seikan/testkit';

import { namespacePrefix, type Pair, startPair } from './pair.js';
import { compileTraffic, type FlowReport, runTraffic } from './traffic.js';

const { values: options } = parseArgs({
  options: { all: { type: 'boolean', default: false }, seed: { type: 'string', default: '20261126' } },
});

interface Row extends Pair {
  readonly name: string;
  /** Bytes of each way of 8 TCP connections; and groups of datagrams of each of 12 flows, while no stream runs. */
  readonly load: { readonly streamBytes: number; readonly groups: number };
}

const MB = 1e6;
const [many, some] = options.all
  ? [
      { streamBytes: 100 * MB, groups: 3_000 },
      { streamBytes: 30 * MB, groups: 1_000 },
    ]
  : [
      { streamBytes: 8 * MB, groups: 250 },
      { streamBytes: 2 * MB, groups: 150 },
    ];

const rows: readonly Row[] = [
  { name: 'ours and ours', client: 'ours', server: 'ours', cipher: 'AES-256-GCM', mtu: 1_500, load: many },
  {
    name: 'ours and ours, odd MTU',
    client: 'ours',
    server: 'ours',
    cipher: 'CHACHA20-POLY1305',
    mtu: 1_373,
    load: many,
  },
  {
    name: 'ours and ours, fragments',
    client: 'ours',
    server: 'ours',
    cipher: 'AES-256-GCM',
    mtu: 1_500,
    options: '--fragment 700 --mssfix 0',
    load: some,
  },
  {
    name: 'ours and ours over TCP',
    client: 'ours',
    server: 'ours',
    cipher: 'AES-256-GCM',
    mtu: 1_500,
    transport: 'tcp',
    load: some,
  },
  { name: 'ours and stock, odd MTU', client: 'ours', server: 'stock', cipher: 'AES-128-GCM', mtu: 1_337, load: some },
];

/** Resolves with what went wrong; throws when the tunnel does not stand. */
async function run({ name, load, ...pair }: Row, folder: string, traffic: string): Promise<string[]> {
  const teardown = new Teardown();
  try {
    const hosts = await startPair(pair, folder, teardown);
    const reports = await runTraffic(traffic, { hosts, mtu: pair.mtu, seed: options.seed, ...load, teardown });
    tell(name, reports);
    return reports
      .filter(({ failure }) => failure !== '')
      .map(({ flow, phase, failure }) => `${flow} ${phase}: ${failure}`);
  } finally {
    await teardown.close();
  }
}

function tell(name: string, reports: readonly FlowReport[]): void {
  const total = (key: 'bytes' | 'packets' | 'lost' | 'merged', of = reports): number =>
    of.reduce((sum, report) => sum + report[key], 0);
  const alone = reports.filter(({ phase }) => phase === 'alone');
  console.log(
    `${name}: ${(total('bytes') / 1e9).toFixed(2)} GB compared; ${total('packets')} datagrams and packets, ` +
      `lost ${total('lost', alone)} alone and ${total('lost') - total('lost', alone)} beside streams, ${total('merged')} came merged`,
  );
}

async function main(): Promise<Counts> {
  needRoot();
  await removeDeadNamespaces(namespacePrefix);
  const folder = mkdtempSync(join(tmpdir(), 'seikan-line-'));
  let failed = 0;
  try {
    await createKeys(folder);
    const traffic = await compileTraffic(folder);
    for (const row of rows) {
      const failures = await run(row, folder, traffic).catch((error: unknown) => [String(error)]);
      for (const failure of failures) console.log(`${row.name}: ${failure} (seed ${options.seed})`);
      if (failures.length > 0) failed += 1;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { passed: rows.length - failed, failed };
}

async function createKeys(folder: string): Promise<void> {
  const { issue } = await createAuthority(folder, { commonName: 'Line-CA', keys: 'P-256' });
  await issue('server', 'server');
  await issue('client', 'client');
}

await runTestProgram(main);
