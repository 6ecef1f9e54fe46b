/**
 * The `kernel` data channel: the modules `ovpn` and `ovpn-dco-v2` move the packets, seal and open them, ping and time
 * out. Control packets come and go here, over the same sockets: the kernel takes over a socket with its first peer, eats
 * the data packets and leaves the others.
 *
 * A peer is given to the kernel with its first key, when it is known what the kernel wants to know: its address in the
 * tunnel (routes come before keys). It waits, with its keys, for the tun to be there and for its TCP connection to be
 * between two packets.
 *
 * Left to the kernel, and thus without effect: `float` (it always follows), `mssClamp`, `guardRecursion`, `blockIpv6`,
 * replay windows, and which clients may talk to each other. There is no keyConfirmed, no message, and nothing learned.
 *
 * upstream: dco.c, dco_linux.c (2.6, 2.7).
 */
import {
  type ChannelSettings,
  type DataChannel,
  type DataChannelCommand,
  type DataChannelEvent,
  type DataDrop,
  type DataKey,
  type Endpoint,
  type KeyId,
  type LinkId,
  type Millis,
  Opcode,
  opcodeOf,
  type PeerCounters,
  type PeerRef,
  type PeerRoute,
  type PeerSettings,
  sameEndpoint,
} from '@seikan/core';
import type { KernelTunnel, OffloadEvent } from '@seikan/dco';
import { ipText, NetlinkError } from '@seikan/netconf';

import { CounterTable } from './counters.js';
import { KernelPeer } from './kernel-peer.js';
import type { Clock, PacketBatch, PacketLink } from './ports.js';

/** The link of the kernel that carries the packets, and the host's routes to what is behind its peers. */
export interface KernelTun {
  readonly tunnel: KernelTunnel;
  /** `via`: the address in the tunnel of the peer behind which the network is; undefined when the route is that address. */
  addRoute(route: PeerRoute, via: string | undefined): void;
  deleteRoute(route: PeerRoute, via: string | undefined): void;
}

export interface KernelOptions<Link> {
  readonly settings: ChannelSettings;
  readonly clock: Clock;
  readonly onEvent: (event: DataChannelEvent) => void;
  /** Makes the end of what `openLink` is given. TCP connections must be packetwise. */
  readonly link: (source: Link) => PacketLink;
}

/** Counters are read so often, lest they go with a peer that the kernel lets go of. */
const READING: Millis = 10_000;

export class KernelDataChannel<Link> implements DataChannel<Link, KernelTun> {
  readonly #options: KernelOptions<Link>;
  readonly #isServer: boolean;
  readonly #links = new Map<LinkId, PacketLink>();
  readonly #unflushed = new Set<PacketLink>();
  readonly #peers = new Map<number, KernelPeer>();
  readonly #generations = new Map<number, number>();
  /** Who holds a route, by its text: the latest wins. */
  readonly #routes = new Map<string, KernelPeer>();
  /** Peers with keys that the kernel cannot be given yet. */
  readonly #waiting = new Set<KernelPeer>();
  readonly #drops = new CounterTable(0).noPeer;
  readonly #events: DataChannelEvent[] = [];
  #delivering = false;
  #tun: KernelTun | undefined;
  #lastAccepted: LinkId = 0;
  #cancelReading: (() => void) | undefined;
  #closed = false;

  constructor(options: KernelOptions<Link>) {
    this.#options = options;
    this.#isServer = options.settings.mode === 'server';
  }

  openLink(id: LinkId, source: Link): void {
    const link = this.#options.link(source);
    this.#links.set(id, link);
    this.#startLink(id, link);
  }

  closeLink(id: LinkId): void {
    const link = this.#links.get(id);
    this.#links.delete(id);
    if (link === undefined) return;
    this.#unflushed.delete(link);
    link.close();
  }

