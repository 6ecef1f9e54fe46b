/** Traffic through a tunnel: pings of both families both ways, a steady stream of them, and a bulk transfer. */
import { join } from 'node:path';

import { execute, inNamespace, Program } from './program.js';
import type { Teardown } from './teardown.js';

const PROGRESS_INTERVAL = 500;

export interface Addresses {
  readonly ipv4: string;
  readonly ipv6: string;
}

/** One end of a tunnel: where it lives and its addresses in the tunnel. */
export interface End extends Addresses {
  readonly namespace: string;
}

export interface PingOptions {
  readonly from: string;
  readonly to: string;
  readonly count: number;
  /** Seconds between two requests. */
  readonly interval?: number;
  /** Bytes of payload. */
  readonly size?: number;
}

export interface PingAnswers {
  readonly received: number;
  /** Mean round trip in ms; undefined when nothing came back. */
  readonly roundTrip: number | undefined;
}

/** Sends `count` pings and resolves with what came back. */
export async function ping({ from, to, count, interval = 0.1, size = 56 }: PingOptions): Promise<PingAnswers> {
  const command = ['ping', '-n', '-q', '-c', `${count}`, '-i', `${interval}`, '-s', `${size}`, '-W', '2', to] as const;
  const timeout = (count * interval + 15) * 1000;
  // ping exits 1 when nothing came back; its statistics say it as well
  const text = await execute(inNamespace(from, [...command]), { timeout }).catch(String);
  const received = /(\d+) received/.exec(text)?.[1];
  if (received === undefined) throw new Error(`ping ${to}: ${text}`);
  const mean = /^rtt [^=]*= [\d.]+\/([\d.]+)\//m.exec(text)?.[1];
  return { received: Number(received), roundTrip: mean === undefined ? undefined : Number(mean) };
}

/** Pings both ways over both families at once; throws when fewer than `least` of `count` come back on one of the ways. */
export async function pingAll(
  ends: readonly [End, End],
  { count = 3, least = count, size = 56 }: { count?: number; least?: number; size?: number } = {},
): Promise<void> {
  const [one, other] = ends;
  const ways = [
    [one, other.ipv4],
    [one, other.ipv6],
    [other, one.ipv4],
    [other, one.ipv6],
  ] as const;
  const answers = await Promise.all(ways.map(([from, to]) => ping({ from: from.namespace, to, count, size })));
  for (const [index, { received }] of answers.entries()) {
    const to = ways[index]?.[1];
    if (received < least)
      throw new Error(`ping ${to} (${size} bytes): ${received} of ${count} came back, need ${least}`);
  }
}

interface BulkReport {
  readonly arrived: number;
  readonly sent: string;
  readonly received: string;
}

export interface BulkOptions {
  /** Each way. */
  readonly bytes: number;
  readonly timeout: number;
  readonly teardown: Teardown;
  /** Called twice a second with the bytes that have arrived at each end. */
  readonly onProgress?: (atListener: number, atConnector: number) => void;
}

/** Moves `bytes` each way over one TCP connection through the tunnel and compares both checksums; bytes per second. */
export async function bulk(
  [listener, connector]: readonly [End, End],
  { bytes, timeout, teardown, onProgress }: BulkOptions,
): Promise<number> {
  const script = join(import.meta.dirname, 'bulk.js');
  const start = (role: 'listen' | 'connect', { namespace }: End): Program =>
    new Program({
      name: `bulk ${role}`,
      command: [process.execPath, script, role, listener.ipv4, '5001', `${bytes}`],
      namespace,
      teardown,
    });
  const receiver = start('listen', listener);
  await receiver.waitFor(/^listening$/, { timeout: 15_000 });
  const started = performance.now();
  const sender = start('connect', connector);
  const arrivedAt = ({ lines }: Program): number => Number(/^progress (\d+)/.exec(lines.at(-1) ?? '')?.[1] ?? 0);
  const progress =
    onProgress && setInterval(() => onProgress(arrivedAt(receiver), arrivedAt(sender)), PROGRESS_INTERVAL);
  try {
    const [theirs, ours] = await Promise.all(
      [receiver, sender].map(async (program): Promise<BulkReport> => {
        const line = await program.waitFor(/^\{/, { timeout });
        return JSON.parse(line) as BulkReport;
      }),
    );
    if (theirs === undefined || ours === undefined) throw new Error('no report');
    for (const [from, to] of [
      [theirs, ours],
      [ours, theirs],
    ] as const)
      if (to.arrived !== bytes || from.sent !== to.received)
        throw new Error(`bulk: ${to.arrived} of ${bytes} bytes, checksum ${to.received}, expected ${from.sent}`);
  } finally {
    clearInterval(progress);
    await Promise.all([receiver.stop(500), sender.stop(500)]);
  }
  return (2 * bytes * 1000) / (performance.now() - started);
}
