/**
 * A packet inside a larger buffer: `bytes[start, end)`, with headroom before it and tailroom after it, so that headers,
 * IVs, padding and tags are written beside the payload and nothing is copied. One object is reused for many packets.
 *
 *   bytes |....headroom....|=====packet=====|..tailroom..|
 *                        start             end
 */

/** Before a plaintext: opcode and peer-id, the largest HMAC, an IV, a long packet id, fragment and compression headers. */
export const HEADROOM = 128;
/** After a plaintext: a tag, or the padding of a block and a swapped compression byte. */
export const TAILROOM = 64;

export class Packet {
  bytes: Uint8Array;
  start: number;
  end: number;
  /** Its number in a table of packets whose memory is `bytes`, where nothing but the packet itself may be written; -1: in none. */
  number = -1;
  /** How many packets come out of it: a superpacket is cut only when it is sealed. */
  segments = 1;
  /** Bytes of the headers that each segment of a superpacket repeats. */
  repeated = 0;
  /** The length of each packet that comes out of a superpacket but the last. */
  segmentLength = 0;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** Blocks of 16 bytes of all packets that come out of it, each rounded up. */
  get blocks(): number {
    if (this.segments === 1) return blocksOf(this.end - this.start);
    return (this.segments - 1) * blocksOf(this.segmentLength) + blocksOf(this.lastLength);
  }

  /** The length of the last packet that comes out of it. */
  get lastLength(): number {
    return this.plainLength - (this.segments - 1) * this.segmentLength;
  }

  /** The lengths of all packets that come out of it. */
  get plainLength(): number {
    return this.end - this.start + (this.segments - 1) * this.repeated;
  }

  set(bytes: Uint8Array, start: number, end: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
    this.number = -1;
    this.segments = 1;
    this.repeated = 0;
  }

  /** The window is packet `number` of a table, and no superpacket. */
  place(number: number): void {
    this.number = number;
  }

  /** The window is superpacket `number` of a table; see the fields. */
  placeSuperpacket(number: number, segments: number, repeated: number, segmentLength: number): void {
    this.number = number;
    this.segments = segments;
    this.repeated = repeated;
    this.segmentLength = segmentLength;
  }

  /** Copies `content` into the own buffer behind the headroom; false when it does not fit. */
  load(content: Uint8Array): boolean {
    if (HEADROOM + content.length + TAILROOM > this.bytes.length) return false;
    this.bytes.set(content, HEADROOM);
    this.set(this.bytes, HEADROOM, HEADROOM + content.length);
    return true;
  }

  /** The bytes of the packet, borrowed. */
  view(): Uint8Array {
    return this.bytes.subarray(this.start, this.end);
  }
}

function blocksOf(length: number): number {
  return Math.ceil(length / 16);
}

/** A packet with a buffer of its own for contents of up to `size` bytes. */
export function packetOf(size: number): Packet {
  return new Packet(new Uint8Array(HEADROOM + size + TAILROOM), HEADROOM, HEADROOM);
}
