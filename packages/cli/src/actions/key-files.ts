/**
 * `--genkey`: new secrets, to a file that only its owner reads, or to standard output.
 * upstream: init.c `do_genkey`, tls_crypt.c `tls_crypt_v2_write_client_key_file` (2.6).
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fchmodSync, openSync, writeSync } from 'node:fs';

import {
  AUTH_TOKEN_KEY_SIZE,
  type ClientKeyMetadata,
  encodeAuthTokenKey,
  encodeClientKey,
  encodeServerKey,
  encodeStaticKey,
  fromBase64,
  MAX_METADATA_SIZE,
  MetadataType,
  parseServerKey,
  SERVER_KEY_SIZE,
  STATIC_KEY_SIZE,
  timestampMetadata,
  wrapClientKey,
} from '@seikan/core';
import type { Action } from '@seikan/engine';
import { createCrypto } from '@seikan/native';
import { MaterialError, readMaterial, reasonOf } from '@seikan/runtime';

type Genkey = Extract<Action, { do: 'genkey' }>;

/** Makes the key and writes it. Throws a MaterialError in upstream's words. */
export function writeKey(action: Genkey, put: (text: string) => void): void {
  const text = makeKey(action);
  if (action.file === undefined || action.file === '') put(text);
  else writeSecret(action.file, text);
}

function makeKey(action: Genkey): string {
  switch (action.type) {
    case 'secret':
      return wiping(randomBytes(STATIC_KEY_SIZE), encodeStaticKey);
    case 'auth-token':
      return wiping(randomBytes(AUTH_TOKEN_KEY_SIZE), encodeAuthTokenKey);
    case 'tls-crypt-v2-server':
      return wiping(randomBytes(SERVER_KEY_SIZE), encodeServerKey);
    case 'tls-crypt-v2-client':
      return makeClientKey(action);
    default:
      throw new Error(action.type satisfies never);
  }
}

function makeClientKey({ serverKey: material, metadata: text }: Genkey): string {
  if (material === undefined) throw new TypeError('a client key without the key of its server');
  const serverKey = parseServerKey(readMaterial(material, 'tls-crypt-v2'));
  if (serverKey === undefined) throw new MaterialError('ERROR: invalid tls-crypt-v2 server key format');
  const metadata = metadataOf(text);
  const client = wiping(randomBytes(STATIC_KEY_SIZE), (key) =>
    encodeClientKey({ key, wrapped: wrapClientKey({ crypto: createCrypto(), serverKey, key, metadata }) }),
  );
  serverKey.fill(0);
  return client;
}

function metadataOf(text: string | undefined): ClientKeyMetadata {
  if (text === undefined) return timestampMetadata(Math.floor(Date.now() / 1000));
  const data = fromBase64(text);
  if (data === undefined) throw new MaterialError('ERROR: failed to base64 decode provided metadata');
  if (data.length > MAX_METADATA_SIZE) {
    throw new MaterialError(`ERROR: metadata too long (${data.length} bytes, max ${MAX_METADATA_SIZE} bytes)`);
  }
  return { type: MetadataType.user, data };
}

/** Writes a file of mode 0600, whatever stood there before. */
function writeSecret(path: string, text: string): void {
  try {
    const fd = openSync(path, 'w', 0o600);
    try {
      fchmodSync(fd, 0o600);
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new MaterialError(`Cannot open file '${path}' for write: ${reasonOf(error)}\nFailed to write key file`, {
      cause: error,
    });
  }
}

function wiping(key: Buffer, encode: (key: Uint8Array) => string): string {
  const text = encode(key);
  key.fill(0);
  return text;
}
