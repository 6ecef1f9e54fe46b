/** The parsers of the control channel: packets in each wrapping, and what travels inside TLS. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import {
  type ControlPacket,
  type ControlWrap,
  concatBytes,
  encodeControlMessage,
  encodeKeyMethod2,
  encodePeerInfo,
  parseEarlyNegotiation,
  parseKeyMethod2,
  parseOptionsString,
  parsePeerInfo,
  parseStaticKey,
  plainWrap,
  splitControlMessages,
  tlsAuthWrap,
  tlsCryptWrap,
} from '@seikan/core';
import { createCrypto } from '@seikan/native';

import type { FuzzTarget } from './fuzz.js';
import { bytesOf, textOf, vector } from './inputs.js';

const crypto = createCrypto();
const NOW = 1_795_223_308;
const HEADER = 9;

const packet: ControlPacket = {
  opcode: 4,
  keyId: 1,
  sessionId: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  acks: [3, 2, 1],
  peerSessionId: Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1),
  messageId: 4,
  payload: Uint8Array.of(0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5),
};

function plainSeeds(): Uint8Array[] {
  const wrap = plainWrap();
  return [
    wrap.wrap(packet, NOW),
    wrap.wrap({ ...packet, opcode: 5, messageId: undefined, payload: new Uint8Array() }, NOW),
    wrap.wrap({ ...packet, opcode: 7, keyId: 0, acks: [], peerSessionId: undefined, payload: new Uint8Array() }, NOW),
  ];
}

const shape = (result: ControlPacket | string) =>
  typeof result === 'string'
    ? result
    : `${Math.min(result.acks.length, 2)} acks, ${result.messageId === undefined ? 'no message' : 'a message'}`;

/** What parses is written back byte for byte: the format has one form. */
const plain: FuzzTarget = {
  name: 'control-plain',
  seeds: plainSeeds,
  run(input) {
    const wrap = plainWrap();
    const result = wrap.unwrap(input, NOW);
    if (typeof result !== 'string') assert.deepEqual(wrap.wrap(result, NOW), input);
    return shape(result);
  },
};

const tlsAuthKey = vector('traces/tls-auth.key', parseStaticKey);
const tlsCryptKey = vector('traces/tls-crypt.key', parseStaticKey);

/** The first byte of an input says whether the envelope around the rest is genuine: inside one, the plain rules hold. */
function wrapped(name: string, make: () => ControlWrap, seal: (plain: Uint8Array) => Uint8Array): FuzzTarget {
  return {
    name,
    seeds: () =>
      plainSeeds().flatMap((seed) => [concatBytes(Uint8Array.of(1), seed), concatBytes(Uint8Array.of(0), seal(seed))]),
    run(input) {
      const body = input.subarray(1);
      if (input[0] !== 1 || body.length < HEADER) return `raw ${shape(make().unwrap(body, NOW))}`;
      const result = make().unwrap(seal(body), NOW);
      assert.deepEqual(result, plainWrap().unwrap(body, NOW));
      return `sealed ${shape(result)}`;
    },
  };
}

const packetId = Uint8Array.of(0, 0, 0, 1, 0x6b, 0, 0xef, 0x0c);

const tlsAuth = wrapped(
  'control-tls-auth',
  () => tlsAuthWrap({ crypto, digest: 'SHA256', staticKey: tlsAuthKey, direction: 'normal' }),
  (plain) => {
    const [header, body] = [plain.subarray(0, HEADER), plain.subarray(HEADER)];
    // The server receives with key 1: its HMAC quarter is the last.
    const mac = crypto.hmac('SHA256', tlsAuthKey.subarray(192, 224), packetId, header, body);
    return concatBytes(header, mac, packetId, body);
  },
);

const tlsCrypt = wrapped(
  'control-tls-crypt',
  () => tlsCryptWrap({ crypto, key: tlsCryptKey, role: 'server' }),
  (plain) => {
    const [header, body] = [plain.subarray(0, HEADER), plain.subarray(HEADER)];
    const tag = crypto.hmac('SHA256', tlsCryptKey.subarray(192, 224), header, packetId, body);
    const hidden = crypto.aes256Ctr(tlsCryptKey.subarray(128, 160), tag.subarray(0, 16), body);
    return concatBytes(header, packetId, tag, hidden);
  },
);

