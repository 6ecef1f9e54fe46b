/**
 * `fragment`: large plaintexts cut into datagrams, reassembled on the other side. Every plaintext then begins with
 *
 *   | size/4: 14 bits at 15 | fragment: 5 bits at 10 | sequence: 8 bits at 2 | type: 2 bits at 0 |   32 bits, big-endian
 *
 *   type 0 whole, 1 one of several but not the last, 2 the last, 3 unused.
 *
 * Fragments but the last all have the same size, a multiple of 4; the last one's header repeats that size, which tells
 * where it belongs. At most 32 fragments. We reassemble up to 32 sequences at once
 * (upstream 25); one that stays incomplete for 10 s is forgotten.
 *
 * Source: OpenVPN 2.6 `fragment.h`, `fragment.c`.
 */
import { readUint32, writeUint32 } from '../bytes/big-endian.js';
import type { Millis } from '../bytes/millis.js';
import type { DataDrop } from './data-drop.js';
import { HEADROOM, type Packet, TAILROOM } from './packet.js';

export const FRAGMENT_HEADER_SIZE = 4;
export const MAX_FRAGMENTS = 32;
const SEQUENCES = 256;
/** Divides SEQUENCES, so that neighbours never meet in a slot. */
const SLOTS = 32;
const LIFETIME: Millis = 10_000;
const MAX_DATAGRAM = 0x1_0000;

const WHOLE = 0;
const NOT_LAST = 1;
const LAST = 2;

/** How a plaintext is cut: `count` pieces, all of `size` bytes but the last. */
export interface Cut {
  readonly count: number;
  readonly size: number;
}

/** Sequence numbers of what we send; one per peer. */
export class Fragmenter {
  #sequence = 0;

  /** How to cut `length` bytes when a fragment with its header takes at most `fragmentSize`; `undefined`: into more than 32. */
  cut(length: number, fragmentSize: number): Cut | undefined {
    const room = fragmentSize - FRAGMENT_HEADER_SIZE;
    if (length <= room) return { count: 1, size: length };
    const largest = room & ~3;
    if (largest <= 0) return undefined;
    const count = Math.ceil(length / largest);
    if (count > MAX_FRAGMENTS) return undefined;
    this.#sequence = (this.#sequence + 1) % SEQUENCES;
    const size = (Math.ceil(length / count) + 3) & ~3;
    return { count: Math.ceil(length / size), size };
  }

  /** Puts the header of piece `n` (from 0) of the last `cut` before `packet`. */
  prepend(packet: Packet, cut: Cut, n: number): void {
    packet.start -= FRAGMENT_HEADER_SIZE;
    writeUint32(packet.bytes, packet.start, this.#header(cut, n));
  }

  #header(cut: Cut, n: number): number {
    if (cut.count === 1) return WHOLE;
    const place = (this.#sequence << 2) | (n << 10);
    if (n < cut.count - 1) return NOT_LAST | place;
    return (LAST | place | ((cut.size >>> 2) << 15)) >>> 0;
  }
}

interface Slot {
  sequence: number;
  /** Size of every fragment but the last; 0: the slot is free. */
  size: number;
  /** One bit for each fragment that came; the last one sets its own and all above. */
  map: number;
  length: number;
  touched: Millis;
  /** With room around the packet, which may be sealed in it for another peer. */
  bytes: Uint8Array;
}

/** Collects the fragments of one peer. Buffers grow with what arrives, to 128 KiB for each of the 32 slots at most. */
export class Reassembler {
  readonly #slots: Slot[] = [];

  /**
   * Takes the header off. True: `packet` is whole now (it may have moved into a buffer of the reassembler, valid until
   * the next call). False: more fragments are needed.
   */
  take(packet: Packet, now: Millis): boolean | DataDrop {
    if (packet.length < FRAGMENT_HEADER_SIZE) return 'bad-fragment';
    const header = readUint32(packet.bytes, packet.start);
    packet.start += FRAGMENT_HEADER_SIZE;
    const type = header & 3;
    const sequence = (header >>> 2) & 0xff;
    const n = (header >>> 10) & 0x1f;
    if (type === WHOLE) return sequence === 0 && n === 0 ? true : 'bad-fragment';
    if (type !== NOT_LAST && type !== LAST) return 'bad-fragment';

    const length = packet.length;
    const size = type === LAST ? ((header >>> 15) & 0x3fff) << 2 : length;
    if (size === 0 || length === 0 || (size & 3) !== 0 || length > size) return 'bad-fragment';
    const at = n * size;
    if (at + length > MAX_DATAGRAM) return 'bad-fragment';

    const slot = this.#slotOf(sequence, size, now);
    if (type === LAST && slot.length !== 0 && slot.length !== at + length) return 'bad-fragment';
    slot.touched = now;
    const needed = HEADROOM + at + length + TAILROOM;
    if (slot.bytes.length < needed) grow(slot, needed);
    slot.bytes.set(packet.view(), HEADROOM + at);
    slot.map |= type === LAST ? 0xffff_ffff << n : 1 << n;
    if (type === LAST) slot.length = at + length;
    if (slot.map !== -1) return false;

    slot.size = 0;
    packet.set(slot.bytes, HEADROOM, HEADROOM + slot.length);
    return true;
  }

  #slotOf(sequence: number, size: number, now: Millis): Slot {
    const index = sequence % SLOTS;
    const slot = (this.#slots[index] ??= {
      sequence,
      size: 0,
      map: 0,
      length: 0,
      touched: now,
      bytes: new Uint8Array(0),
    });
    if (slot.sequence !== sequence || slot.size !== size || now - slot.touched > LIFETIME) {
      slot.sequence = sequence;
      slot.size = size;
      slot.map = 0;
      slot.length = 0;
    }
    return slot;
  }
}

function grow(slot: Slot, needed: number): void {
  let size = 2_048;
  while (size < needed) size *= 2;
  const bytes = new Uint8Array(size);
  bytes.set(slot.bytes);
  slot.bytes = bytes;
}
