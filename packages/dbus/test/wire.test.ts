import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';

import type { DbusValue, Variant } from '@seikan/dbus';
import * as fc from 'fast-check';
import { parseSignature } from '#src/signature.js';
import { variant } from '#src/value.js';
import { WireError, type WireFault } from '#src/wire-error.js';
import { type Endian, WireReader } from '#src/wire-reader.js';
import { WireWriter } from '#src/wire-writer.js';

const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(/[ .]/g, ''), 'hex'));

function encode(signature: string, values: readonly DbusValue[], endian: Endian = 'little'): Uint8Array {
  const writer = new WireWriter(endian);
  writer.writeAll(parseSignature(signature), values);
  return writer.bytes.slice();
}

function decode(signature: string, bytes: Uint8Array, endian: Endian = 'little', descriptors = 0): DbusValue[] {
  const reader = new WireReader(bytes, endian, descriptors);
  const values = reader.readAll(parseSignature(signature));
  reader.end();
  return values;
}

const faulty = (fault: WireFault) => (error: unknown) => error instanceof WireError && error.fault === fault;

// The layout by hand, from the specification: signature, values, little endian, big endian. Dots mark padding.
const LAYOUTS: readonly [string, DbusValue[], string, string][] = [
  ['y', [7], '07', '07'],
  ['yu', [1, 2], '01...000000 02000000', '01...000000 00000002'],
  ['b', [true], '01000000', '00000001'],
  ['nq', [-2, 0xfffe], 'feff feff', 'fffe fffe'],
  ['i', [-2], 'feffffff', 'fffffffe'],
  ['yx', [0, -2n], '00.00000000000000 feffffffffffffff', '00.00000000000000 fffffffffffffffe'],
  ['t', [0x0102_0304_0506_0708n], '0807060504030201', '0102030405060708'],
  ['d', [1], '000000000000f03f', '3ff0000000000000'],
  ['s', ['é'], '02000000 c3a9 00', '00000002 c3a9 00'],
  ['o', ['/a'], '02000000 2f61 00', '00000002 2f61 00'],
  ['g', ['a{sv}'], '05 617b73767d 00', '05 617b73767d 00'],
  ['ay', [Uint8Array.of(1, 2)], '02000000 0102', '00000002 0102'],
  ['at', [[]], '00000000 .00000000', '00000000 .00000000'],
  ['at', [[1n]], '08000000 .00000000 0100000000000000', '00000008 .00000000 0000000000000001'],
  ['aq', [[1, 2]], '04000000 0100 0200', '00000004 0001 0002'],
  ['a{yy}', [new Map([[1, 2]])], '02000000 .00000000 0102', '00000002 .00000000 0102'],
  [
    'a{yy}',
    [
      new Map([
        [1, 2],
        [3, 4],
      ]),
    ],
    '0a000000 .00000000 0102 .000000000000 0304',
    '0000000a .00000000 0102 .000000000000 0304',
  ],
  ['y(yy)', [9, [1, 2]], '09.00000000000000 0102', '09.00000000000000 0102'],
  ['v', [variant('u', 5)], '01 75 00 .00 05000000', '01 75 00 .00 00000005'],
  ['v', [variant('ay', Uint8Array.of(5))], '02 6179 00 01000000 05', '02 6179 00 00000001 05'],
  ['as', [['a', '']], '0d000000 01000000 61 00 .0000 00000000 00', '0000000d 00000001 61 00 .0000 00000000 00'],
];

test('every type has the layout of the specification, in both byte orders', () => {
  for (const [signature, values, little, big] of LAYOUTS) {
    assert.deepEqual(encode(signature, values), hex(little), signature);
    assert.deepEqual(encode(signature, values, 'big'), hex(big), signature);
    assert.deepEqual(decode(signature, hex(little)), values, signature);
    assert.deepEqual(decode(signature, hex(big), 'big'), values, signature);
  }
});

