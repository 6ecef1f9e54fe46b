/**
 * CBC and HMAC of the key ring: packets of a stock OpenVPN, and random ones made and opened by node:crypto. Sealing
 * stands in offload-fuzz.test.ts, since it cuts superpackets.
 */
import assert from 'node:assert/strict';
import { createCipheriv, createHmac } from 'node:crypto';
import { test } from 'node:test';

import { KeyRing, PacketTable, type RingCbcOptions } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';

import { CBC_CIPHERS, DIGESTS, pick, randomBytes } from './offload-harness.js';

const seed = Number(process.env['SEIKAN_SEED'] ?? 20_261_126);
const rounds = Number(process.env['SEIKAN_OFFLOAD_ROUNDS'] ?? 150);

const fromHex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

/** Of openvpn 2.6.14's own session (tests/vectors/traces/02-tlsauth-cbc-sha256-2614): keys and plaintext are from the client's log. */
const STOCK = {
  key: fromHex('2116613f a77c3252 eb600805 60618b1c 18b6d759 8ef000ea 413ecb3a 097b383f'),
  macKey: fromHex('93c7518f 923311f1 1eb809ff e3dc1c58 0bfb1e74 b47b034a d598fe03 8cadd919'),
  datagram:
    fromHex(`48000000bcd3998ab44520f471ec6b0e63b8cc4b4a960a7249ce4c8b54d659f2e0ab85e9991e493a53c8ebd84197cb58b3987a7cf6d3c7b7
                     622d9b4e400f35c57cbff310cdc23210db713ae9b296c563668b5aaf`),
  plaintext: fromHex('00000002 2a187bf3 641eb4cb 07ed2d0a 981fc748'),
};

test("stock's packet opens to what stock's log says, and not when a bit of it is another", () => {
  const table = new PacketTable({ packets: 1, bytes: 1_024 });
  const ring = new KeyRing(1);
  const { key, macKey, datagram, plaintext } = STOCK;
  ring.setCbc(0, { cipher: 'AES-256-CBC', key, digest: 'SHA256', macKey, idSize: 4, headerSize: 4 });
  table.put(0, datagram, 64);
  assert.equal(ring.open(table, Uint32Array.of(0), 0, 1), 1);
  assert.equal(table.verdicts[0], 1);
  const text = table.packet(0).slice(4 + 32 + 16);
  assert.deepEqual(text.subarray(0, plaintext.length), plaintext);
  assert.deepEqual(text.subarray(plaintext.length), new Uint8Array(12).fill(12));
  for (let bit = 4 * 8; bit < datagram.length * 8; bit += 1) {
    const changed = datagram.slice();
    changed[bit >>> 3] = (changed[bit >>> 3] as number) ^ (1 << (bit & 7));
    table.put(0, changed, 64);
    assert.equal(ring.open(table, Uint32Array.of(0), 0, 1), 0, `bit ${bit}`);
  }
});

