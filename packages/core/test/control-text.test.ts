import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { encodeText } from '#src/bytes/text.js';
import { encodePeerInfo, parsePeerInfo } from '#src/keys/peer-info.js';
import { encodeControlMessage, splitControlMessages } from '#src/wire/control-message.js';
import {
  announcesEarlyNegotiation,
  encodeEarlyNegotiation,
  parseEarlyNegotiation,
} from '#src/wire/early-negotiation.js';
import { readLog } from './trace.js';

const split = (text: string) => splitControlMessages(encodeText(text));

test('one record may hold several messages, each up to its NUL', () => {
  assert.deepEqual(split('PUSH_REQUEST\0'), { messages: ['PUSH_REQUEST'], rejected: 0 });
  assert.deepEqual(split('AUTH_PENDING,timeout 60\0INFO_PRE,WEB_AUTH::https://x\0'), {
    messages: ['AUTH_PENDING,timeout 60', 'INFO_PRE,WEB_AUTH::https://x'],
    rejected: 0,
  });
});

test('what has no NUL behind it is no message, and neither is nothing', () => {
  assert.deepEqual(split(''), { messages: [], rejected: 0 });
  assert.deepEqual(split('EXIT'), { messages: [], rejected: 0 });
  assert.deepEqual(split('\0\0EXIT\0\r\n\0tail'), { messages: ['EXIT'], rejected: 0 });
});

test('line ends before the NUL are taken off, other characters that do not print reject the message alone', () => {
  assert.deepEqual(split('EXIT\r\n\n\0'), { messages: ['EXIT'], rejected: 0 });
  assert.deepEqual(split('A\nB\0C\x1b[2J\0D\x7f\0E\tF\0grün\0'), { messages: ['grün'], rejected: 4 });
});

test('any printable text comes back as it was', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'grapheme', minLength: 1 })), (texts) => {
      const messages = texts.filter((text) => !/[\0-\x1f\x7f]/.test(text));
      const records = messages.map((message) => [...encodeControlMessage(message)]);
      assert.deepEqual(splitControlMessages(Uint8Array.from(records.flat())), { messages, rejected: 0 });
    }),
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 3_000 }), (bytes) => void splitControlMessages(bytes)));
});

test('the peer info of a stock client is read whole', () => {
  const lines = readLog('01-tlscrypt-gcm-ekm-2614', 'server').flatMap((line) => line.split(' peer info: ').slice(1));
  const entries = parsePeerInfo(lines.map((line) => `${line}\n`).join(''));
  assert.equal(entries.size, lines.length);
  assert.equal(entries.get('IV_VER'), '2.6.14');
  assert.equal(entries.get('IV_PROTO'), '990');
  assert.equal(entries.get('IV_CIPHERS'), 'AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305');
  assert.equal(encodePeerInfo(entries), lines.map((line) => `${line}\n`).join(''));
});

test('peer info lines that are not KEY=value are passed over, and nothing for a shell is left in a value', () => {
  const entries = parsePeerInfo(
    'IV_VER=3\r\nIV VER=4\n=x\nUV_X=$(reboot) `id`\tä\nnoise\nIV_VER=5\nIV_EMPTY=\nUV_Y=a=b',
  );
  assert.deepEqual(
    [...entries],
    [
      ['IV_VER', '3'],
      ['UV_X', '__reboot)__id___'],
      ['IV_EMPTY', ''],
      ['UV_Y', 'a=b'],
    ],
  );
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      for (const [key, value] of parsePeerInfo(text)) assert.match(`${key}=${value}`, /^\w+=[!-~]*$/);
    }),
  );
});

test('a peer info value cannot smuggle in another line', () => {
  assert.throws(() => encodePeerInfo([['UV_A', 'x\nIV_PROTO=0']]), RangeError);
  assert.throws(() => encodePeerInfo([['UV A', 'x']]), RangeError);
});

test('early negotiation asks for the wrapped key again', () => {
  const asked = encodeEarlyNegotiation({ resendWrappedKey: true });
  assert.deepEqual(asked, Uint8Array.of(0, 1, 0, 2, 0, 1));
  assert.deepEqual(parseEarlyNegotiation(asked), { resendWrappedKey: true });
  assert.deepEqual(parseEarlyNegotiation(new Uint8Array()), { resendWrappedKey: false });
  assert.deepEqual(encodeEarlyNegotiation({ resendWrappedKey: false }), new Uint8Array());
  const unknownFirst = Uint8Array.of(0, 9, 0, 3, 1, 1, 1, ...asked);
  assert.deepEqual(parseEarlyNegotiation(unknownFirst), { resendWrappedKey: true });
});

test('hostile early negotiation is refused', () => {
  const asked = encodeEarlyNegotiation({ resendWrappedKey: true });
  for (let length = 1; length < asked.length; length += 1) {
    assert.equal(parseEarlyNegotiation(asked.subarray(0, length)), 'truncated');
  }
  assert.equal(parseEarlyNegotiation(Uint8Array.of(0, 1, 0, 3, 0, 0, 1)), 'bad-early-negotiation');
  assert.equal(parseEarlyNegotiation(Uint8Array.of(0, 1, 0xff, 0xff)), 'truncated');
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void parseEarlyNegotiation(bytes)));
});

const datagram = (...id: number[]) => Uint8Array.from([0x50, 1, 2, 3, 4, 5, 6, 7, 8, ...id]);

test('a client announces early negotiation by its packet ids', () => {
  assert.equal(announcesEarlyNegotiation(datagram(0x0f, 0, 0, 1)), true);
  assert.equal(announcesEarlyNegotiation(datagram(0x0f, 1, 2, 3)), true);
  assert.equal(announcesEarlyNegotiation(datagram(0, 0, 0, 1)), false);
  assert.equal(announcesEarlyNegotiation(datagram(0x8f, 0, 0, 1)), false);
  assert.equal(announcesEarlyNegotiation(datagram(0x0f, 0, 0)), false);
});
