/**
 * Messages.
 *
 *   0 byte order 'l' | 'B'   1 type   2 flags   3 version = 1   4 body length u32   8 serial u32
 *   12 fields a(yv), padded to 8   then the body, of the field SIGNATURE
 *
 * File descriptors are a list beside the bytes; the field UNIX_FDS says how long it is. An `h` in the body is an index
 * into it, but a message may carry descriptors that no `h` names, as GDBus services do.
 * Source: D-Bus specification 0.43, "Message Protocol".
 */
import { isBusName, isInterfaceName, isMemberName } from './names.js';
import { parseSignature, type Type } from './signature.js';
import { type DbusValue, type Variant, variant } from './value.js';
import { WireError } from './wire-error.js';
import { type Endian, LARGEST_ARRAY, WireReader } from './wire-reader.js';
import { WireWriter } from './wire-writer.js';

interface Common {
  readonly serial: number;
  readonly sender?: string;
  readonly destination?: string;
  /** Of the body; empty for none. */
  readonly signature: string;
  readonly body: readonly DbusValue[];
  /** How many descriptors travel with it. */
  readonly descriptorCount: number;
}

export interface MethodCall extends Common {
  readonly type: 'method-call';
  readonly path: string;
  readonly interface?: string;
  readonly member: string;
  readonly noReply: boolean;
  readonly noAutoStart: boolean;
}

export interface MethodReturn extends Common {
  readonly type: 'method-return';
  readonly replySerial: number;
}

export interface ErrorReply extends Common {
  readonly type: 'error';
  readonly replySerial: number;
  readonly errorName: string;
}

export interface Signal extends Common {
  readonly type: 'signal';
  readonly path: string;
  readonly interface: string;
  readonly member: string;
}

export type Message = MethodCall | MethodReturn | ErrorReply | Signal;

/** The protocol's limit for a message; connections take less. */
export const LARGEST_MESSAGE = 0x800_0000;
/** The part that says how long a message is. */
export const FIXED_SIZE = 16;

const VERSION = 1;
const BYTE_ORDER = { little: 0x6c, big: 0x42 } as const;
const TYPES = { 'method-call': 1, 'method-return': 2, error: 3, signal: 4 } as const;
const FLAG = { noReply: 1, noAutoStart: 2 } as const;
const FIELDS_TYPE = parseSignature('a(yv)');

interface Fields {
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  replySerial?: number;
  destination?: string;
  sender?: string;
  signature?: string;
  descriptorCount?: number;
}

const FIELDS: readonly {
  readonly name: keyof Fields;
  readonly code: number;
  readonly signature: string;
  readonly valid?: (text: string) => boolean;
}[] = [
  { name: 'path', code: 1, signature: 'o' },
  { name: 'interface', code: 2, signature: 's', valid: isInterfaceName },
  { name: 'member', code: 3, signature: 's', valid: isMemberName },
  { name: 'errorName', code: 4, signature: 's', valid: isInterfaceName },
  { name: 'replySerial', code: 5, signature: 'u' },
  { name: 'destination', code: 6, signature: 's', valid: isBusName },
  { name: 'sender', code: 7, signature: 's', valid: isBusName },
  { name: 'signature', code: 8, signature: 'g' },
  { name: 'descriptorCount', code: 9, signature: 'u' },
];

/** How long parts of a message are, from its first 16 bytes. */
export interface Frame {
  readonly endian: Endian;
  readonly headerLength: number;
  readonly totalLength: number;
}

