/**
 * What an unknown address must show before a server keeps anything of it: a hard reset, then the cookie that it was
 * answered with. Numbers: reference rows 2.6, 3.8 to 3.12, 3.14.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  type ControlPacket,
  type ControlWrap,
  EARLY_NEGOTIATION_START,
  type Endpoint,
  Opcode,
  plainWrap,
  SessionCookie,
  timestampMetadata,
  tlsAuthWrap,
  tlsCryptWrap,
  wrapClientKey,
} from '@seikan/core';
import { createProtection, type ProtectionKeys } from '@seikan/engine';
import { createCrypto } from '@seikan/native';

import { ExternalMultiplexer, type FirstPacketVerdict, RateLimit } from '#src/server/external-multiplexer.js';

const crypto = createCrypto();
const bytes = (size: number, factor: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => i * factor);
const sharedKey = bytes(256, 7);
const clientKey = bytes(256, 5);
const serverKey = bytes(128, 3);
const clientSession = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const client: Endpoint = { family: 4, address: '198.51.100.7', port: 40_000 };
/** The first second of a cookie's slot. */
const START = 30 * 59_841_076;
const wrappedKey = wrapClientKey({ crypto, serverKey, key: clientKey, metadata: timestampMetadata(START) });

function receptionOf(keys: ProtectionKeys, { limit = 100, forceCookie = false } = {}) {
  const multiplexer = new ExternalMultiplexer<never>({
    cookies: new SessionCookie({ crypto, secret: bytes(32, 1), handWindow: 60 }),
    protection: () => createProtection({ crypto, role: 'server', keys, replay: { size: 64, time: 15_000 } }),
    limit: new RateLimit({ count: limit, seconds: 10 }),
    forceCookie,
  });
  return (packet: Uint8Array, { from = client, transport = 'udp', second = 0 }: Arrival = {}): FirstPacketVerdict =>
    multiplexer.judge(packet, from, transport, { now: 1_000_000 + second * 1_000, wallClock: START + second });
}

interface Arrival {
  readonly from?: Endpoint;
  readonly transport?: 'udp' | 'tcp';
  readonly second?: number;
}

type Fields = Partial<ControlPacket>;

function packet(opcode: ControlPacket['opcode'], fields: Fields = {}): ControlPacket {
  return {
    opcode,
    keyId: 0,
    sessionId: clientSession,
    acks: [],
    peerSessionId: undefined,
    messageId: opcode === Opcode.ackV1 ? undefined : 0,
    payload: new Uint8Array(0),
    ...fields,
  };
}

const reset = (wrap: ControlWrap, fields: Fields = {}): Uint8Array =>
  wrap.wrap(packet(Opcode.hardResetClientV2, fields), START);

/** The reply to a reset, read by the client. */
function answer(wrap: ControlWrap, verdict: FirstPacketVerdict): ControlPacket {
  assert.equal(verdict.verdict, 'reply', JSON.stringify(verdict));
  assert.ok(verdict.verdict === 'reply');
  const read = wrap.unwrap(verdict.bytes, START);
  assert.ok(typeof read !== 'string', 'the reply opens');
  return read;
}

const reasonOf = (verdict: FirstPacketVerdict): string =>
  verdict.verdict === 'drop' ? verdict.reason : verdict.verdict;

test('a hard reset is answered with a session id to return, and whoever returns it has an instance', () => {
  const judge = receptionOf({});
  const wrap = plainWrap();
  const reply = answer(wrap, judge(reset(wrap)));
  assert.deepEqual(
    [reply.opcode, reply.keyId, reply.messageId, reply.acks, reply.peerSessionId, reply.payload.length],
    [Opcode.hardResetServerV2, 0, 0, [0], clientSession, 0],
  );
  const cookie = reply.sessionId;
  const returned = { acks: [0], peerSessionId: cookie };
  for (const [opcode, messageId] of [
    [Opcode.controlV1, 1],
    [Opcode.controlV1, 0],
    [Opcode.ackV1, undefined],
  ] as const) {
    const verdict = judge(wrap.wrap(packet(opcode, { ...returned, messageId }), START));
    assert.equal(verdict.verdict, 'create');
    assert.deepEqual(verdict.verdict === 'create' && verdict.cookie, cookie);
  }
});

