/** The show: what happens inside the demo's namespaces, act by act. What it opens is undone through its teardown. */
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  bulk,
  comparePictures,
  type End,
  execute,
  type Picture,
  Program,
  pictureOf,
  ping,
  type Teardown,
} from '@seikan/testkit';

import { clientEnd, createNetwork, namespaces, removeNetwork, serverEnd } from './network.js';
import { createProfiles, type Profile } from './profiles.js';
import type { Screen } from './screen.js';
import { StageReader } from './stages.js';

const root = resolve(import.meta.dirname, '../../..');
const ours = join(root, 'bin/openvpn');
/** A file system in memory that only the demo sees. */
const folder = '/run/demo';
const up = /Initialization Sequence Completed/;
const MEBIBYTE = 1 << 20;

type Side = 'server' | 'client';

export interface ShowOptions {
  readonly screen: Screen;
  readonly teardown: Teardown;
  /** Bulk traffic each way. */
  readonly mebibytes: number;
  /** The command that enters the demo's mounts from outside: with it, the tunnel is held open until somebody presses Enter. */
  readonly holdFor: string | undefined;
  /** Called once with the kernel's names of the network namespaces. */
  readonly onNetwork: (names: readonly string[]) => void;
}

export class Show {
  readonly #options: ShowOptions;
  readonly #screen: Screen;
  readonly #programs: Program[] = [];
  readonly #results: (readonly [what: string, result: string])[] = [];
  #profiles: { readonly server: Profile; readonly client: Profile } | undefined;

  constructor(options: ShowOptions) {
    this.#options = options;
    this.#screen = options.screen;
  }

  async run(): Promise<void> {
    const before = await this.#prepare();
    const server = await this.#startServer('our server', ours);
    const client = await this.#connect();
    const ends: readonly [End, End] = [serverEnd, await clientEnd()];
    await this.#pings(ends);
    await this.#bulk(ends);
    if (this.#options.holdFor !== undefined) await this.#hold(this.#options.holdFor);
    await client.stop();
    await this.#stock(server);
    await this.#compare(before);
    this.#summary();
  }

  /** The last log lines of each program, for whoever wants to know why. */
  lastLines(): string[] {
    return this.#programs.flatMap(({ name, lines }) => [`${name}:`, ...lines.slice(-8).map((line) => `  ${line}`)]);
  }

  async #prepare(): Promise<ReadonlyMap<string, Picture>> {
    const screen = this.#screen;
    screen.heading('Preparing');
    let started = performance.now();
    this.#profiles = await createProfiles(folder);
    screen.done(`a CA, two certificates (P-256) and a tls-crypt key (${since(started)})`);
    started = performance.now();
    this.#options.teardown.defer(removeNetwork);
    this.#options.onNetwork(await createNetwork());
    screen.done(`two network namespaces and a wire between them, IPv4 and IPv6 (${since(started)})`);
    for (const side of ['server', 'client'] as const) {
      screen.line('');
      screen.step(screen.style('cyan', `bin/openvpn --config ${side}.conf`));
      const { directives } = this.#profile(side);
      for (const line of [...directives.split('\n'), '<ca> <cert> <key> <tls-crypt>: inline'])
        screen.step(screen.style('dim', `  ${line}`));
    }
    const pictures = new Map<string, Picture>();
    for (const name of Object.values(namespaces)) pictures.set(name, await pictureOf(name));
    return pictures;
  }