  attachTun(tun: KernelTun): void {
    this.detachTun();
    this.#tun = tun;
    tun.tunnel.listen({
      event: (event) => {
        if (this.#tun === tun) this.#kernelEvent(event, tun.tunnel);
      },
      failure: () => {
        if (this.#tun === tun) this.#lookForLosses(tun.tunnel);
      },
    });
    this.#endTurn();
  }

  /** Peers go with the tun; those that were carried by it are lost, since their keys are not kept. */
  detachTun(): void {
    const tun = this.#tun;
    if (tun === undefined) return;
    for (const peer of this.#peers.values()) this.#takeBack(peer, tun);
    this.#tun = undefined;
    tun.tunnel.close();
  }

  handle(command: DataChannelCommand): void {
    if (this.#closed) return;
    if (command.verb === 'sendControl') this.#sendControl(command.link, command.to, command.bytes);
    else if (command.verb === 'newPeer') this.#newPeer(command.peer, command.settings);
    else {
      const peer = this.#find(command.peer);
      if (peer === undefined) this.#drops.addDrop('stale-command');
      else this.#handlePeer(peer, command);
    }
    this.#endTurn();
  }

  readCounters(ref: PeerRef): PeerCounters | undefined {
    const peer = this.#find(ref);
    if (peer === undefined) return undefined;
    if (peer.state === 'carried' && this.#tun !== undefined) peer.readCounters(this.#tun.tunnel);
    return peer.counters;
  }

  readDrops(): Readonly<Record<string, number>> {
    return this.#drops.drops();
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#cancelReading?.();
      this.detachTun();
      for (const peer of this.#peers.values()) peer.wipeKept();
      this.#peers.clear();
      for (const id of this.#links.keys()) this.closeLink(id);
    }
    return Promise.resolve();
  }

  // Links and control packets.

  #startLink(id: LinkId, link: PacketLink): void {
    link.start({
      datagrams: (batch, count, from) => {
        if (this.#links.get(id) === link) this.#fromLink(id, link, { batch, count, from });
      },
      accepted: (connection, remote) => {
        if (this.#links.get(id) !== link) {
          connection.close();
          return;
        }
        this.#lastAccepted -= 1;
        const accepted = this.#lastAccepted;
        this.#links.set(accepted, connection);
        this.#report({ event: 'linkUp', link: accepted, listener: id, remote });
        if (this.#links.get(accepted) === connection) this.#startLink(accepted, connection);
      },
      connected: (remote) => this.#report({ event: 'linkUp', link: id, listener: undefined, remote }),
      down: (reason) => {
        if (this.#links.get(id) !== link) return;
        this.closeLink(id);
        this.#report({ event: 'linkDown', link: id, reason });
      },
    });
  }

  #fromLink(
    id: LinkId,
    link: PacketLink,
    { batch, count, from }: { readonly batch: PacketBatch; readonly count: number; readonly from: readonly Endpoint[] },
  ): void {
    const { offsets, lengths, slab } = batch;
    for (let i = 0; i < count && this.#links.get(id) === link; i += 1) {
      const start = offsets[i] as number;
      const bytes = slab.subarray(start, start + (lengths[i] as number));
      const drop = dropOf(bytes);
      if (drop === undefined) this.#report({ event: 'control', link: id, from: from[i] as Endpoint, bytes });
      else this.#drops.addDrop(drop);
    }
    this.#endTurn();
  }

  #sendControl(id: LinkId, to: Endpoint, bytes: Uint8Array): void {
    const link = this.#links.get(id);
    if (link === undefined) this.#drops.addDrop('no-link');
    else if (link.send(bytes, 0, bytes.length, to)) this.#unflushed.add(link);
    else this.#drops.addDrop('link-full');
  }

  // What control says of peers.

  #newPeer(ref: PeerRef, settings: PeerSettings): void {
    const { maxPeers } = this.#options.settings;
    if (ref.index >= maxPeers || ref.generation <= (this.#generations.get(ref.index) ?? 0)) {
      this.#drops.addDrop('stale-command');
      return;
    }
    const old = this.#peers.get(ref.index);
    if (old !== undefined) this.#forget(old);
    this.#generations.set(ref.index, ref.generation);
    const peer = new KernelPeer(ref, settings.sendPeerId ?? ref.index, settings);
    this.#peers.set(ref.index, peer);
    if (settings.sendPeerId === undefined) this.#lose(peer, 'the peer takes no peer-id');
    this.#cancelReading ??= this.#options.clock.alarm(READING, () => this.#readAll());
  }

  #handlePeer(
    peer: KernelPeer,
    command: Exclude<DataChannelCommand, { readonly verb: 'sendControl' | 'newPeer' }>,
  ): void {
    switch (command.verb) {
      case 'setPeer':
        peer.settings = { ...peer.settings, ...command.settings };
        this.#ask(peer, (tunnel) => setKeepalive(tunnel, peer));
        return;
      case 'delPeer':
        this.#forget(peer);
        this.#events.push({ event: 'peerDeleted', peer: peer.ref, counters: peer.counters });
        return;
      case 'newKey':
        this.#newKey(peer, command.keyId, command.key);
        return;
      case 'swapKeys':
        if (peer.state === 'waiting') peer.keepPrimary(command.primary);
        else this.#ask(peer, (tunnel) => peer.swap(tunnel, command.primary));
        return;
      case 'delKey':
        if (peer.state === 'waiting') peer.dropKept(command.keyId);
        else this.#ask(peer, (tunnel) => peer.deleteKey(tunnel, command.keyId));
        return;
      case 'addRoute':
        this.#addRoute(peer, command.route);
        return;
      case 'delRoute':
        this.#deleteRoute(peer, command.route);
        return;
      case 'sendMessage':
        this.#drops.addDrop('not-offloaded');
        return;
      case 'touchPeer':
      case 'learnMac': // there is no tap here
        return;
      default:
        command satisfies never;
    }
  }

  #newKey(peer: KernelPeer, keyId: KeyId, key: DataKey): void {
    if (peer.state === 'waiting') {
      peer.keepKey(keyId, key);
      this.#waiting.add(peer);
      this.#tryToCarry(peer);
    } else this.#ask(peer, (tunnel) => peer.install(tunnel, keyId, key));
  }

  // Between a peer and the kernel.

  /** Without a control packet in between: what is queued goes out first. */
  #tryToCarry(peer: KernelPeer): void {
    const tun = this.#tun;
    const link = this.#links.get(peer.settings.link);
    if (tun === undefined || link?.socket === undefined) return;
    if (this.#unflushed.delete(link)) this.#flush(link);
    const { socket } = link;
    if (!socket.atBoundary) {
      socket.whenAtBoundary(() => this.#endTurn());
      return;
    }
    this.#waiting.delete(peer);
    const [vpn4, vpn6] = this.#isServer ? [addressIn(peer, 4), addressIn(peer, 6)] : [undefined, undefined];
    const remote = link.kind === 'datagram' ? peer.settings.remote : undefined;
    const local = remote === undefined ? undefined : link.localOf?.(remote);
    peer.state = 'carried';
    for (const route of peer.routes.values()) tun.addRoute(route, viaOf(peer, route));
    this.#ask(peer, (tunnel) => {
      tunnel.newPeer({
        peerId: peer.peerId,
        socket: socket.fd,
        remote,
        vpn4,
        vpn6,
        ...(local === undefined ? {} : { local }),
      });
      socket.handedOver();
      peer.installKept(tunnel);
      setKeepalive(tunnel, peer);
    });
  }

  /** Asks the kernel for something about a peer that it carries; a peer that is refused anything is lost. */
  #ask(peer: KernelPeer, request: (tunnel: KernelTunnel) => void): void {
    const tun = this.#tun;
    if (peer.state !== 'carried' || tun === undefined) return;
    try {
      request(tun.tunnel);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      // The kernel has let go of it: the notification that says why is on its way.
      if (error instanceof NetlinkError && error.code === 'ENOENT') return;
      this.#takeBack(peer, tun);
      this.#lose(peer, error.message);
    }
  }

  /** The kernel carries it no longer; its last counters are read. */
  #takeBack(peer: KernelPeer, tun: KernelTun): void {
    if (peer.state !== 'carried') return;
    peer.state = 'gone';
    for (const route of peer.routes.values()) tun.deleteRoute(route, viaOf(peer, route));
    try {
      if (peer.readCounters(tun.tunnel)) tun.tunnel.deletePeer(peer.peerId);
    } catch (error) {
      // A link that somebody has taken away, and its peers with it.
      if (!(error instanceof NetlinkError)) throw error;
    }
  }

  #lose(peer: KernelPeer, reason: string): void {
    peer.state = 'gone';
    this.#waiting.delete(peer);
    peer.wipeKept();
    this.#events.push({ event: 'peerLost', peer: peer.ref, reason });
  }

