import assert from 'node:assert/strict';
import { createDecipheriv, createHmac } from 'node:crypto';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { concatBytes, sameBytes } from '#src/bytes/bytes.js';
import { toHex } from '#src/bytes/hex.js';
import { type DataKey, type DirectionKey, deriveDataKey } from '#src/keys/data-key.js';
import { deriveEpochKey, nextEpochSecret } from '#src/keys/epoch-key.js';
import { deriveKeysByPrf, tls10Prf } from '#src/keys/prf.js';
import { opcodeOf } from '#src/wire/opcode.js';
import { bytesAfter, type Datagram, hexAfter, readLog, readTrace, type TraceName } from './trace.js';

const crypto = createCrypto();

/** Opens every data packet of a trace with `open` and compares the plaintexts with what their senders logged. */
function assertOpens(trace: TraceName, open: (packet: Datagram) => Uint8Array): void {
  for (const from of ['client', 'server'] as const) {
    const packets = readTrace(trace).filter((packet) => packet.from === from && opcodeOf(packet.bytes[0] ?? 0) === 9);
    const logged = hexAfter(readLog(trace, from), 'ENCRYPT FROM: ');
    // The last ping of a client was sealed but no longer sent when it was told to stop.
    const unsent = logged.length - packets.length;
    assert.ok(packets.length >= 8 && unsent >= 0 && unsent <= 1, `${trace}: ${from} ${packets.length}, ${unsent}`);
    for (const [i, packet] of packets.entries()) {
      const plaintext = toHex(open(packet));
      assert.ok(plaintext.startsWith(logged[i] ?? '?'), `${trace}: ${from} ${i}: ${plaintext}, log: ${logged[i]}`);
    }
  }
}

/** Places what a client logged of its keys into the 256 bytes that they were cut from. */
function material(parts: {
  sendCipher: Uint8Array;
  sendHmac?: Uint8Array;
  receiveCipher: Uint8Array;
  receiveHmac?: Uint8Array;
}): Uint8Array {
  const bytes = new Uint8Array(256).fill(0xee);
  bytes.set(parts.sendCipher, 0);
  if (parts.sendHmac) bytes.set(parts.sendHmac, 64);
  bytes.set(parts.receiveCipher, 128);
  if (parts.receiveHmac) bytes.set(parts.receiveHmac, 192);
  return bytes;
}

function dataKeys(bytes: Uint8Array, cipher: string, epoch = false): Record<'client' | 'server', DataKey> {
  const options = {
    crypto,
    material: bytes,
    cipher: crypto.cipher(cipher) ?? assert.fail(cipher),
    digest: 'SHA256',
    epoch,
    replayWindow: 64,
    replayTime: 15_000,
    longPacketId: false,
  };
  const client = deriveDataKey({ ...options, direction: 'normal' });
  const server = deriveDataKey({ ...options, direction: 'inverse' });
  assert.deepEqual([client.send, client.receive], [server.receive, server.send]);
  return { client, server };
}

/** | header 4 | packet id 4 | tag 16 | ciphertext | */
function openAead({ bytes }: Datagram, { cipher, auth }: DirectionKey): Uint8Array {
  const opening = createDecipheriv('aes-256-gcm', cipher, concatBytes(bytes.subarray(4, 8), auth));
  opening.setAAD(bytes.subarray(0, 8));
  opening.setAuthTag(bytes.subarray(8, 24));
  return concatBytes(opening.update(bytes.subarray(24)), opening.final());
}

test('exported keys, cut for AES-256-GCM, open every data packet', () => {
  const trace = '01-tlscrypt-gcm-ekm-2614';
  const log = readLog(trace, 'client');
  const iv = (label: string) => bytesAfter(log, label).subarray(4);
  const keys = dataKeys(
    material({
      sendCipher: bytesAfter(log, 'Master Encrypt (cipher, AES-256-GCM, 256 bits): '),
      sendHmac: iv('ENCRYPT IV: '),
      receiveCipher: bytesAfter(log, 'Master Decrypt (cipher, AES-256-GCM, 256 bits): '),
      receiveHmac: iv('DECRYPT IV: '),
    }),
    'AES-256-GCM',
  );
  assert.equal(keys.client.format, 'aead');
  assertOpens(trace, (packet) => openAead(packet, keys[packet.from].send));
});

