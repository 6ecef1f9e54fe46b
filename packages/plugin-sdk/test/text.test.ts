import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeStrict, decodeText, encodeText, isStrict } from '@seikan/plugin-sdk';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

test('UTF-8 decodes to itself and every byte that is none survives the way there and back', () => {
  assert.equal(decodeText(bytes('c3a9e282ac')), 'é€');
  assert.equal(decodeText(bytes('61ff62')), 'a\udcffb');
  assert.equal(decodeText(bytes('61c3')), 'a\udcc3', 'a sequence cut short');
  assert.equal(decodeText(bytes('eda080')), '\udced\udca0\udc80', 'an encoded surrogate is no UTF-8');
  assert.equal(decodeText(bytes('c080')), '\udcc0\udc80', 'an overlong zero is no UTF-8');
  assert.equal(decodeText(bytes('efbbbf61')), '\ufeffa', 'a byte order mark is text');
  for (const hex of ['61ff62', '61c3', 'eda080', 'c080', 'efbbbf61', 'f09f9880ff', 'ffc3a9'])
    assert.deepEqual(encodeText(decodeText(bytes(hex))), bytes(hex), hex);
});

test('all 65536 pairs of bytes survive', () => {
  for (let pair = 0; pair < 0x10000; pair += 1) {
    const raw = Uint8Array.of(pair >> 8, pair & 0xff);
    assert.deepEqual(encodeText(decodeText(raw)), raw);
  }
});

test('the strict converters say no instead of throwing', () => {
  assert.equal(decodeStrict(bytes('61ff')), undefined);
  assert.equal(decodeStrict(bytes('c3a9')), 'é');
  assert.equal(isStrict('é😀'), true);
  assert.equal(isStrict(decodeText(bytes('61ff'))), false);
});