test('every proper beginning of a value is truncated, and every longer one has bytes left', () => {
  for (const [signature, , little] of LAYOUTS) {
    const bytes = hex(little);
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => decode(signature, bytes.subarray(0, length)), faulty('truncated'), `${signature} ${length}`);
    }
    assert.throws(() => decode(signature, Uint8Array.of(...bytes, 0)), faulty('trailing-bytes'), signature);
  }
});

test('hostile bytes are refused by what is wrong with them', () => {
  const cases: readonly [string, string, WireFault][] = [
    ['b', '02000000', 'bad-boolean'],
    ['yu', '01010000 02000000', 'bad-padding'],
    ['s', '01000000 ff 00', 'bad-utf8'],
    ['s', '03000000 eda080 00', 'bad-utf8'],
    ['s', '02000000 c080 00', 'bad-utf8'],
    ['s', '02000000 6100 00', 'bad-utf8'],
    ['s', '01000000 61 62', 'bad-utf8'],
    ['s', 'ffffffff 61 00', 'truncated'],
    ['o', '00000000 00', 'bad-object-path'],
    ['o', '02000000 2f2f 00', 'bad-object-path'],
    ['o', '03000000 2f612f 00', 'bad-object-path'],
    ['o', '03000000 2f610a 00', 'bad-object-path'],
    ['g', '01 7a 00', 'bad-signature'],
    ['g', '01 61 00', 'bad-signature'],
    ['v', '00 00', 'bad-signature'],
    ['v', '02 7979 00 01 02', 'bad-signature'],
    ['au', 'ffffffff', 'too-large'],
    ['au', '01000004', 'too-large'],
    ['au', '00000004', 'truncated'],
    ['au', '05000000 01000000 02000000', 'bad-array-length'],
    ['h', '01000000', 'bad-descriptor'],
  ];
  for (const [signature, bytes, fault] of cases) {
    assert.throws(() => decode(signature, hex(bytes), 'little', 1), faulty(fault), `${signature} ${bytes}`);
  }
});

test('a descriptor is an index below how many came', () => {
  assert.deepEqual(decode('h', hex('01000000'), 'little', 2), [1]);
});

test('strings keep a byte order mark and noncharacters, which the bus lets pass', () => {
  for (const text of ['\ufeffx', '\uffff', '\u{10ffff}']) assert.deepEqual(decode('s', encode('s', [text])), [text]);
});

test('signatures nest 32 arrays and 32 structures deep, and no more', () => {
  const nested = (arrays: number, structs: number) =>
    `${'a'.repeat(arrays)}${'('.repeat(structs)}y${')'.repeat(structs)}`;
  assert.equal(parseSignature(nested(32, 32)).length, 1);
  for (const signature of [nested(33, 0), nested(0, 33), 'y'.repeat(256)]) {
    assert.throws(() => parseSignature(signature), faulty('bad-signature'));
  }
  assert.equal(parseSignature('y'.repeat(255)).length, 255);
  for (const signature of ['a', '(', '()', '(y', 'y)', '{sv}', 'a{s}', 'a{svy}', 'a{vs}', 'a{(y)s}', 'r', 'a{', 'é']) {
    assert.throws(() => parseSignature(signature), faulty('bad-signature'), signature);
  }
});

test('64 variants nest, and a 65th is refused on both sides', () => {
  const bytes = (depth: number) => hex(`${'01 76 00'.repeat(depth - 1)} 01 79 00 07`);
  let value: Variant | undefined;
  for (let depth = 1; depth <= 64; depth++) {
    value = value === undefined ? variant('y', 7) : variant('v', value);
    assert.deepEqual(decode('v', bytes(depth)), [value]);
    assert.deepEqual(encode('v', [value]), bytes(depth));
  }
  assert.ok(value !== undefined);
  const deeper = variant('v', value);
  assert.throws(() => encode('v', [deeper]), faulty('too-deep'));
  assert.throws(() => decode('v', bytes(65)), faulty('too-deep'));
});

