/**
 * The compliance harness of the `kernel` channel: real links of the kernel's offload, real UDP and TCP sockets, in a
 * network namespace in which 198.51.100.0/24 is this host. What the suite gives to the tun and takes from it passes
 * through a plain tun that tc joins to the kernel's link, since a link of offload has no descriptor to read from.
 *
 * Time is the kernel's: `advance` waits, and `settle` gives way to it so often that all that was on its way has arrived.
 * What is delivered waits for `settle`, too: routes are made with promises.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readSync, writeFileSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import type { DataChannelCommand, DataChannelEvent, Endpoint } from '@seikan/core';
import {
  createSystemClock,
  descriptorEnds,
  eventLoop,
  KernelDataChannel,
  type KernelTun,
  type LinkReceiver,
  type LinkSocket,
  type LinkSource,
  type PacketLink,
} from '@seikan/dataplane';
import { findKernelOffload, type KernelTunnel, type OffloadFamily, type OffloadMode } from '@seikan/dco';
import { TcpListener, TcpSocket, TunDevice, UdpSocket } from '@seikan/native';
import { RouteNetlink } from '@seikan/netconf';
import { OffloadedTun } from '@seikan/runtime';
import {
  type Datagram,
  type Harness,
  type HarnessFactory,
  type HarnessLink,
  type HarnessTun,
  ownedEvent,
  Remotes,
} from '@seikan/testkit';

const HOST = '198.51.100.254';
const LONGEST = 8_192;
/** Turns in which the kernel's own threads (decryption may be theirs) get their share: the suite runs on one processor. */
const TURNS = 25;
const TURN = 8;
const QUEUE_LIMIT = 1 << 20;

/** `close` takes away what failed tests have left, too. */
export interface KernelHarness {
  readonly family: OffloadFamily;
  readonly factory: HarnessFactory;
  close(): Promise<void>;
}

/** The suite wants a tun at once, and the kernel makes links with promises: they are made before. */
const LINKS: Readonly<Record<OffloadMode, number>> = { mp: 90, p2p: 40 };

export async function kernelHarness(): Promise<KernelHarness> {
  const offload = findKernelOffload(['ovpn', 'ovpn-dco-v2']);
  assert(offload !== undefined, 'the kernel has no offload');
  const netlink = new RouteNetlink();
  const links: Record<OffloadMode, OffloadedTun[]> = { mp: [], p2p: [] };
  for (const mode of ['mp', 'p2p'] as const) {
    for (let number = 0; number < LINKS[mode]; number += 1) {
      links[mode].push(
        await OffloadedTun.open({ offload, netlink, device: `${mode}${number}`, mode, log: () => undefined }),
      );
    }
  }
  let remotes = new Remotes();
  let current: ChannelOfSuite | undefined;
  const endCurrent = async (): Promise<void> => {
    await current?.close();
    current = undefined;
    remotes.close();
    remotes = new Remotes();
  };
  return {
    family: offload.family,
    factory: (settings) => {
      // A test that failed has left its channel open: its sockets' addresses and its links are wanted again.
      void current?.close();
      remotes.close();
      remotes = new Remotes();
      current = new ChannelOfSuite({ settings, links: links[settings.mode === 'server' ? 'mp' : 'p2p'], remotes });
      return current;
    },
    close: async () => {
      await endCurrent();
      remotes.close();
      for (const link of [...links.mp, ...links.p2p]) await link.remove();
      netlink.close();
      offload.close();
    },
  };
}

interface ChannelOfSuiteOptions {
  readonly settings: Parameters<HarnessFactory>[0];
  /** Those that nobody has used. */
  readonly links: OffloadedTun[];
  readonly remotes: Remotes;
}

/** What the channel itself drops, of nobody; all else is dropped by the kernel, which counts it for itself or not at all. */
const COUNTED: ReadonlySet<string> = new Set(['stale-command', 'too-short', 'no-link']);

class ChannelOfSuite implements Harness {
  readonly #options: ChannelOfSuiteOptions;
  readonly #channel: KernelDataChannel<LinkSource>;
  /** The links that the channel has made ends of, in the order in which it was given them. */
  readonly #ends: WatchedLink[] = [];
  readonly #tuns: TunOfSuite[] = [];
  readonly #connections: ConnectionOfSuite[] = [];
  /** What was said of a new peer: control says its routes before its keys (decision 0131), the suite after them. */
  #held: DataChannelCommand[] = [];
  #deliveries: (() => void)[] = [];
  #events: DataChannelEvent[] = [];
  #closing: Promise<void> | undefined;

