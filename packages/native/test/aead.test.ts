import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createCrypto, createNativeAeadKey, createNodeAeadKey, PacketBatch, PacketKey } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const flip = (bytes: Uint8Array, at: number) => {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
};

interface Vector {
  readonly name: string;
  readonly cipher: string;
  readonly key: string;
  readonly nonce: string;
  readonly aad: string;
  readonly plaintext: string;
  readonly ciphertext: string;
  readonly tag: string;
}

// AES: McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, cases 1, 4, 10, 13 and 16 (NIST's own).
const GCM_PLAINTEXT = `d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                       1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39`;
const GCM_AAD = 'feedfacedeadbeeffeedfacedeadbeefabaddad2';
const VECTORS: readonly Vector[] = [
  {
    name: 'AES-128-GCM, case 1: nothing at all',
    cipher: 'AES-128-GCM',
    key: '00000000000000000000000000000000',
    nonce: '000000000000000000000000',
    aad: '',
    plaintext: '',
    ciphertext: '',
    tag: '58e2fccefa7e3061367f1d57a4e7455a',
  },
  {
    name: 'AES-128-GCM, case 4',
    cipher: 'AES-128-GCM',
    key: 'feffe9928665731c6d6a8f9467308308',
    nonce: 'cafebabefacedbaddecaf888',
    aad: GCM_AAD,
    plaintext: GCM_PLAINTEXT,
    ciphertext: `42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
                 21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091`,
    tag: '5bc94fbc3221a5db94fae95ae7121a47',
  },
  {
    name: 'AES-192-GCM, case 10',
    cipher: 'AES-192-GCM',
    key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c',
    nonce: 'cafebabefacedbaddecaf888',
    aad: GCM_AAD,
    plaintext: GCM_PLAINTEXT,
    ciphertext: `3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c
                 7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710`,
    tag: '2519498e80f1478f37ba55bd6d27618c',
  },
  {
    name: 'AES-256-GCM, case 13: nothing at all',
    cipher: 'AES-256-GCM',
    key: '0000000000000000000000000000000000000000000000000000000000000000',
    nonce: '000000000000000000000000',
    aad: '',
    plaintext: '',
    ciphertext: '',
    tag: '530f8afbc74536b9a963b4f1c4cb738b',
  },
  {
    name: 'AES-256-GCM, case 16',
    cipher: 'AES-256-GCM',
    key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308',
    nonce: 'cafebabefacedbaddecaf888',
    aad: GCM_AAD,
    plaintext: GCM_PLAINTEXT,
    ciphertext: `522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
                 8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662`,
    tag: '76fc6ece0f4e1768cddf8853bb2d551b',
  },
  {
    name: 'ChaCha20-Poly1305, RFC 8439 section 2.8.2',
    cipher: 'CHACHA20-POLY1305',
    key: '808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f',
    nonce: '070000004041424344454647',
    aad: '50515253c0c1c2c3c4c5c6c7',
    plaintext: `4c616469657320616e642047656e746c656d656e206f662074686520636c6173
                73206f66202739393a204966204920636f756c64206f6666657220796f75206f
                6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73
                637265656e20776f756c642062652069742e`,
    ciphertext: `d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6
                 3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36
                 92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
                 3ff4def08e4b7a9de576d26586cec64b6116`,
    tag: '1ae10b594f09e26a7e902ecbd0600691',
  },
];

const crypto = createCrypto();

function traits(name: string) {
  const found = crypto.cipher(name);
  assert.ok(found !== undefined, `${name} is not available`);
  return found;
}

for (const vector of VECTORS)
  test(`the native and the node:crypto key give the published result of ${vector.name}`, () => {
    const plaintext = hex(vector.plaintext);
    for (const create of [createNativeAeadKey, createNodeAeadKey]) {
      const key = create(traits(vector.cipher), hex(vector.key));
      const out = new Uint8Array(plaintext.length);
      const tag = new Uint8Array(16);
      key.seal(hex(vector.nonce), hex(vector.aad), plaintext, out, tag);
      assert.equal(toHex(out), toHex(hex(vector.ciphertext)));
      assert.equal(toHex(tag), vector.tag);
      assert.equal(key.open(hex(vector.nonce), hex(vector.aad), out, tag, out), true);
      assert.equal(toHex(out), toHex(plaintext));
    }
  });

