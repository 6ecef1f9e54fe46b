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
  type DataKey,
  type Endpoint,
  type KeyId,
  type LinkId,
  type Millis,
  type PeerCounters,
  type PeerRef,
  type PeerSettings,
  sameEndpoint,
} from '@seikan/core';
import type { KernelTunnel, OffloadEvent } from '@seikan/dco';
import { NetlinkError } from '@seikan/netconf';

import { ControlLinks } from './control-links.js';
import { CounterTable } from './counters.js';
import { KernelPeer } from './kernel-peer.js';
import { addressIn, type HostRoutes, KernelRoutes } from './kernel-routes.js';
import type { Clock, PacketLink } from './ports.js';

/** The link of the kernel that carries the packets, and the host's routes to what is behind its peers. */
export interface KernelTun extends HostRoutes {
  readonly tunnel: KernelTunnel;
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
  readonly #drops = new CounterTable(0).noPeer;
  readonly #links: ControlLinks;
  readonly #peers = new Map<number, KernelPeer>();
  readonly #generations = new Map<number, number>();
  readonly #routes = new KernelRoutes();
  /** Peers with keys that the kernel cannot be given yet. */
  readonly #waiting = new Set<KernelPeer>();
  readonly #events: DataChannelEvent[] = [];
  #delivering = false;
  #tun: KernelTun | undefined;
  #cancelReading: (() => void) | undefined;
  #closed = false;

  constructor(options: KernelOptions<Link>) {
    this.#options = options;
    this.#isServer = options.settings.mode === 'server';
    this.#links = new ControlLinks({
      drops: this.#drops,
      report: (event) => this.#report(event),
      closing: (id) => this.#takeBackFrom(id),
    });
  }

  openLink(id: LinkId, source: Link): void {
    this.#links.open(id, this.#options.link(source));
  }

  closeLink(id: LinkId): void {
    this.#links.close(id);
  }

  attachTun(tun: KernelTun): void {
    this.detachTun();
    this.#tun = tun;
    this.#routes.host = tun;
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
    this.#routes.host = undefined;
    tun.tunnel.close();
  }

  handle(command: DataChannelCommand): void {
    if (this.#closed) return;
    if (command.verb === 'sendControl') this.#links.send(command.link, command.to, command.bytes);
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
    if (peer.state === 'carried' && this.#tun !== undefined) this.#isCarried(peer, this.#tun.tunnel);
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
      this.#links.closeAll();
    }
    return Promise.resolve();
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
        this.#routes.add(peer, command.route);
        return;
      case 'delRoute':
        this.#routes.delete(peer, command.route);
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
    this.#links.flushLink(link);
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
    this.#routes.giveToHost(peer);
    this.#ask(peer, (tunnel) => {
      const known = { peerId: peer.peerId, socket: socket.fd, remote, vpn4, vpn6 };
      tunnel.newPeer(local === undefined ? known : { ...known, local });
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
    this.#routes.takeFromHost(peer);
    try {
      if (peer.readCounters(tun.tunnel)) tun.tunnel.deletePeer(peer.peerId);
    } catch (error) {
      // A link that somebody has taken away, and its peers with it.
      if (!(error instanceof NetlinkError)) throw error;
    }
  }

  /** The kernel has the socket for itself, and would go on with it. */
  #takeBackFrom(link: LinkId): void {
    if (this.#tun === undefined) return;
    for (const peer of this.#peers.values()) if (peer.settings.link === link) this.#takeBack(peer, this.#tun);
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
    this.#routes.forget(peer);
    this.#peers.delete(peer.ref.index);
  }

  #find({ index, generation }: PeerRef): KernelPeer | undefined {
    const peer = this.#peers.get(index);
    return peer?.ref.generation === generation ? peer : undefined;
  }

  // What the kernel reports.

  #kernelEvent(event: OffloadEvent, tunnel: KernelTunnel): void {
    const peer = this.#isServer ? this.#peers.get(event.peerId) : this.#peers.get(0);
    if (peer?.peerId !== event.peerId || peer.state !== 'carried') return;
    switch (event.event) {
      case 'peerDeleted':
        // What is said of an earlier peer of the same number is no news of this one.
        if (event.reason === 'userspace' || this.#isCarried(peer, tunnel)) return;
        this.#routes.takeFromHost(peer);
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
      this.#routes.takeFromHost(peer);
      this.#lose(peer, 'the kernel has it no longer');
    }
    this.#endTurn();
  }

  /** Reads its counters anew; a link that somebody has taken away carries nobody. */
  #isCarried(peer: KernelPeer, tunnel: KernelTunnel): boolean {
    try {
      return peer.readCounters(tunnel);
    } catch (error) {
      if (error instanceof NetlinkError) return false;
      throw error;
    }
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
    this.#links.flush();
  }
}

/** The kernel counts in seconds. */
function setKeepalive(tunnel: KernelTunnel, { peerId, settings }: KernelPeer): void {
  tunnel.setKeepalive({
    peerId,
    interval: Math.ceil(settings.pingInterval / 1000),
    timeout: Math.ceil(settings.pingTimeout / 1000),
  });
}
