/**
 * Slots for packets in one slab, the unit of every batch call:
 *
 *   slot i   | headroom | capacity .................... | tailroom |
 *                       ^ where reset() puts offsets[i]
 *
 * A batch call reads or writes `lengths[i]` bytes at `offsets[i]`. Between calls the arrays are the owner's: moving an
 * offset down claims headroom for a header, writing offsets[j] = offsets[i] picks packets without copying them.
 */

/** What calls that send, seal or open take: any slab with its two arrays. */
export interface PacketRun {
  readonly slab: Uint8Array;
  /** Where packet i begins in the slab. */
  readonly offsets: Uint32Array;
  /** How many bytes it has. */
  readonly lengths: Uint32Array;
}

export interface BatchShape {
  /** How many packets fit. */
  readonly slots: number;
  /** Bytes kept free before each packet. */
  readonly headroom: number;
  /** Most bytes of one received packet. A device or socket that has a longer one cuts or drops it. */
  readonly capacity: number;
  /** Bytes kept free behind `capacity`. */
  readonly tailroom: number;
}

export class PacketBatch implements PacketRun {
  readonly slab: Uint8Array<ArrayBuffer>;
  readonly offsets: Uint32Array<ArrayBuffer>;
  readonly lengths: Uint32Array<ArrayBuffer>;
  readonly slots: number;
  readonly capacity: number;
  readonly headroom: number;
  readonly #stride: number;

  constructor({ slots, headroom, capacity, tailroom }: BatchShape) {
    this.slots = slots;
    this.headroom = headroom;
    this.capacity = capacity;
    // Slots start on cache lines, so that two packets never share one.
    this.#stride = Math.ceil((headroom + capacity + tailroom) / 64) * 64;
    this.slab = new Uint8Array(slots * this.#stride);
    this.offsets = new Uint32Array(slots);
    this.lengths = new Uint32Array(slots);
    this.reset();
  }

  /** Puts every offset back to its slot's headroom; before each receiving call, if offsets were moved. */
  reset(): void {
    for (let i = 0; i < this.slots; i += 1) this.offsets[i] = i * this.#stride + this.headroom;
  }

  /** Packet `i` as a borrowed view. For tests and rare packets: a view costs more than the rest of the loop. */
  packet(i: number): Uint8Array<ArrayBuffer> {
    const offset = this.offsets[i];
    const length = this.lengths[i];
    if (offset === undefined || length === undefined) throw new RangeError(`no packet ${i} in ${this.slots} slots`);
    return this.slab.subarray(offset, offset + length);
  }

  /** Copies `bytes` into slot `i` at its current offset. */
  put(i: number, bytes: Uint8Array): void {
    const offset = this.offsets[i];
    if (offset === undefined) throw new RangeError(`no packet ${i} in ${this.slots} slots`);
    this.slab.set(bytes, offset);
    this.lengths[i] = bytes.length;
  }
}
