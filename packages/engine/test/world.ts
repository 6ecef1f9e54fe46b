/**
 * A server, clients and the network between them in one process with a virtual clock: asks are answered as a machine
 * with working tun devices would, data-channel commands are recorded, control packets travel after a delay.
 */
import type {
  DataChannelCommand,
  DataChannelEvent,
  Endpoint,
  LinkId,
  PeerCertificate,
  PeerCounters,
} from '@seikan/core';
import {
  createProtection,
  type EngineOutput,
  Multi,
  type Options,
  PointToPoint,
  type ProtectionKeys,
  parseConfig,
  type Time,
} from '@seikan/engine';
import { createCrypto } from '@seikan/native';
import type { EventRequest } from '@seikan/plugin-sdk';
import { fakeCertificate, ScriptedTls, SeededRandom } from '@seikan/testkit';

export interface Host {
  readonly name: string;
  readonly machine: PointToPoint | Multi;
  readonly address: Endpoint;
  readonly outputs: EngineOutput[];
  readonly commands: DataChannelCommand[];
  readonly log: string[];
  /** What it shows in each handshake. */
  readonly chain: PeerCertificate[];
  link: number;
}

const crypto = createCrypto();
const staticKey = Uint8Array.from({ length: 256 }, (_, i) => (i * 7) & 255);
const COUNTERS = {
  linkRead: 0,
  linkWritten: 0,
  tunRead: 0,
  tunWritten: 0,
  packetsRead: 0,
  packetsWritten: 0,
  drops: {},
};
const hostFacts = { hardwareAddress: '02:00:00:00:00:01', tlsLibrary: 'OpenSSL 3.0.0', platformVersion: '6.1.0' };
const product = { openvpnVersion: '2.6.14', name: 'Seikan', version: 'test', platform: 'linux' };

/** What reaches a host's data channel after a delay. */
interface Flight {
  readonly at: number;
  readonly to: Host;
  readonly event: DataChannelEvent;
}

/** The other end of a TCP connection. */
interface Connection {
  readonly host: Host;
  readonly link: LinkId;
}

/** A plain server at 198.51.100.1, and a client of it. */
export const PLAIN_SERVER = `mode server
tls-server
dev tun
topology subnet
server 10.8.0.0 255.255.255.0
dh none
ca ca.crt
cert server.crt
key server.key
`;
export const PLAIN_CLIENT = `client
dev tun
proto udp
nobind
remote 198.51.100.1 1194
ca ca.crt
cert client.crt
key client.key
`;

export class World {
  now = 1_000;
  /** Events that a script stands behind. */
  readonly asked = new Set<string>();
  /** Events that are not answered before `release`. */
  readonly held = new Set<string>();
  readonly #waiting: { readonly host: Host; readonly id: number; readonly request: EventRequest }[] = [];
  readonly random: SeededRandom;
  readonly hosts: Host[] = [];
  /** What each peer's data channel has counted. */
  counters: PeerCounters = COUNTERS;
  readonly #flying: Flight[] = [];
  readonly #connections = new Map<Host, Map<LinkId, Connection>>();
  #accepted = 0;
  credentials = { username: 'user', password: 'secret' };
  /** What the certificates of hosts added from now on have besides; undefined: they have none. */
  certificate: Partial<PeerCertificate> | undefined = {};
  /** What protects the control packets of hosts added from now on. */
  keys: ProtectionKeys = { tlsCrypt: staticKey };
  /** What hosts find when they read. */
  readonly files = new Map<string, { readonly text: string }>();
  /** What names resolve to; an address is its own. */
  readonly addresses = new Map<string, readonly string[]>();
  /** Hosts that are reached at their own address and at this one, from which their packets come. */
  readonly answersAs = new Map<Host, string>();
  /** Of the data channels of hosts added from now on. */
  abilities = { epoch: false, offload: false };
  /** Decides the fate of each packet: how many copies arrive. */
  copies: (bytes: Uint8Array) => number = () => 1;
  delay: () => number = () => 5;
  corrupt: (bytes: Uint8Array) => void = () => undefined;
  events: (host: Host, request: EventRequest) => object = () => ({
    result: 'success',
  });

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  get time(): Time {
    return { now: this.now, wallClock: 1_795_000_000 + Math.floor(this.now / 1000) };
  }

