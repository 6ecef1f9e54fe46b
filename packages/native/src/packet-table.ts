/**
 * Packets of one turn of a worker's loop: one slab, and a column of numbers for each thing that is known of a packet.
 * The calls that move, seal and open whole tables work on it, whether a packet is a datagram, a plain packet or a
 * superpacket (up to 64 KiB that the kernel left for us to cut into segments).
 *
 *   slab     |..headroom..|=== packet 0 ===|..tailroom..|..headroom..|=== packet 1 ===|..tailroom..|
 *   columns  | offsets[n] | lengths[n] | kinds[n] | ... | state |      one Uint32Array (c/packet-table.h)
 *
 * All columns are views of one array, so that a native call fetches two pointers and not twelve. A packet is chosen,
 * left out or put first by the list of numbers that calls take as `order`; moving one is writing two numbers.
 */
import type { PacketRun } from './packet-batch.js';

/** What lies at a packet's offset. Everything but `PLAIN` is a superpacket: many segments behind one header. */
export const PacketKind = {
  /** One packet, complete with its checksums. */
  PLAIN: 0,
  TCP4: 1,
  TCP6: 2,
  UDP4: 3,
  UDP6: 4,
  /** What the kernel said of it contradicts it. Never sealed; to be counted and left out. */
  BAD: 5,
} as const;

export interface TableShape {
  /** The most packets of one turn. */
  readonly packets: number;
  /** Size of the slab. Of one that a tun fills: what may be read in one turn and 64 KiB more. */
  readonly bytes: number;
  /** Bytes kept free before each packet; at least TABLE_HEADROOM. */
  readonly headroom?: number;
  /** Bytes kept free behind each packet; at least TABLE_TAILROOM. */
  readonly tailroom?: number;
}

/** The kernel's header of 10 bytes, or what a key puts in front of each plaintext (`KeyRing.set`). */
export const TABLE_HEADROOM = 64;
/** A byte that a key moves to the end of each plaintext. */
export const TABLE_TAILROOM = 16;
const COLUMNS = 12;
/** Words behind the columns. */
const STATE = 8;
const LOST = 0;

export class PacketTable implements PacketRun {
  readonly slab: Uint8Array<ArrayBuffer>;
  /** What the native calls take: every column and the state. */
  readonly columns: Uint32Array<ArrayBuffer>;
  /** What both lie in: what is passed to native calls, which take it quicker. */
  readonly slabMemory: ArrayBuffer;
  readonly columnMemory: ArrayBuffer;
  readonly packets: number;
  readonly headroom: number;
  readonly tailroom: number;

  /** Where packet i begins in the slab. */
  readonly offsets: Uint32Array<ArrayBuffer>;
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** A PacketKind. */
  readonly kinds: Uint32Array<ArrayBuffer>;
  /** How many packets come out of it: 1 for a plain one, 0 for a bad one. So many packet ids does sealing it use. */
  readonly segments: Uint32Array<ArrayBuffer>;
  /** Payload bytes of each segment but the last, which has at most as many. 0 for a plain packet. */
  readonly segmentSizes: Uint32Array<ArrayBuffer>;
  /** Bytes of the IP and TCP or UDP headers that every segment repeats. 0 for a plain packet. */
  readonly headerSizes: Uint32Array<ArrayBuffer>;
  /** Where its TCP or UDP header begins, from its own offset. 0 for a plain packet. */
  readonly transports: Uint32Array<ArrayBuffer>;
  /** The caller's choice: the slot of a KeyRing that seals or opens it. */
  readonly slots: Uint32Array<ArrayBuffer>;
  /** The record of an AddressTable: after receiving, the sender's; before sealing, the caller's choice of a receiver. */
  readonly addresses: Uint32Array<ArrayBuffer>;
  /** The caller's choice: the packet id of its first segment, the lowest 32 bits. */
  readonly ids: Uint32Array<ArrayBuffer>;
  /** The upper 32 bits of an 8-byte id (epoch format: epoch in the upper 16, the counter's bits 32 to 47 in the lower). */
  readonly idsHigh: Uint32Array<ArrayBuffer>;
  /** After opening: 1 authentic, 0 forged or too short. After writing to a tun: 2 when the kernel refused it. */
  readonly verdicts: Uint32Array<ArrayBuffer>;

  readonly #state: Uint32Array<ArrayBuffer>;

  constructor({ packets, bytes, headroom = TABLE_HEADROOM, tailroom = TABLE_TAILROOM }: TableShape) {
    if (headroom < TABLE_HEADROOM || tailroom < TABLE_TAILROOM) throw new RangeError('too little room around packets');
    this.packets = packets;
    this.headroom = headroom;
    this.tailroom = tailroom;
    this.slab = new Uint8Array(bytes);
    this.columns = new Uint32Array(packets * COLUMNS + STATE);
    this.slabMemory = this.slab.buffer;
    this.columnMemory = this.columns.buffer;
    let from = 0;
    const column = () => this.columns.subarray(from, (from += packets));
    this.offsets = column();
    this.lengths = column();
    this.kinds = column();
    this.segments = column();
    this.segmentSizes = column();
    this.headerSizes = column();
    this.transports = column();
    this.slots = column();
    this.addresses = column();
    this.ids = column();
    this.idsHigh = column();
    this.verdicts = column();
    this.#state = this.columns.subarray(from);
  }

  /** Datagrams that came in but had no place in the columns, since the last call of takeLost(). */
  takeLost(): number {
    const lost = this.#state[LOST] ?? 0;
    this.#state[LOST] = 0;
    return lost;
  }

  /** Bytes of all plain packets that come out of packet `i`: what a tun without offloads would have read. */
  plainBytes(i: number): number {
    return (this.lengths[i] ?? 0) + (Math.max(1, this.segments[i] ?? 0) - 1) * (this.headerSizes[i] ?? 0);
  }

  /** Packet `i` as a borrowed view. For tests and rare packets: a view costs more than the rest of the loop. */
  packet(i: number): Uint8Array<ArrayBuffer> {
    const offset = this.offsets[i];
    const length = this.lengths[i];
    if (offset === undefined || length === undefined) throw new RangeError(`no packet ${i} of ${this.packets}`);
    return this.slab.subarray(offset, offset + length);
  }

  /** Copies `bytes` into the slab at `offset` as plain packet `i`. The caller keeps the room around it. */
  put(i: number, bytes: Uint8Array, offset: number): void {
    if (i >= this.packets) throw new RangeError(`no packet ${i} of ${this.packets}`);
    this.slab.set(bytes, offset);
    this.offsets[i] = offset;
    this.lengths[i] = bytes.length;
    this.kinds[i] = PacketKind.PLAIN;
    this.segments[i] = 1;
    this.segmentSizes[i] = 0;
    this.headerSizes[i] = 0;
    this.transports[i] = 0;
  }
}