  #forget(peer: KernelPeer): void {
    if (this.#tun !== undefined) this.#takeBack(peer, this.#tun);
    peer.wipeKept();
    this.#waiting.delete(peer);
    for (const text of peer.routes.keys()) if (this.#routes.get(text) === peer) this.#routes.delete(text);
    this.#peers.delete(peer.ref.index);
  }

  #find({ index, generation }: PeerRef): KernelPeer | undefined {
    const peer = this.#peers.get(index);
    return peer?.ref.generation === generation ? peer : undefined;
  }

  // Routes.

  #addRoute(peer: KernelPeer, route: PeerRoute): void {
    const text = textOf(route);
    const holder = this.#routes.get(text);
    if (holder === peer) return;
    if (holder !== undefined) this.#deleteRoute(holder, route);
    this.#routes.set(text, peer);
    peer.routes.set(text, route);
    if (peer.state === 'carried') this.#tun?.addRoute(route, viaOf(peer, route));
  }

  #deleteRoute(peer: KernelPeer, route: PeerRoute): void {
    const text = textOf(route);
    if (this.#routes.get(text) !== peer) return;
    this.#routes.delete(text);
    const via = viaOf(peer, route);
    peer.routes.delete(text);
    if (peer.state === 'carried') this.#tun?.deleteRoute(route, via);
  }

  // What the kernel reports.

  #kernelEvent(event: OffloadEvent, tunnel: KernelTunnel): void {
    const peer = this.#isServer ? this.#peers.get(event.peerId) : this.#peers.get(0);
    if (peer?.peerId !== event.peerId || peer.state !== 'carried') return;
    switch (event.event) {
      case 'peerDeleted':
        // What is said of an earlier peer of the same number is no news of this one.
        if (event.reason === 'userspace' || this.#isCarried(peer, tunnel)) return;
        this.#removeRoutes(peer);
        if (event.reason === 'expired') {
          peer.state = 'gone';
          this.#report({ event: 'peerTimeout', peer: peer.ref });
        } else {
          this.#lose(peer, event.reason.replace('-', ' '));
          this.#endTurn();
        }
        return;
      case 'keyExhausted':
        this.#report({ event: 'keyLimit', peer: peer.ref, keyId: event.keyId, limit: 'packet-id', hard: true });
        return;
      case 'floated':
        this.#floated(peer, event.remote);
        return;
      default:
        event satisfies never;
    }
  }

  #floated(peer: KernelPeer, { family, address, port }: Endpoint): void {
    const to = { family, address, port };
    const { link } = peer.settings;
    const holder = [...this.#peers.values()].find(
      ({ ref, settings }) => ref !== peer.ref && settings.link === link && sameEndpoint(settings.remote, to),
    );
    if (holder === undefined) {
      peer.settings = { ...peer.settings, remote: to };
      this.#report({ event: 'float', peer: peer.ref, to, link });
    } else this.#report({ event: 'floatConflict', peer: peer.ref, to, link, holder: holder.ref });
  }

  /** Notifications were lost: whoever the kernel no longer has is gone, and nobody knows why. */
  #lookForLosses(tunnel: KernelTunnel): void {
    for (const peer of this.#peers.values()) {
      if (peer.state !== 'carried' || this.#isCarried(peer, tunnel)) continue;
      this.#removeRoutes(peer);
      this.#lose(peer, 'the kernel has it no longer');
    }
    this.#endTurn();
  }

  #isCarried(peer: KernelPeer, tunnel: KernelTunnel): boolean {
    try {
      return peer.readCounters(tunnel);
    } catch (error) {
      if (error instanceof NetlinkError) return false;
      throw error;
    }
  }

  #removeRoutes(peer: KernelPeer): void {
    for (const route of peer.routes.values()) this.#tun?.deleteRoute(route, viaOf(peer, route));
  }

  #readAll(): void {
    this.#cancelReading = undefined;
    if (this.#closed || this.#peers.size === 0) return;
    const tunnel = this.#tun?.tunnel;
    if (tunnel !== undefined) {
      for (const peer of this.#peers.values()) if (peer.state === 'carried') this.#isCarried(peer, tunnel);
    }
    this.#cancelReading = this.#options.clock.alarm(READING, () => this.#readAll());
  }

  // Events.

  #report(event: DataChannelEvent): void {
    this.#events.push(event);
    this.#endTurn();
  }

  /** Peers that can be carried now are; events are delivered, in order and one at a time; then what was written goes out. */
  #endTurn(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      for (const peer of this.#waiting) this.#tryToCarry(peer);
      for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
        if (!this.#closed) this.#options.onEvent(event);
      }
    } finally {
      this.#delivering = false;
    }
    for (const link of this.#unflushed) this.#flush(link);
    this.#unflushed.clear();
  }

  #flush(link: PacketLink): void {
    const lost = link.flush();
    if (lost > 0) this.#drops.addDrop('link-full', lost);
  }
}

