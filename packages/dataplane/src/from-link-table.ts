/**
 * Datagrams of one link, whole tables at a time: each is assigned a peer and a key, all are opened in one call, then each
 * is judged in the order of arrival. The decisions are `ExternalMultiplexer`'s, the opener's and `FromLink.accept`'s.
 *
 * Datagrams come in runs of one sender under one key (UDP_GRO). Who sent a run and what opens it is decided with its
 * first datagram; another belongs to it if its sender, its header and what else chooses the key are the same.
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
    let run: Run | undefined;
    for (let i = 0; i < count; i += 1) {
      const start = offsets[i] as number;
      const length = lengths[i] as number;
      const sender = from[i] as Endpoint;
      if (run === undefined || !run.holds(slab, start, length, sender)) {
        this.#packet.set(slab, start, start + length);
        this.#packet.place(i);
        this.#arrival.from = sender;
        run = this.#begin(table, now);
        if (run === undefined) continue;
      }
      slots[i] = run.key;
      order[this.#waiting] = i;
      this.#waiting += 1;
      run.end = this.#waiting;
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
    const { counters } = slot.peer;
    const packet = this.#opened;
    const arrival = this.#openedFrom;
    arrival.from = from;
    for (let k = first; k < end && !slot.wiped; k += 1) {
      const i = this.#order[k] as number;
      if (verdicts[i] !== AUTHENTIC) {
        many.refuse();
        counters.addDrop('bad-auth');
        continue;
      }
      const start = offsets[i] as number;
      const size = lengths[i] as number;
      packet.set(slab, start, start + size);
      packet.place(i);
      const drop = many.accept(packet, headerSize, now);
      if (drop === undefined) fromLink.accept(slot, packet, size, arrival, now);
      else counters.addDrop(drop);
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

  holds(bytes: Uint8Array, start: number, length: number, from: Endpoint): boolean {
    return (
      from === this.from &&
      length >= this.#least &&
      (readUint32(bytes, start) & this.#headerMask) === this.#header &&
      (this.#chooser === NO_CHOOSER || readUint16(bytes, start + this.headerSize) === this.#chooser)
    );
  }
}
