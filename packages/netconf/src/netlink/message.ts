/**
 * Netlink framing: messages in a datagram, attributes in a message, acknowledgements. Host byte order throughout.
 *
 *   message    u32 length (header included) · u16 type · u16 flags · u32 sequence · u32 port id · payload, padded to 4
 *   attribute  u16 length (header included) · u16 type (bit 15 nested, bit 14 network order) · value, padded to 4
 *   error      i32 -errno or 0 · the request's header [· its payload unless CAPPED] [· attributes if ACK_TLVS]
 *
 * Source: Linux include/uapi/linux/netlink.h; RFC 3549 section 2.
 */

export const MessageType = { noop: 1, error: 2, done: 3, overrun: 4 } as const;

export const MessageFlag = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  dumpInterrupted: 0x10,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
  capped: 0x100,
  ackAttributes: 0x200,
} as const;

export const HEADER_SIZE = 16;
const ATTRIBUTE_HEADER_SIZE = 4;
const ATTRIBUTE_TYPE_MASK = 0x3fff;
const NESTED = 0x8000;
const ERROR_HEADER_SIZE = 4 + HEADER_SIZE;
const ErrorAttribute = { message: 1, offset: 2 } as const;

/** True where numbers lie with their low byte first; netlink follows the machine. */
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  /** Borrowed from the datagram. */
  readonly payload: Uint8Array;
}

export interface Attribute {
  readonly type: number;
  /** Borrowed from the message. */
  readonly value: Uint8Array;
}

/** What an NLMSG_ERROR says: errno 0 is an acknowledgement. */
export interface Acknowledgement {
  /** Positive errno. */
  readonly errno: number;
  /** The kernel's own words (extended acknowledgement), empty when it gave none. */
  readonly text: string;
}

/** Bytes that are not netlink as this module knows it. The only error that parsing throws. */
export class NetlinkFormatError extends Error {
  override readonly name = 'NetlinkFormatError';
}

/** Splits a datagram into its messages. */
export function parseMessages(datagram: Uint8Array): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (datagram.length - offset >= HEADER_SIZE) {
    const reader = new FieldReader(datagram.subarray(offset));
    const length = reader.u32(0);
    if (length < HEADER_SIZE || length > datagram.length - offset) {
      throw new NetlinkFormatError(`message of ${length} bytes where ${datagram.length - offset} are left`);
    }
    messages.push({
      type: reader.u16(4),
      flags: reader.u16(6),
      sequence: reader.u32(8),
      portId: reader.u32(12),
      payload: datagram.subarray(offset + HEADER_SIZE, offset + length),
    });
    offset += align(length);
  }
  if (offset < datagram.length)
    throw new NetlinkFormatError(`${datagram.length - offset} bytes after the last message`);
  return messages;
}

/** Splits a region into attributes, in order. */
export function parseAttributes(region: Uint8Array): Attribute[] {
  const attributes: Attribute[] = [];
  let offset = 0;
  while (region.length - offset >= ATTRIBUTE_HEADER_SIZE) {
    const reader = new FieldReader(region.subarray(offset));
    const length = reader.u16(0);
    if (length < ATTRIBUTE_HEADER_SIZE || length > region.length - offset) {
      throw new NetlinkFormatError(`attribute of ${length} bytes where ${region.length - offset} are left`);
    }
    attributes.push({
      type: reader.u16(2) & ATTRIBUTE_TYPE_MASK,
      value: region.subarray(offset + ATTRIBUTE_HEADER_SIZE, offset + length),
    });
    offset += align(length);
  }
  return attributes;
}

/** Reads an NLMSG_ERROR, or an NLMSG_DONE: that has no request's header, and from old kernels not even an errno. */
export function parseAcknowledgement(message: NetlinkMessage): Acknowledgement {
  if (message.type === MessageType.done && message.payload.length < 4) return { errno: 0, text: '' };
  const fields = new FieldReader(message.payload);
  const errno = Math.abs(fields.i32(0));
  if ((message.flags & MessageFlag.ackAttributes) === 0) return { errno, text: '' };
  let start = 4;
  if (message.type === MessageType.error) {
    const quoted = (message.flags & MessageFlag.capped) === 0 ? align(fields.u32(4)) - HEADER_SIZE : 0;
    start = ERROR_HEADER_SIZE + Math.max(0, quoted);
  }
  const attributes = parseAttributes(message.payload.subarray(start));
  const words = attributes.find(({ type }) => type === ErrorAttribute.message);
  return { errno, text: words === undefined ? '' : attributeString(words) };
}

export function attributeU8({ value }: Attribute): number {
  return new FieldReader(value).u8(0);
}

