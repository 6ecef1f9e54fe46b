import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { toHex } from '#src/bytes/hex.js';
import { authTokenHmacKey, encodeAuthTokenKey, parseAuthTokenKey } from '#src/keys/auth-token-key.js';
import { deriveDataKey, wipeDataKey } from '#src/keys/data-key.js';
import { exportDataKeys, exportDynamicWrapKey, exportP2pPeerId } from '#src/keys/exporter.js';
import { readVector } from './trace.js';

const crypto = createCrypto();

/** A key whose quarters are filled with 1, 2, 3 and 4. */
const material = Uint8Array.from({ length: 256 }, (_, i) => 1 + (i >>> 6));
const options = { crypto, material, digest: 'SHA1', replayWindow: 64, replayTime: 15_000 };
const sizes = ({ cipher, auth }: { cipher: Uint8Array; auth: Uint8Array }) => [
  cipher[0],
  cipher.length,
  auth[0],
  auth.length,
];

const key = (cipher: string, epoch = false, digest = 'SHA1') =>
  deriveDataKey({
    ...options,
    direction: 'normal',
    cipher: crypto.cipher(cipher) ?? assert.fail(cipher),
    digest,
    epoch,
    longPacketId: false,
  });

test('each cipher gets as many bytes as it needs, from the quarters of its direction', () => {
  for (const [cipher, size] of [
    ['AES-128-GCM', 16],
    ['AES-192-GCM', 24],
    ['AES-256-GCM', 32],
    ['CHACHA20-POLY1305', 32],
  ] as const) {
    const { format, send, receive } = key(cipher);
    assert.equal(format, 'aead');
    assert.deepEqual(sizes(send), [1, size, 2, 8]);
    assert.deepEqual(sizes(receive), [3, size, 4, 8]);
    assert.deepEqual(sizes(key(cipher, true).send), [1, 32, undefined, 0]);
  }
  assert.deepEqual(sizes(key('AES-256-CBC').send), [1, 32, 2, 20]);
  assert.deepEqual(sizes(key('AES-128-CBC', false, 'SHA512').receive), [3, 16, 4, 64]);
  assert.deepEqual(sizes(key('AES-128-CBC', false, 'none').send), [1, 16, undefined, 0]);
});

test('static key mode without a direction uses the first key both ways, and may go without a cipher', () => {
  const key = deriveDataKey({
    ...options,
    direction: 'bidirectional',
    cipher: 'none',
    epoch: false,
    longPacketId: true,
  });
  assert.equal(key.cipher, 'none');
  assert.equal(key.longPacketId, true);
  assert.deepEqual(sizes(key.send), [undefined, 0, 2, 20]);
  assert.deepEqual(key.receive, key.send);
});

test('wiping a data key leaves the material alone', () => {
  const key = deriveDataKey({
    ...options,
    direction: 'normal',
    cipher: crypto.cipher('AES-256-GCM') ?? assert.fail(),
    epoch: false,
    longPacketId: false,
  });
  wipeDataKey(key);
  assert.ok(key.send.cipher.every((byte) => byte === 0) && key.receive.auth.every((byte) => byte === 0));
  assert.equal(material[0], 1);
});

test('exports use the labels that peers use', () => {
  const asked: string[] = [];
  const tls = {
    exportKeyingMaterial(label: string, length: number): Uint8Array {
      asked.push(`${label} ${length}`);
      return Uint8Array.from({ length }, (_, i) => i);
    },
  };
  assert.equal(exportDataKeys(tls).length, 256);
  assert.equal(exportP2pPeerId(tls), 0x000102);
  assert.equal(toHex(exportDynamicWrapKey(tls, undefined).subarray(0, 4)), '00010203');
  assert.equal(toHex(exportDynamicWrapKey(tls, new Uint8Array(256).fill(0xff)).subarray(0, 4)), 'fffefdfc');
  assert.deepEqual(asked, [
    'EXPORTER-OpenVPN-datakeys 256',
    'EXPORTER-OpenVPN-p2p-peerid 3',
    'EXPORTER-OpenVPN-dynamic-tls-crypt 256',
    'EXPORTER-OpenVPN-dynamic-tls-crypt 256',
  ]);
});

test('the auth-token secret of a stock --genkey is read, and written the same', () => {
  const pem = readVector('../auth-token.key');
  const key = parseAuthTokenKey(pem);
  assert.ok(key);
  assert.equal(key.length, 128);
  assert.deepEqual(authTokenHmacKey(key), key.slice(64, 96));
  assert.equal(encodeAuthTokenKey(key), pem);
  for (let length = 0; length < pem.trimEnd().length; length += 1) {
    assert.equal(parseAuthTokenKey(pem.slice(0, length)), undefined);
  }
});
