/**
 * Datagrams of one link, whole tables at a time: each is assigned a peer and a key, all are opened in one call, then each
 * is judged in the order of arrival. The decisions are `ExternalMultiplexer`'s, the opener's and `FromLink`'s.
 *
 * Datagrams come in runs of one sender under one key (UDP_GRO). Who sent a run and what opens it is decided with its
 * first datagram; another belongs to it if its sender, its header and what else chooses the key are the same. Where the
 * peer is, is decided with the first that is authentic.
 *
 * A control packet, and a datagram whose key has no number, are dealt with when all before them are: a float is reported
 * before a later control packet.
 */
import { type Endpoint, type LinkId, type ManyOpener, type Millis, Packet, readUint16, readUint32 } from '@seikan/core';
import type { PacketTable } from '@seikan/native';

import { type Arrival, type ExternalMultiplexer, headerSizeOf } from './external-multiplexer.js';
import type { FromLink } from './from-link.js';
import type { KeyNumbers } from './key-numbers.js';
import type { KeySlot } from './key-slot.js';
import { MOST_PACKETS } from './packet-lane.js';
import type { Peers } from './peers.js';

export interface FromLinkTableOptions {
  readonly keys: KeyNumbers;
  readonly external: ExternalMultiplexer;
  readonly fromLink: FromLink;
  readonly peers: Peers;
}

const nowhere: Endpoint = { family: 4, address: '0.0.0.0', port: 0 };
const FULL_HEADER_SIZE = 4;
const AUTHENTIC = 1;
const NO_CHOOSER = -1;

export class FromLinkTable {
  readonly #options: FromLinkTableOptions;
  /** The datagram being assigned, and the one being judged. */
  readonly #packet = new Packet(new Uint8Array(0));
  readonly #arrival: Arrival = { link: 0, from: nowhere };
  readonly #opened = new Packet(new Uint8Array(0));
  readonly #openedFrom: Arrival = { link: 0, from: nowhere };
  /** Numbers of the datagrams that wait to be opened. */
  readonly #order = new Uint32Array(MOST_PACKETS);
  #waiting = 0;
  readonly #runs: Run[] = [];
  #runCount = 0;

  constructor(options: FromLinkTableOptions) {
    this.#options = options;
  }

  receive(table: PacketTable, count: number, from: readonly Endpoint[], link: LinkId, now: Millis): void {
    const { offsets, lengths, slab, slots } = table;
    const order = this.#order;
    this.#arrival.link = link;
    for (let i = 0; i < count; ) {
      const start = offsets[i] as number;
      this.#packet.set(slab, start, start + (lengths[i] as number));
      this.#packet.place(i);
      this.#arrival.from = from[i] as Endpoint;
      const run = this.#begin(table, now);
      if (run === undefined) {
        i += 1;
        continue;
      }
      const end = run.endIn(table, from, i + 1, count);
      let waiting = this.#waiting;
      for (; i < end; i += 1) {
        slots[i] = run.key;
        order[waiting] = i;
        waiting += 1;
      }
      this.#waiting = waiting;
      run.end = waiting;
    }
    this.#open(table, now);
  }

