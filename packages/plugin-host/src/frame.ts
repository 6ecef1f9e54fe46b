/**
 * Frames between processes, the TypeScript twin of c/frame.h:
 *
 *     u32 length of the rest │ u8 operation │ u32 id │ fields: u32, text (bytes and a NUL), vector (u32 count, texts),
 *                                                    │         blob (u32 length, bytes)
 *
 * All numbers little-endian. Text travels as the bytes it was decoded from (see the SDK's text.ts).
 */
import { decodeText, encodeText, isStrict } from '@seikan/plugin-sdk';

const headLength = 9;
const longest = 16 << 20;

export class FrameWriter {
  #bytes = Buffer.alloc(4_096);
  #length = 0;

  constructor(operation: string, id: number) {
    this.u32(0);
    this.#room(1);
    this.#length = this.#bytes.writeUInt8(operation.charCodeAt(0), this.#length);
    this.u32(id);
  }

  u32(value: number): this {
    this.#room(4);
    this.#length = this.#bytes.writeUInt32LE(value >>> 0, this.#length);
    return this;
  }

  text(value: string): this {
    const clean = value.includes('\0') ? value.replaceAll('\0', '_') : value;
    if (!isStrict(clean)) return this.#add(encodeText(clean), 1);
    this.#room(clean.length * 3 + 1);
    this.#length += this.#bytes.write(clean, this.#length, 'utf8');
    this.#length = this.#bytes.writeUInt8(0, this.#length);
    return this;
  }

  blob(value: Uint8Array): this {
    return this.u32(value.length).#add(value, 0);
  }

  vector(values: readonly string[]): this {
    this.u32(values.length);
    for (const value of values) this.text(value);
    return this;
  }

  /** The whole frame. It may hold a password: whoever sends it wipes it afterwards. */
  finish(): Buffer {
    this.#bytes.writeUInt32LE(this.#length - 4, 0);
    return this.#bytes.subarray(0, this.#length);
  }

  #add(bytes: Uint8Array, zeros: number): this {
    this.#room(bytes.length + zeros);
    this.#bytes.set(bytes, this.#length);
    this.#bytes.fill(0, this.#length + bytes.length, this.#length + bytes.length + zeros);
    this.#length += bytes.length + zeros;
    return this;
  }

  #room(more: number): void {
    if (this.#bytes.length - this.#length >= more) return;
    const larger = Buffer.alloc((this.#length + more) * 2);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes.fill(0);
    this.#bytes = larger;
  }
}

/** One frame that has arrived. Fields are read in order; reading past the end throws a RangeError. */
export class FrameReader {
  readonly operation: string;
  readonly id: number;
  readonly #bytes: Buffer;
  #at = headLength;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.operation = String.fromCharCode(bytes.readUInt8(4));
    this.id = bytes.readUInt32LE(5);
  }

  u32(): number {
    const value = this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  i32(): number {
    return this.u32() | 0;
  }

  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new RangeError('a text without its end');
    const value = decodeText(this.#bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return value;
  }

  blob(): Uint8Array {
    const length = this.u32();
    if (length > this.#bytes.length - this.#at) throw new RangeError('a blob longer than its frame');
    const value = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  vector(): string[] {
    const count = this.u32();
    const values: string[] = [];
    for (let index = 0; index < count; index += 1) values.push(this.text());
    return values;
  }
}

/** Cuts a stream into frames. */
export class FrameSplitter {
  #held: Buffer = Buffer.alloc(0);

  /** The frames that are whole now; each borrows this splitter's bytes until the next call. Throws on nonsense. */
  *take(chunk: Buffer): Generator<FrameReader> {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    while (this.#held.length >= 4) {
      const length = this.#held.readUInt32LE(0);
      if (length > longest || length < headLength - 4) throw new RangeError(`a frame of ${length} bytes`);
      if (this.#held.length < 4 + length) return;
      const frame = this.#held.subarray(0, 4 + length);
      this.#held = this.#held.subarray(4 + length);
      yield new FrameReader(frame);
    }
  }
}

/** `NAME=value` strings to a record, the first `=` parting them; of a name that comes twice the first in the list wins. */
export function parseEnv(strings: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const string of strings.toReversed()) {
    const equals = string.indexOf('=');
    if (equals > 0) env[string.slice(0, equals)] = string.slice(equals + 1);
  }
  return env;
}