test(`what CBC opens is what node:crypto sealed, and nothing that was changed (seed ${seed})`, () => {
  const random = new SeededRandom(seed);
  const table = new PacketTable({ packets: 1, bytes: 4_096 });
  const ring = new KeyRing(1);
  for (let round = 0; round < rounds; round += 1) {
    const [cipher, keySize, ivSize] = pick(random, CBC_CIPHERS);
    const [digest, macSize] = pick(random, DIGESTS);
    const key = randomBytes(random, keySize);
    const macKey = randomBytes(random, macSize);
    const headerSize = pick(random, [0, 1, 4]);
    ring.setCbc(0, { cipher, key, digest, macKey, idSize: 4, headerSize });
    table.slots[0] = 0;

    const text = randomBytes(random, 4 + random.below(1_500));
    const iv = randomBytes(random, ivSize);
    const cipherText = createCipheriv(cipher, key, iv);
    const covered = Buffer.concat([iv, cipherText.update(text), cipherText.final()]);
    const mac = digest === undefined ? new Uint8Array(0) : createHmac(digest, macKey).update(covered).digest();
    const datagram = Buffer.concat([randomBytes(random, headerSize), mac, covered]);
    table.put(0, datagram, 64);
    assert.equal(ring.open(table, Uint32Array.of(0), 0, 1), 1);
    const from = headerSize + macSize + ivSize;
    const opened = table.packet(0).subarray(from);
    assert.deepEqual(opened.subarray(0, text.length), text);
    assert.deepEqual(new Set(opened.subarray(text.length)), new Set([opened.length - text.length]), 'the padding');

    const changed = Uint8Array.from(datagram);
    // Without an HMAC only a wrong length or padding is seen.
    const cut = digest === undefined || random.chance(0.3) ? 1 + random.below(ivSize - 1) : 0;
    if (cut === 0) {
      const at = headerSize + random.below(changed.length - headerSize);
      changed[at] = (changed[at] as number) ^ (1 << random.below(8));
    }
    table.put(0, changed.subarray(0, changed.length - cut), 64);
    assert.equal(ring.open(table, Uint32Array.of(0), 0, 1), 0, `${cipher} ${digest} round ${round}`);
    for (const length of [0, headerSize, headerSize + macSize, from, from + 1]) {
      table.put(0, datagram.subarray(0, length), 64);
      assert.equal(ring.open(table, Uint32Array.of(0), 0, 1), 0, `only ${length} bytes`);
    }
  }
});

test('a padding that is wrong under a right HMAC is refused, and what was decrypted is cleared', () => {
  const table = new PacketTable({ packets: 1, bytes: 1_024 });
  const ring = new KeyRing(1);
  const [key, macKey, iv] = [new Uint8Array(16).fill(1), new Uint8Array(20).fill(2), new Uint8Array(16).fill(3)];
  ring.setCbc(0, { cipher: 'AES-128-CBC', key, digest: 'SHA1', macKey, idSize: 4, headerSize: 4 });
  for (const end of [[0], [17], [255], [1, 2], [2, 3, 3], [...new Uint8Array(15).fill(16), 15]]) {
    const cipher = createCipheriv('AES-128-CBC', key, iv).setAutoPadding(false);
    const text = Uint8Array.from([...new Uint8Array(32 - end.length).fill(7), ...end]);
    const covered = Buffer.concat([iv, cipher.update(text), cipher.final()]);
    const mac = createHmac('SHA1', macKey).update(covered).digest();
    table.put(0, Buffer.concat([new Uint8Array(4), mac, covered]), 64);
    assert.equal(ring.open(table, Uint32Array.of(0), 0, 1), 0, end.join());
    assert.ok(
      table
        .packet(0)
        .subarray(4 + 20 + 16)
        .every((byte) => byte === 0),
    );
  }
});

test('ciphers and digests that are none, and keys of another length, are refused', () => {
  const ring = new KeyRing(1);
  const good = { cipher: 'AES-128-CBC', key: new Uint8Array(16), digest: 'SHA1', macKey: new Uint8Array(20) } as const;
  const set = (options: Partial<RingCbcOptions>) => () =>
    ring.setCbc(0, { ...good, idSize: 4, headerSize: 4, ...options });
  set({})();
  for (const cipher of ['AES-128-GCM', 'AES-128-CTR', 'BF-CBC', 'none', '']) assert.throws(set({ cipher }), RangeError);
  for (const digest of ['none', 'SHAKE256', '']) assert.throws(set({ digest }), RangeError);
  assert.throws(set({ key: new Uint8Array(15) }), RangeError);
  assert.throws(set({ macKey: new Uint8Array(65) }), RangeError);
  assert.throws(set({ idSize: 5 as 4 }), RangeError);
  assert.throws(set({ headerSize: 17 }), RangeError);
  assert.throws(set({ header: new Uint8Array(3) }), RangeError);
});
