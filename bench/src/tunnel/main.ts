/**
 * What tunnels carry, one beside the other in the same run: ours, openvpn, a forwarder without a key, wireguard-go,
 * the wire.
 *
 *     node bench/dist/tunnel/main.js [options]
 *       --quick             ours, openvpn and the forwarder, short cells: under 50 s
 *       --rounds N          alternated rounds (5)
 *       --only NAME,…       these contenders
 *       --measures NAME,…   of tcp, udp, rtt; --quick has tcp alone
 *       --cipher NAME       AES-256-GCM, AES-128-GCM, CHACHA20-POLY1305
 *       --transport NAME    udp, tcp
 *       --wire              the wire's UDP segmentation off
 *       --node PATH         the node that runs ours
 *       --json              one JSON document instead of tables
 *       --write-docs        the results into docs/performance.json, .md and .svg, in place of the same setting's
 *
 * Each contender has hosts of its own, built once. Needs root.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { removeDeadNamespaces, Teardown } from '@seikan/testkit';

import { nodeVersion, prepare } from './contenders.js';
import { writeDocs } from './docs.js';
import { compile } from './forwarder.js';
import { namespacePrefix, segmentBeforeWire } from './hosts.js';
import { latency } from './latency.js';
import { type Measure, type Round, type Row, summarize } from './measure.js';
import { paced } from './paced.js';
import { type Results, titleOf } from './results.js';
import { asText, tableOf } from './table.js';
import { throughput } from './throughput.js';
import { startReceivers, transfer } from './traffic.js';
import { type ContenderName, ciphers, contenders, type Setting, type Tunnel } from './tunnel.js';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string' },
    measures: { type: 'string' },
    wire: { type: 'boolean', default: false },
    cipher: { type: 'string', default: 'AES-256-GCM' },
    transport: { type: 'string', default: 'udp' },
    node: { type: 'string', default: process.execPath },
    'write-docs': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const measureNames = ['tcp', 'udp', 'rtt'] as const;
type MeasureName = (typeof measureNames)[number];

const began = performance.now();
const progress = (text: string): void => {
  console.error(`${((performance.now() - began) / 1_000).toFixed(0).padStart(4)} s  ${text}`);
};

/** One of `all`, or an error that names them. */
function choose<Name extends string>(option: string, text: string, all: readonly Name[]): Name {
  const found = all.find((name) => name === text);
  if (found === undefined) throw new Error(`--${option}: ${text} is none of ${all.join(', ')}`);
  return found;
}

function chosenContenders(): ContenderName[] {
  if (options.only !== undefined) return options.only.split(',').map((name) => choose('only', name, contenders));
  return options.quick ? ['ours', 'openvpn', 'forwarder'] : [...contenders];
}

function chosenMeasures(): readonly MeasureName[] {
  if (options.measures === undefined) return options.quick ? ['tcp'] : measureNames;
  return options.measures.split(',').map((name) => choose('measures', name, measureNames));
}

async function run(teardown: Teardown): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  const setting: Setting = {
    cipher: choose('cipher', options.cipher, ciphers),
    transport: choose('transport', options.transport, ['udp', 'tcp']),
    wire: options.wire,
    node: options.node,
  };
  const count = Number(options.rounds ?? (options.quick ? 2 : 5));
  if (!Number.isSafeInteger(count) || count < 1) throw new Error(`--rounds: ${options.rounds} is no number of rounds`);
  const swept = await removeDeadNamespaces(namespacePrefix);
  if (swept > 0) progress(`removed ${swept} namespaces of a run that was killed`);
  const folder = mkdtempSync(join(tmpdir(), 'seikan-tunnel-'));
  teardown.defer(() => rmSync(folder, { recursive: true, force: true }));

  const traffic = await compile('tunnel-traffic', folder);
  const chosen = await prepare(chosenContenders(), { folder, setting });
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

  const all: Readonly<Record<MeasureName, () => Measure>> = {
    tcp: () => throughput(options.quick ? { seconds: 1, tries: 1 } : { seconds: 2, tries: 3 }),
    udp: () => paced(traffic, { steps: 7 }),
    rtt: () => latency(traffic, { seconds: 1.5 }),
  };
  const results: { measure: Measure; rows: Row[] }[] = [];
  for (const measure of chosenMeasures().map((name) => all[name]())) {
    const rounds: Round[] = [];
    for (let round = 0; round < count; round += 1) {
      const tell = (text: string): void => progress(`${measure.name} ${round + 1}/${count}: ${text}`);
      rounds.push(await measure.round(tunnels, round, tell));
    }
    results.push({ measure, rows: summarize(measure, rounds) });
  }
  const { cipher, transport, wire } = setting;
  const document: Results = {
    date: new Date().toISOString(),
    machine: { cores: availableParallelism(), model: cpus()[0]?.model ?? 'unknown', kernel: release() },
    setting: { cipher, transport, wire, node: await nodeVersion(setting.node) },
    versions: Object.fromEntries(chosen.map(({ name, version }) => [name, version])),
    rounds: count,
    measures: Object.fromEntries(results.map(({ measure, rows }) => [measure.name, rows])),
  };
  if (options.json) console.log(JSON.stringify(document));
  else {
    console.log(`${titleOf(document.setting)}; ${count} round(s), medians; ratios within a round`);
    for (const { measure, rows } of results) console.log(`\n${measure.title}\n${asText(tableOf(measure, rows))}`);
  }
  if (options['write-docs']) {
    const paths = writeDocs(document, results);
    progress(`written: ${paths.join(', ')}`);
  }
}

Teardown.closeOnSignals();
const teardown = new Teardown();
try {
  await run(teardown);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await teardown.close();
}
