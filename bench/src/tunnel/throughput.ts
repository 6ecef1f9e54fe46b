/** TCP through a tunnel by iperf3: four cells, with the processor time of both ends and what others took meanwhile. */
import { execute, inNamespace, Program, type Teardown } from '@seikan/testkit';

import { type EndName, ends } from './hosts.js';
import { type Figures, type Measure, rotated } from './measure.js';
import { geometricMean, sum } from './statistics.js';
import { type ContenderName, machineSeconds, processorSeconds, type Tunnel } from './tunnel.js';

/** Streams and direction; forward is from the tunnel's client to its server. */
export const cells = ['1 forward', '1 reverse', '4 forward', '4 reverse'] as const;
export type Cell = (typeof cells)[number];

interface CellResult {
  readonly megabits: number;
  readonly gigabytes: number;
  readonly seconds: number;
  /** Processor seconds of the tunnel's processes. */
  readonly cpu: Readonly<Record<EndName, number>>;
  /** Garbage collections of both ends of ours; zero where nothing tells of any. */
  readonly collections: { readonly major: number; readonly minor: number };
  /** The share of a core that neither the tunnel nor iperf3 took: other programs of the machine. */
  readonly foreign: number;
}

interface Report {
  readonly error?: string;
  readonly end?: {
    readonly sum_received: { readonly bytes: number; readonly seconds: number; readonly bits_per_second: number };
    readonly cpu_utilization_percent: { readonly host_total: number; readonly remote_total: number };
  };
}

const PORT = '5201';
/** A cell during which other programs took more of a core than this is measured again. */
const CALM = 0.2;

/** `seconds` a cell; `tries` at most where other programs disturb, of which the calmest counts. */
export function throughput({ seconds, tries }: { seconds: number; tries: number }): Measure {
  return {
    name: 'tcp',
    title: 'TCP, 1 and 4 streams both directions, Mbit/s; processor seconds per GB, both ends; shares of a core',
    columns: [
      ...cells.map((cell) => ({ key: cell, title: cell, digits: 0 })),
      { key: 'mean', title: 'mean', digits: 0, beside: ['openvpn', 'forwarder'] },
      { key: 'lowest', title: 'lowest/mean', digits: 2 },
      { key: 'cpuPerGigabyte', title: 'CPU s/GB', digits: 2, beside: ['openvpn'] },
      { key: 'serverShare', title: 'server core', digits: 2 },
      { key: 'clientShare', title: 'client core', digits: 2 },
      { key: 'majorPerGigabyte', title: 'major GC/GB', digits: 2 },
      { key: 'foreign', title: 'others', digits: 2 },
    ],
    round: async (tunnels, round, progress) => {
      const results = new Map<ContenderName, CellResult[]>();
      for (const cell of cells)
        for (const [name, tunnel] of rotated(tunnels, round)) {
          const result = await calmest(() => measureCell(tunnel, cell, seconds), tries);
          progress(`${name}, ${cell}: ${result.megabits.toFixed(0)} Mbit/s`);
          results.set(name, [...(results.get(name) ?? []), result]);
        }
      return new Map([...results].map(([name, all]) => [name, figuresOf(all)]));
    },
  };
}

async function calmest(run: () => Promise<CellResult>, tries: number): Promise<CellResult> {
  let best = await run();
  for (let more = 1; more < tries && best.foreign > CALM; more += 1) {
    const again = await run();
    if (again.foreign < best.foreign) best = again;
  }
  return best;
}

function figuresOf(results: readonly CellResult[]): Figures {
  const mean = geometricMean(results.map(({ megabits }) => megabits));
  const gigabytes = sum(results.map((result) => result.gigabytes));
  const seconds = sum(results.map((result) => result.seconds));
  const [server, client] = ends.map((end) => sum(results.map(({ cpu }) => cpu[end])));
  return {
    ...Object.fromEntries(cells.map((cell, at) => [cell, results[at]?.megabits ?? Number.NaN])),
    mean,
    lowest: Math.min(...results.map(({ megabits }) => megabits)) / mean,
    cpuPerGigabyte: ((server ?? 0) + (client ?? 0)) / gigabytes,
    serverShare: (server ?? 0) / seconds,
    clientShare: (client ?? 0) / seconds,
    majorPerGigabyte: sum(results.map(({ collections }) => collections.major)) / gigabytes,
    minorPerGigabyte: sum(results.map(({ collections }) => collections.minor)) / gigabytes,
    foreign: Math.max(...results.map(({ foreign }) => foreign)),
  };
}

export async function startReceiver(tunnel: Tunnel, teardown: Teardown): Promise<void> {
  const command = ['iperf3', '--server', '--forceflush', '--port', PORT] as const;
  const server = new Program({ name: 'iperf3', command, namespace: tunnel.hosts.server, teardown });
  await server.waitFor(/listening/i, { timeout: 10_000 });
}

/** The warm-up before the first round is one as well. */
export async function measureCell(tunnel: Tunnel, cell: Cell, seconds: number): Promise<CellResult> {
  const [streams = '', direction = ''] = cell.split(' ');
  const words = ['--client', tunnel.address, '--port', PORT, '--json', '--connect-timeout', '3000'];
  const command = ['iperf3', ...words, '--time', `${seconds}`, '--parallel', streams] as const;
  const before = snapshot(tunnel);
  const text = await execute(
    inNamespace(tunnel.hosts.client, [...command, ...(direction === 'reverse' ? ['--reverse'] : [])]),
    { timeout: seconds * 1_000 + 20_000 },
  );
  const after = snapshot(tunnel);
  const { end, error } = JSON.parse(text) as Report;
  if (end === undefined) throw new Error(`iperf3: ${error ?? text.slice(0, 200)}`);
  const cpu = { server: after.server - before.server, client: after.client - before.client };
  const iperf =
    ((end.cpu_utilization_percent.host_total + end.cpu_utilization_percent.remote_total) / 100) *
    end.sum_received.seconds;
  const passed = after.at - before.at;
  return {
    megabits: end.sum_received.bits_per_second / 1e6,
    gigabytes: end.sum_received.bytes / 1e9,
    seconds: passed,
    cpu,
    collections: { major: after.major - before.major, minor: after.minor - before.minor },
    foreign: Math.max(0, after.machine - before.machine - cpu.server - cpu.client - iperf) / passed,
  };
}

function snapshot({ processes }: Tunnel) {
  const [server, client] = ends.map((end) => {
    const program = processes[end];
    return program === undefined ? 0 : processorSeconds(program);
  });
  const count = (pattern: RegExp): number =>
    sum(ends.map((end) => processes[end]?.lines.filter((line) => pattern.test(line)).length ?? 0));
  return {
    at: performance.now() / 1_000,
    machine: machineSeconds(),
    server: server ?? 0,
    client: client ?? 0,
    major: count(/ Mark-(Compact|sweep)/i),
    minor: count(/ Scavenge /),
  };
}