  constructor(options: ChannelOfSuiteOptions) {
    this.#options = options;
    const ends = descriptorEnds(eventLoop, true);
    this.#channel = new KernelDataChannel<LinkSource>({
      settings: options.settings,
      clock: createSystemClock(),
      onEvent: (event) => void this.#events.push(ownedEvent(event)),
      link: (source) => {
        const end = new WatchedLink(ends.link(source));
        this.#ends.push(end);
        return end;
      },
    });
  }

  handle(command: DataChannelCommand): void {
    this.#options.remotes.expect(command);
    const [first] = this.#held;
    const goesOn =
      first?.verb === 'newPeer' &&
      (command.verb === 'newKey' || command.verb === 'swapKeys' || command.verb === 'addRoute') &&
      command.peer.index === first.peer.index;
    if (!goesOn) this.#release();
    if (goesOn || command.verb === 'newPeer') this.#held.push(command);
    else this.#channel.handle(command);
  }

  openLink(id: number): HarnessLink {
    this.#release();
    const socket = UdpSocket.open({ family: 4, bind: { address: HOST, port: 0 } });
    const { port } = socket.address;
    this.#channel.openLink(id, { kind: 'udp', fd: socket.descriptor.release(), family: 4 });
    const end = this.#ends.at(-1);
    assert(end !== undefined);
    const { remotes } = this.#options;
    return {
      deliver: (from, ...datagrams) => {
        this.#deliver(() => {
          for (const bytes of datagrams) remotes.send(from, { family: 4, address: HOST, port }, bytes);
        });
      },
      takeSent: () => remotes.take(port),
      fail: (reason) => end.fail(reason),
      set full(full: boolean) {
        end.full = full;
      },
      get full() {
        return end.full;
      },
      get closed() {
        return end.closed;
      },
    };
  }

  openListener(id: number): { connect(remote: Endpoint): HarnessLink } {
    this.#release();
    const listener = TcpListener.open({ family: 4, bind: { address: HOST, port: 0 } });
    const { address } = listener;
    const fd = listener.descriptor.release();
    this.#channel.openLink(id, { kind: 'tcp-listener', fd, queueLimit: QUEUE_LIMIT, shared: false });
    return {
      connect: (remote) => {
        const socket = TcpSocket.connect(address, { family: 4, bind: remote, reuseAddress: true });
        const connection = new ConnectionOfSuite(socket, remote, (act) => this.#deliver(act));
        this.#connections.push(connection);
        return connection;
      },
    };
  }

  closeLink(id: number): void {
    this.#release();
    this.#channel.closeLink(id);
  }

  attachTun(): HarnessTun {
    this.#release();
    const link = this.#options.links.shift();
    assert(link !== undefined, 'the suite uses more links than were made');
    const tun = new TunOfSuite(link, (act) => this.#deliver(act));
    this.#tuns.push(tun);
    this.#channel.attachTun(tun.end);
    return tun;
  }

  detachTun(): void {
    this.#release();
    this.#channel.detachTun();
    for (const tun of this.#tuns) tun.closed = true;
  }

  readCounters(peer: Parameters<Harness['readCounters']>[0]): ReturnType<Harness['readCounters']> {
    this.#release();
    return this.#channel.readCounters(peer);
  }

  readDrops(): Readonly<Record<string, number>> {
    this.#release();
    return this.#channel.readDrops();
  }

  uncounted(reason: string, ofPeer: boolean): boolean {
    return ofPeer || !COUNTED.has(reason);
  }

  takeEvents(): DataChannelEvent[] {
    return this.#take(({ event }) => event !== 'keyConfirmed');
  }

  takeConfirmations(): ReturnType<Harness['takeConfirmations']> {
    return this.#take(({ event }) => event === 'keyConfirmed') as ReturnType<Harness['takeConfirmations']>;
  }

  async advance(span: number): Promise<void> {
    await this.settle();
    await sleep(span);
    await this.settle();
  }

  async settle(): Promise<void> {
    this.#release();
    for (const tun of this.#tuns) await tun.settled();
    for (const act of this.#deliveries.splice(0)) act();
    for (let turn = 0; turn < TURNS; turn += 1) await sleep(TURN);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#held = [];
    await this.#channel.close();
    for (const tun of this.#tuns) await tun.remove();
    for (const connection of this.#connections) connection.close();
  }

  #deliver(act: () => void): void {
    this.#release();
    this.#deliveries.push(act);
  }

  #release(): void {
    const [first, ...rest] = this.#held;
    if (first === undefined) return;
    this.#held = [];
    const routes = rest.filter(({ verb }) => verb === 'addRoute');
    const others = rest.filter(({ verb }) => verb !== 'addRoute');
    for (const command of [first, ...routes, ...others]) this.#channel.handle(command);
  }

  #take(wanted: (event: DataChannelEvent) => boolean): DataChannelEvent[] {
    const taken = this.#events.filter(wanted);
    this.#events = this.#events.filter((event) => !wanted(event));
    return taken;
  }
}

/** A link of the channel that the suite can break and fill. */
class WatchedLink implements PacketLink {
  readonly kind: PacketLink['kind'];
  readonly #inner: PacketLink;
  #receiver: LinkReceiver | undefined;
  full = false;
  closed = false;

  constructor(inner: PacketLink) {
    this.kind = inner.kind;
    this.#inner = inner;
  }

  get socket(): LinkSocket {
    return this.#inner.socket as LinkSocket;
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#inner.start(receiver);
  }

  send(bytes: Uint8Array, start: number, end: number, to: Endpoint): boolean {
    return !this.full && this.#inner.send(bytes, start, end, to);
  }

  flush(): number {
    return this.#inner.flush();
  }

  close(): void {
    this.closed = true;
    this.#inner.close();
  }

  fail(reason: string): string {
    this.#receiver?.down(reason);
    return reason;
  }
}

class ConnectionOfSuite implements HarnessLink {
  readonly #socket: TcpSocket;
  readonly #remote: Endpoint;
  readonly #later: (act: () => void) => void;
  readonly #stream = new Uint8Array(LONGEST);
  #length = 0;
  closed = false;
  full = false;

  constructor(socket: TcpSocket, remote: Endpoint, later: (act: () => void) => void) {
    this.#socket = socket;
    this.#remote = remote;
    this.#later = later;
  }

  deliver(_from: Endpoint, ...packets: Uint8Array[]): void {
    this.#later(() => {
      if (this.closed) return;
      for (const packet of packets) {
        const frame = Uint8Array.from([packet.length >>> 8, packet.length & 0xff, ...packet]);
        assert.equal(this.#socket.writeBytes(frame, 0, frame.length), frame.length);
      }
    });
  }

  takeSent(): Datagram[] {
    const read = this.#socket.read(this.#stream, this.#length, LONGEST - this.#length);
    if (read > 0) this.#length += read;
    const taken: Datagram[] = [];
    for (;;) {
      const size = ((this.#stream[0] as number) << 8) | (this.#stream[1] as number);
      if (this.#length < 2 || this.#length < 2 + size) return taken;
      taken.push({ to: this.#remote, bytes: this.#stream.slice(2, 2 + size) });
      this.#stream.copyWithin(0, 2 + size, this.#length);
      this.#length -= 2 + size;
    }
  }

  fail(): string {
    this.close();
    return 'closed by the peer';
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#socket.close();
  }
}

let tuns = 0;

/** A link of the kernel's offload, and a plain tun on the other side of tc. */
class TunOfSuite implements HarnessTun {
  readonly end: KernelTun;
  readonly #link: OffloadedTun;
  readonly #later: (act: () => void) => void;
  readonly #device: TunDevice;
  full = false;
  closed = false;
  #removed = false;

  constructor(link: OffloadedTun, later: (act: () => void) => void) {
    this.#link = link;
    this.#later = later;
    this.#device = TunDevice.open({ kind: 'tun', name: `plain${tuns++}` });
    // No packets of their own.
    writeFileSync(`/proc/sys/net/ipv6/conf/${this.#device.name}/disable_ipv6`, '1');
    for (const name of [this.#device.name, link.name]) {
      execFileSync('ip', ['link', 'set', name, 'addrgenmode', 'none']);
      execFileSync('ip', ['link', 'set', name, 'up']);
    }
    join(this.#device.name, link.name);
    join(link.name, this.#device.name);
    this.end = {
      tunnel: watched(link.tunnel, () => {
        this.closed = true;
      }),
      addRoute: link.addRoute.bind(link),
      deleteRoute: link.deleteRoute.bind(link),
    };
  }

  deliver(...packets: Uint8Array[]): void {
    this.#later(() => {
      for (const packet of packets) this.#write(packet);
    });
  }

  settled(): Promise<void> {
    return this.#link.settled();
  }

  #write(packet: Uint8Array): void {
    if (this.#removed) return;
    try {
      writeSync(this.#device.descriptor.fd, packet);
    } catch (error) {
      // The plain tun takes nothing that is no IP.
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    }
  }

  takeWritten(): Uint8Array[] {
    const written: Uint8Array[] = [];
    if (this.#removed) return written;
    const into = new Uint8Array(LONGEST);
    for (;;) {
      try {
        written.push(into.slice(0, readSync(this.#device.descriptor.fd, into)));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
        return written;
      }
    }
  }

  fail(reason: string): string {
    void this.#link.remove();
    return reason;
  }

  async remove(): Promise<void> {
    this.#removed = true;
    await this.#link.remove();
    this.#device.close();
  }
}

/** What arrives at one link leaves by the other, as it is. */
function join(from: string, to: string): void {
  execFileSync('tc', ['qdisc', 'add', 'dev', from, 'clsact']);
  const redirect = ['action', 'mirred', 'egress', 'redirect', 'dev', to];
  execFileSync('tc', ['filter', 'add', 'dev', from, 'ingress', 'matchall', ...redirect]);
}

function watched(tunnel: KernelTunnel, closed: () => void): KernelTunnel {
  const close = tunnel.close.bind(tunnel);
  tunnel.close = () => {
    closed();
    close();
  };
  return tunnel;
}
