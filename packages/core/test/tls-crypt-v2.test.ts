import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';
import * as fc from 'fast-check';

import { decodeText } from '#src/bytes/text.js';
import { Opcode } from '#src/wire/opcode.js';
import { tlsCryptWrap } from '#src/wrap/tls-crypt.js';
import {
  appendWrappedKey,
  encodeClientKey,
  encodeServerKey,
  MAX_METADATA_SIZE,
  MetadataType,
  metadataTime,
  parseClientKey,
  parseServerKey,
  splitWrappedKey,
  timestampMetadata,
  unwrapClientKey,
  wrapClientKey,
} from '#src/wrap/tls-crypt-v2.js';
import { readVector } from './trace.js';

const crypto = createCrypto();
const pem = (name: string) => readVector(`../tls-crypt-v2/${name}.key`);

function parsed<T>(value: T | undefined): T {
  assert.ok(value);
  return value;
}

const serverKey = parsed(parseServerKey(pem('server')));

test('key files of a stock --genkey are read, and written the same', () => {
  assert.equal(encodeServerKey(serverKey), pem('server'));
  for (const name of ['client-timestamp', 'client-user']) {
    assert.equal(encodeClientKey(parsed(parseClientKey(pem(name)))), pem(name));
  }
});

test('a key that stock wrapped opens to the client key beside it, with its time', () => {
  const { key, wrapped } = parsed(parseClientKey(pem('client-timestamp')));
  assert.equal(wrapped.length, 299);
  const opened = unwrapClientKey({ crypto, serverKey, wrapped });
  assert.ok(typeof opened !== 'string' && opened.metadata);
  assert.deepEqual(opened.key, key);
  assert.equal(metadataTime(opened.metadata), 1_795_232_283);
});

test('a key that stock wrapped with metadata of the user opens with it', () => {
  const { wrapped } = parsed(parseClientKey(pem('client-user')));
  const opened = unwrapClientKey({ crypto, serverKey, wrapped });
  assert.ok(typeof opened !== 'string' && opened.metadata);
  assert.equal(opened.metadata.type, MetadataType.user);
  assert.equal(decodeText(opened.metadata.data), 'alice@example');
  assert.equal(metadataTime(opened.metadata), undefined);
});

test('wrapping the same key again gives the bytes that stock gave', () => {
  const { key, wrapped } = parsed(parseClientKey(pem('client-timestamp')));
  assert.deepEqual(wrapClientKey({ crypto, serverKey, key, metadata: timestampMetadata(1_795_232_283) }), wrapped);
});

const metadata = (size: number) => ({ type: MetadataType.user, data: new Uint8Array(size) });

test('a wrapped key is at most 1024 bytes', () => {
  const key = new Uint8Array(256);
  assert.equal(MAX_METADATA_SIZE, 733);
  assert.equal(wrapClientKey({ crypto, serverKey, key, metadata: metadata(733) }).length, 1_024);
  assert.throws(() => wrapClientKey({ crypto, serverKey, key, metadata: metadata(734) }), RangeError);
});

test('a flipped bit, a missing byte, another server key: the client key is refused', () => {
  const { wrapped } = parsed(parseClientKey(pem('client-timestamp')));
  for (let bit = 0; bit < wrapped.length * 8; bit += 7) {
    const flipped = wrapped.slice();
    flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(unwrapClientKey({ crypto, serverKey, wrapped: flipped }), 'bad-client-key', `bit ${bit}`);
  }
  for (let length = 0; length < wrapped.length; length += 1) {
    assert.equal(unwrapClientKey({ crypto, serverKey, wrapped: wrapped.subarray(0, length) }), 'bad-client-key');
  }
  const other = serverKey.map((byte) => byte ^ 1);
  assert.equal(unwrapClientKey({ crypto, serverKey: other, wrapped }), 'bad-client-key');
});

test('a first packet is taken apart into a tls-crypt packet and the wrapped key behind it', () => {
  const clientKey = parsed(parseClientKey(pem('client-user')));
  const packet = {
    opcode: Opcode.hardResetClientV3,
    keyId: 0,
    sessionId: Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1),
    acks: [],
    peerSessionId: undefined,
    messageId: 0,
    payload: new Uint8Array(),
  };
  const client = tlsCryptWrap({ crypto, key: clientKey.key, role: 'client' });
  const datagram = appendWrappedKey(client.wrap(packet, 100), clientKey.wrapped);

  const split = splitWrappedKey(datagram);
  assert.ok(typeof split !== 'string');
  const opened = unwrapClientKey({ crypto, serverKey, wrapped: split.wrapped });
  assert.ok(typeof opened !== 'string');
  const server = tlsCryptWrap({ crypto, key: opened.key, role: 'server' });
  assert.deepEqual(server.unwrap(split.packet, 100), packet);
});

test('random datagrams are never an exception, and no part reaches beyond them', () => {
  const random = new SeededRandom(3);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1_500 }), fc.nat(1_600), (bytes, size) => {
      if (bytes.length > 2 && random.chance(0.8)) bytes.set([size >>> 8, size & 255], bytes.length - 2);
      const split = splitWrappedKey(bytes);
      if (typeof split === 'string') return;
      assert.equal(split.packet.length + split.wrapped.length, bytes.length);
      assert.equal(split.wrapped.length, size);
      assert.equal(unwrapClientKey({ crypto, serverKey, wrapped: split.wrapped }), 'bad-client-key');
    }),
  );
});

test('key files that are cut short or of the other kind are refused', () => {
  const text = pem('client-timestamp');
  for (let length = 0; length < text.trimEnd().length; length += 1) {
    assert.equal(parseClientKey(text.slice(0, length)), undefined);
  }
  assert.equal(parseServerKey(text), undefined);
  assert.equal(parseClientKey(pem('server')), undefined);
  const { key, wrapped } = parsed(parseClientKey(text));
  assert.equal(parseClientKey(encodeClientKey({ key, wrapped: wrapped.slice(1) })), undefined);
});