/** Undefined while fewer than 16 bytes are there. What is no message at all, or is too long for the protocol, is an error. */
export function frameOf(bytes: Uint8Array): Frame | WireError | undefined {
  if (bytes.length < FIXED_SIZE) return undefined;
  const endian = bytes[0] === BYTE_ORDER.little ? 'little' : bytes[0] === BYTE_ORDER.big ? 'big' : undefined;
  if (endian === undefined) return new WireError('bad-header', `byte order ${bytes[0]}`);
  if (bytes[3] !== VERSION) return new WireError('bad-header', `version ${bytes[3]}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, FIXED_SIZE);
  const fieldsLength = view.getUint32(12, endian === 'little');
  if (fieldsLength > LARGEST_ARRAY) return new WireError('too-large', 'header fields');
  const headerLength = (FIXED_SIZE + fieldsLength + 7) & ~7;
  const totalLength = headerLength + view.getUint32(4, endian === 'little');
  if (totalLength > LARGEST_MESSAGE) return new WireError('too-large', 'a message');
  return { endian, headerLength, totalLength };
}

/** A message whose header can be read, and its body, or what is wrong with that. */
export interface Parsed {
  readonly message: Message;
  readonly bodyError?: WireError;
}

/** A message of a type that this version of the protocol does not know: to be ignored, its descriptors closed. */
export interface UnknownMessage {
  readonly type: 'unknown';
  readonly descriptorCount: number;
}

/** One whole message. `body: 'skip'` reads a header whose body is not there, and reports the body as too large. */
export function parseMessage(
  bytes: Uint8Array,
  frame: Frame,
  body: 'read' | 'skip' = 'read',
): Parsed | UnknownMessage | WireError {
  try {
    const reader = new WireReader(bytes.subarray(0, frame.headerLength), frame.endian);
    const fixed = reader.readAll(parseSignature('yyyyuu')) as number[];
    const [, typeCode = 0, flags = 0, , , serial = 0] = fixed;
    const [entries] = reader.readAll(FIELDS_TYPE) as [readonly (readonly [number, Variant])[]];
    reader.align(8);
    reader.end();
    if (typeCode === 0 || serial === 0) throw new WireError('bad-header', `type ${typeCode}, serial ${serial}`);
    const fields = readFields(entries);
    const header = headerOf(typeCode, { flags, serial, fields });
    if (header === undefined) return { type: 'unknown', descriptorCount: fields.descriptorCount ?? 0 };
    if (body === 'skip') return { message: header, bodyError: new WireError('too-large', 'the message') };
    try {
      return { message: { ...header, body: readBody(bytes, frame, header) } };
    } catch (error) {
      if (error instanceof WireError) return { message: header, bodyError: error };
      throw error;
    }
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
}

/** The bytes of a message. Throws WireError for values that do not fit their signature and for names that are none. */
export function encodeMessage(message: Message, endian: Endian = 'little', largest = LARGEST_MESSAGE): Uint8Array {
  const body = new WireWriter(endian);
  body.writeAll(parseSignature(message.signature), message.body);
  const writer = new WireWriter(endian);
  const flags =
    message.type === 'method-call'
      ? (message.noReply ? FLAG.noReply : 0) | (message.noAutoStart ? FLAG.noAutoStart : 0)
      : 0;
  const fixed = [BYTE_ORDER[endian], TYPES[message.type], flags, VERSION, body.length, message.serial];
  writer.writeAll(parseSignature('yyyyuu'), fixed);
  const fields: Fields = message;
  const entries: [number, Variant][] = [];
  for (const { name, code, signature, valid } of FIELDS) {
    const value = fields[name];
    if (value === undefined || value === '' || (name === 'descriptorCount' && value === 0)) continue;
    if (valid !== undefined && !valid(String(value)))
      throw new WireError('bad-name', `${name} ${JSON.stringify(value)}`);
    entries.push([code, variant<string>(signature, value)]);
  }
  writer.writeAll(FIELDS_TYPE, [entries]);
  writer.align(8);
  writer.append(body.bytes);
  if (writer.length > largest) throw new WireError('too-large', `a message of ${writer.length} bytes`);
  return writer.bytes;
}

function readFields(entries: readonly (readonly [number, Variant])[]): Fields {
  const fields: Fields = {};
  for (const [code, { signature, value }] of entries) {
    if (code === 0) throw new WireError('bad-header', 'a field numbered 0');
    const field = FIELDS.find((known) => known.code === code);
    if (field === undefined) continue;
    if (signature !== field.signature) throw new WireError('bad-header', `${field.name} of type ${signature}`);
    if (field.name in fields) throw new WireError('bad-header', `${field.name} twice`);
    if (field.valid !== undefined && !field.valid(value as string)) throw new WireError('bad-name', field.name);
    Object.assign(fields, { [field.name]: value });
  }
  return fields;
}

interface HeaderParts {
  readonly flags: number;
  readonly serial: number;
  readonly fields: Fields;
}

function headerOf(typeCode: number, { flags, serial, fields }: HeaderParts): Message | undefined {
  const common = {
    serial,
    ...(fields.sender === undefined ? {} : { sender: fields.sender }),
    ...(fields.destination === undefined ? {} : { destination: fields.destination }),
    signature: fields.signature ?? '',
    body: [],
    descriptorCount: fields.descriptorCount ?? 0,
  };
  const { path, member, errorName, replySerial } = fields;
  switch (typeCode) {
    case TYPES['method-call']:
      if (path === undefined || member === undefined) throw missing('method call');
      return {
        type: 'method-call',
        ...common,
        path,
        ...(fields.interface === undefined ? {} : { interface: fields.interface }),
        member,
        noReply: (flags & FLAG.noReply) !== 0,
        noAutoStart: (flags & FLAG.noAutoStart) !== 0,
      };
    case TYPES['method-return']:
      if (replySerial === undefined || replySerial === 0) throw missing('method return');
      return { type: 'method-return', ...common, replySerial };
    case TYPES.error:
      if (replySerial === undefined || replySerial === 0 || errorName === undefined) throw missing('error');
      return { type: 'error', ...common, replySerial, errorName };
    case TYPES.signal:
      if (path === undefined || member === undefined || fields.interface === undefined) throw missing('signal');
      return { type: 'signal', ...common, path, interface: fields.interface, member };
    default:
      return undefined;
  }
}

function missing(what: string): WireError {
  return new WireError('bad-header', `a ${what} lacks a field`);
}

function readBody(bytes: Uint8Array, frame: Frame, header: Message): DbusValue[] {
  const body = bytes.subarray(frame.headerLength, frame.totalLength);
  const types: readonly Type[] = parseSignature(header.signature);
  const reader = new WireReader(body, frame.endian, header.descriptorCount);
  const values = reader.readAll(types);
  reader.end();
  return values;
}