test('what comes late from a session that is over begins no other, although its cookie is still good', () => {
  const judge = receptionOf({});
  const wrap = plainWrap();
  const { sessionId: peerSessionId } = answer(wrap, judge(reset(wrap)));
  for (const [opcode, fields] of [
    [Opcode.controlV1, { messageId: 2, acks: [0] }],
    [Opcode.controlV1, { messageId: 1, acks: [2, 1, 0] }],
    [Opcode.ackV1, { acks: [5, 4, 3, 2, 1, 0] }],
    [Opcode.ackV1, { acks: [2] }],
  ] as const) {
    const late = wrap.wrap(packet(opcode, { ...fields, peerSessionId }), START);
    assert.equal(reasonOf(judge(late)), 'bad-cookie', JSON.stringify(fields));
  }
});

test('a cookie of another address, another session, a later time or nobody makes nothing', () => {
  const judge = receptionOf({});
  const wrap = plainWrap();
  const { sessionId: cookie } = answer(wrap, judge(reset(wrap)));
  const returned = (fields: Fields = {}): Uint8Array =>
    wrap.wrap(packet(Opcode.ackV1, { acks: [0], peerSessionId: cookie, ...fields }), START);
  assert.equal(reasonOf(judge(returned(), { from: { ...client, port: 40_001 } })), 'bad-cookie');
  assert.equal(reasonOf(judge(returned({ sessionId: clientSession.toReversed() }))), 'bad-cookie');
  assert.equal(reasonOf(judge(returned({ peerSessionId: cookie.toReversed() }))), 'bad-cookie');
  assert.equal(reasonOf(judge(returned(), { second: 90 })), 'bad-cookie');
  assert.equal(reasonOf(judge(wrap.wrap(packet(Opcode.controlV1, { messageId: 1 }), START))), 'bad-cookie');
  assert.equal(reasonOf(judge(returned(), { second: 89 })), 'create');
});

test('a reset is message 0 of key 0; other opcodes, and replies over TCP, come from nobody known', () => {
  const judge = receptionOf({});
  const wrap = plainWrap();
  assert.equal(reasonOf(judge(reset(wrap, { messageId: 1 }))), 'wrong-message-id');
  assert.equal(reasonOf(judge(reset(wrap, { keyId: 1 }))), 'wrong-message-id');
  for (const opcode of [Opcode.softResetV1, Opcode.hardResetServerV2])
    assert.equal(reasonOf(judge(wrap.wrap(packet(opcode), START))), 'bad-opcode');
  const { sessionId: cookie } = answer(wrap, judge(reset(wrap)));
  const ack = wrap.wrap(packet(Opcode.ackV1, { acks: [0], peerSessionId: cookie }), START);
  assert.equal(reasonOf(judge(ack, { transport: 'tcp' })), 'bad-opcode');
  // A connection proves the address: the reset itself begins the session.
  const verdict = judge(reset(wrap), { transport: 'tcp' });
  assert.deepEqual(verdict.verdict === 'create' && verdict.cookie, undefined);
  assert.equal(verdict.verdict, 'create');
});

test('unanswered replies are limited in each span; who returns its cookie gives one back', () => {
  const judge = receptionOf({}, { limit: 2 });
  const wrap = plainWrap();
  const { sessionId: cookie } = answer(wrap, judge(reset(wrap)));
  assert.equal(reasonOf(judge(reset(wrap))), 'reply');
  assert.equal(reasonOf(judge(reset(wrap))), 'rate-limited');
  assert.equal(reasonOf(judge(wrap.wrap(packet(Opcode.ackV1, { acks: [0], peerSessionId: cookie }), START))), 'create');
  assert.equal(reasonOf(judge(reset(wrap))), 'reply');
  assert.equal(reasonOf(judge(reset(wrap), { second: 9 })), 'rate-limited');
  assert.equal(reasonOf(judge(reset(wrap), { second: 10 })), 'reply');
});

