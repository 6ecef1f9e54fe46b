/** The programs that send and receive through a tunnel: iperf3, and bench/c/tunnel-traffic.c for small datagrams. */
import type { Teardown } from '@seikan/testkit';

import { runPreferred, startPreferred } from './preferred.js';
import type { Tunnel } from './tunnel.js';

const IPERF_PORT = '5201';
const TRAFFIC_PORT = '5202';

export interface Transfer {
  readonly streams: number;
  readonly seconds: number;
  readonly reverse?: boolean;
  /** Bits a second of all streams together; as much as goes when it is left out. */
  readonly rate?: number | undefined;
}

export interface Transferred {
  readonly megabits: number;
  readonly gigabytes: number;
  /** Processor seconds of both iperf3. */
  readonly cpu: number;
}

interface IperfReport {
  readonly error?: string;
  readonly end?: {
    readonly sum_received: { readonly bytes: number; readonly seconds: number; readonly bits_per_second: number };
    readonly cpu_utilization_percent: { readonly host_total: number; readonly remote_total: number };
  };
}

/** Starts what answers at the server's end; `traffic` is the compiled program. */
export async function startReceivers(tunnel: Tunnel, traffic: string, teardown: Teardown): Promise<void> {
  const start = async (command: readonly [string, ...string[]], ready: RegExp): Promise<void> => {
    const program = startPreferred({ name: command[0], command, namespace: tunnel.hosts.server, teardown });
    await program.waitFor(ready, { timeout: 10_000 });
  };
  await start(['iperf3', '--server', '--forceflush', '--port', IPERF_PORT], /listening/i);
  await start([traffic, 'answer', tunnel.address, TRAFFIC_PORT], /^ready$/);
}

/** TCP from the tunnel's client to its server, or in reverse. */
export async function transfer(
  { hosts, address }: Tunnel,
  { streams, seconds, reverse = false, rate }: Transfer,
): Promise<Transferred> {
  const target = ['--client', address, '--port', IPERF_PORT, '--json', '--connect-timeout', '3000'];
  const load = ['--time', `${seconds}`, '--parallel', `${streams}`, ...(reverse ? ['--reverse'] : [])];
  // The kernel paces: bursts of iperf3's own would be the queue that is to be measured.
  const limit = rate === undefined ? [] : ['--fq-rate', `${Math.floor(rate / streams)}`];
  const command = ['iperf3', ...target, ...load, ...limit] as const;
  const text = await runPreferred(
    { name: 'iperf3', command, namespace: hosts.client },
    { timeout: seconds * 1_000 + 20_000 },
  );
  const { end, error } = JSON.parse(text) as IperfReport;
  if (end === undefined) throw new Error(`iperf3: ${error ?? text.slice(0, 200)}`);
  const { host_total, remote_total } = end.cpu_utilization_percent;
  const { bytes, bits_per_second } = end.sum_received;
  return {
    megabits: bits_per_second / 1e6,
    gigabytes: bytes / 1e9,
    cpu: ((host_total + remote_total) / 100) * end.sum_received.seconds,
  };
}

export interface Echoes {
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
}

export async function echo(tunnel: Tunnel, traffic: string, seconds: number): Promise<Echoes> {
  const interval = '1000';
  return JSON.parse(await runTraffic(tunnel, [traffic, 'echo', `${seconds}`, interval])) as Echoes;
}

export interface Paced {
  readonly offered: number;
  readonly received: number;
}

/** Sends datagrams with `bytes` of payload, `rate` a second. */
export async function pace(
  tunnel: Tunnel,
  traffic: string,
  { bytes, rate, seconds }: { bytes: number; rate: number; seconds: number },
): Promise<Paced> {
  return JSON.parse(await runTraffic(tunnel, [traffic, 'pace', `${bytes}`, `${rate}`, `${seconds}`])) as Paced;
}

async function runTraffic({ hosts, address }: Tunnel, [program, verb, ...words]: [string, string, ...string[]]) {
  const command = [program, verb, address, TRAFFIC_PORT, ...words] as const;
  return runPreferred({ name: `traffic ${verb}`, command, namespace: hosts.client }, { timeout: 40_000 });
}