/** Why a datagram is nothing for control. Data comes here only from peers that the kernel does not have. */
function dropOf(bytes: Uint8Array): DataDrop | undefined {
  const [first] = bytes;
  if (first === undefined) return 'too-short';
  const opcode = opcodeOf(first);
  return opcode === Opcode.dataV1 || opcode === Opcode.dataV2 ? 'unknown-peer' : undefined;
}

/** The kernel counts in seconds. */
function setKeepalive(tunnel: KernelTunnel, { peerId, settings }: KernelPeer): void {
  tunnel.setKeepalive({
    peerId,
    interval: Math.ceil(settings.pingInterval / 1000),
    timeout: Math.ceil(settings.pingTimeout / 1000),
  });
}

/** The peer's address in the tunnel: its first host route. */
function addressIn({ routes }: KernelPeer, family: 4 | 6): string | undefined {
  for (const route of routes.values()) {
    if (route.family === family && route.bits === (family === 4 ? 32 : 128)) return ipText(route.network);
  }
  return undefined;
}

function viaOf(peer: KernelPeer, route: PeerRoute): string | undefined {
  const address = addressIn(peer, route.family);
  return ipText(route.network) === address && route.bits === (route.family === 4 ? 32 : 128) ? undefined : address;
}

function textOf({ network, bits }: PeerRoute): string {
  return `${ipText(network)}/${bits}`;
}
