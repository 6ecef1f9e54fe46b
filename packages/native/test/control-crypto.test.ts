import assert from 'node:assert/strict';
import { createCipheriv, createHmac } from 'node:crypto';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';

const crypto = createCrypto();

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

test('HMAC-SHA256 of two pieces is that of RFC 4231', () => {
  const key = new Uint8Array(20).fill(0x0b);
  const tag = crypto.hmac('SHA256', key, new TextEncoder().encode('Hi '), new TextEncoder().encode('There'));
  assert.deepEqual(tag, hex('b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'));
});

test('AES-256-CTR is that of NIST SP 800-38A, F.5.5', () => {
  const key = hex('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4');
  const out = crypto.aes256Ctr(key, hex('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff'), hex('6bc1bee22e409f96e93d7e117393172a'));
  assert.deepEqual(out, hex('601ec313775789a5b7a7f504bbf3d228'));
});

test('both agree with node:crypto for any length, keys over a block included', () => {
  const random = new SeededRandom(4);
  const bytes = (length: number): Uint8Array => {
    const filled = new Uint8Array(length);
    random.fill(filled);
    return filled;
  };
  for (let n = 0; n < 300; n += 1) {
    const [key, first, second] = [bytes(random.below(100)), bytes(random.below(200)), bytes(random.below(1_300))];
    const expected = createHmac('sha256', key).update(first).update(second).digest('hex');
    assert.equal(Buffer.from(crypto.hmac('SHA256', key, first, second)).toString('hex'), expected);
    const [cipherKey, iv] = [bytes(32), bytes(16)];
    const streamed = createCipheriv('aes-256-ctr', cipherKey, iv).update(second).toString('hex');
    assert.equal(Buffer.from(crypto.aes256Ctr(cipherKey, iv, second)).toString('hex'), streamed);
  }
});

test('a key or an iv of another length is refused', () => {
  const data = new Uint8Array(10);
  assert.throws(() => crypto.aes256Ctr(new Uint8Array(31), new Uint8Array(16), data), RangeError);
  assert.throws(() => crypto.aes256Ctr(new Uint8Array(32), new Uint8Array(12), data), RangeError);
});

test('tls-crypt: a packet is sealed as its two steps make it, and opened again', () => {
  const random = new SeededRandom(5);
  const bytes = (length: number): Uint8Array => {
    const filled = new Uint8Array(length);
    random.fill(filled);
    return filled;
  };
  for (const length of [0, 1, 31, 1_200]) {
    const [half, head, body] = [bytes(128), bytes(17), bytes(length)];
    const tag = createHmac('sha256', half.subarray(64, 96)).update(head).update(body).digest();
    const encrypted = createCipheriv('aes-256-ctr', half.subarray(0, 32), tag.subarray(0, 16)).update(body);
    const packet = new Uint8Array(49 + length);
    packet.set(head);
    packet.set(body, 49);
    crypto.sealTlsCrypt(half, packet);
    assert.deepEqual(Buffer.from(packet), Buffer.concat([head, tag, encrypted]));
    assert.deepEqual(crypto.openTlsCrypt(half, packet), body);
    for (const at of [0, 16, 17, 48, ...(length > 0 ? [49, 48 + length] : [])]) {
      const forged = packet.slice();
      forged[at] = (forged[at] ?? 0) ^ 1;
      assert.equal(crypto.openTlsCrypt(half, forged), undefined, `byte ${at}`);
    }
  }
});

test('tls-crypt: a packet without a whole tag, and less than half a key, are refused', () => {
  assert.throws(() => crypto.openTlsCrypt(new Uint8Array(128), new Uint8Array(48)), RangeError);
  assert.throws(() => crypto.sealTlsCrypt(new Uint8Array(128), new Uint8Array(48)), RangeError);
  assert.throws(() => crypto.sealTlsCrypt(new Uint8Array(96), new Uint8Array(60)), RangeError);
});