  /** `again`: its process has had a tunnel before. */
  add(name: string, config: string, address: string, again = false): Host {
    const { options } = parseConfig(config, `${name}.conf`, { read: () => undefined });
    const role = options.tls.role === 'server' ? 'server' : 'client';
    const chain =
      this.certificate === undefined
        ? []
        : [
            fakeCertificate(name, {
              ...this.certificate,
              extendedKeyUsage: [role === 'server' ? '1.3.6.1.5.5.7.3.1' : '1.3.6.1.5.5.7.3.2'],
              keyUsage: 0xa0,
            }),
          ];
    const verifyPeer = options.verify.clientCertificate === 'require' ? 'require' : 'optional';
    const tls = new ScriptedTls({ role, seed: this.random.below(2 ** 31), chain, verifyPeer });
    const { keys } = this;
    const protection = () => createProtection({ crypto, role, keys, replay: { size: 64, time: 15_000 } });
    const common = {
      options,
      crypto,
      random: this.random.fill,
      tls,
      protection,
      product,
      abilities: this.abilities,
      revokedSerials: undefined,
      asksFor: (event: string) => this.asked.has(event),
      environment: {},
      readCounters: () => this.counters,
      formatTime: String,
    };
    const machine =
      options.mode === 'server'
        ? new Multi({ ...common, authTokenKey: new Uint8Array(32) })
        : new PointToPoint({ ...common, staticKey: undefined, hostFacts: () => hostFacts });
    const host: Host = {
      name,
      machine,
      address: endpointAt(address, 1194),
      outputs: [],
      commands: [],
      log: [],
      chain,
      link: 0,
    };
    this.hosts.push(host);
    machine.handleStart(this.time, again);
    this.drain(host);
    return host;
  }

  /** Its process is killed: it says nothing more, and another may have its address. */
  remove(host: Host): void {
    this.hosts.splice(this.hosts.indexOf(host), 1);
  }