test('the native key and its node:crypto twin agree on every size, and open what the other sealed', () => {
  const seed = 0x5e1ca9;
  const random = new SeededRandom(seed);
  const bytes = (size: number) => {
    const made = new Uint8Array(size);
    random.fill(made);
    return made;
  };
  for (const name of ['AES-128-GCM', 'AES-192-GCM', 'AES-256-GCM', 'CHACHA20-POLY1305']) {
    const keyBytes = bytes(traits(name).keySize);
    const native = createNativeAeadKey(traits(name), keyBytes);
    const node = createNodeAeadKey(traits(name), keyBytes);
    for (let round = 0; round < 60; round += 1) {
      const nonce = bytes(12);
      const aad = bytes(random.below(40));
      const plaintext = bytes(random.below(1_600));
      const sealed = plaintext.slice();
      const tag = new Uint8Array(16);
      native.seal(nonce, aad, sealed, sealed, tag);
      const expected = new Uint8Array(plaintext.length);
      const expectedTag = new Uint8Array(16);
      node.seal(nonce, aad, plaintext, expected, expectedTag);
      assert.deepEqual([sealed, tag], [expected, expectedTag], `${name}, seed ${seed}, round ${round}`);
      assert.equal(native.open(nonce, aad, expected, expectedTag, expected), true);
      assert.deepEqual(expected, plaintext);
      assert.equal(node.open(nonce, aad, sealed, tag, sealed), true);
      assert.deepEqual(sealed, plaintext);
    }
  }
});

test('a changed bit anywhere makes open return false and leaves no plaintext', () => {
  const key = createNativeAeadKey(traits('AES-256-GCM'), new Uint8Array(32).fill(1));
  const nonce = new Uint8Array(12).fill(2);
  const aad = new Uint8Array(8).fill(3);
  const sealed = new Uint8Array(100).fill(4);
  const tag = new Uint8Array(16);
  key.seal(nonce, aad, sealed, sealed, tag);
  for (const part of [nonce, aad, sealed, tag]) {
    const out = new Uint8Array(100).fill(9);
    flip(part, part.length - 1);
    assert.equal(key.open(nonce, aad, sealed, tag, out), false);
    assert.deepEqual(out, new Uint8Array(100));
    flip(part, part.length - 1);
  }
  assert.equal(key.open(nonce, aad, sealed, tag, sealed), true);
  assert.deepEqual(sealed, new Uint8Array(100).fill(4));
});

test('wrong sizes, overlapping buffers and a wiped key are refused', () => {
  const key = createNativeAeadKey(traits('AES-128-GCM'), new Uint8Array(16));
  const memory = new Uint8Array(64);
  const nonce = new Uint8Array(12);
  const aad = new Uint8Array(0);
  const tag = new Uint8Array(16);
  assert.throws(() => createNativeAeadKey(traits('AES-128-GCM'), new Uint8Array(15)), RangeError);
  assert.throws(() => createNativeAeadKey({ ...traits('AES-128-GCM'), name: 'AES-128-CBC' }, nonce), RangeError);
  assert.throws(() => key.seal(memory.subarray(0, 11), aad, memory, memory, tag), RangeError);
  assert.throws(() => key.seal(nonce, aad, memory, memory.subarray(0, 63), tag), RangeError);
  assert.throws(() => key.seal(nonce, aad, memory, memory, tag.subarray(0, 15)), RangeError);
  assert.throws(() => key.open(nonce, aad, memory, tag.subarray(0, 15), memory), RangeError);
  assert.throws(() => key.seal(nonce, aad, memory.subarray(0, 32), memory.subarray(16, 48), tag), RangeError);
  key.wipe();
  key.wipe();
  assert.throws(() => key.seal(nonce, aad, memory, memory, tag), { code: 'ERR_CLOSED' });
});

const V2 = { aadOffset: 0, aadLength: 8, counterOffset: 4, counterLength: 4, tagOffset: 8, bodyOffset: 24 } as const;
const EPOCH = {
  aadOffset: 0,
  aadLength: 12,
  counterOffset: 4,
  counterLength: 8,
  tagOffset: 'end',
  bodyOffset: 12,
} as const;

test('a batch of P_DATA_V2 packets is sealed with head, implicit IV and tag where the protocol has them', () => {
  const keyBytes = new Uint8Array(32).fill(0x11);
  const implicitIv = hex('a1a2a3a4a5a6a7a8');
  const iv = new Uint8Array(12);
  iv.set(implicitIv, 4);
  const sealing = new PacketKey({ cipher: 'AES-256-GCM', key: keyBytes, iv, layout: V2 });
  const twin = createNodeAeadKey(traits('AES-256-GCM'), keyBytes);
  const batch = new PacketBatch({ slots: 5, headroom: 8, capacity: 1_600, tailroom: 0 });
  const bodies = [0, 1, 63, 1_400, 7].map((size, i) => new Uint8Array(size).fill(i));
  for (const [i, body] of bodies.entries()) {
    const packet = new Uint8Array(24 + body.length);
    packet.set([0x48, 0, 0, 7, 0, 0, 1, i]);
    packet.set(body, 24);
    batch.put(i, packet);
  }
  sealing.sealBatch(batch, 0, 5);
  for (const [i, body] of bodies.entries()) {
    const packet = batch.packet(i);
    const nonce = new Uint8Array([0, 0, 1, i, ...implicitIv]);
    const out = new Uint8Array(body.length);
    assert.deepEqual(packet.slice(0, 8), new Uint8Array([0x48, 0, 0, 7, 0, 0, 1, i]));
    assert.equal(twin.open(nonce, packet.slice(0, 8), packet.slice(24), packet.slice(8, 24), out), true);
    assert.deepEqual(out, body);
  }
});

