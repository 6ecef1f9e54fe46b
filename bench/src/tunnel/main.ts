/**
 * What tunnels carry, one beside the other in the same run: ours, openvpn, a forwarder without a key, wireguard-go,
 * the wire.
 *
 *     node bench/dist/tunnel/main.js [options]
 *       --quick             ours, openvpn and the forwarder, short cells: under 50 s
 *       --rounds N          alternated rounds (5)
 *       --only NAME,…       these contenders
 *       --measures NAME,…   tcp, udp, rtt (all three), profile (needs perf); --quick has tcp alone
 *       --cipher NAME       AES-256-GCM, AES-128-GCM, CHACHA20-POLY1305
 *       --transport NAME    udp, tcp
 *       --wire              the wire's UDP segmentation off
 *       --node PATH         the node that runs ours
 *       --node-flags=TEXT   options for that node: '--cpu-prof --cpu-prof-dir=/tmp/profiles', say
 *       --json              one JSON document instead of tables
 *       --write-docs        the results into docs/performance.json, .md and .svg, in place of the same setting's
 *
 * Each contender has hosts of its own, built once. Needs root.
 */
import { availableParallelism, cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { Teardown } from '@seikan/testkit';

import { openBench, runRounds } from './bench.js';
import { nodeVersion } from './contenders.js';
import { writeDocs } from './docs.js';
import { floorsTable } from './floors.js';
import { latency } from './latency.js';
import type { Measure, Row } from './measure.js';
import { paced } from './paced.js';
import { profile } from './profile.js';
import { type Results, sectionsOf, titleOf } from './results.js';
import { asText, tableOf } from './table.js';
import { throughput } from './throughput.js';
import { type ContenderName, ciphers, contenders, type Setting } from './tunnel.js';

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
    'node-flags': { type: 'string', default: '' },
    'write-docs': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const measureNames = ['tcp', 'udp', 'rtt', 'profile'] as const;
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
  if (options.quick) return ['ours', 'openvpn', 'forwarder'];
  return contenders.filter((name) => options.transport === 'udp' || name.includes('ours') || name.includes('openvpn'));
}

function chosenMeasures(): readonly MeasureName[] {
  if (options.measures === undefined) return options.quick ? ['tcp'] : ['tcp', 'udp', 'rtt'];
  return options.measures.split(',').map((name) => choose('measures', name, measureNames));
}

async function run(teardown: Teardown): Promise<void> {
  const setting: Setting = {
    cipher: choose('cipher', options.cipher, ciphers),
    transport: choose('transport', options.transport, ['udp', 'tcp']),
    wire: options.wire,
    node: options.node,
    nodeFlags: options['node-flags'],
  };
  const rounds = Number(options.rounds ?? (options.quick ? 2 : 5));
  if (!Number.isSafeInteger(rounds) || rounds < 1)
    throw new Error(`--rounds: ${options.rounds} is no number of rounds`);
  const measures = chosenMeasures();
  const { tunnels, traffic, versions } = await openBench({ names: chosenContenders(), setting, teardown, progress });

  const all: Readonly<Record<MeasureName, () => Measure>> = {
    tcp: () => throughput(options.quick ? { seconds: 1, tries: 1 } : { seconds: 2, tries: 3 }),
    udp: () => paced(traffic, { steps: 7 }),
    rtt: () => latency(traffic, { seconds: 1.5 }),
    profile,
  };
  const results: { measure: Measure; rows: Row[] }[] = [];
  for (const measure of measures.map((name) => all[name]()))
    results.push({ measure, rows: await runRounds(measure, { tunnels, rounds, progress }) });
  const { cipher, transport, wire } = setting;
  const document: Results = {
    date: new Date().toISOString(),
    machine: { cores: availableParallelism(), model: cpus()[0]?.model ?? 'unknown', kernel: release() },
    setting: { cipher, transport, wire, node: await nodeVersion(setting.node) },
    versions,
    rounds,
    measures: Object.fromEntries(results.map(({ measure, rows }) => [measure.name, rows])),
  };
  const sections = sectionsOf(document, results);
  if (options.json) console.log(JSON.stringify(document));
  else {
    console.log(`${titleOf(document.setting)}; ${rounds} round(s), medians; ratios within a round`);
    for (const { measure, rows } of results) console.log(`\n${measure.title}\n${asText(tableOf(measure, rows))}`);
    console.log(`\nWhat ours must reach\n${asText(floorsTable(sections))}`);
  }
  if (options['write-docs']) {
    const paths = writeDocs(sections);
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
