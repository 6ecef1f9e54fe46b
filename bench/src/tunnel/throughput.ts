/** TCP through a tunnel: four cells, with the processor time of both ends and what others took meanwhile. */
import { type EndName, ends } from './hosts.js';
import { type Figures, type Measure, rotated, twice } from './measure.js';
import { geometricMean, sum } from './statistics.js';
import { transfer } from './traffic.js';
import { type ContenderName, machineSeconds, processorSeconds, type Tunnel } from './tunnel.js';

/** Streams and direction; forward is from the tunnel's client to its server. */
export const cells = [
  { title: '1 forward', streams: 1, reverse: false },
  { title: '1 reverse', streams: 1, reverse: true },
  { title: '4 forward', streams: 4, reverse: false },
  { title: '4 reverse', streams: 4, reverse: true },
] as const;
type Cell = (typeof cells)[number];

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

const nothing: CellResult = {
  megabits: Number.NaN,
  gigabytes: Number.NaN,
  seconds: Number.NaN,
  cpu: { server: Number.NaN, client: Number.NaN },
  collections: { major: Number.NaN, minor: Number.NaN },
  foreign: Number.NaN,
};

/** A cell during which other programs took more of a core than this is measured again. */
const CALM = 0.2;

/** `seconds` a cell; `tries` at most where other programs disturb, of which the calmest counts. */
export function throughput({ seconds, tries }: { seconds: number; tries: number }): Measure {
  return {
    name: 'tcp',
    heading: 'TCP',
    title: 'TCP, 1 and 4 streams both directions, Mbit/s; processor seconds per GB of both ends; shares of a core',
    columns: [
      ...cells.map(({ title }) => ({ key: title, title, digits: 0 })),
      {
        key: 'mean',
        title: 'mean',
        digits: 0,
        beside: ['openvpn', 'wireguard-go', 'wireguard-go-gso', 'forwarder', 'ours'],
      },
      { key: 'lowest', title: 'lowest/mean', digits: 2 },
      { key: 'cpuPerGigabyte', title: 'CPU s/GB', digits: 2, beside: ['openvpn'] },
      { key: 'serverShare', title: 'server core', digits: 2 },
      { key: 'clientShare', title: 'client core', digits: 2 },
      { key: 'majorPerGigabyte', title: 'major GC/GB', digits: 2 },
      { key: 'foreign', title: 'others', digits: 2 },
    ],
    derive: (medians) => {
      const values = cells.map(({ title }) => medians[title] ?? Number.NaN);
      return { lowest: Math.min(...values) / geometricMean(values) };
    },
    round: async (tunnels, round, progress) => {
      const results = new Map<ContenderName, CellResult[]>();
      for (const cell of cells)
        for (const [name, tunnel] of rotated(tunnels, round)) {
          const result = await twice(() => calmest(() => measureCell(tunnel, cell, seconds), tries), nothing, progress);
          progress(`${name}, ${cell.title}: ${result.megabits.toFixed(0)} Mbit/s`);
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
    ...Object.fromEntries(cells.map(({ title }, at) => [title, results[at]?.megabits ?? Number.NaN])),
    mean,
    cpuPerGigabyte: ((server ?? 0) + (client ?? 0)) / gigabytes,
    serverShare: (server ?? 0) / seconds,
    clientShare: (client ?? 0) / seconds,
    majorPerGigabyte: sum(results.map(({ collections }) => collections.major)) / gigabytes,
    minorPerGigabyte: sum(results.map(({ collections }) => collections.minor)) / gigabytes,
    foreign: Math.max(...results.map(({ foreign }) => foreign)),
  };
}

async function measureCell(tunnel: Tunnel, { streams, reverse }: Cell, seconds: number): Promise<CellResult> {
  const before = snapshot(tunnel);
  const { megabits, gigabytes, cpu: iperf } = await transfer(tunnel, { streams, reverse, seconds });
  const after = snapshot(tunnel);
  const cpu = { server: after.server - before.server, client: after.client - before.client };
  const passed = after.at - before.at;
  return {
    megabits,
    gigabytes,
    seconds: passed,
    cpu,
    collections: { major: after.major - before.major, minor: after.minor - before.minor },
    foreign: Math.max(0, after.machine - before.machine - cpu.server - cpu.client - iperf) / passed,
  };
}

function snapshot({ processes }: Tunnel) {
  const [server, client] = ends.map((end) => {
    const program = processes[end];
    return program === undefined ? Number.NaN : processorSeconds(program);
  });
  const count = (pattern: RegExp): number =>
    sum(ends.map((end) => processes[end]?.lines.filter((line) => pattern.test(line)).length ?? 0));
  return {
    at: performance.now() / 1_000,
    machine: machineSeconds(),
    server: server ?? Number.NaN,
    client: client ?? Number.NaN,
    major: count(/ Mark-(Compact|sweep)/i),
    minor: count(/ Scavenge /),
  };
}
