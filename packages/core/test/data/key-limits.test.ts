/** Where a key ends: packet ids, the usage of GCM, forgeries. Keys begin near their end here, as after days of traffic. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { AeadOpener, AeadSealer } from '#src/data/aead-format.js';
import { BlockOpener, type BlockOptions, BlockSealer } from '#src/data/block-format.js';
import type { DataSealer } from '#src/data/data-format.js';
import { Packet, packetOf } from '#src/data/packet.js';

const crypto = createCrypto();
const replay = { size: 64, time: 15_000 };
const header = Uint8Array.of(0x48, 0, 0, 1);
const key = { cipher: new Uint8Array(32).fill(1), auth: new Uint8Array(8).fill(2) };

function cipherOf(name: string) {
  const cipher = crypto.cipher(name);
  assert(cipher !== undefined);
  return cipher;
}

function seal(sealer: DataSealer, size = 16): Uint8Array | false {
  const packet = packetOf(size);
  packet.load(new Uint8Array(size).fill(5));
  return sealer.seal(packet, header) && packet.view().slice();
}

function blockOptions(longPacketId: boolean): BlockOptions {
  return {
    crypto,
    cipher: cipherOf('AES-256-CBC'),
    digest: 'SHA256',
    key: { ...key, auth: new Uint8Array(32).fill(3) },
    longPacketId,
  };
}

test('from packet id 0xff000000 a renegotiation is due, at 2^32 - 1 the key ends', () => {
  for (const make of [
    (lastId: number) => new AeadSealer(crypto, cipherOf('CHACHA20-POLY1305'), key, lastId),
    (lastId: number) =>
      new BlockSealer(
        blockOptions(false),
        (into) => into.fill(9),
        () => assert.fail(),
        lastId,
      ),
  ]) {
    const soft = make(0xff00_0000 - 2);
    assert(seal(soft));
    assert.equal(soft.limit, undefined);
    assert(seal(soft));
    assert.deepEqual(soft.limit, { limit: 'packet-id', hard: false });
    const hard = make(0xffff_ffff - 1);
    assert(seal(hard));
    assert.deepEqual(hard.limit, { limit: 'packet-id', hard: false });
    assert.equal(seal(hard), false);
    assert.deepEqual(hard.limit, { limit: 'packet-id', hard: true });
    assert.equal(seal(hard), false);
  }
});

test('an AEAD receiver says when the peer runs out of packet ids', () => {
  const cipher = cipherOf('AES-256-GCM');
  const sealer = new AeadSealer(crypto, cipher, key, 0xff00_0000 - 2);
  const opener = new AeadOpener(crypto, cipher, key, replay);
  for (const expected of [undefined, { limit: 'packet-id', hard: false }]) {
    const datagram = seal(sealer);
    assert(datagram);
    assert.equal(opener.open(new Packet(datagram), 4, 0), undefined);
    assert.deepEqual(opener.limit, expected);
  }
});

test('GCM ends at 2^36 - 1 packets and blocks, with a warning an eighth before; ChaCha20 has no such end', () => {
  // 2^32 - 2^24 packets of 15 blocks: as many as ids allow, which is below the limit; of 16 blocks and more it is above.
  const gcm = new AeadSealer(crypto, cipherOf('AES-256-GCM'), key);
  const opener = new AeadOpener(crypto, cipherOf('AES-256-GCM'), key, replay);
  const chacha = new AeadOpener(crypto, cipherOf('CHACHA20-POLY1305'), key, replay);
  // A packet as it stands after it was opened, 2^33 blocks long: header 4, id, tag.
  const opened = (id: number): Packet => new Packet(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, id), 0, 24 + 2 ** 33 * 16);
  for (let i = 1; i <= 7; i += 1) {
    assert.equal(opener.limit, undefined, `after ${i - 1} eighths`);
    assert.equal(opener.accept(opened(i), 4, 0), undefined);
    assert.equal(chacha.accept(opened(i), 4, 0), undefined);
  }
  assert.deepEqual(opener.limit, { limit: 'usage', hard: false });
  assert.equal(chacha.limit, undefined);
  assert(seal(gcm));
  assert.equal(gcm.limit, undefined);
});

test('after 2^35 forgeries a renegotiation is due, after 2^36 the key opens nothing', () => {
  const cipher = cipherOf('AES-256-GCM');
  const forged = new Uint8Array(60);
  const genuine = seal(new AeadSealer(crypto, cipher, key));
  assert(genuine);
  const soft = new AeadOpener(crypto, cipher, key, replay, 2 ** 35 - 2);
  soft.open(new Packet(forged.slice()), 4, 0);
  assert.equal(soft.limit, undefined);
  soft.open(new Packet(forged.slice()), 4, 0);
  assert.deepEqual(soft.limit, { limit: 'forgeries', hard: false });
  assert.equal(soft.open(new Packet(genuine.slice()), 4, 0), undefined);
  const hard = new AeadOpener(crypto, cipher, key, replay, 2 ** 36 - 1);
  assert.equal(hard.open(new Packet(forged.slice()), 4, 0), 'bad-auth');
  assert.deepEqual(hard.limit, { limit: 'forgeries', hard: true });
  assert.equal(hard.open(new Packet(genuine.slice()), 4, 0), 'key-exhausted');
});

test('long packet ids go on past 2^32: a later time starts them again, and the receiver follows', () => {
  let now = 1_700_000_000;
  const sealer = new BlockSealer(
    blockOptions(true),
    (into) => into.fill(9),
    () => now,
    0xffff_ffff - 1,
  );
  const opener = new BlockOpener(blockOptions(true), replay);
  const first = seal(sealer);
  // The clock stands still: the time that is sent must be later all the same.
  const second = seal(sealer);
  now -= 100;
  const third = seal(sealer);
  assert(first && second && third);
  for (const datagram of [first, second, third])
    assert.equal(opener.open(new Packet(datagram.slice()), 4, 0), undefined);
  assert.equal(opener.open(new Packet(first.slice()), 4, 0), 'replay', 'an earlier time');
  assert.equal(opener.open(new Packet(third.slice()), 4, 0), 'replay');
  assert.equal(sealer.limit, undefined);
});
