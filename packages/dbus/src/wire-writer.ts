/** Writes values as a signature says. A value that does not fit is a thrown WireError: the fault of who gave it. */
import { isObjectPath } from './names.js';
import { alignmentOf, parseSignature, parseSingleType, type Type } from './signature.js';
import type { DbusValue, Variant } from './value.js';
import { WireError } from './wire-error.js';
import { DEEPEST_VALUE, type Endian, LARGEST_ARRAY } from './wire-reader.js';

const encoder = new TextEncoder();
const INTEGERS = {
  y: [0, 0xff],
  n: [-0x8000, 0x7fff],
  q: [0, 0xffff],
  i: [-0x8000_0000, 0x7fff_ffff],
  u: [0, 0xffff_ffff],
  h: [0, 0xffff_ffff],
} as const;
const FIRST_SIZE = 256;

export class WireWriter {
  readonly #little: boolean;
  #bytes = new Uint8Array(FIRST_SIZE);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Alignment counts from the first byte written. */
  constructor(endian: Endian) {
    this.#little = endian === 'little';
  }

  get length(): number {
    return this.#length;
  }

  /** What was written, borrowed until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  writeAll(types: readonly Type[], values: readonly DbusValue[]): void {
    if (values.length !== types.length) throw badValue(`${types.length} values`, values);
    types.forEach((type, i) => this.#write(type, values[i], 0));
  }

  align(to: number): void {
    this.#reserve(-this.#length & (to - 1));
  }

  append(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  #write(type: Type, value: DbusValue | undefined, depth: number): void {
    if (depth > DEEPEST_VALUE) throw new WireError('too-deep', `more than ${DEEPEST_VALUE} containers around a value`);
    this.align(alignmentOf(type));
    switch (type.code) {
      case 'y':
      case 'n':
      case 'q':
      case 'i':
      case 'u':
      case 'h':
        this.#integer(type.code, value);
        return;
      case 'x':
      case 't':
        this.#bigInteger(type.code, value);
        return;
      case 'b':
        if (typeof value !== 'boolean') throw badValue('a boolean', value);
        this.#uint32(value ? 1 : 0);
        return;
      case 'd':
        if (typeof value !== 'number') throw badValue('a number', value);
        this.#double(value);
        return;
      case 's':
        this.#string(textOf(value));
        return;
      case 'o': {
        const path = textOf(value);
        if (!isObjectPath(path)) throw badValue('an object path', value);
        this.#string(path);
        return;
      }
      case 'g': {
        const text = textOf(value);
        parseSignature(text);
        this.#signature(text);
        return;
      }
      case 'v': {
        if (!isVariant(value)) throw badValue('a variant', value);
        const inner = parseSingleType(value.signature);
        this.#signature(value.signature);
        this.#write(inner, value.value, depth + 1);
        return;
      }
      case 'a':
        this.#array(type.element, value, depth);
        return;
      case '(':
        if (!Array.isArray(value) || value.length !== type.fields.length) {
          throw badValue(`an array of ${type.fields.length} fields`, value);
        }
        type.fields.forEach((field, i) => this.#write(field, value[i], depth + 1));
        return;
      case '{':
        if (!Array.isArray(value)) throw badValue('a key and a value', value);
        this.#write(type.key, value[0], depth + 1);
        this.#write(type.value, value[1], depth + 1);
    }
  }

  #integer(code: keyof typeof INTEGERS, value: DbusValue | undefined): void {
    const [least, most] = INTEGERS[code];
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
      throw badValue(`a whole number from ${least} to ${most}`, value);
    }
    if (code === 'y') this.append(Uint8Array.of(value));
    else if (code === 'n' || code === 'q') this.#uint16(value);
    else this.#uint32(value);
  }

  #bigInteger(code: 'x' | 't', value: DbusValue | undefined): void {
    const fits =
      typeof value === 'bigint' && (code === 'x' ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) === value;
    if (!fits) throw badValue(`a bigint of type ${code}`, value);
    const at = this.#reserve(8);
    this.#view.setBigUint64(at, BigInt.asUintN(64, value), this.#little);
  }

  #array(element: Type, value: DbusValue | undefined, depth: number): void {
    const lengthAt = this.#reserve(4);
    this.align(alignmentOf(element));
    const start = this.#length;
    if (element.code === 'y') {
      if (!(value instanceof Uint8Array)) throw badValue('a Uint8Array', value);
      this.append(value);
    } else if (element.code === '{') {
      if (!(value instanceof Map)) throw badValue('a Map', value);
      for (const entry of value as ReadonlyMap<DbusValue, DbusValue>) this.#write(element, entry, depth + 1);
    } else {
      if (!Array.isArray(value)) throw badValue('an array', value);
      for (const item of value as readonly DbusValue[]) this.#write(element, item, depth + 1);
    }
    const length = this.#length - start;
    if (length > LARGEST_ARRAY) throw new WireError('too-large', `an array of ${length} bytes`);
    this.#view.setUint32(lengthAt, length, this.#little);
  }

  #uint16(value: number): void {
    const at = this.#reserve(2);
    this.#view.setUint16(at, value, this.#little);
  }

  #uint32(value: number): void {
    const at = this.#reserve(4);
    this.#view.setUint32(at, value, this.#little);
  }

  #double(value: number): void {
    const at = this.#reserve(8);
    this.#view.setFloat64(at, value, this.#little);
  }

  #string(text: string): void {
    const bytes = encoder.encode(text);
    this.#uint32(bytes.length);
    this.append(bytes);
    this.#reserve(1);
  }

  #signature(text: string): void {
    this.append(Uint8Array.of(text.length));
    this.append(encoder.encode(text));
    this.#reserve(1);
  }

  /** Makes room for `length` zero bytes and returns where they begin. Call it before naming the buffer: it may move. */
  #reserve(length: number): number {
    const start = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, start));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return start;
  }
}

function textOf(value: DbusValue | undefined): string {
  if (typeof value !== 'string' || /[\0\p{Surrogate}]/u.test(value)) throw badValue('text without NUL', value);
  return value;
}

function isVariant(value: DbusValue | undefined): value is Variant {
  return typeof value === 'object' && 'signature' in value && typeof value.signature === 'string';
}

/** Says what came by its kind only: the value may be a secret. */
function badValue(wanted: string, value: DbusValue | undefined): WireError {
  const kind = value instanceof Object ? value.constructor.name : typeof value;
  return new WireError('bad-value', `${wanted} wanted, not ${kind}`);
}
