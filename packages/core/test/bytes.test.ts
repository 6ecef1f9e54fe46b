import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { fromBase64, toBase64 } from '#src/bytes/base64.js';
import { readUint16, readUint32, readUint64, writeUint16, writeUint32, writeUint64 } from '#src/bytes/big-endian.js';
import { concatBytes, isAllZero, sameBytes } from '#src/bytes/bytes.js';
import { fromHex, toHex } from '#src/bytes/hex.js';
import { encodePem, parsePem } from '#src/bytes/pem.js';
import { decodeText, encodeText } from '#src/bytes/text.js';

test('base64 is that of node, both ways', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      const text = Buffer.from(bytes).toString('base64');
      assert.equal(toBase64(bytes), text);
      assert.deepEqual(fromBase64(text), bytes);
    }),
  );
});

test('base64 that is not whole or not clean is refused', () => {
  for (const text of ['A', 'AA', 'AAA', 'A===', 'AB==', 'AAB=', 'AA=A', 'AA A', 'AA-_', '====']) {
    assert.equal(fromBase64(text), undefined, text);
  }
});

test('hex is that of node, both ways, and refuses anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.equal(toHex(bytes), Buffer.from(bytes).toString('hex'));
      assert.deepEqual(fromHex(toHex(bytes).toUpperCase()), bytes);
    }),
  );
  for (const text of ['a', 'zz', '0x', '-1', ' 0']) assert.equal(fromHex(text), undefined, text);
});

test('big-endian numbers are those of node', () => {
  fc.assert(
    fc.property(fc.nat(0xffff), fc.nat(0xffff_ffff), fc.maxSafeNat(), (small, middle, large) => {
      const bytes = new Uint8Array(16);
      writeUint16(bytes, 1, small);
      writeUint32(bytes, 3, middle);
      writeUint64(bytes, 7, large);
      const expected = Buffer.alloc(16);
      expected.writeUInt16BE(small, 1);
      expected.writeUInt32BE(middle, 3);
      expected.writeBigUInt64BE(BigInt(large), 7);
      assert.equal(toHex(bytes), expected.toString('hex'));
      assert.deepEqual([readUint16(bytes, 1), readUint32(bytes, 3), readUint64(bytes, 7)], [small, middle, large]);
    }),
  );
});

test('PEM blocks are found by their name in other text', () => {
  const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
  const pem = encodePem('OpenVPN thing', bytes);
  assert.ok(pem.split('\n').every((line) => line.length <= 64));
  assert.deepEqual(parsePem('OpenVPN thing', `before\n${encodePem('other', bytes)}${pem}after`), bytes);
  assert.equal(parsePem('OpenVPN thin', pem), undefined);
  assert.equal(parsePem('OpenVPN thing', pem.replace('A', '!')), undefined);
});

test('small things done to arrays', () => {
  assert.deepEqual(concatBytes(Uint8Array.of(1), new Uint8Array(), Uint8Array.of(2, 3)), Uint8Array.of(1, 2, 3));
  assert.equal(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), true);
  assert.equal(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3)), false);
  assert.equal(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1)), false);
  assert.equal(isAllZero(new Uint8Array(3)), true);
  assert.equal(isAllZero(Uint8Array.of(0, 1)), false);
});

test('text keeps a byte order mark, and bytes that are no UTF-8', () => {
  assert.equal(decodeText(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), '\ufeffa');
  assert.equal(decodeText(Uint8Array.of(0x61, 0xff)), 'a\udcff');
  const mixed = Uint8Array.of(0xc3, 0xa9, 0xff, 0xc3, 0x61, 0xf0, 0x9f, 0x98, 0x80, 0xed, 0xa0, 0x80);
  assert.equal(decodeText(mixed), 'é\udcff\udcc3a😀\udced\udca0\udc80');
  assert.deepEqual(encodeText(decodeText(mixed)), mixed);
  assert.deepEqual(encodeText('é😀'), Uint8Array.of(0xc3, 0xa9, 0xf0, 0x9f, 0x98, 0x80));
});
