/**
 * The `inline` data channel: everything in this process and on this thread, synchronously; plain TypeScript over the
 * `Crypto` port. It owns the links and the tun that it is given and one alarm of the clock.
 *
 * Events are delivered from inside `handle` and from inside the links' and the tun's callbacks, one at a time; the
 * listener may call `handle` again from there, and events that this causes come when it has returned.
 */
import {
  type ChannelSettings,
  type DataChannel,
  type DataChannelCommand,
  type DataChannelEvent,
  type DataDrop,
  type Endpoint,
  HEADROOM,
  type LinkId,
  type Millis,
  Packet,
  type PeerCounters,
  type PeerRef,
  TAILROOM,
} from '@seikan/core';

import { PacketTable, PacketBatch as SlotBatch, splitSuperpacket } from '@seikan/native';

import { CounterTable } from './counters.js';
import { DataPlane } from './data-plane.js';
import type { Arrival } from './external-multiplexer.js';
import { FromLinkTable } from './from-link-table.js';
import type { KeyNumbers } from './key-numbers.js';
import type { KeyPorts } from './key-slot.js';
import { PacketLane } from './packet-lane.js';
import type { Clock, PacketBatch, PacketLink, PacketTun } from './ports.js';

export interface InlineOptions {
  readonly settings: ChannelSettings;
  readonly crypto: KeyPorts['crypto'];
  readonly random: KeyPorts['random'];
  readonly clock: Clock;
  readonly onEvent: (event: DataChannelEvent) => void;
  /** Of `settings.maxPeers`, where others are to read it. */
  readonly counters?: CounterTable;
  /** The id of the last connection that a channel before this one accepted: ids go down from there. */
  readonly lastAccepted?: LinkId;
  /** Seals and opens packets of the links' and the tun's tables many in one call, under keys that are numbered here. */
  readonly keys?: KeyNumbers;
  /** False while the listener is far behind: peers then cause no more of the events that they can cause at will. */
  readonly mayReport?: () => boolean;
}

/** Looking through all peers for the next deadline is not done more often. */
const SHORTEST_ALARM: Millis = 20;

/** Segments of a superpacket that are cut at once. */
const PIECES = 32;
const LONGEST_PIECE = 0x1_0000;

const nowhere: Endpoint = { family: 4, address: '0.0.0.0', port: 0 };

export class InlineDataChannel implements DataChannel<PacketLink, PacketTun> {
  readonly #clock: Clock;
  readonly #onEvent: (event: DataChannelEvent) => void;
  readonly #plane: DataPlane;
  readonly #links = new Map<LinkId, PacketLink>();
  /** Links that took packets since they were flushed. */
  readonly #unflushed = new Set<PacketLink>();
  #tun: PacketTun | undefined;
  #tunUnflushed = false;
  #closed = false;
  #lastAccepted: LinkId;

  readonly #keys: KeyNumbers | undefined;
  readonly #lane: PacketLane | undefined;
  readonly #tables: FromLinkTable | undefined;
  /** The table that came from the tun and is being worked on. */
  #tunTable: PacketTable | undefined;

  /** Windows into whatever slab is being worked on. */
  readonly #packet = new Packet(new Uint8Array(0));
  readonly #piece = new Packet(new Uint8Array(0));
  #pieces: SlotBatch | undefined;
  readonly #arrival: Arrival = { link: 0, from: nowhere };

  /** Events that wait for the packet path to be done. */
  readonly #events: DataChannelEvent[] = [];
  #delivering = false;
  /** How many links were closed: tells a loop over a batch that its link may be gone. */
  #closings = 0;
  #cancelAlarm: () => void = () => undefined;
  /** A deadline may lie before the alarm. */
  #alarmIsLate = false;
  #alarmAt: Millis = Number.POSITIVE_INFINITY;

