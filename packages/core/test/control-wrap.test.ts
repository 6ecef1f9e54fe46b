import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { createCrypto } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';
import * as fc from 'fast-check';

import { fromHex, toHex } from '#src/bytes/hex.js';
import { type ControlPacket, controlFieldsSize } from '#src/wire/control-packet.js';
import { Opcode } from '#src/wire/opcode.js';
import { formatSessionId, isSessionId, randomSessionId } from '#src/wire/session-id.js';
import { type ControlWrap, plainWrap } from '#src/wrap/control-wrap.js';
import { encodeStaticKey, keyHalves, parseStaticKey } from '#src/wrap/static-key.js';
import { tlsAuthWrap } from '#src/wrap/tls-auth.js';
import { tlsCryptWrap } from '#src/wrap/tls-crypt.js';

const crypto = createCrypto();
const key = new Uint8Array(256);
const { fill: fillRandom } = new SeededRandom(7);
fillRandom(key);
const now = 1_795_223_308;

const makers: Record<ControlWrap['kind'], () => { client: ControlWrap; server: ControlWrap }> = {
  none: () => ({ client: plainWrap(), server: plainWrap() }),
  'tls-auth': () => ({
    client: tlsAuthWrap({ crypto, digest: 'SHA1', staticKey: key, direction: 'inverse' }),
    server: tlsAuthWrap({ crypto, digest: 'SHA1', staticKey: key, direction: 'normal' }),
  }),
  'tls-crypt': () => ({
    client: tlsCryptWrap({ crypto, key, role: 'client' }),
    server: tlsCryptWrap({ crypto, key, role: 'server' }),
  }),
};

const packet: ControlPacket = {
  opcode: Opcode.controlV1,
  keyId: 3,
  sessionId: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  acks: [5, 4],
  peerSessionId: Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9),
  messageId: 6,
  payload: Uint8Array.of(0x16, 0x03, 0x01),
};

const sessionIds = fc.uint8Array({ minLength: 8, maxLength: 8 }).filter(isSessionId);
const anyPacket: fc.Arbitrary<ControlPacket> = fc.array(fc.nat(0xffff_ffff), { maxLength: 8 }).chain((acks) =>
  fc.record(
    {
      opcode: fc.constantFrom(Opcode.softResetV1, Opcode.controlV1, Opcode.hardResetClientV2, Opcode.hardResetServerV2),
      keyId: fc.nat(7),
      sessionId: sessionIds,
      acks: fc.constant(acks),
      peerSessionId: acks.length === 0 ? fc.constant(undefined) : sessionIds,
      messageId: fc.nat(0xffff_ffff),
      payload: fc.uint8Array({ maxLength: 300 }),
    },
    { noNullPrototype: true },
  ),
);

test('a plain packet has the bytes of the format', () => {
  assert.equal(
    toHex(plainWrap().wrap(packet, now)),
    ['23', '0102030405060708', '02', '00000005', '00000004', '0909090909090909', '00000006', '160301'].join(''),
  );
  const ack: ControlPacket = { ...packet, opcode: Opcode.ackV1, messageId: undefined, payload: new Uint8Array() };
  assert.equal(toHex(plainWrap().wrap(ack, now)), '2b01020304050607080200000005000000040909090909090909');
  assert.deepEqual(plainWrap().unwrap(plainWrap().wrap(ack, now), now), ack);
});

for (const [kind, make] of Object.entries(makers)) {
  test(`${kind}: whatever is wrapped comes out the same, with the overhead that was promised`, () => {
    const { client, server } = make();
    fc.assert(
      fc.property(anyPacket, (packet) => {
        const bytes = client.wrap(packet, now);
        assert.equal(
          bytes.length,
          controlFieldsSize(packet.opcode, packet.acks.length) + packet.payload.length + client.overhead,
        );
        assert.deepEqual(server.unwrap(bytes, now), packet);
      }),
    );
  });

  test(`${kind}: a packet cut short anywhere is dropped, or has a shorter payload if nothing protects it`, () => {
    const { client, server } = make();
    const bytes = client.wrap(packet, now);
    for (let length = 0; length < bytes.length; length += 1) {
      const verdict = server.unwrap(bytes.subarray(0, length), now);
      if (kind === 'none' && length >= bytes.length - packet.payload.length) {
        assert.deepEqual(verdict, { ...packet, payload: packet.payload.subarray(0, 3 - (bytes.length - length)) });
      } else assert.ok(verdict === 'truncated' || verdict === 'bad-hmac', `${length}: ${inspect(verdict)}`);
    }
    assert.deepEqual(server.unwrap(bytes, now), packet, 'and none of that moved the replay window');
  });

  test(`${kind}: random bytes are never an exception`, () => {
    const { server } = make();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
        const verdict = server.unwrap(bytes, now);
        if (kind !== 'none') assert.equal(typeof verdict, 'string');
      }),
    );
  });

  test(`${kind}: data, key method 1 and unknown opcodes are not control packets`, () => {
    const { client, server } = make();
    const bytes = client.wrap(packet, now);
    for (const opcode of [0, 1, 2, 6, 9, 12, 31]) {
      bytes[0] = opcode << 3;
      assert.equal(server.unwrap(bytes, now), 'bad-opcode');
    }
  });
}

