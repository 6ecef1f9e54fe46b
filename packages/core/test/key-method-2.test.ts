import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '@seikan/testkit';
import * as fc from 'fast-check';

import { concatBytes } from '#src/bytes/bytes.js';
import { toHex } from '#src/bytes/hex.js';
import { encodeText } from '#src/bytes/text.js';
import {
  encodeKeyMethod2,
  type KeyMethod2,
  makeKeySource,
  parseKeyMethod2,
  wipeKeySource,
} from '#src/keys/key-method-2.js';

const random = new SeededRandom(11);
const client: KeyMethod2 = {
  source: makeKeySource('client', random.fill),
  options: 'V4,dev-type tun',
  username: 'ål',
  password: 'p',
  peerInfo: 'IV_VER=2.6.14\n',
};
const server: KeyMethod2 = {
  source: makeKeySource('server', random.fill),
  options: 'V4',
  username: undefined,
  password: undefined,
  peerInfo: undefined,
};

test("a client's message has the bytes of the format", () => {
  const { preMaster, random1, random2 } = client.source;
  assert.ok(preMaster);
  assert.equal(
    toHex(encodeKeyMethod2(client)),
    ['0000000002', toHex(preMaster), toHex(random1), toHex(random2)].join('') +
      ['0010', toHex(encodeText('V4,dev-type tun')), '00'].join('') +
      ['0004', 'c3a56c', '00', '0002', '70', '00'].join('') +
      ['000f', toHex(encodeText('IV_VER=2.6.14\n')), '00'].join(''),
  );
});

test("a server's message has no pre-master secret, and absent strings of length 0", () => {
  const { random1, random2 } = server.source;
  assert.equal(toHex(encodeKeyMethod2(server)), `0000000002${toHex(random1)}${toHex(random2)}0003563400000000000000`);
});

test('each side reads what the other wrote', () => {
  assert.deepEqual(parseKeyMethod2(encodeKeyMethod2(client), 'client'), { ...client, credentialsTooLong: false });
  assert.deepEqual(parseKeyMethod2(encodeKeyMethod2(server), 'server'), { ...server, credentialsTooLong: false });
  const text = fc.string({ unit: 'grapheme', maxLength: 60 }).filter((value) => !value.includes('\0'));
  fc.assert(
    fc.property(text, fc.option(text, { nil: undefined }), fc.option(text, { nil: undefined }), (a, b, c) => {
      const message = { ...client, options: a, username: b, password: c, peerInfo: b };
      assert.deepEqual(parseKeyMethod2(encodeKeyMethod2(message), 'client'), { ...message, credentialsTooLong: false });
    }),
  );
});

test('the parsed secrets do not borrow from the record', () => {
  const record = encodeKeyMethod2(client);
  const parsed = parseKeyMethod2(record, 'client');
  record.fill(0);
  assert.ok(typeof parsed !== 'string');
  assert.deepEqual(parsed.source, client.source);
  wipeKeySource(parsed.source);
  assert.ok(parsed.source.preMaster?.every((byte) => byte === 0));
});

test('a message cut short is truncated, unless only strings after the first are missing', () => {
  const record = encodeKeyMethod2(client);
  const optionsEnd = 5 + 48 + 64 + 2 + 16;
  const boundaries = new Set([optionsEnd, optionsEnd + 6, optionsEnd + 10]);
  for (let length = 0; length < record.length; length += 1) {
    const verdict = parseKeyMethod2(record.subarray(0, length), 'client');
    const whole = boundaries.has(length) || boundaries.has(length - 1);
    assert.equal(typeof verdict === 'string', !whole, `${length}`);
  }
  const old = parseKeyMethod2(record.subarray(0, optionsEnd), 'client');
  assert.deepEqual(old, {
    ...client,
    username: undefined,
    password: undefined,
    peerInfo: undefined,
    credentialsTooLong: false,
  });
});

test('another key method, and an options string past 512 bytes, are refused', () => {
  const record = encodeKeyMethod2(client);
  record[4] = 1;
  assert.equal(parseKeyMethod2(record, 'client'), 'bad-key-method');
  record[4] = 0x12;
  assert.notEqual(typeof parseKeyMethod2(record, 'client'), 'string', 'only the low four bits are the method');
  const head = encodeKeyMethod2(client).subarray(0, 5 + 48 + 64);
  const options = (size: number) =>
    concatBytes(head, Uint8Array.of(size >>> 8, size & 255), new Uint8Array(size).fill(65));
  assert.notEqual(typeof parseKeyMethod2(options(512), 'client'), 'string');
  assert.equal(parseKeyMethod2(options(513), 'client'), 'oversized');
  assert.throws(() => encodeKeyMethod2({ ...client, options: 'x'.repeat(512) }), RangeError);
});

test('credentials that are too long fail the login, not the protocol', () => {
  const fits = encodeKeyMethod2({ ...client, password: 'x'.repeat(4_095) });
  const parsed = parseKeyMethod2(fits, 'client');
  assert.ok(typeof parsed !== 'string' && parsed.password?.length === 4_095 && !parsed.credentialsTooLong);
  const tooLong = parseKeyMethod2(encodeKeyMethod2({ ...client, password: 'x'.repeat(4_096) }), 'client');
  assert.ok(typeof tooLong !== 'string' && tooLong.credentialsTooLong);
  assert.equal(tooLong.username, undefined);
  assert.equal(tooLong.peerInfo, client.peerInfo);
});

test('a string ends at its first NUL, its last byte counts as one, and bytes that are no UTF-8 keep apart', () => {
  const head = encodeKeyMethod2(client).subarray(0, 5 + 48 + 64);
  const parse = (...username: number[]) => {
    const record = concatBytes(head, Uint8Array.of(0, 1, 0, 0, username.length), Uint8Array.from(username));
    const parsed = parseKeyMethod2(record, 'client');
    assert.ok(typeof parsed !== 'string');
    return parsed.username;
  };
  assert.equal(parse(0x61, 0, 0x62, 0), 'a');
  assert.equal(parse(0x61, 0x62), 'a');
  assert.equal(parse(0), '');
  assert.equal(parse(0xe9, 0), '\udce9');
  assert.notEqual(parse(0xe9, 0), parse(0xe8, 0));
});

test('random bytes are never an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.boolean(), (bytes, isClient) => {
      bytes.set([0, 0, 0, 0, 2].slice(0, bytes.length));
      parseKeyMethod2(bytes, isClient ? 'client' : 'server');
    }),
  );
});