  async #startServer(name: string, program: string): Promise<Program> {
    const started = performance.now();
    const server = this.#start('server', { name, program });
    await server.waitFor(up, { timeout: 20_000 });
    this.#screen.heading('Connecting');
    this.#screen.done(`${name} listens on 192.0.2.1:1194/udp (${since(started)})`);
    return server;
  }

  async #connect(): Promise<Program> {
    const started = Date.now();
    const client = this.#start('client', { name: 'our client', program: ours });
    const stages = new StageReader(started);
    let total = 0;
    let next = 0;
    const show = (): void => {
      for (; next < client.lines.length; next += 1) {
        const stage = stages.read(client.lines[next] ?? '');
        if (stage === undefined) continue;
        total = stage.at;
        const took = `+${stage.took.toFixed(0)} ms`.padStart(9);
        const detail = stage.detail === '' ? '' : `  ${this.#screen.style('dim', stage.detail)}`;
        this.#screen.step(`${took}  ${stage.name}${detail}`);
      }
    };
    const watch = setInterval(show, 20);
    try {
      await client.waitFor(up, { timeout: 30_000 });
    } finally {
      clearInterval(watch);
      show();
    }
    this.#result('our client connects to our server', `${total.toFixed(0)} ms from start to connected`);
    return client;
  }

  async #pings(ends: readonly [End, End]): Promise<void> {
    this.#screen.heading('Pings through the tunnel');
    const ways = [
      ['client → server, IPv4', ends[1], ends[0].ipv4],
      ['client → server, IPv6', ends[1], ends[0].ipv6],
      ['server → client, IPv4', ends[0], ends[1].ipv4],
      ['server → client, IPv6', ends[0], ends[1].ipv6],
    ] as const;
    const means: number[] = [];
    for (const [name, from, to] of ways) {
      const { received, roundTrip } = await ping({ from: from.namespace, to, count: 5 });
      if (received < 5 || roundTrip === undefined) throw new Error(`ping ${to}: ${received} of 5 came back`);
      means.push(roundTrip);
      this.#screen.done(`${name}  ${to.padEnd(11)} 5 of 5, ${roundTrip.toFixed(2)} ms`);
    }
    this.#result(
      'pings both ways, IPv4 and IPv6',
      `20 of 20, ${Math.min(...means)} to ${Math.max(...means)} ms on average`,
    );
  }

  async #bulk(ends: readonly [End, End]): Promise<void> {
    const { mebibytes, teardown } = this.#options;
    this.#screen.heading(`Bulk traffic: ${mebibytes} MiB each way at once, over TCP in the tunnel`);
    const bytes = mebibytes * MEBIBYTE;
    const started = performance.now();
    const rate = await bulk(ends, {
      bytes,
      timeout: 120_000,
      teardown,
      onProgress: (atServer, atClient) => {
        const speed = megabytes((atServer + atClient) / ((performance.now() - started) / 1000));
        const at = `to server ${megabytes(atServer)}, to client ${megabytes(atClient)}, ${speed}/s`;
        this.#screen.progress((atServer + atClient) / (2 * bytes), at);
      },
    });
    this.#screen.done(`${megabytes(2 * bytes)} moved, ${megabytes(rate)}/s; both SHA-256 checksums agree`);
    this.#result('bulk traffic', `${megabytes(2 * bytes)}, ${megabytes(rate)}/s here, checksums agree`);
  }

  /** The same two files with a stock openvpn in either role. */
  async #stock(server: Program): Promise<void> {
    const text = await execute(['openvpn', '--version']).catch(() => undefined);
    const version = /^OpenVPN (\S+)/.exec(text ?? '')?.[1];
    this.#screen.heading(`The same files with stock openvpn${version === undefined ? '' : ` ${version}`}`);
    if (version === undefined) {
      this.#screen.step('openvpn is not installed here: left out (apt-get install --no-install-recommends openvpn)');
      this.#result('stock openvpn', 'left out: not installed');
      await server.stop();
      return;
    }
    await this.#pair('stock client, our server', { name: 'stock client', program: 'openvpn' });
    await server.stop();
    const stock = this.#start('server', { name: 'stock server', program: 'openvpn' });
    await stock.waitFor(up, { timeout: 20_000 });
    await this.#pair('our client, stock server', { name: 'our second client', program: ours });
    await stock.stop();
  }

  async #pair(title: string, who: { name: string; program: string }): Promise<void> {
    const started = performance.now();
    const client = this.#start('client', who);
    await client.waitFor(up, { timeout: 30_000 });
    const connected = since(started);
    const ends: readonly [End, End] = [serverEnd, await clientEnd()];
    let answered = 0;
    for (const [from, to] of [
      [ends[1], ends[0].ipv4],
      [ends[1], ends[0].ipv6],
      [ends[0], ends[1].ipv4],
      [ends[0], ends[1].ipv6],
    ] as const)
      answered += (await ping({ from: from.namespace, to, count: 2 })).received;
    if (answered < 8) throw new Error(`${title}: ${answered} of 8 pings came back`);
    await bulk(ends, { bytes: 4 * MEBIBYTE, timeout: 60_000, teardown: this.#options.teardown });
    await client.stop();
    const text = `connected in ${connected}, 8 of 8 pings, ${megabytes(8 * MEBIBYTE)} with equal checksums`;
    this.#screen.done(`${title}: ${text}`);
    this.#result(title, text);
  }

  /** The tunnels are closed: both namespaces must look as they did before. */
  async #compare(before: ReadonlyMap<string, Picture>): Promise<void> {
    for (const [name, picture] of before) {
      // the kernel takes a closed device's last routes away a moment later
      let after = await pictureOf(name);
      for (let tries = 0; tries < 10 && after.join() !== picture.join(); tries += 1) {
        await sleep(100);
        after = await pictureOf(name);
      }
      comparePictures(name, picture, after);
    }
    this.#result('after closing', 'devices, addresses, routes and rules as before, both sides');
  }

  async #hold(enter: string): Promise<void> {
    this.#screen.heading('The tunnel is open. From another terminal:');
    for (const command of ['ping 10.8.0.1', 'ip address', 'ip route'])
      this.#screen.step(this.#screen.style('cyan', `${enter} nsenter --net=/run/netns/client ${command}`));
    this.#screen.step('Enter goes on.');
    await Promise.race([once(process.stdin, 'data'), once(process.stdin, 'end')]);
    process.stdin.pause();
  }

  #summary(): void {
    this.#screen.heading('Summary');
    const width = Math.max(...this.#results.map(([what]) => what.length));
    for (const [what, result] of this.#results) this.#screen.done(`${what.padEnd(width)}  ${result}`);
  }

  #start(side: Side, { name, program }: { name: string; program: string }): Program {
    const command = [program, '--config', this.#profile(side).path] as const;
    const started = new Program({ name, command, namespace: namespaces[side], teardown: this.#options.teardown });
    this.#programs.push(started);
    return started;
  }

  #profile(side: Side): Profile {
    if (this.#profiles === undefined) throw new Error('no profiles yet');
    return this.#profiles[side];
  }

  #result(what: string, result: string): void {
    this.#results.push([what, result]);
  }
}

function since(started: number): string {
  return `${(performance.now() - started).toFixed(0)} ms`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
