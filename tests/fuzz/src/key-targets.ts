/** Key files, the wrapped client key, and auth tokens. */
import assert from 'node:assert/strict';

import {
  authTokenHmacKey,
  concatBytes,
  encodeAuthTokenKey,
  encodeClientKey,
  encodeServerKey,
  encodeStaticKey,
  parseAuthTokenKey,
  parseClientKey,
  parseServerKey,
  parseStaticKey,
  splitWrappedKey,
  unwrapClientKey,
  verifyAuthToken,
} from '@seikan/core';
import { createCrypto } from '@seikan/native';

import type { FuzzTarget } from './fuzz.js';
import { bytesOf, readVector, textOf, vector } from './inputs.js';

const crypto = createCrypto();

/** What is read can be written, and is then read the same. */
function keyFile<T>(
  name: string,
  paths: string[],
  parse: (text: string) => T | undefined,
  encode: (key: T) => string,
): FuzzTarget {
  return {
    name,
    seeds: () => paths.map((path) => bytesOf(readVector(path))),
    run(input) {
      const key = parse(textOf(input));
      if (key === undefined) return 'refused';
      assert.deepEqual(parse(encode(key)), key);
      return 'a key';
    },
  };
}

const serverKey = vector('tls-crypt-v2/server.key', parseServerKey);
const clientKey = vector('tls-crypt-v2/client-user.key', parseClientKey);

/** Datagrams with a wrapped key behind them. A first byte of 1 makes the wrapping around the rest genuine. */
const wrappedKey: FuzzTarget = {
  name: 'wrapped-client-key',
  seeds: () => [
    concatBytes(Uint8Array.of(0), new Uint8Array(54), clientKey.wrapped),
    concatBytes(Uint8Array.of(1), clientKey.key, Uint8Array.of(0), bytesOf('alice')),
  ],
  run(input) {
    const sealed = input[0] === 1;
    const datagram = sealed ? sealClientKey(input.subarray(1)) : input.subarray(1);
    const split = splitWrappedKey(datagram);
    if (typeof split === 'string') return split;
    assert.equal(split.packet.length + split.wrapped.length, datagram.length);
    const opened = unwrapClientKey({ crypto, serverKey, wrapped: split.wrapped });
    if (typeof opened === 'string') return `split, ${opened}`;
    assert.equal(opened.key.length, 256);
    if (sealed) assert.deepEqual(opened.key, input.slice(1, 257));
    return `opened, ${opened.metadata === undefined ? 'no metadata' : `type ${Math.min(opened.metadata.type, 2)}`}`;
  },
};

function sealClientKey(plain: Uint8Array): Uint8Array {
  const size = 32 + plain.length + 2;
  const length = Uint8Array.of(size >>> 8, size);
  const tag = crypto.hmac('SHA256', serverKey.subarray(64, 96), length, plain);
  return concatBytes(tag, crypto.aes256Ctr(serverKey.subarray(0, 32), tag.subarray(0, 16), plain), length);
}

const tokenSecret = { crypto, hmacKey: authTokenHmacKey(vector('auth-token.key', parseAuthTokenKey)) };
const genuineToken = /auth-token ([^,]*)/.exec(
  Buffer.from(
    readVector('key-exchange/client-plaintext.txt').trim().split('\n')[2]?.split(' ')[1] ?? '',
    'hex',
  ).toString(),
)?.[1];

/** No damaged token is ever accepted. */
const authToken: FuzzTarget = {
  name: 'auth-token',
  seeds: () => [bytesOf(genuineToken ?? ''), bytesOf('SESS_ID_AT_AAAA')],
  run(input) {
    const text = textOf(input);
    const accepted = verifyAuthToken(tokenSecret, 'alice', text) !== undefined;
    assert.equal(accepted, text === genuineToken);
    return accepted ? 'accepted' : text.startsWith('SESS_ID_AT_') ? 'refused' : 'no token';
  },
};

export const keyTargets: readonly FuzzTarget[] = [
  keyFile('static-key', ['traces/tls-auth.key'], parseStaticKey, encodeStaticKey),
  keyFile('tls-crypt-v2-server-key', ['tls-crypt-v2/server.key'], parseServerKey, encodeServerKey),
  keyFile('tls-crypt-v2-client-key', ['tls-crypt-v2/client-timestamp.key'], parseClientKey, encodeClientKey),
  keyFile('auth-token-key', ['auth-token.key'], parseAuthTokenKey, encodeAuthTokenKey),
  wrappedKey,
  authToken,
];
