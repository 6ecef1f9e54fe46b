/**
 * tls-crypt-v2: every client has a key Kc of its own, and carries it to the server wrapped under the server's key.
 *
 *   WKc      | tag 32 | AES-256-CTR(Kc 256, metadata type 1, metadata) | length 2 |
 *   tag = HMAC-SHA256(Ka, length, Kc, metadata)      IV = first 16 bytes of the tag      length: of all of WKc
 *   datagram | a tls-crypt packet under Kc | WKc |   of HARD_RESET_CLIENT_V3 and CONTROL_WKC_V1
 *
 * Source: OpenVPN 2.6 `tls_crypt.c` (`tls_crypt_v2_wrap_client_key`, `tls_crypt_v2_unwrap_client_key`).
 */
import { readUint16, readUint64, writeUint16, writeUint64 } from '../bytes/big-endian.js';
import { concatBytes } from '../bytes/bytes.js';
import type { UnixSeconds } from '../bytes/millis.js';
import { encodePem, parsePem } from '../bytes/pem.js';
import type { Crypto } from '../crypto/crypto.js';
import type { DropReason } from '../wire/drop-reason.js';
import { STATIC_KEY_SIZE } from './static-key.js';

const SERVER_KEY_PEM = 'OpenVPN tls-crypt-v2 server key';
const CLIENT_KEY_PEM = 'OpenVPN tls-crypt-v2 client key';

export const SERVER_KEY_SIZE = 128;
const TAG_SIZE = 32;
const IV_SIZE = 16;
const LENGTH_SIZE = 2;
const MIN_WRAPPED_SIZE = TAG_SIZE + STATIC_KEY_SIZE + LENGTH_SIZE;
const MAX_WRAPPED_SIZE = 1_024;

/** What fits into a wrapped key beside the metadata's type. */
export const MAX_METADATA_SIZE = MAX_WRAPPED_SIZE - MIN_WRAPPED_SIZE - 1;

export const MetadataType = { user: 0, timestamp: 1 } as const;

/** What the maker of a client key put in for `tls-crypt-v2-verify`. */
export interface ClientKeyMetadata {
  /** One byte: a `MetadataType`, or one that we do not know. */
  readonly type: number;
  readonly data: Uint8Array;
}

/** The content of a client's key file. */
export interface ClientKey {
  /** Kc: 256 bytes in the shape of a static key. */
  readonly key: Uint8Array;
  /** WKc, sent as it is. */
  readonly wrapped: Uint8Array;
}

/** 128 bytes, of which [0, 32) encrypts and [64, 96) authenticates. `undefined`: not such a file. */
export function parseServerKey(pem: string): Uint8Array | undefined {
  const bytes = parsePem(SERVER_KEY_PEM, pem);
  return bytes?.length === SERVER_KEY_SIZE ? bytes : undefined;
}

export function encodeServerKey(key: Uint8Array): string {
  return encodePem(SERVER_KEY_PEM, key);
}

/** `undefined`: not such a file, or the wrapped key in it is not of the length that it states. */
export function parseClientKey(pem: string): ClientKey | undefined {
  const bytes = parsePem(CLIENT_KEY_PEM, pem);
  if (bytes === undefined) return undefined;
  const wrapped = bytes.slice(STATIC_KEY_SIZE);
  if (wrappedSizeAtEnd(wrapped) !== wrapped.length) return undefined;
  return { key: bytes.slice(0, STATIC_KEY_SIZE), wrapped };
}

export function encodeClientKey({ key, wrapped }: ClientKey): string {
  return encodePem(CLIENT_KEY_PEM, concatBytes(key, wrapped));
}

export function timestampMetadata(now: UnixSeconds): ClientKeyMetadata {
  const data = new Uint8Array(8);
  writeUint64(data, 0, now);
  return { type: MetadataType.timestamp, data };
}

/** When the key was made, if its metadata says so. */
export function metadataTime({ type, data }: ClientKeyMetadata): UnixSeconds | undefined {
  return type === MetadataType.timestamp && data.length === 8 ? readUint64(data, 0) : undefined;
}

/** Makes WKc of a new Kc. At most `MAX_METADATA_SIZE` bytes of metadata. */
export function wrapClientKey(options: {
  readonly crypto: Crypto;
  readonly serverKey: Uint8Array;
  readonly key: Uint8Array;
  readonly metadata: ClientKeyMetadata;
}): Uint8Array {
  const { crypto, serverKey, key, metadata } = options;
  if (metadata.data.length > MAX_METADATA_SIZE) throw new RangeError('the metadata is too long for a client key');
  const plain = concatBytes(key, Uint8Array.of(metadata.type), metadata.data);
  const length = new Uint8Array(LENGTH_SIZE);
  writeUint16(length, 0, TAG_SIZE + plain.length + LENGTH_SIZE);
  const tag = crypto.hmac('SHA256', authKey(serverKey), length, plain);
  const wrapped = concatBytes(tag, crypto.aes256Ctr(cipherKey(serverKey), tag.subarray(0, IV_SIZE), plain), length);
  plain.fill(0);
  return wrapped;
}

/** Opens a WKc under the server's key. The key is the caller's own, to be wiped with its session. */
export function unwrapClientKey(options: {
  readonly crypto: Crypto;
  readonly serverKey: Uint8Array;
  readonly wrapped: Uint8Array;
}): { readonly key: Uint8Array; readonly metadata: ClientKeyMetadata | undefined } | DropReason {
  const { crypto, serverKey, wrapped } = options;
  if (wrappedSizeAtEnd(wrapped) !== wrapped.length) return 'bad-client-key';
  const tag = wrapped.subarray(0, TAG_SIZE);
  const end = wrapped.length - LENGTH_SIZE;
  const plain = crypto.aes256Ctr(cipherKey(serverKey), tag.subarray(0, IV_SIZE), wrapped.subarray(TAG_SIZE, end));
  const authentic = crypto.equal(crypto.hmac('SHA256', authKey(serverKey), wrapped.subarray(end), plain), tag);
  const key = plain.slice(0, STATIC_KEY_SIZE);
  const type = plain[STATIC_KEY_SIZE];
  const data = plain.slice(STATIC_KEY_SIZE + 1);
  plain.fill(0);
  if (!authentic) {
    key.fill(0);
    return 'bad-client-key';
  }
  return { key, metadata: type === undefined ? undefined : { type, data } };
}

export function appendWrappedKey(packet: Uint8Array, wrapped: Uint8Array): Uint8Array {
  return concatBytes(packet, wrapped);
}

/** Takes a datagram apart by the length at its end; both parts borrow from it. */
export function splitWrappedKey(
  datagram: Uint8Array,
): { readonly packet: Uint8Array; readonly wrapped: Uint8Array } | DropReason {
  const size = wrappedSizeAtEnd(datagram);
  if (size === undefined) return 'bad-client-key';
  const at = datagram.length - size;
  return { packet: datagram.subarray(0, at), wrapped: datagram.subarray(at) };
}

/** The length that the last two bytes state, if it can be one. */
function wrappedSizeAtEnd(bytes: Uint8Array): number | undefined {
  if (bytes.length < MIN_WRAPPED_SIZE) return undefined;
  const size = readUint16(bytes, bytes.length - LENGTH_SIZE);
  return size >= MIN_WRAPPED_SIZE && size <= Math.min(MAX_WRAPPED_SIZE, bytes.length) ? size : undefined;
}

function cipherKey(serverKey: Uint8Array): Uint8Array {
  return serverKey.subarray(0, 32);
}

function authKey(serverKey: Uint8Array): Uint8Array {
  return serverKey.subarray(64, 96);
}