  constructor(options: InlineOptions) {
    const { settings, crypto, random, clock, onEvent, counters = new CounterTable(settings.maxPeers) } = options;
    const { lastAccepted = 0, mayReport = () => true } = options;
    this.#clock = clock;
    this.#lastAccepted = lastAccepted;
    this.#onEvent = onEvent;
    const { keys } = options;
    const ports: KeyPorts = { crypto: keys?.crypto(crypto) ?? crypto, random, unixTime: () => clock.unixTime() };
    if (keys !== undefined) {
      this.#lane = new PacketLane({
        keys,
        maxPeers: settings.maxPeers,
        link: (id) => this.#links.get(id),
        tun: () => this.#tun,
        server: settings.mode === 'server',
        lost: (drop, count) => this.#lost(drop, count),
      });
    }
    this.#keys = keys;
    this.#plane = new DataPlane({
      lane: this.#lane,
      cut: (packet, take) => this.#cut(packet, take),
      settings,
      ports,
      counters,
      outlets: {
        toLink: (link, to, packet) => this.#toLink(link, to, packet),
        toTun: (packet) => this.#toTun(packet),
        event: (event) => {
          this.#events.push(event);
          if (event.event === 'control' || event.event === 'message') this.#deliverEvents();
        },
        mayReport,
        rearm: (at) => {
          if (at < this.#alarmAt) this.#alarmIsLate = true;
        },
      },
    });
    const { external, fromLink, peers } = this.#plane;
    if (keys !== undefined) this.#tables = new FromLinkTable({ keys, external, fromLink, peers });
  }

  openLink(id: LinkId, link: PacketLink): void {
    this.#holdLink(id, link);
    this.#startLink(id, link);
  }

  closeLink(id: LinkId): void {
    const link = this.#links.get(id);
    this.#links.delete(id);
    if (link === undefined) return;
    this.#closings += 1;
    this.#lane?.forgetLink();
    // It may have been paused for this link.
    this.#tun?.pause?.(false);
    this.#unflushed.delete(link);
    this.#plane.external.datagramLinks.delete(id);
    link.close();
  }

  attachTun(tun: PacketTun): void {
    this.detachTun();
    this.#tun = tun;
    tun.start({
      packets: (batch, count, first = 0) => {
        if (this.#tun === tun) this.#fromTun(batch, first, count);
      },
      down: (reason) => {
        if (this.#tun !== tun) return;
        this.detachTun();
        this.#report({ event: 'tunDown', reason });
      },
    });
  }

  detachTun(): void {
    this.#lane?.flush();
    const tun = this.#tun;
    this.#tun = undefined;
    this.#tunUnflushed = false;
    tun?.close();
  }

  handle(command: DataChannelCommand): void {
    if (this.#closed) return;
    if (command.verb === 'sendControl') this.queueControl(command.link, command.to, command.bytes);
    else this.#plane.handle(command, this.#clock.now());
    this.#endTurn();
  }

  /** The command `sendControl` for one of several packets, which leave together with `settle`. */
  queueControl(id: LinkId, to: Endpoint, bytes: Uint8Array): void {
    if (this.#closed) return;
    const drop = this.#toLink(id, to, new Packet(bytes));
    if (drop !== undefined) this.#plane.peers.counters.noPeer.addDrop(drop);
  }

  settle(): void {
    if (!this.#closed) this.#endTurn();
  }

  readCounters(ref: PeerRef): PeerCounters | undefined {
    return this.#plane.peers.counters.read(ref);
  }

  readDrops(): Readonly<Record<string, number>> {
    return this.#plane.peers.counters.noPeer.drops();
  }

  /** Whether a peer is at this address: its control packets come before those of strangers. */
  knows(link: LinkId, address: Endpoint): boolean {
    return this.#plane.peers.atAddress(link, address) !== undefined;
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#cancelAlarm();
      this.#lane?.flush();
      this.#plane.close();
      this.#keys?.reap();
      for (const id of this.#links.keys()) this.closeLink(id);
      this.detachTun();
    }
    return Promise.resolve();
  }

  #holdLink(id: LinkId, link: PacketLink): void {
    this.#links.set(id, link);
    if (link.kind === 'datagram') this.#plane.external.datagramLinks.add(id);
  }

  #startLink(id: LinkId, link: PacketLink): void {
    link.start({
      datagrams: (batch, count, from) => {
        if (this.#links.get(id) === link) this.#fromLink(id, link, batch, count, from);
      },
      accepted: (connection, remote) => {
        if (this.#links.get(id) !== link) {
          connection.close();
          return;
        }
        this.#lastAccepted -= 1;
        const accepted = this.#lastAccepted;
        this.#holdLink(accepted, connection);
        this.#report({ event: 'linkUp', link: accepted, listener: id, remote });
        if (this.#links.get(accepted) === connection) this.#startLink(accepted, connection);
      },
      became: (other) => {
        if (this.#links.get(id) !== link) {
          other.close();
          return;
        }
        this.#holdLink(id, other);
        this.#startLink(id, other);
      },
      foreign: (fd, begun) => {
        this.#links.delete(id);
        this.#report({ event: 'linkForeign', link: id, fd, begun });
      },
      drained: () => this.#tun?.pause?.(false),
      connected: (remote) => this.#report({ event: 'linkUp', link: id, listener: undefined, remote }),
      failed: (text, unreachable) => this.#report({ event: 'linkError', link: id, text, unreachable }),
      down: (reason) => {
        if (this.#links.get(id) !== link) return;
        this.closeLink(id);
        this.#report({ event: 'linkDown', link: id, reason });
      },
    });
  }

  #fromLink(id: LinkId, link: PacketLink, batch: PacketBatch, count: number, from: readonly Endpoint[]): void {
    const now = this.#clock.now();
    if (this.#tables !== undefined && batch instanceof PacketTable) {
      this.#lane?.work(batch);
      this.#tables.receive(batch, count, from, id, now);
      this.#endTurn();
      this.#lane?.work(undefined);
      return;
    }
    const { offsets, lengths, slab } = batch;
    const closings = this.#closings;
    for (let i = 0; i < count; i += 1) {
      if (this.#closings !== closings && this.#links.get(id) !== link) break;
      const start = offsets[i] as number;
      this.#arrival.link = id;
      this.#arrival.from = from[i] as Endpoint;
      this.#packet.set(slab, start, start + (lengths[i] as number));
      this.#plane.fromLink.receive(this.#packet, this.#arrival, now);
    }
    this.#endTurn();
  }

  #fromTun(batch: PacketBatch, first: number, count: number): void {
    const now = this.#clock.now();
    const { offsets, lengths, slab } = batch;
    const table = batch instanceof PacketTable ? batch : undefined;
    this.#lane?.work(table);
    this.#tunTable = table;
    for (let i = first; i < count; i += 1) {
      const start = offsets[i] as number;
      this.#packet.set(slab, start, start + (lengths[i] as number));
      if (table !== undefined) {
        const segments = table.segments[i] as number;
        if (segments === 0) {
          this.#plane.peers.counters.noPeer.addDrop('bad-packet');
          continue;
        }
        const headers = table.headerSizes[i] as number;
        const segmentLength = headers + (table.segmentSizes[i] as number);
        if (segments > 1) this.#packet.placeSuperpacket(i, segments, headers, segmentLength);
        else if (this.#lane !== undefined) this.#packet.place(i);
      }
      this.#plane.fromTun.receive(this.#packet, now);
    }
    this.#endTurn();
    this.#lane?.work(undefined);
    this.#tunTable = undefined;
    if (this.#lane?.mayPauseTun === true) this.#tun?.pause?.(true);
  }

  /** Gives the packets that a superpacket of the tun's table is made of. */
  #cut(packet: Packet, take: (segment: Packet) => void): void {
    const table = this.#tunTable;
    if (table === undefined) return;
    const { number, segments } = packet;
    this.#pieces ??= new SlotBatch({ slots: PIECES, headroom: HEADROOM, capacity: LONGEST_PIECE, tailroom: TAILROOM });
    const { slab, offsets, lengths } = this.#pieces;
    for (let segment = 0; segment < segments; segment += PIECES) {
      const made = splitSuperpacket(table, number, { segment, into: this.#pieces, first: 0 });
      for (let i = 0; i < made; i += 1) {
        const start = offsets[i] as number;
        this.#piece.set(slab, start, start + (lengths[i] as number));
        take(this.#piece);
      }
    }
  }

  #toLink(id: LinkId, to: Endpoint, packet: Packet): DataDrop | undefined {
    const link = this.#links.get(id);
    if (link === undefined) return 'no-link';
    if (!link.send(packet.bytes, packet.start, packet.end, to)) return 'link-full';
    this.#unflushed.add(link);
    return undefined;
  }

  #toTun(packet: Packet): DataDrop | undefined {
    if (this.#lane !== undefined) return this.#lane.write(packet);
    if (this.#tun === undefined) return 'no-tun';
    if (!this.#tun.write(packet.bytes, packet.start, packet.end)) return 'tun-full';
    this.#tunUnflushed = true;
    return undefined;
  }

  /** An event of the ends themselves, outside the packet path. */
  #report(event: DataChannelEvent): void {
    this.#events.push(event);
    this.#endTurn();
  }

  /** In order and one at a time, also when the listener causes more. */
  #deliverEvents(): void {
    if (this.#delivering || this.#events.length === 0) return;
    this.#delivering = true;
    try {
      for (let event = this.#events.shift(); event !== undefined; event = this.#events.shift()) {
        if (!this.#closed) this.#onEvent(event);
      }
    } finally {
      this.#delivering = false;
    }
  }

  #setAlarm(): void {
    this.#alarmIsLate = false;
    this.#cancelAlarm();
    this.#cancelAlarm = () => undefined;
    const next = this.#plane.keepalive.nextTimeout();
    this.#alarmAt = next;
    if (next === Number.POSITIVE_INFINITY || this.#closed) return;
    const delay = Math.max(SHORTEST_ALARM, next - this.#clock.now());
    this.#cancelAlarm = this.#clock.alarm(delay, () => {
      this.#plane.keepalive.handleTimeout(this.#clock.now());
      this.#alarmIsLate = true;
      this.#endTurn();
    });
  }

  /** Events are delivered, then what was written goes out. */
  #endTurn(): void {
    this.#lane?.flush();
    this.#deliverEvents();
    if (this.#alarmIsLate) this.#setAlarm();
    if (this.#unflushed.size > 0) this.#flushLinks();
    if (this.#tunUnflushed) {
      this.#tunUnflushed = false;
      this.#lost('tun-full', this.#tun?.flush() ?? 0);
    }
    this.#keys?.reap();
  }

  #flushLinks(): void {
    for (const link of this.#unflushed) this.#lost('link-full', link.flush());
    this.#unflushed.clear();
  }

  #lost(drop: 'link-full' | 'tun-full', count: number): void {
    if (count > 0) this.#plane.peers.counters.noPeer.addDrop(drop, count);
  }
}