  drain(host: Host): void {
    for (let output = host.machine.poll(); output !== undefined; output = host.machine.poll()) {
      host.outputs.push(output);
      if (output.output === 'log') host.log.push(output.text);
      if (output.output === 'command') this.#command(host, output.command);
      if (output.output === 'close-link') this.#hangUp(host, output.link);
      if (output.output === 'ask' && output.ask === 'event' && this.held.has(output.request.event)) {
        this.#waiting.push({ host, id: output.id, request: output.request });
      } else if (output.output === 'ask') {
        host.machine.handleAnswer(output.id, this.#answer(host, output), false, this.time);
      }
    }
  }

  /** What waits for its answer, as 'event arguments'. */
  get waiting(): string[] {
    return this.#waiting.map(({ request }) => [request.event, ...request.argv].join(' '));
  }

  /** Answers what has waited longest. */
  release(result: 'success' | 'failure' = 'success'): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) throw new Error('nothing waits');
    waiting.host.machine.handleAnswer(waiting.id, { result }, false, this.time);
    this.drain(waiting.host);
  }

  #command(host: Host, command: DataChannelCommand): void {
    host.commands.push(command);
    if (command.verb === 'delPeer') {
      host.machine.handleEvent(
        {
          event: 'peerDeleted',
          peer: command.peer,
          counters: {
            linkRead: 0,
            linkWritten: 0,
            tunRead: 0,
            tunWritten: 0,
            packetsRead: 0,
            packetsWritten: 0,
            drops: {},
          },
        },
        this.time,
      );
    }
    if (command.verb !== 'sendControl') return;
    const connection = this.#connections.get(host)?.get(command.link);
    if (connection !== undefined) {
      const bytes = command.bytes.slice();
      this.#fly(connection.host, { event: 'control', link: connection.link, from: host.address, bytes });
      return;
    }
    const to = this.#at(command.to);
    if (to === undefined) return;
    for (let copy = 0; copy < this.copies(command.bytes); copy += 1) {
      const bytes = command.bytes.slice();
      this.corrupt(bytes);
      const from = { ...host.address, address: this.answersAs.get(host) ?? host.address.address };
      this.#fly(to, { event: 'control', link: to.link, from, bytes });
    }
  }

  #at({ address, port }: Endpoint): Host | undefined {
    return this.hosts.find(
      (host) =>
        (host.address.address === address || this.answersAs.get(host) === address) && host.address.port === port,
    );
  }

  #fly(to: Host, event: DataChannelEvent): void {
    this.#flying.push({ at: this.now + this.delay(), to, event });
  }

  /** A TCP connection: both ends hear of it. */
  #call(caller: Host, link: LinkId, remote: Endpoint): void {
    const callee = this.#at(remote);
    if (callee === undefined) return;
    this.#accepted += 1;
    const accepted = -this.#accepted;
    this.#connectionsOf(caller).set(link, { host: callee, link: accepted });
    this.#connectionsOf(callee).set(accepted, { host: caller, link });
    this.#fly(callee, { event: 'linkUp', link: accepted, listener: callee.link, remote: caller.address });
    this.#fly(caller, { event: 'linkUp', link, listener: undefined, remote });
  }

  #hangUp(host: Host, link: LinkId): void {
    const connection = this.#connections.get(host)?.get(link);
    if (connection === undefined) return;
    this.#connections.get(host)?.delete(link);
    this.#connections.get(connection.host)?.delete(connection.link);
    this.#fly(connection.host, { event: 'linkDown', link: connection.link, reason: '0' });
  }

  #connectionsOf(host: Host): Map<LinkId, Connection> {
    const connections = this.#connections.get(host) ?? new Map<LinkId, Connection>();
    this.#connections.set(host, connections);
    return connections;
  }

  #answer(host: Host, ask: EngineOutput & { output: 'ask' }): object {
    switch (ask.ask) {
      case 'resolve':
        return {
          addresses: (this.addresses.get(ask.host) ?? [ask.host]).map((address) => endpointAt(address, ask.port)),
        };
      case 'open-link':
        host.link = ask.link;
        if (ask.protocol === 'tcp-client' && ask.remote !== undefined) this.#call(host, ask.link, ask.remote);
        return { local: host.address };
      case 'open-tun':
        return { name: 'tun0', mtu: ask.mtu };
      case 'configure-tun':
        return { routeErrors: [] };
      case 'configure-dns':
      case 'close-tun':
      case 'ready':
        return {};
      case 'read-file':
        return this.files.get(ask.path) ?? { error: 'no such file' };
      case 'credentials':
        return this.credentials;
      case 'event':
        return this.events(host, ask.request);
      default:
        throw new Error(ask satisfies never);
    }
  }

  #earliestPacket(): Flight | undefined {
    let first: Flight | undefined;
    for (const flight of this.#flying) if (first === undefined || flight.at < first.at) first = flight;
    return first;
  }

  /** Lets time pass, event by event. */
  run(until: number): void {
    for (;;) {
      const packet = this.#earliestPacket();
      let next = packet?.at ?? Number.POSITIVE_INFINITY;
      let timer: Host | undefined;
      for (const host of this.hosts) {
        const at = host.machine.nextTimeout() ?? Number.POSITIVE_INFINITY;
        if (at < next) [next, timer] = [at, host];
      }
      if (next > until) break;
      this.now = Math.max(this.now, next);
      if (timer !== undefined) {
        timer.machine.handleTimeout(this.time);
        this.drain(timer);
      } else if (packet !== undefined) {
        this.#flying.splice(this.#flying.indexOf(packet), 1);
        packet.to.machine.handleEvent(packet.event, this.time);
        // A kept view would see this.
        if (packet.event.event === 'control') packet.event.bytes.fill(0xaa);
        this.drain(packet.to);
      }
    }
    this.now = Math.max(this.now, until);
  }
}

function endpointAt(address: string, port: number): Endpoint {
  return { family: address.includes(':') ? 6 : 4, address, port };
}

export type { Options };