test('exported keys, cut for AES-256-CBC with SHA256, open every data packet', () => {
  const trace = '02-tlsauth-cbc-sha256-2614';
  const log = readLog(trace, 'client');
  const keys = dataKeys(
    material({
      sendCipher: bytesAfter(log, 'Master Encrypt (cipher, AES-256-CBC, 256 bits): '),
      sendHmac: bytesAfter(log, 'Master Encrypt (hmac, SHA256, 256 bits): '),
      receiveCipher: bytesAfter(log, 'Master Decrypt (cipher, AES-256-CBC, 256 bits): '),
      receiveHmac: bytesAfter(log, 'Master Decrypt (hmac, SHA256, 256 bits): '),
    }),
    'AES-256-CBC',
  );
  assert.equal(keys.client.format, 'block');
  // | header 4 | HMAC 32 | IV 16 | ciphertext of (packet id 4, payload) |
  assertOpens(trace, ({ from, bytes }) => {
    const { cipher, auth } = keys[from].send;
    const mac = createHmac('sha256', auth).update(bytes.subarray(36)).digest();
    assert.ok(sameBytes(mac, bytes.subarray(4, 36)));
    const opening = createDecipheriv('aes-256-cbc', cipher, bytes.subarray(36, 52));
    return concatBytes(opening.update(bytes.subarray(52)), opening.final());
  });
});

test('epoch keys follow from the exported ones, and open every data packet', () => {
  const trace = '05-epoch-tlscrypt-276';
  const log = readLog(trace, 'client');
  const keys = dataKeys(
    material({
      sendCipher: bytesAfter(log, 'Master Encrypt (cipher, AES-256-GCM, 256 bits): '),
      receiveCipher: bytesAfter(log, 'Master Decrypt (cipher, AES-256-GCM, 256 bits): '),
    }),
    'AES-256-GCM',
    true,
  );
  assert.equal(keys.client.format, 'epoch');
  assert.equal(keys.client.send.auth.length, 0);
  const cipher = crypto.cipher('AES-256-GCM');
  assert.ok(cipher);

  assert.deepEqual(
    deriveEpochKey(crypto, keys.client.send.cipher, cipher).cipher,
    bytesAfter(log, 'Outgoing Epoch Data key 1: CIPHER KEY: '),
  );
  let secret = keys.client.receive.cipher;
  for (let epoch = 1; epoch <= 16; epoch += 1) {
    const logged = bytesAfter(log, `Incoming Epoch Data key ${epoch}: CIPHER KEY: `);
    assert.deepEqual(deriveEpochKey(crypto, secret, cipher).cipher, logged, `epoch ${epoch}`);
    secret = nextEpochSecret(crypto, secret);
  }

  // | header 4 | epoch 2, counter 6 | ciphertext | tag 16 |
  assertOpens(trace, ({ from, bytes }) => {
    const { cipher: key, implicitIv } = deriveEpochKey(crypto, keys[from].send.cipher, cipher);
    const nonce = implicitIv.map((byte, i) => byte ^ (i < 8 ? (bytes[4 + i] ?? 0) : 0));
    const opening = createDecipheriv('aes-256-gcm', key, nonce);
    opening.setAAD(bytes.subarray(0, 12));
    opening.setAuthTag(bytes.subarray(-16));
    return concatBytes(opening.update(bytes.subarray(12, -16)), opening.final());
  });
});

test('the PRF gives every intermediate that a 2.5 client logged, and keys that open every data packet', () => {
  const trace = '09-prf-client2511-server2614';
  const log = readLog(trace, 'client');
  const preMaster = bytesAfter(log, 'Client pre_master: ');
  const masterSeed = bytesAfter(log, 'tls1_P_hash seed: ');
  assert.deepEqual(tls10Prf(crypto, preMaster, masterSeed, 48), bytesAfter(log, 'tls1_PRF out[48]: '));

  const sessionIds = (from: 'client' | 'server') =>
    readTrace(trace)
      .find((packet) => packet.from === from)
      ?.bytes.subarray(1, 9) ?? new Uint8Array();
  const derived = deriveKeysByPrf({
    crypto,
    client: {
      preMaster,
      random1: bytesAfter(log, 'Client random1: '),
      random2: bytesAfter(log, 'Client random2: '),
    },
    server: {
      preMaster: undefined,
      random1: bytesAfter(log, 'Server random1: '),
      random2: bytesAfter(log, 'Server random2: '),
    },
    clientSessionId: sessionIds('client'),
    serverSessionId: sessionIds('server'),
  });
  assert.deepEqual(derived, bytesAfter(log, 'tls1_PRF out[256]: '));
  const keys = dataKeys(derived, 'AES-256-GCM');
  assertOpens(trace, (packet) => openAead(packet, keys[packet.from].send));
});