  /** The run that begins with this datagram; `undefined`: it was dropped, or is dealt with. */
  #begin(table: PacketTable, now: Millis): Run | undefined {
    const { external, fromLink, peers } = this.#options;
    const packet = this.#packet;
    const slot = external.isControl(packet) ? undefined : external.slotOf(packet, this.#arrival);
    if (typeof slot === 'string') {
      peers.counters.noPeer.addDrop(slot);
      return undefined;
    }
    const many = slot?.opener.many;
    if (slot === undefined || many === undefined) {
      this.#open(table, now);
      fromLink.receive(packet, this.#arrival, now);
      return undefined;
    }
    const headerSize = headerSizeOf(slot, packet);
    const key = many.slotOf(packet, headerSize);
    if (typeof key === 'string') {
      slot.peer.counters.addDrop(key);
      return undefined;
    }
    const run = this.#nextRun(slot, many);
    run.begin(packet, this.#arrival.from, headerSize, key);
    return run;
  }

  #nextRun(slot: KeySlot, many: ManyOpener): Run {
    const run = (this.#runs[this.#runCount] ??= new Run(slot, many));
    this.#runCount += 1;
    run.slot = slot;
    run.many = many;
    return run;
  }

  #open(table: PacketTable, now: Millis): void {
    const count = this.#waiting;
    if (count === 0) return;
    const runs = this.#runCount;
    this.#waiting = 0;
    this.#runCount = 0;
    this.#openedFrom.link = this.#arrival.link;
    this.#options.keys.ring.open(table, this.#order, 0, count);
    let first = 0;
    for (let r = 0; r < runs; r += 1) {
      const run = this.#runs[r] as Run;
      this.#judge(table, run, first, now);
      first = run.end;
    }
  }

  #judge(table: PacketTable, { slot, many, from, headerSize, end }: Run, first: number, now: Millis): void {
    const { fromLink } = this.#options;
    const { offsets, lengths, slab, verdicts } = table;
    const { peer } = slot;
    const { counters } = peer;
    const order = this.#order;
    const packet = this.#opened;
    const arrival = this.#openedFrom;
    arrival.from = from;
    let greeted = false;
    let welcome = false;
    for (let k = first; k < end && !slot.wiped; k += 1) {
      const i = order[k] as number;
      if (verdicts[i] !== AUTHENTIC) {
        many.refuse();
        counters.addDrop('bad-auth');
        continue;
      }
      const start = offsets[i] as number;
      const size = lengths[i] as number;
      // Whole each time: what was unpacked before may have left the slab (a reassembled packet).
      packet.set(slab, start, start + size);
      packet.place(i);
      let drop = many.accept(packet, headerSize, now);
      if (drop === undefined) {
        counters.addRead(size);
        if (!greeted) welcome = fromLink.greet(slot, arrival, now);
        greeted = true;
        drop = welcome ? fromLink.unpack(peer, packet, now) : 'wrong-address';
      }
      if (drop !== undefined) counters.addDrop(drop);
    }
    if (!slot.wiped) fromLink.reportLimit(slot);
  }
}

/** Datagrams that wait to be opened, from one sender under one key. An object is used again for many runs. */
class Run {
  slot: KeySlot;
  many: ManyOpener;
  from: Endpoint;
  headerSize = 0;
  /** The number of the key. */
  key = 0;
  /** The run ends before this place of the order. */
  end = 0;
  /** No shorter datagram belongs to it. */
  #least = 0;
  /** The first four bytes of each datagram, as far as they are its header. */
  #header = 0;
  #headerMask = 0;
  /** What stands behind the header and chooses the key. */
  #chooser = NO_CHOOSER;

  constructor(slot: KeySlot, many: ManyOpener) {
    this.slot = slot;
    this.many = many;
    this.from = nowhere;
  }

  /** The datagram in `packet`, which `key` opens, is its first. */
  begin({ bytes, start }: Packet, from: Endpoint, headerSize: number, key: number): void {
    const { many } = this;
    this.from = from;
    this.headerSize = headerSize;
    this.key = key;
    this.#least = many.least(headerSize);
    this.#headerMask = headerSize === 0 ? 0 : -1 << (8 * (FULL_HEADER_SIZE - headerSize));
    // Four bytes are there: no key opens less.
    this.#header = readUint32(bytes, start) & this.#headerMask;
    this.#chooser = many.keyedByEpoch ? readUint16(bytes, start + headerSize) : NO_CHOOSER;
  }

  /** The first datagram of the table, from `i` on, that does not belong to it; `count` when all do. */
  endIn({ offsets, lengths, slab }: PacketTable, from: readonly Endpoint[], i: number, count: number): number {
    const { from: sender, headerSize } = this;
    const least = this.#least;
    const header = this.#header;
    const mask = this.#headerMask;
    const chooser = this.#chooser;
    for (let end = i; end < count; end += 1) {
      const start = offsets[end] as number;
      if (from[end] !== sender || (lengths[end] as number) < least) return end;
      if ((readUint32(slab, start) & mask) !== header) return end;
      if (chooser !== NO_CHOOSER && readUint16(slab, start + headerSize) !== chooser) return end;
    }
    return count;
  }
}