/** A tls-crypt-v2 client's packets; `early`: it can send its wrapped key again, and says so by its packet ids. */
function clientWithKey(early: boolean): { wrap: ControlWrap; send: (sent: ControlPacket) => Uint8Array } {
  const sentPacketIds = early ? EARLY_NEGOTIATION_START : 0;
  const wrap = tlsCryptWrap({ crypto, key: clientKey, role: 'client', sentPacketIds });
  return {
    wrap,
    send: (sent) => {
      const carries = sent.opcode === Opcode.hardResetClientV3 || sent.opcode === Opcode.controlWkcV1;
      return Uint8Array.of(...wrap.wrap(sent, START), ...(carries ? wrappedKey : []));
    },
  };
}

test('a client with a key of its own is asked to send it again, and known only when it has', () => {
  const judge = receptionOf({ tlsCryptV2Server: serverKey });
  const { wrap, send } = clientWithKey(true);
  const reply = answer(wrap, judge(send(packet(Opcode.hardResetClientV3))));
  // type 1, length 2, flags 1: the wrapped key again, please
  assert.deepEqual([...reply.payload], [0, 1, 0, 2, 0, 1]);
  const returned = { acks: [0], peerSessionId: reply.sessionId };
  assert.equal(reasonOf(judge(send(packet(Opcode.controlV1, { ...returned, messageId: 1 })))), 'bad-client-key');
  assert.equal(reasonOf(judge(send(packet(Opcode.controlWkcV1, { ...returned, messageId: 1 })))), 'create');
});

test('one that cannot send its key again is taken at its word, unless the cookie is forced', () => {
  const { send } = clientWithKey(false);
  const first = send(packet(Opcode.hardResetClientV3));
  const verdict = receptionOf({ tlsCryptV2Server: serverKey })(first);
  assert.equal(verdict.verdict, 'create');
  assert.equal(verdict.verdict === 'create' && verdict.cookie, undefined);
  assert.equal(reasonOf(receptionOf({ tlsCryptV2Server: serverKey }, { forceCookie: true })(first)), 'bad-client-key');
});

test('with tls-crypt-v2 alone nobody is heard without a wrapped key; beside it tls-auth or tls-crypt serve the others', () => {
  const tlsAuth = { key: sharedKey, direction: 'bidirectional', digest: 'SHA1' } as const;
  const others: readonly [string, ProtectionKeys, ControlWrap][] = [
    ['none', {}, plainWrap()],
    [
      'tls-auth',
      { tlsAuth },
      tlsAuthWrap({ crypto, staticKey: sharedKey, direction: 'bidirectional', digest: 'SHA1' }),
    ],
    ['tls-crypt', { tlsCrypt: sharedKey }, tlsCryptWrap({ crypto, key: sharedKey, role: 'client' })],
  ];
  for (const [name, keys, wrap] of others) {
    const alone = receptionOf({ tlsCryptV2Server: serverKey });
    assert.equal(reasonOf(alone(reset(wrap))), 'bad-client-key', name);
    const without = receptionOf(keys);
    assert.equal(reasonOf(without(wrap.wrap(packet(Opcode.hardResetClientV3), START))), 'bad-client-key', name);
    if (name === 'none') continue;
    const beside = receptionOf({ tlsCryptV2Server: serverKey, ...keys });
    assert.equal(reasonOf(beside(reset(wrap))), 'reply', name);
    assert.equal(reasonOf(beside(clientWithKey(true).send(packet(Opcode.hardResetClientV3)))), 'reply', name);
    assert.equal(reasonOf(beside(reset(plainWrap()))), 'truncated', name);
  }
});