for (const kind of ['tls-auth', 'tls-crypt'] as const) {
  test(`${kind}: one flipped bit anywhere is seen`, () => {
    const { client, server } = makers[kind]();
    const bytes = client.wrap(packet, now);
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = bytes.slice();
      flipped[bit >>> 3] = (flipped[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
      const verdict = server.unwrap(flipped, now);
      assert.ok(verdict === 'bad-hmac' || verdict === 'bad-opcode', `bit ${bit}: ${inspect(verdict)}`);
    }
    assert.deepEqual(server.unwrap(bytes, now), packet);
  });

  test(`${kind}: a packet is taken once, and a later session of the sender starts its ids again`, () => {
    const { client, server } = makers[kind]();
    const first = client.wrap(packet, now);
    const second = client.wrap(packet, now + 1);
    assert.notEqual(typeof server.unwrap(second, now), 'string');
    assert.notEqual(typeof server.unwrap(first, now), 'string');
    assert.equal(server.unwrap(first, now), 'replay');
    assert.equal(server.unwrap(second, now), 'replay');
    assert.notEqual(typeof server.unwrap(makers[kind]().client.wrap(packet, now + 5), now + 5), 'string');
    assert.equal(server.unwrap(client.wrap(packet, now), now), 'replay', 'the sender that it replaced');
  });

  test(`${kind}: another key, and our own packets sent back, are refused`, () => {
    const { client, server } = makers[kind]();
    const bytes = client.wrap(packet, now);
    assert.equal(client.unwrap(bytes, now), 'bad-hmac');
    server.wipe();
    assert.equal(server.unwrap(bytes, now), 'bad-hmac', 'wiped');
  });
}

test('ids that were used before the session count as sent', () => {
  const wrap = tlsCryptWrap({ crypto, key, role: 'server', sentPacketIds: 1 });
  assert.equal(toHex(wrap.wrap(packet, 1).subarray(9, 17)), '0000000200000001');
  assert.equal(toHex(wrap.wrap(packet, 7).subarray(9, 17)), '0000000300000001', 'the time is that of the first');
  const worn = tlsCryptWrap({ crypto, key, role: 'server', sentPacketIds: 0xffff_fffe });
  assert.equal(toHex(worn.wrap(packet, 5).subarray(9, 17)), 'ffffffff00000005');
  assert.equal(toHex(worn.wrap(packet, 5).subarray(9, 17)), '0000000100000006', 'the time moves when the ids run out');
});

test('without a replay window the same packet is taken again, but not id 0', () => {
  const { client } = makers['tls-crypt']();
  const stateless = tlsCryptWrap({ crypto, key, role: 'server', replay: 'off' });
  const bytes = client.wrap(packet, now);
  assert.deepEqual(stateless.unwrap(bytes, now), packet);
  assert.deepEqual(stateless.unwrap(bytes, now), packet);
  const zero = tlsCryptWrap({ crypto, key, role: 'client', sentPacketIds: -1 }).wrap(packet, now);
  assert.equal(stateless.unwrap(zero, now), 'bad-packet-id');
});

function verdict(hex: string): unknown {
  const bytes = fromHex(hex.replaceAll(' ', ''));
  assert.ok(bytes);
  return plainWrap().unwrap(bytes, now);
}

test('hostile plain packets are dropped with a reason', () => {
  assert.equal(verdict('20 0000000000000000 00 00000000'), 'bad-session-id');
  assert.equal(verdict('20 0102030405060708 01 00000000 0000000000000000 00000000'), 'bad-session-id');
  assert.equal(verdict(`20 0102030405060708 09 ${'00000000'.repeat(9)} 0102030405060708 00000000`), 'too-many-acks');
  assert.equal(verdict('20 0102030405060708 ff'), 'too-many-acks');
  assert.equal(verdict('28 0102030405060708 00'), 'no-acks');
  assert.equal(verdict('28 0102030405060708 08 00000000'), 'truncated');
});

test('a static key file survives a round trip, comments and odd spacing are allowed, anything else is not', () => {
  const text = encodeStaticKey(key);
  assert.deepEqual(parseStaticKey(text), key);
  assert.deepEqual(parseStaticKey(`junk\n${text.replaceAll('\n', '\r\n')}trailing`), key);
  assert.equal(text.split('\n').length, 22);
  for (let length = 0; length < text.length - 2; length += 1) {
    assert.equal(parseStaticKey(text.slice(0, length)), undefined, `${length}`);
  }
  assert.equal(parseStaticKey(text.replace(/[0-9a-f]{2}\n/, '\n')), undefined, 'a byte short');
  assert.equal(parseStaticKey(text.replace(/([0-9a-f]{2})\n/, '$1$1\n')), undefined, 'a byte long');
  assert.equal(parseStaticKey(text.replace(/[0-9a-f]{2}\n/, 'zz\n')), undefined, 'not hex');
});

test('a direction picks the quarters of a key', () => {
  const key = Uint8Array.from({ length: 256 }, (_, i) => i >>> 6);
  const quarters = (direction: 'normal' | 'inverse' | 'bidirectional') => {
    const { send, receive } = keyHalves(key, direction);
    return [send.cipher[0], send.hmac[63], receive.cipher[0], receive.hmac[63]];
  };
  assert.deepEqual(quarters('normal'), [0, 1, 2, 3]);
  assert.deepEqual(quarters('inverse'), [2, 3, 0, 1]);
  assert.deepEqual(quarters('bidirectional'), [0, 1, 0, 1]);
});

test('a random session id is never all zero', () => {
  let calls = 0;
  const id = randomSessionId((into) => {
    calls += 1;
    into.fill(calls - 1);
  });
  assert.equal(calls, 2);
  assert.equal(formatSessionId(id), '01010101 01010101');
});