test('a batch in the epoch layout has its tag at the end and XORs an 8-byte counter into the IV', () => {
  const keyBytes = new Uint8Array(32).fill(0x22);
  const iv = hex('0f0e0d0c0b0a09080706f5f4');
  const sealing = new PacketKey({ cipher: 'CHACHA20-POLY1305', key: keyBytes, iv, layout: EPOCH });
  const twin = createNodeAeadKey(traits('CHACHA20-POLY1305'), keyBytes);
  const batch = new PacketBatch({ slots: 1, headroom: 0, capacity: 100, tailroom: 0 });
  batch.put(0, new Uint8Array([0x48, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 9, ...Buffer.from('ping'), ...new Uint8Array(16)]));
  sealing.sealBatch(batch, 0, 1);
  const packet = batch.packet(0);
  const out = new Uint8Array(4);
  // 0f0e0d0c 0b0a0908 0706f5f4 XOR 00010000 00000009 00000000, by hand.
  const nonce = hex('0f0f0d0c0b0a09010706f5f4');
  assert.equal(twin.open(nonce, packet.slice(0, 12), packet.slice(12, 16), packet.slice(16), out), true);
  assert.equal(Buffer.from(out).toString(), 'ping');
});

test('opening a batch marks each packet and clears the forged ones only', () => {
  const options = { cipher: 'AES-256-GCM', key: new Uint8Array(32).fill(3), iv: new Uint8Array(12), layout: V2 };
  const sealing = new PacketKey(options);
  const opening = new PacketKey(options);
  const batch = new PacketBatch({ slots: 6, headroom: 0, capacity: 100, tailroom: 0 });
  for (let i = 0; i < 6; i += 1) {
    const packet = new Uint8Array(24 + 40).fill(i, 24);
    packet.set([0x48, 0, 0, 1, 0, 0, 0, i + 1]);
    batch.put(i, packet);
  }
  sealing.sealBatch(batch, 0, 6);
  flip(batch.slab, (batch.offsets[1] ?? 0) + 30); // the body
  flip(batch.slab, (batch.offsets[2] ?? 0) + 8); // the tag
  flip(batch.slab, (batch.offsets[3] ?? 0) + 7); // the packet id: in the AAD and the nonce
  batch.lengths[4] = 23; // no room for the head
  const results = new Uint8Array(6).fill(9);
  assert.equal(opening.openBatch(batch, 0, 6, results), 2);
  assert.deepEqual(results, new Uint8Array([1, 0, 0, 0, 0, 1]));
  assert.deepEqual(batch.packet(0).slice(24), new Uint8Array(40));
  assert.deepEqual(batch.packet(1).slice(24), new Uint8Array(40), 'a forged body is cleared');
  assert.deepEqual(batch.packet(5).slice(24), new Uint8Array(40).fill(5));
});

test('a packet key refuses layouts whose head reaches into the body, and packets outside the slab', () => {
  const options = { cipher: 'AES-256-GCM', key: new Uint8Array(32), iv: new Uint8Array(12), layout: V2 };
  assert.throws(() => new PacketKey({ ...options, layout: { ...V2, bodyOffset: 23 } }), RangeError);
  assert.throws(() => new PacketKey({ ...options, layout: { ...V2, counterLength: 13 } }), RangeError);
  assert.throws(() => new PacketKey({ ...options, layout: { ...V2, aadLength: 25 } }), RangeError);
  assert.throws(() => new PacketKey({ ...options, iv: new Uint8Array(8) }), RangeError);
  const key = new PacketKey(options);
  const batch = new PacketBatch({ slots: 2, headroom: 0, capacity: 64, tailroom: 0 });
  batch.lengths.fill(64);
  batch.offsets[1] = 65;
  assert.throws(() => key.sealBatch(batch, 0, 2), RangeError);
  assert.throws(() => key.sealBatch(batch, 1, 2), RangeError);
  assert.throws(() => key.openBatch(batch, 0, 2, new Uint8Array(1)), RangeError);
  batch.lengths[0] = 10;
  assert.throws(() => key.sealBatch(batch, 0, 1), RangeError);
  key.wipe();
  assert.throws(() => key.openBatch(batch, 0, 1, new Uint8Array(2)), { code: 'ERR_CLOSED' });
});
