/**
 * Reads values from bytes that anybody may have written: every length is held against what is there before it is
 * believed, and a bad one is a thrown WireError.
 * Source: D-Bus specification 0.43, "Marshaling (Wire Format)"; limits as in libdbus' validation.
 */
import { isObjectPath } from './names.js';
import { alignmentOf, parseSignature, parseSingleType, type Type } from './signature.js';
import type { DbusValue } from './value.js';
import { WireError } from './wire-error.js';

export type Endian = 'little' | 'big';

/** The most bytes of an array's elements. */
export const LARGEST_ARRAY = 0x400_0000;
/** The most containers around a value: arrays, structures, dictionary entries and variants. */
export const DEEPEST_VALUE = 64;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class WireReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;
  readonly #descriptors: number;
  #at = 0;

  /** Borrows `bytes`; alignment counts from their start. `descriptors`: how many an `h` may choose from. */
  constructor(bytes: Uint8Array, endian: Endian, descriptors = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#little = endian === 'little';
    this.#descriptors = descriptors;
  }

  get at(): number {
    return this.#at;
  }

  /** One value each. What is returned shares nothing with the bytes. */
  readAll(types: readonly Type[]): DbusValue[] {
    return types.map((type) => this.#read(type, 0));
  }

  /** Everything must have been read. */
  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left > 0) throw new WireError('trailing-bytes', `${left} bytes after the last value`);
  }

  align(to: number): void {
    const start = this.#take(-this.#at & (to - 1));
    for (let at = start; at < this.#at; at++) {
      if (this.#bytes[at] !== 0) throw new WireError('bad-padding', `not zero at ${at}`);
    }
  }

  #read(type: Type, depth: number): DbusValue {
    if (depth > DEEPEST_VALUE) throw new WireError('too-deep', `more than ${DEEPEST_VALUE} containers around a value`);
    this.align(alignmentOf(type));
    switch (type.code) {
      case 'y':
        return this.#view.getUint8(this.#take(1));
      case 'b':
        return this.#boolean();
      case 'n':
        return this.#view.getInt16(this.#take(2), this.#little);
      case 'q':
        return this.#view.getUint16(this.#take(2), this.#little);
      case 'i':
        return this.#view.getInt32(this.#take(4), this.#little);
      case 'u':
        return this.#uint32();
      case 'h':
        return this.#descriptor();
      case 'x':
        return this.#view.getBigInt64(this.#take(8), this.#little);
      case 't':
        return this.#view.getBigUint64(this.#take(8), this.#little);
      case 'd':
        return this.#view.getFloat64(this.#take(8), this.#little);
      case 's':
        return this.#text(this.#uint32());
      case 'o':
        return this.#objectPath();
      case 'g':
        return this.#signature();
      case 'v':
        return this.#variant(depth);
      case 'a':
        return this.#array(type.element, depth);
      case '(':
        return type.fields.map((field) => this.#read(field, depth + 1));
      case '{':
        return [this.#read(type.key, depth + 1), this.#read(type.value, depth + 1)];
      default:
        return type satisfies never;
    }
  }

  /** Moves on by `length` bytes that must be there; returns where they begin. */
  #take(length: number): number {
    const start = this.#at;
    if (length > this.#bytes.length - start) throw new WireError('truncated', `${length} bytes wanted at ${start}`);
    this.#at = start + length;
    return start;
  }

  #uint32(): number {
    return this.#view.getUint32(this.#take(4), this.#little);
  }

  #boolean(): boolean {
    const value = this.#uint32();
    if (value > 1) throw new WireError('bad-boolean', `${value}`);
    return value === 1;
  }

  #descriptor(): number {
    const index = this.#uint32();
    if (index >= this.#descriptors) throw new WireError('bad-descriptor', `${index} of ${this.#descriptors}`);
    return index;
  }

  #text(length: number): string {
    const start = this.#take(length);
    if (this.#bytes[this.#take(1)] !== 0) throw new WireError('bad-utf8', 'no NUL after a string');
    const bytes = this.#bytes.subarray(start, start + length);
    if (bytes.includes(0)) throw new WireError('bad-utf8', 'a NUL inside a string');
    try {
      return decoder.decode(bytes);
    } catch {
      throw new WireError('bad-utf8', 'a string is not UTF-8');
    }
  }

  #objectPath(): string {
    const text = this.#text(this.#uint32());
    if (!isObjectPath(text)) throw new WireError('bad-object-path', JSON.stringify(text.slice(0, 100)));
    return text;
  }

  #signature(): string {
    const text = this.#text(this.#view.getUint8(this.#take(1)));
    parseSignature(text);
    return text;
  }

  #variant(depth: number): DbusValue {
    const signature = this.#text(this.#view.getUint8(this.#take(1)));
    return { signature, value: this.#read(parseSingleType(signature), depth + 1) };
  }

  #array(element: Type, depth: number): DbusValue {
    const length = this.#uint32();
    if (length > LARGEST_ARRAY) throw new WireError('too-large', `an array of ${length} bytes`);
    this.align(alignmentOf(element));
    const start = this.#at;
    const end = start + length;
    if (end > this.#bytes.length) throw new WireError('truncated', `an array of ${length} bytes at ${start}`);
    if (element.code === 'y') return this.#bytes.slice(this.#take(length), end);
    if (element.code === '{') {
      const map = new Map<DbusValue, DbusValue>();
      while (this.#at < end) {
        this.align(8);
        map.set(this.#read(element.key, depth + 2), this.#read(element.value, depth + 2));
      }
      this.#endArray(end);
      return map;
    }
    const values: DbusValue[] = [];
    while (this.#at < end) values.push(this.#read(element, depth + 1));
    this.#endArray(end);
    return values;
  }

  #endArray(end: number): void {
    if (this.#at !== end) throw new WireError('bad-array-length', `the last element ends ${this.#at - end} bytes late`);
  }
}