const recorded = readFileSync(new URL('../../vectors/key-exchange/client-plaintext.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => new Uint8Array(Buffer.from(line.split(' ')[1] ?? '', 'hex')));

/** What parses can be written, and then parses to the same. The first byte says which end sent it. */
const keyMethod2: FuzzTarget = {
  name: 'key-method-2',
  seeds: () => recorded.slice(0, 2).map((record, i) => concatBytes(Uint8Array.of(i), record)),
  run(input) {
    const from = input[0] === 1 ? 'server' : 'client';
    const parsed = parseKeyMethod2(input.subarray(1), from);
    if (typeof parsed === 'string') return parsed;
    const { options, username, password, peerInfo, credentialsTooLong } = parsed;
    // Latin-1 text grows when it is written as UTF-8, and may then be longer than a peer may send.
    if (new TextEncoder().encode(options).length < 512)
      assert.deepEqual(parseKeyMethod2(encodeKeyMethod2(parsed), from), { ...parsed, credentialsTooLong: false });
    const has = [username, password, peerInfo].map((text) => (text === undefined ? '-' : text === '' ? '0' : '+'));
    return `${from} ${has.join('')}${credentialsTooLong ? ' too long' : ''}`;
  },
};

const earlyNegotiation: FuzzTarget = {
  name: 'early-negotiation',
  seeds: () => [Uint8Array.of(0, 1, 0, 2, 0, 1), Uint8Array.of(0, 9, 0, 1, 7, 0, 1, 0, 2, 0, 0)],
  run(input) {
    const parsed = parseEarlyNegotiation(input);
    return typeof parsed === 'string' ? parsed : `resend ${parsed.resendWrappedKey}`;
  },
};

/** Each message is text that can be sent again alone. */
const controlMessages: FuzzTarget = {
  name: 'control-messages',
  seeds: () => [...recorded.slice(2), bytesOf('AUTH_PENDING,timeout 60\0INFO_PRE,WEB_AUTH::https://x\r\n\0EXIT\0')],
  run(input) {
    const { messages, rejected } = splitControlMessages(input);
    for (const message of messages) {
      assert.ok(message.length > 0 && !/[\0-\x1f\x7f]/.test(message), message);
      assert.deepEqual(splitControlMessages(encodeControlMessage(message)), { messages: [message], rejected: 0 });
    }
    return `${Math.min(messages.length, 4)} messages, ${Math.min(rejected, 4)} rejected`;
  },
};

const peerInfo: FuzzTarget = {
  name: 'peer-info',
  seeds: () => [bytesOf('IV_VER=2.6.14\nIV_PLAT=linux\nIV_CIPHERS=AES-256-GCM:AES-128-GCM\nUV_X=$(x) y\n')],
  run(input) {
    const entries = parsePeerInfo(textOf(input));
    for (const [key, value] of entries) assert.match(`${key}=${value}`, /^\w+=[!-~]*$/);
    assert.deepEqual(parsePeerInfo(encodePeerInfo(entries)), entries);
    return `${Math.min(entries.size, 6)} entries`;
  },
};

const optionsString: FuzzTarget = {
  name: 'options-string',
  seeds: () => [bytesOf('V4,dev-type tun,link-mtu 1541,comp-lzo,keydir 1,cipher AES-256-CBC,auth SHA1,tls-client')],
  run(input) {
    const words = parseOptionsString(textOf(input));
    for (const word of words.keys()) assert.ok(!/[ ,]/.test(word));
    return `${Math.min(words.size, 12)} words`;
  },
};

export const controlTargets: readonly FuzzTarget[] = [
  plain,
  tlsAuth,
  tlsCrypt,
  keyMethod2,
  earlyNegotiation,
  controlMessages,
  peerInfo,
  optionsString,
];
