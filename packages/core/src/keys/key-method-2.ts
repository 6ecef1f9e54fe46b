/**
 * The first thing that both ends say inside TLS, the client first; one TLS record holds exactly this:
 *
 *   | 0 4 | key method 1 | pre-master 48 (client only) | random1 32 | random2 32 |
 *   | options string | username | password | peer info |        each: length 2 (with its NUL), text, NUL
 *
 * Length 0 is an absent string, and strings may be missing from the end. The randoms matter only to the PRF
 * (`prf.ts`); with exported keys they are sent all the same.
 *
 * Source: OpenVPN 2.6 `ssl.c` (`key_method_2_write`, `key_method_2_read`).
 */
import { readUint16, writeUint16 } from '../bytes/big-endian.js';
import { concatBytes } from '../bytes/bytes.js';
import { decodeText, encodeText } from '../bytes/text.js';
import type { RandomFill } from '../crypto/crypto.js';
import type { DropReason } from '../wire/drop-reason.js';

export interface KeySource {
  /** 48 bytes; only the client has one. */
  readonly preMaster: Uint8Array | undefined;
  /** 32 bytes each. */
  readonly random1: Uint8Array;
  readonly random2: Uint8Array;
}

export interface KeyMethod2 {
  readonly source: KeySource;
  /** The options string (OCC). */
  readonly options: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly peerInfo: string | undefined;
}

/** What was read, and whether a credential was longer than we take: then it is absent, and the login fails with that reason. */
export interface ReceivedKeyMethod2 extends KeyMethod2 {
  readonly credentialsTooLong: boolean;
}

/** With its NUL. */
export const MAX_OPTIONS_SIZE = 512;
/** With the NUL; as in builds with PKCS#11, Debian's for one. */
export const MAX_CREDENTIAL_SIZE = 4_096;

const KEY_METHOD = 2;
const PRE_MASTER_SIZE = 48;
const RANDOM_SIZE = 32;

export function makeKeySource(role: 'client' | 'server', random: RandomFill): KeySource {
  const fresh = (size: number) => {
    const bytes = new Uint8Array(size);
    random(bytes);
    return bytes;
  };
  return {
    preMaster: role === 'client' ? fresh(PRE_MASTER_SIZE) : undefined,
    random1: fresh(RANDOM_SIZE),
    random2: fresh(RANDOM_SIZE),
  };
}

export function wipeKeySource({ preMaster, random1, random2 }: KeySource): void {
  preMaster?.fill(0);
  random1.fill(0);
  random2.fill(0);
}

/** The plaintext of one TLS record; wipe it when it is written. An options string that is too long is the caller's error. */
export function encodeKeyMethod2({ source, options, username, password, peerInfo }: KeyMethod2): Uint8Array {
  if (encodeText(options).length >= MAX_OPTIONS_SIZE) throw new RangeError('the options string is too long');
  return concatBytes(
    Uint8Array.of(0, 0, 0, 0, KEY_METHOD),
    source.preMaster ?? new Uint8Array(),
    source.random1,
    source.random2,
    encodeString(options),
    encodeString(username),
    encodeString(password),
    encodeString(peerInfo),
  );
}

/** Reads what `from` sent. The key source is the caller's own; the record may then be wiped. */
export function parseKeyMethod2(record: Uint8Array, from: 'client' | 'server'): ReceivedKeyMethod2 | DropReason {
  const method = record[4];
  if (method === undefined) return 'truncated';
  if ((method & 0x0f) !== KEY_METHOD) return 'bad-key-method';
  const preMasterSize = from === 'client' ? PRE_MASTER_SIZE : 0;
  let at = 5 + preMasterSize + 2 * RANDOM_SIZE;
  if (record.length < at) return 'truncated';

  const strings: Uint8Array[] = [];
  while (strings.length < 4 && record.length - at >= 2) {
    const size = readUint16(record, at);
    at += 2;
    if (record.length - at < size) return 'truncated';
    strings.push(record.subarray(at, at + size));
    at += size;
  }
  const [options, username = NONE, password = NONE, peerInfo = NONE] = strings;
  if (options === undefined) return 'truncated';
  if (options.length > MAX_OPTIONS_SIZE) return 'oversized';
  const tooLong = [username, password].some(({ length }) => length > MAX_CREDENTIAL_SIZE);

  const randomAt = 5 + preMasterSize;
  return {
    source: {
      preMaster: from === 'client' ? record.slice(5, randomAt) : undefined,
      random1: record.slice(randomAt, randomAt + RANDOM_SIZE),
      random2: record.slice(randomAt + RANDOM_SIZE, randomAt + 2 * RANDOM_SIZE),
    },
    options: decodeString(options) ?? '',
    username: tooLong ? undefined : decodeString(username),
    password: tooLong ? undefined : decodeString(password),
    peerInfo: decodeString(peerInfo),
    credentialsTooLong: tooLong,
  };
}

const NONE = new Uint8Array();

function encodeString(text: string | undefined): Uint8Array {
  if (text === undefined) return Uint8Array.of(0, 0);
  const bytes = encodeText(`\0\0${text}\0`);
  if (bytes.length - 2 > 0xffff) throw new RangeError('a string of the key exchange is too long');
  writeUint16(bytes, 0, bytes.length - 2);
  return bytes;
}

/** Up to the first NUL; the last byte is one, whatever was sent there. */
function decodeString(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return undefined;
  const nul = bytes.indexOf(0);
  return decodeText(bytes.subarray(0, nul < 0 ? bytes.length - 1 : nul));
}