test('values that do not fit their signature are refused, without being told', () => {
  const cases: readonly [string, DbusValue[]][] = [
    ['y', [256]],
    ['y', [-1]],
    ['n', [0x8000]],
    ['q', [1.5]],
    ['u', [Number.NaN]],
    ['u', ['1']],
    ['x', [1]],
    ['x', [1n << 63n]],
    ['t', [-1n]],
    ['b', [1]],
    ['s', ['a\0b']],
    ['s', ['\ud800']],
    ['s', [7]],
    ['o', ['relative']],
    ['ay', [[1, 2]]],
    ['as', ['text']],
    ['a{sv}', [[]]],
    ['(yy)', [[1]]],
    ['v', ['bare']],
    ['s', []],
    ['', ['left over']],
  ];
  for (const [signature, values] of cases) {
    assert.throws(() => encode(signature, values), faulty('bad-value'), `${signature} ${inspect(values)}`);
  }
  assert.throws(
    () => encode('u', ['hunter2']),
    (error: Error) => !error.message.includes('hunter2'),
  );
});

interface Sample {
  readonly signature: string;
  readonly value: DbusValue;
}

const integer = (signature: string, min: number, max: number) =>
  fc.integer({ min, max }).map((value) => ({ signature, value }));
const text = fc.string({ unit: 'grapheme' }).map((value) => value.replaceAll('\0', ''));

/** A type is drawn first, then values of it: arrays have one type. */
const { sample } = fc.letrec<{ basic: Sample; sample: Sample }>((tie) => ({
  basic: fc.oneof(
    integer('y', 0, 0xff),
    integer('n', -0x8000, 0x7fff),
    integer('q', 0, 0xffff),
    integer('i', -0x8000_0000, 0x7fff_ffff),
    integer('u', 0, 0xffff_ffff),
    fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }).map((value) => ({ signature: 'x', value })),
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map((value) => ({ signature: 't', value })),
    fc.double().map((value) => ({ signature: 'd', value })),
    fc.boolean().map((value) => ({ signature: 'b', value })),
    text.map((value) => ({ signature: 's', value })),
    fc.stringMatching(/^(\/[a-zA-Z0-9_]{1,5}){1,3}$/).map((value) => ({ signature: 'o', value })),
    fc.constantFrom('', 'ay', 'a{s(iv)}').map((value) => ({ signature: 'g', value })),
  ),
  sample: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    tie('basic'),
    fc.uint8Array({ maxLength: 20 }).map((value) => ({ signature: 'ay', value })),
    tie('sample').map((inner) => ({ signature: 'v', value: { ...inner } })),
    fc.array(tie('sample'), { minLength: 1, maxLength: 4 }).map((fields) => ({
      signature: `(${fields.map((f) => f.signature).join('')})`,
      value: fields.map((f) => f.value),
    })),
    fc
      .tuple(tie('sample'), fc.nat(3))
      .filter(([{ signature }]) => signature !== 'y')
      .map(([inner, count]) => ({
        signature: `a${inner.signature}`,
        value: Array.from({ length: count }, () => inner.value),
      })),
    fc
      .tuple(tie('basic'), tie('sample'))
      .map(([k, v]) => ({ signature: `a{${k.signature}${v.signature}}`, value: new Map([[k.value, v.value]]) })),
  ),
}));

test('whatever is written is read back, in both byte orders', () => {
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 4 }), fc.constantFrom<Endian>('little', 'big'), (samples, endian) => {
      const signature = samples.map((one) => one.signature).join('');
      fc.pre(signature.length <= 255);
      const values = samples.map((one) => one.value);
      assert.deepEqual(decode(signature, encode(signature, values, endian), endian), values);
    }),
    { numRuns: 400 },
  );
});

test('bytes with a few changed are read or refused, never anything else; what is read can be written', () => {
  fc.assert(
    fc.property(
      sample,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      ({ signature, value }, changes) => {
        fc.pre(signature.length <= 255);
        const bytes = encode(signature, [value]);
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        let values: DbusValue[];
        try {
          values = decode(signature, bytes);
        } catch (error) {
          assert.ok(error instanceof WireError, String(error));
          return;
        }
        assert.deepEqual(decode(signature, encode(signature, values)), values);
      },
    ),
    { numRuns: 600 },
  );
});
