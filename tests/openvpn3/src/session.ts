/** A cell's session: the network, the server, the clients, and what both sides count and say. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  comparePictures,
  type End,
  execute,
  inNamespace,
  type Picture,
  Program,
  pictureOf,
  type Teardown,
} from '@seikan/testkit';
import { Network } from '#interop/network.js';
import { asConfig, asConfigFile, type Directive } from '#interop/options.js';
import type { Peer } from '#interop/peers.js';
import type { Pki } from '#interop/pki.js';
import { settledPicture, tunnelEnds } from '#interop/session.js';
import { eventually } from '#netcfg/eventually.js';
import type { Implementation } from '#netcfg/tree.js';
import { type Cell, overUdp } from './cell.js';
import { Client, type Traffic } from './client.js';
import { events } from './events.js';
import { overridesOf, profileOptions, serverOptions, statusFile } from './options.js';

export interface SessionOptions {
  readonly cell: Cell;
  readonly suite: string;
  readonly netcfg: Implementation;
  readonly server: Peer;
  readonly pki: Pki;
  readonly folder: string;
  /** A last word on the server's options. */
  readonly adjust?: (server: Directive[]) => Directive[];
  readonly teardown: Teardown;
}

/** A client as the server's status file has it. */
export interface StatusClient extends Traffic {
  readonly address: string;
  readonly name: string;
}

export class Session {
  readonly network: Network;
  readonly clients: readonly Client[];
  readonly folder: string;
  readonly overUdp: boolean;
  server: Program;
  readonly #options: SessionOptions;
  /** Of the namespaces that must be again as they were. */
  readonly #before: ReadonlyMap<string, Picture>;
  readonly #serverLines: (readonly string[])[] = [];

  private constructor(
    options: SessionOptions,
    network: Network,
    clients: readonly Client[],
    before: ReadonlyMap<string, Picture>,
  ) {
    this.#options = options;
    this.network = network;
    this.clients = clients;
    this.folder = options.folder;
    this.overUdp = overUdp(options.cell);
    this.#before = before;
    this.server = this.startServer();
  }

  /** Makes the network and the clients with their profiles, and starts the server; the clients are started by the caller. */
  static async open(options: SessionOptions): Promise<Session> {
    const { cell, suite, netcfg, pki, folder, teardown } = options;
    mkdirSync(folder, { recursive: true });
    const network = await Network.create({ clients: events[cell.event].clients ?? 1, teardown });
    const enter = (namespace: string): Promise<Client> => Client.enter({ suite, netcfg, namespace, teardown });
    const clients = await Promise.all(network.clients.map(enter));
    const profile = asConfig(profileOptions(cell, { pki, folder }));
    const overrides = [...overridesOf(cell), ...(events[cell.event].overrides ?? [])];
    await Promise.all(clients.map((client) => client.importProfile(profile, overrides)));
    const before = new Map<string, Picture>();
    // The original netcfg leaves routes when its client is faster than it.
    for (const name of [network.server, ...(netcfg === 'ours' ? network.clients : [])])
      before.set(name, await settledPicture(name));
    const session = new Session(options, network, clients, before);
    await session.serverReady();
    return session;
  }

  /** The only client, or the first. */
  get client(): Client {
    const [client] = this.clients;
    if (client === undefined) throw new Error('no client');
    return client;
  }

  /** All that the servers have said. */
  get serverLines(): readonly string[] {
    return this.#serverLines.flat();
  }

  startServer(): Program {
    const { cell, pki, folder, server, adjust, teardown } = this.#options;
    const options = serverOptions(cell, { pki, folder });
    const path = asConfigFile(adjust?.(options) ?? options, folder);
    const command = [...server.command, '--config', path] as const;
    this.server = new Program({ name: 'server', command, namespace: this.network.server, teardown });
    this.#serverLines.push(this.server.lines);
    return this.server;
  }

  async serverReady(): Promise<void> {
    await this.server.waitFor(/Initialization Sequence Completed/, { timeout: 20_000 });
  }

  ends(index = 0): Promise<readonly [End, End]> {
    return tunnelEnds(this.network, index);
  }

  status(): StatusClient[] {
    const lines = readFileSync(statusFile(this.#options), 'utf8').split('\n');
    const columns =
      lines
        .find((line) => line.startsWith('HEADER\tCLIENT_LIST\t'))
        ?.split('\t')
        .slice(2) ?? [];
    return lines.flatMap((line) => {
      const [kind, ...fields] = line.split('\t');
      const field = (name: string): string => fields[columns.indexOf(name)] ?? '';
      if (kind !== 'CLIENT_LIST') return [];
      const [received, sent] = [Number(field('Bytes Received')), Number(field('Bytes Sent'))];
      return [{ name: field('Common Name'), address: field('Real Address'), received, sent }];
    });
  }

  /** The client's packets reach the server from this address from now on, as behind a NAT that has forgotten them. */
  async moveTo(address: string, own: string): Promise<void> {
    const family = address.includes(':') ? 'ip6' : 'ip';
    const rules = [
      'table inet moved {}',
      'delete table inet moved',
      'table inet moved {',
      `  chain leaving { type filter hook postrouting priority -300; udp dport 1194 ${family} saddr set ${address}; }`,
      `  chain arriving { type filter hook prerouting priority -300; udp sport 1194 ${family} daddr set ${own}; }`,
      '}',
    ].join('\n');
    await execute(inNamespace(this.client.namespace, ['nft', '-f', '-']), { input: rules });
  }

  /** Resolves when the client knows that it is connected, counted from line `from` of its log on. */
  async connected(client = this.client, from = 0): Promise<void> {
    await this.said(client, /Client INFO: Connected: /, from);
  }

  async said(client: Client, pattern: RegExp, from = 0, patience = 60_000): Promise<void> {
    const heard = (): boolean => client.lines.slice(from).some((line) => pattern.test(line));
    await eventually(`the client says ${pattern}`, heard, patience);
  }

  /** Stops the server, and throws when its namespace is not as it was; that of a client with our netcfg, too. */
  async close(): Promise<void> {
    await this.server.stop();
    for (const [name, before] of this.#before) {
      const same = async (): Promise<boolean> => (await pictureOf(name)).join('\n') === before.join('\n');
      await eventually('nothing is left behind', same, 10_000).catch(() => undefined);
      comparePictures(name, before, await pictureOf(name));
    }
  }

  saveLogs(): void {
    writeFileSync(join(this.folder, 'server.log'), `${this.serverLines.join('\n')}\n`);
    for (const [index, { lines }] of this.clients.entries())
      writeFileSync(join(this.folder, `client-${index + 1}.log`), `${lines.join('\n')}\n`);
  }
}
