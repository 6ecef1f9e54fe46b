/**
 * Where packets wait that have been decided upon, to be sealed, sent and written many in one call at the end of the turn.
 *
 *   ToLink ──seal──▶ | table, order | ──flush──▶ link: cut, sealed, sent
 *   FromLink ─write─▶ | table, order | ──flush──▶ tun: merged, written
 *
 * A packet that stands in the table being worked on (`Packet.number`) is only named; one from elsewhere (a ping, a copy,
 * a packet put together) is copied into a table of our own. What was named first leaves first.
 */
import { type DataDrop, HEADROOM, type LinkId, type ManySealer, type Packet, TAILROOM } from '@seikan/core';
import { AddressTable, PacketTable } from '@seikan/native';

import type { KeyNumbers } from './key-numbers.js';
import type { KeySlot } from './key-slot.js';
import type { Peer } from './peer.js';
import type { PacketLink, PacketTun } from './ports.js';

/** What a link seals and sends: packets `order[0, count)` of `table`, each to the record that it names. */
export interface SealRun {
  readonly keys: KeyNumbers;
  readonly table: PacketTable;
  readonly order: Uint32Array;
  readonly count: number;
  readonly addresses: AddressTable;
}

export interface PacketLaneOptions {
  readonly keys: KeyNumbers;
  readonly maxPeers: number;
  /** Many peers, of which each may have a connection of its own. */
  readonly server: boolean;
  readonly link: (id: LinkId) => PacketLink | undefined;
  readonly tun: () => PacketTun | undefined;
  /** Packets of a run that were lost on the way out. */
  readonly lost: (drop: 'link-full' | 'tun-full', count: number) => void;
}

/**
 * The most packets of any table that is worked on: sixteen messages of 128 datagrams, and a few, since columns that lie a
 * power of two apart would share places in the processor's cache.
 */
export const MOST_PACKETS = 2_064;

const OWN_PACKETS = 64;
const OWN_BYTES = 0x2_0000;

export class PacketLane {
  readonly #options: PacketLaneOptions;
  /** Where each peer is, for sockets: record i is peer i's. */
  readonly #addresses: AddressTable;
  readonly #seals = new Waiting();
  readonly #writes = new Waiting();
  #link: PacketLink | undefined;
  #linkId: LinkId = 0;

  constructor(options: PacketLaneOptions) {
    this.#options = options;
    this.#addresses = new AddressTable(options.maxPeers);
  }

  /** Seals and sends `packet` at the end of the turn. The sealer's `take` has given it its ids. */
  seal(slot: KeySlot, packet: Packet, many: ManySealer): void {
    const number = this.#seals.add(packet, this.#flushSeals);
    const { table } = this.#seals;
    const header = slot.header;
    const key = many.slot(header.length);
    this.#options.keys.useHeader(key, header);
    table.slots[number] = key;
    table.ids[number] = many.id;
    table.idsHigh[number] = many.idHigh;
    table.addresses[number] = slot.peer.ref.index;
  }

  /** Why nothing can be sent to the peer now. To be asked before `seal`, which then goes there. */
  refusal(peer: Peer): DataDrop | undefined {
    const { link: id } = peer.settings;
    if (id !== this.#linkId || this.#link === undefined) {
      this.#flushSeals();
      this.#linkId = id;
      this.#link = this.#options.link(id);
    }
    const link = this.#link;
    if (link === undefined) return 'no-link';
    return link.address?.(peer, this.#addresses) === false ? 'link-full' : undefined;
  }

  /** Writes `packet` to the tun at the end of the turn. */
  write(packet: Packet): DataDrop | undefined {
    const tun = this.#options.tun();
    if (tun === undefined) return 'no-tun';
    if (tun.full === true) return 'tun-full';
    this.#writes.add(packet, this.#flushWrites);
    return undefined;
  }

  /** What was sealed last waits for its socket, and nobody suffers when no more comes: one slow connection stops no other. */
  get mayPauseTun(): boolean {
    const link = this.#link;
    return link?.congested === true && (link.kind === 'datagram' || !this.#options.server);
  }

  /** A table is worked on from now on; `undefined`: its owner takes it back. */
  work(table: PacketTable | undefined): void {
    this.flush();
    this.#seals.current = table;
    this.#writes.current = table;
  }

  flush(): void {
    this.#flushSeals();
    this.#flushWrites();
  }

  /** Links come and go. */
  forgetLink(): void {
    this.#flushSeals();
    this.#link = undefined;
  }

  readonly #flushSeals = (): void => {
    const { table, order, count } = this.#seals;
    if (count === 0) return;
    const { keys, lost } = this.#options;
    const missed = this.#link?.sendSealed?.({ keys, table, order, count, addresses: this.#addresses }) ?? count;
    this.#seals.clear();
    if (missed > 0) lost('link-full', missed);
  };

  readonly #flushWrites = (): void => {
    const { table, order, count } = this.#writes;
    if (count === 0) return;
    const missed = this.#options.tun()?.writeTable?.(table, order, count) ?? count;
    this.#writes.clear();
    if (missed > 0) this.#options.lost('tun-full', missed);
  };
}

/** Packets of one table that wait: of the one being worked on, or of our own. */
class Waiting {
  current: PacketTable | undefined;
  readonly order = new Uint32Array(MOST_PACKETS);
  count = 0;
  readonly #own = new PacketTable({ packets: OWN_PACKETS, bytes: OWN_BYTES, headroom: HEADROOM, tailroom: TAILROOM });
  #table: PacketTable = this.#own;
  #ownPackets = 0;
  #ownBytes = 0;

  get table(): PacketTable {
    return this.#table;
  }

  /** Gives the packet's number in `table`. `flush` is called when what waits must leave first. */
  add(packet: Packet, flush: () => void): number {
    const { current } = this;
    const stands = packet.number >= 0 && current !== undefined;
    const table = stands ? current : this.#own;
    if (table !== this.#table || this.count === MOST_PACKETS || (!stands && !this.#hasRoom(packet.length))) {
      flush();
      this.#table = table;
    }
    let { number } = packet;
    if (stands) {
      table.offsets[number] = packet.start;
      table.lengths[number] = packet.end - packet.start;
    } else number = this.#copy(packet);
    this.order[this.count] = number;
    this.count += 1;
    return number;
  }

  clear(): void {
    this.count = 0;
    this.#ownPackets = 0;
    this.#ownBytes = 0;
  }

  #hasRoom(length: number): boolean {
    return this.#ownPackets < OWN_PACKETS && this.#ownBytes + HEADROOM + length + TAILROOM <= OWN_BYTES;
  }

  #copy(packet: Packet): number {
    const number = this.#ownPackets;
    this.#own.put(number, packet.view(), this.#ownBytes + HEADROOM);
    this.#ownPackets += 1;
    this.#ownBytes += HEADROOM + packet.length + TAILROOM;
    return number;
  }
}
