/**
 * Frames between processes, the TypeScript twin of c/frame.h:
 *
 *     u32 length of the rest │ u8 operation │ u32 id │ fields: u32, text (bytes and a NUL), vector (u32 count, texts),
 *                                                    │         blob (u32 length, bytes)
 *
 * All numbers little-endian. Text travels as the bytes it was decoded from (see the SDK's text.ts).
 */
import { decodeText, type Env, encodeText, isStrict } from '@seikan/plugin-sdk';

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
    return this.#texts(ended(value));
  }

  blob(value: Uint8Array): this {
    return this.u32(value.length).#add(value);
  }

  vector(values: readonly string[]): this {
    return this.u32(values.length).#texts(values.map(ended).join(''));
  }

  /** A vector of `NAME=value`, the newest variable first, as in OpenVPN's list. */
  env(env: Env): this {
    const [names, values] = [Object.keys(env), Object.values(env)];
    // In one piece: text by text, 62 variables take three times as long.
    let texts = '';
    for (let at = names.length - 1; at >= 0; at -= 1) texts += ended(`${names[at] ?? ''}=${values[at] ?? ''}`);
    return this.u32(names.length).#texts(texts);
  }

  /** The whole frame. It may hold a password: whoever sends it wipes it afterwards. */
  finish(): Buffer {
    this.#bytes.writeUInt32LE(this.#length - 4, 0);
    return this.#bytes.subarray(0, this.#length);
  }

  #texts(texts: string): this {
    if (!isStrict(texts)) return this.#add(encodeText(texts));
    this.#room(Buffer.byteLength(texts));
    this.#length += this.#bytes.write(texts, this.#length, 'utf8');
    return this;
  }

  #add(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
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

/** With the NUL that ends it, and no other. */
function ended(text: string): string {
  return `${text.includes('\0') ? text.replaceAll('\0', '_') : text}\0`;
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
    if (count === 0) return [];
    const start = this.#at;
    for (let left = count; left > 0; left -= 1) {
      const end = this.#bytes.indexOf(0, this.#at);
      if (end < 0) throw new RangeError('a text without its end');
      this.#at = end + 1;
    }
    return decodeText(this.#bytes.subarray(start, this.#at - 1)).split('\0');
  }
}

/** Cuts a stream into frames. */
export class FrameSplitter {
  /** What came of a frame that is not whole. */
  readonly #parts: Buffer[] = [];
  #held = 0;
  /** How much must be there before it is worth looking. */
  #needed = 4;

  /**
   * The frames that are whole now. Each borrows bytes that are wiped when all have been taken, the chunk's too. Throws
   * RangeError on nonsense, after which the stream is of no use.
   */
  *take(chunk: Buffer): Generator<FrameReader> {
    const bytes = this.#whole(chunk);
    if (bytes === undefined) return;
    let at = 0;
    this.#needed = 4;
    while (bytes.length - at >= 4) {
      const length = bytes.readUInt32LE(at);
      if (length > longest || length < headLength - 4) throw new RangeError(`a frame of ${length} bytes`);
      if (bytes.length - at < 4 + length) {
        this.#needed = 4 + length;
        break;
      }
      yield new FrameReader(bytes.subarray(at, at + 4 + length));
      at += 4 + length;
    }
    this.#hold(bytes.subarray(at));
    bytes.fill(0);
  }

  #whole(chunk: Buffer): Buffer | undefined {
    if (this.#held + chunk.length < this.#needed) {
      this.#hold(chunk);
      chunk.fill(0);
      return undefined;
    }
    if (this.#held === 0) return chunk;
    const bytes = Buffer.concat([...this.#parts, chunk]);
    for (const part of [...this.#parts.splice(0), chunk]) part.fill(0);
    this.#held = 0;
    return bytes;
  }

  #hold(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#parts.push(Buffer.from(bytes));
    this.#held += bytes.length;
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
