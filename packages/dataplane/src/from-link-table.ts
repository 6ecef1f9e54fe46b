/**
 * Datagrams of one link, whole tables at a time: each is assigned a peer and a key, all are opened in one call, then each
 * is judged in the order of arrival. The decisions are `ExternalMultiplexer`'s, the opener's and `FromLink.accept`'s.
 *
 * A control packet, and a datagram whose key has no number, are dealt with when all before them are: a float is reported
 * before a later control packet.
 */
import { type DataDrop, type Endpoint, type LinkId, type Millis, Opcode, Packet, readUint32 } from '@seikan/core';
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

const FULL_HEADER_SIZE = 4;
const NO_HEADER = 0;

const nowhere: Endpoint = { family: 4, address: '0.0.0.0', port: 0 };

export class FromLinkTable {
  readonly #options: FromLinkTableOptions;
  /** The datagram being assigned, and the one being judged. */
  readonly #packet = new Packet(new Uint8Array(0));
  readonly #arrival: Arrival = { link: 0, from: nowhere };
  readonly #opened = new Packet(new Uint8Array(0));
  readonly #openedFrom: Arrival = { link: 0, from: nowhere };
  /** Numbers of the datagrams that wait to be opened, their keys and the sizes of their headers. */
  readonly #order = new Uint32Array(MOST_PACKETS);
  readonly #slots: KeySlot[] = [];
  readonly #headerSizes = new Uint8Array(MOST_PACKETS);
  #waiting = 0;
  /** The key of the last P_DATA_V2 datagram, its header and its sender. */
  #lastSlot: KeySlot | undefined;
  #lastHeader = NO_HEADER;
  #lastFrom: Endpoint = nowhere;

  constructor(options: FromLinkTableOptions) {
    this.#options = options;
  }

  receive(table: PacketTable, count: number, from: readonly Endpoint[], link: LinkId, now: Millis): void {
    const { external } = this.#options;
    const { offsets, lengths, slab } = table;
    const packet = this.#packet;
    const arrival = this.#arrival;
    arrival.link = link;
    for (let i = 0; i < count; i += 1) {
      const start = offsets[i] as number;
      packet.set(slab, start, start + (lengths[i] as number));
      packet.place(i);
      arrival.from = from[i] as Endpoint;
      if (!external.isControl(packet) && this.#assign(table, i)) continue;
      this.#open(table, from, now);
      this.#options.fromLink.receive(packet, arrival, now);
    }
    this.#open(table, from, now);
  }

  /** False: it is not opened with the others. */
  #assign(table: PacketTable, i: number): boolean {
    const packet = this.#packet;
    const slot = this.#slotOf(packet);
    if (typeof slot === 'string') {
      this.#options.peers.counters.noPeer.addDrop(slot);
      return true;
    }
    const { many } = slot.opener;
    if (many === undefined) return false;
    const headerSize = headerSizeOf(slot, packet);
    const key = many.slotOf(packet, headerSize);
    if (typeof key === 'string') {
      slot.peer.counters.addDrop(key);
      return true;
    }
    table.slots[i] = key;
    this.#order[this.#waiting] = i;
    this.#slots[this.#waiting] = slot;
    this.#headerSizes[this.#waiting] = headerSize;
    this.#waiting += 1;
    return true;
  }

  /** Datagrams of one sender come in runs under one key: what was found out for the one before holds for the next. */
  #slotOf(packet: Packet): KeySlot | DataDrop {
    const { from } = this.#arrival;
    const header = packet.length < FULL_HEADER_SIZE ? NO_HEADER : readUint32(packet.bytes, packet.start);
    const full = header >>> 27 === Opcode.dataV2;
    if (full && header === this.#lastHeader && from === this.#lastFrom && this.#lastSlot !== undefined) {
      return this.#lastSlot;
    }
    const slot = this.#options.external.slotOf(packet, this.#arrival);
    this.#lastSlot = full && typeof slot !== 'string' ? slot : undefined;
    this.#lastHeader = header;
    this.#lastFrom = from;
    return slot;
  }

  #open(table: PacketTable, from: readonly Endpoint[], now: Millis): void {
    // What follows may move peers and change keys.
    this.#lastSlot = undefined;
    const count = this.#waiting;
    if (count === 0) return;
    this.#waiting = 0;
    const { keys, fromLink } = this.#options;
    const { offsets, lengths, slab, verdicts } = table;
    const arrival = this.#openedFrom;
    arrival.link = this.#arrival.link;
    keys.ring.open(table, this.#order, 0, count);
    for (let k = 0; k < count; k += 1) {
      const i = this.#order[k] as number;
      const slot = this.#slots[k] as KeySlot;
      const { many } = slot.opener;
      if (many === undefined || slot.wiped) continue;
      if (verdicts[i] === 1) {
        const start = offsets[i] as number;
        const size = lengths[i] as number;
        const packet = this.#opened;
        packet.set(slab, start, start + size);
        packet.place(i);
        const drop = many.accept(packet, this.#headerSizes[k] as number, now);
        if (drop === undefined) {
          arrival.from = from[i] as Endpoint;
          fromLink.accept(slot, packet, size, arrival, now);
        } else slot.peer.counters.addDrop(drop);
      } else {
        many.refuse();
        slot.peer.counters.addDrop('bad-auth');
      }
      fromLink.reportLimit(slot);
    }
  }
}
