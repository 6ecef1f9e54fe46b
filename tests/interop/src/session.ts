/**
 * A session of a cell: the network, a server, its clients, the addresses they got. Starting, restarting and
 * stopping either side; both sides' logs are kept on disk for whoever wants to know why.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { comparePictures, type End, execute, type Picture, Program, pictureOf, type Teardown } from '@seikan/testkit';
import type { Cell } from './cell.js';
import { Network } from './network.js';
import { asArguments, asConfigFile, optionsOf, type Sides, tunnelServer } from './options.js';
import type { Peer } from './peers.js';
import type { Pki } from './pki.js';

export interface SessionOptions {
  readonly cell: Cell;
  readonly server: Peer;
  readonly client: Peer;
  readonly pki: Pki;
  /** For logs, scripts and configuration files. */
  readonly folder: string;
  /** A last word on both sides' options. */
  readonly adjust?: (sides: Sides) => Sides;
  readonly teardown: Teardown;
}

const up = /Initialization Sequence Completed/;

export class Session {
  readonly network: Network;
  readonly sides: Sides;
  readonly folder: string;
  server: Program;
  clients: Program[];
  /** Every line that a side has printed, over all its starts. */
  readonly logs: { readonly server: string[][]; readonly client: string[][] } = { server: [], client: [] };
  readonly #options: SessionOptions;
  readonly #before: ReadonlyMap<string, Picture>;

  private constructor(options: SessionOptions, network: Network, before: ReadonlyMap<string, Picture>) {
    this.#options = options;
    this.#before = before;
    this.network = network;
    this.folder = options.folder;
    const sides = optionsOf(options.cell, options);
    this.sides = options.adjust?.(sides) ?? sides;
    this.server = this.startServer();
    this.clients = [];
  }

  /** Makes the network and starts the server; the clients are started by the caller (after a loss is set, say). */
  static async open(options: SessionOptions, clients = 1): Promise<Session> {
    mkdirSync(options.folder, { recursive: true });
    const network = await Network.create({ clients, teardown: options.teardown });
    const names = [network.server, ...network.clients];
    const before = new Map<string, Picture>();
    for (const name of names) before.set(name, await settledPicture(name));
    return new Session(options, network, before);
  }

  startServer(): Program {
    const path = asConfigFile(this.sides.server, this.folder);
    const { command } = this.#options.server;
    this.server = this.#start('server', [...command, '--config', path], this.network.server);
    return this.server;
  }

  startClient(index = 0): Program {
    const { command } = this.#options.client;
    const namespace = this.network.clients[index];
    if (namespace === undefined) throw new Error(`no client ${index}`);
    const program = this.#start('client', [...command, ...asArguments(this.sides.client)], namespace);
    this.clients[index] = program;
    return program;
  }

  /** A server with a pool is up by itself; the two p2p modes are up only once the other side has come. */
  async serverReady(timeout = 15_000): Promise<void> {
    const alone = !['p2p', 'static-key'].includes(this.#options.cell.event);
    await this.server.waitFor(alone ? up : /link local.*:|Listening for incoming/, { timeout });
  }

  async clientUp(index = 0, timeout = 30_000): Promise<void> {
    const client = this.clients[index];
    if (client === undefined) throw new Error(`client ${index} was not started`);
    await client.waitFor(up, { timeout });
  }

  /** Waits until the first handshake was followed by `times` more. */
  async renegotiated(times: number): Promise<void> {
    let from = 0;
    for (let seen = 0; seen <= times; seen += 1) {
      await this.server.waitFor(/Control Channel: TLSv/, { timeout: 20_000, from });
      from = this.server.lines.findIndex((line, at) => at >= from && line.includes('Control Channel: TLSv')) + 1;
    }
  }

  ends(index = 0): Promise<readonly [End, End]> {
    return tunnelEnds(this.network, index);
  }

  /** Stops all, clients first, and throws when a namespace is not as it was. */
  async close(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.stop()));
    await this.server.stop();
    for (const [name, before] of this.#before) comparePictures(name, before, await pictureOf(name));
  }

  saveLogs(): void {
    for (const [side, starts] of Object.entries(this.logs))
      writeFileSync(join(this.folder, `${side}.log`), `${starts.flat().join('\n')}\n`);
  }

  #start(side: 'server' | 'client', command: readonly string[], namespace: string): Program {
    const [program, ...args] = command;
    if (program === undefined) throw new Error('empty command');
    const { teardown } = this.#options;
    const started = new Program({ name: side, command: [program, ...args], namespace, teardown });
    this.logs[side].push(started.lines);
    return started;
  }
}

/** The ends of the tunnel to a client, with the addresses that its tun or tap device really has. */
export async function tunnelEnds(network: Network, index: number): Promise<readonly [End, End]> {
  const namespace = network.clients[index];
  if (namespace === undefined) throw new Error(`no client ${index}`);
  for (const name of [network.server, namespace]) await addressesSettled(name);
  const text = await execute(['ip', '-o', '-netns', namespace, 'address', 'show']);
  const find = (pattern: RegExp): string => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`client ${index} has no tunnel address: ${text}`);
    return found;
  };
  return [
    { namespace: network.server, ...tunnelServer },
    { namespace, ipv4: find(/inet (10\.77\.[\d.]+)/), ipv6: find(/inet6 (fd00:77:[\da-f:]+)/) },
  ];
}

/** Over a tap device IPv6 first looks for duplicates of an address, a second or two in which it does not work. */
async function addressesSettled(namespace: string): Promise<void> {
  for (let tries = 0; tries < 50; tries += 1) {
    const tentative = await execute(['ip', '-o', '-6', '-netns', namespace, 'address', 'show', 'tentative']);
    if (tentative === '') return;
    await sleep(100);
  }
  throw new Error(`${namespace}: an address stays tentative`);
}

/** A link that was just set up takes a moment until its carrier and its routes are there. */
export async function settledPicture(name: string): Promise<Picture> {
  let picture = await pictureOf(name);
  for (let i = 0; i < 20; i += 1) {
    await sleep(50);
    const next = await pictureOf(name);
    if (next.join('\n') === picture.join('\n') && !next.some((line) => line.includes('NO-CARRIER'))) return next;
    picture = next;
  }
  return picture;
}
