/** Pings through one client while a plugin stands still in another's login. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildPlugin } from '@seikan/plugin-host';
import { ours, type StockNetwork, stock, until, type Watched } from './stock.js';

export const pluginKinds = ['TypeScript', 'compiled'] as const;
export type PluginKind = (typeof pluginKinds)[number];

const sleepy = fileURLToPath(new URL('../src/sleepy.ts', import.meta.url));

export interface Pings {
  readonly lost: number;
  /** Round trips of those that came back, ms. */
  readonly times: readonly number[];
}

export class Stall {
  readonly #network: StockNetwork;
  readonly #sign: string;
  readonly #server: Watched;
  readonly #client: Watched;
  readonly #pinger: string;

  private constructor(network: StockNetwork, sign: string, server: Watched, client: Watched) {
    this.#network = network;
    this.#sign = sign;
    this.#server = server;
    this.#client = client;
    this.#pinger = network.withPriority('ping');
  }

  /**
   * Our server with a plugin that stands still for so many ms, and the client that pings. What belongs to the tunnel, the
   * plugin too, has real-time priority: among each other they compete for the cores, but not with other programs.
   */
  static async start(network: StockNetwork, kind: PluginKind, ms: number): Promise<Stall> {
    const library = join(network.folder, 'sleepy.so');
    const sign = join(network.folder, 'asleep');
    if (kind === 'compiled') await buildPlugin(sleepy, { output: library });
    const plugin = `plugin ${kind === 'compiled' ? library : sleepy} ${sign} ${ms}`;
    const server = await network.server([plugin, 'duplicate-cn'], network.withPriority(ours));
    const { client } = await network.client('ada', 'x', [], network.withPriority(stock));
    return new Stall(network, sign, server, client);
  }

  /** `interval` in seconds. Into a file, as whoever reads along takes time from the tunnel. */
  async ping(count: number, interval: number): Promise<Pings> {
    await sleep(300); // what a login leaves to do is no part of it
    const file = join(this.#network.folder, 'pings');
    const command = `exec ${this.#pinger} -i ${interval} -c ${count} 10.8.0.1 >${file}`;
    const ping = this.#network.besideClients('sh', '-c', command);
    await until(() => ping.ended, 'the pings are over', 60_000);
    const times = [...readFileSync(file, 'utf8').matchAll(/ time=([\d.]+)/g)].map(([, ms]) => Number(ms));
    return { lost: count - times.length, times };
  }

  /**
   * Pings while the plugin stands still from before the first to after the last of them; undefined: it did not for so
   * long. Then the login goes on: `password` decides how it ends.
   */
  async pingAsleep(count: number, interval: number, password = 'no'): Promise<Pings | undefined> {
    const slow = this.#network.startClient('slow', password, ['dev tun9']);
    await until(() => existsSync(this.#sign), 'the plugin stands still');
    const pings = await this.ping(count, interval);
    const inTime = existsSync(this.#sign);
    await slow.line(password === 'x' ? /Initialization Sequence Completed/ : /AUTH_FAILED/);
    await slow.stop();
    return inTime ? pings : undefined;
  }

  /** Stops the server's process for so many ms, again and again, until the returned function is called: a fault that shows. */
  injectStalls(ms: number, every: number): () => Promise<void> {
    const { pid = 0 } = this.#server.process;
    const loop = `while kill -STOP ${pid}; do sleep ${ms / 1_000}; kill -CONT ${pid}; sleep ${every / 1_000}; done`;
    const stalls = this.#network.beside(this.#network.withPriority('sh'), '-c', loop);
    return async () => {
      await stalls.stop();
      process.kill(pid, 'SIGCONT');
    };
  }

  async stop(): Promise<void> {
    await this.#client.stop();
    await this.#server.stop();
  }
}