export function attributeU16({ value }: Attribute): number {
  return new FieldReader(value).u16(0);
}

export function attributeU32({ value }: Attribute): number {
  return new FieldReader(value).u32(0);
}

/** A number of whatever size the sender chose: 1, 2, 4 or 8 bytes. Exact up to 2^53. */
export function attributeUint({ value }: Attribute): number {
  const fields = new FieldReader(value);
  if (value.length === 1) return fields.u8(0);
  if (value.length === 2) return fields.u16(0);
  return value.length === 4 ? fields.u32(0) : fields.u64(0);
}

/** Text up to its terminating zero byte. */
export function attributeString({ value }: Attribute): string {
  const end = value.indexOf(0);
  return new TextDecoder().decode(end === -1 ? value : value.subarray(0, end));
}

/** Fixed-size fields at fixed offsets; reading past the end is a NetlinkFormatError. */
export class FieldReader {
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(offset: number): number {
    return this.#at(offset, 1).getUint8(offset);
  }

  u16(offset: number): number {
    return this.#at(offset, 2).getUint16(offset, LITTLE_ENDIAN);
  }

  u32(offset: number): number {
    return this.#at(offset, 4).getUint32(offset, LITTLE_ENDIAN);
  }

  i32(offset: number): number {
    return this.#at(offset, 4).getInt32(offset, LITTLE_ENDIAN);
  }

  /** Exact up to 2^53. */
  u64(offset: number): number {
    return Number(this.#at(offset, 8).getBigUint64(offset, LITTLE_ENDIAN));
  }

  #at(offset: number, size: number): DataView {
    if (offset + size > this.#view.byteLength) {
      throw new NetlinkFormatError(`field at ${offset} in a structure of ${this.#view.byteLength} bytes`);
    }
    return this.#view;
  }
}

/** Builds one message. Fields are appended in order; `finish` fills in the header. */
export class MessageWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = HEADER_SIZE;

  /** The request's flags; a NetlinkConnection reads from them what answer to expect. */
  readonly flags: number;

  /** `room`: what fits without a move to a larger buffer, which would leave a copy of what was written (key material) behind. */
  constructor(type: number, flags: number, room = 128) {
    this.#bytes = new Uint8Array(room);
    this.#view = new DataView(this.#bytes.buffer);
    this.flags = flags;
    this.#view.setUint16(4, type, LITTLE_ENDIAN);
    this.#view.setUint16(6, flags, LITTLE_ENDIAN);
  }

  u8(...values: readonly number[]): this {
    for (const value of values) {
      const offset = this.#reserve(1);
      this.#view.setUint8(offset, value);
    }
    return this;
  }

  u16(value: number): this {
    const offset = this.#reserve(2);
    this.#view.setUint16(offset, value, LITTLE_ENDIAN);
    return this;
  }

  u32(value: number): this {
    const offset = this.#reserve(4);
    this.#view.setUint32(offset, value, LITTLE_ENDIAN);
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    this.#pad();
    this.u16(ATTRIBUTE_HEADER_SIZE + value.length).u16(type);
    const offset = this.#reserve(value.length);
    this.#bytes.set(value, offset);
    return this;
  }

  attributeU8(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value));
  }

  attributeU16(type: number, value: number): this {
    this.#pad();
    return this.u16(ATTRIBUTE_HEADER_SIZE + 2)
      .u16(type)
      .u16(value);
  }

  attributeU32(type: number, value: number): this {
    this.#pad();
    return this.u16(ATTRIBUTE_HEADER_SIZE + 4)
      .u16(type)
      .u32(value);
  }

  /** A zero-terminated text. */
  attributeString(type: number, text: string): this {
    return this.attribute(type, new TextEncoder().encode(`${text}\0`));
  }

  /** An attribute whose value is the attributes that `fill` writes. */
  nest(type: number, fill: (writer: this) => void): this {
    this.#pad();
    const start = this.#length;
    this.u16(0).u16(type | NESTED);
    fill(this);
    this.#view.setUint16(start, this.#length - start, LITTLE_ENDIAN);
    return this;
  }

  /** The whole message, this writer's own bytes. Not padded: one message goes into one datagram. */
  finish(sequence: number): Uint8Array {
    this.#pad();
    this.#view.setUint32(0, this.#length, LITTLE_ENDIAN);
    this.#view.setUint32(8, sequence, LITTLE_ENDIAN);
    return this.#bytes.subarray(0, this.#length);
  }

  #pad(): void {
    this.#reserve(align(this.#length) - this.#length);
  }

  #reserve(size: number): number {
    const offset = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return offset;
  }
}

function align(length: number): number {
  return (length + 3) & ~3;
}
