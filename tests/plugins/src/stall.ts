/** Pings through one client while a plugin stands still for ten seconds in another's login. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPlugin } from '@seikan/plugin-host';
import { ours, type StockNetwork, until, type Watched } from './stock.js';

export const pluginKinds = ['TypeScript', 'compiled'] as const;
export type PluginKind = (typeof pluginKinds)[number];

const sleepy = fileURLToPath(new URL('../src/sleepy.ts', import.meta.url));

/** Round trips in ms, ascending, of the pings that came back. */
export interface Pings {
  readonly lost: number;
  readonly times: readonly number[];
}

export function quantile({ times }: Pick<Pings, 'times'>, share: number): number {
  return times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
}

export class Stall {
  readonly #network: StockNetwork;
  readonly #sign: string;
  readonly #running: Watched[];

  private constructor(network: StockNetwork, sign: string, running: Watched[]) {
    this.#network = network;
    this.#sign = sign;
    this.#running = running;
  }

  /** Our server with the plugin, and the client that pings. */
  static async start(network: StockNetwork, kind: PluginKind): Promise<Stall> {
    const library = join(network.folder, 'sleepy.so');
    const sign = join(network.folder, 'asleep');
    if (kind === 'compiled') await buildPlugin(sleepy, { output: library });
    const plugin = `plugin ${kind === 'compiled' ? library : sleepy} ${sign}`;
    const server = await network.server([plugin, 'duplicate-cn'], ours);
    const { client } = await network.client('ada', 'x');
    return new Stall(network, sign, [client, server]);
  }

  /** `interval` in seconds. */
  async ping(count: number, interval: number): Promise<Pings> {
    const ping = this.#network.besideClients('ping', '-i', String(interval), '-c', String(count), '10.8.0.1');
    await until(() => ping.ended, 'the pings are over', 60_000);
    const times = ping.lines(/ time=/).map((line) => Number(/time=([\d.]+)/.exec(line)?.[1]));
    return { lost: count - times.length, times: times.toSorted((a, b) => a - b) };
  }

  /** Pings while the plugin stands still from before the first to after the last of them. */
  async pingAsleep(count: number, interval: number): Promise<Pings> {
    const slow = this.#network.startClient('slow', 'x', ['dev tun9']);
    await until(() => existsSync(this.#sign), 'the plugin stands still');
    const pings = await this.ping(count, interval);
    if (!existsSync(this.#sign)) throw new Error('the pings took longer than the plugin slept');
    await slow.line(/Initialization Sequence Completed/);
    await slow.stop();
    return pings;
  }

  async stop(): Promise<void> {
    for (const each of this.#running) await each.stop();
  }
}
