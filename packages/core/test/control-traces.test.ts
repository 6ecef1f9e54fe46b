import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { readUint32 } from '#src/bytes/big-endian.js';
import { toHex } from '#src/bytes/hex.js';
import type { ControlPacket } from '#src/wire/control-packet.js';
import { isControlOpcode, Opcode, opcodeOf } from '#src/wire/opcode.js';
import { formatSessionId } from '#src/wire/session-id.js';
import type { ControlWrap } from '#src/wrap/control-wrap.js';
import { parseStaticKey } from '#src/wrap/static-key.js';
import { tlsAuthWrap } from '#src/wrap/tls-auth.js';
import { tlsCryptWrap } from '#src/wrap/tls-crypt.js';
import { bodyHex, hexAfter, readLog, readTrace, readVector, type TraceName } from './trace.js';

const crypto = createCrypto();

function keyFile(name: string): Uint8Array {
  const key = parseStaticKey(readVector(name));
  assert.ok(key);
  return key;
}

const staticKey = keyFile('tls-auth.key');
const tlsAuth = { crypto, digest: 'SHA256', staticKey };
const tlsCrypt = { crypto, key: keyFile('tls-crypt.key') };

const opcodeNames: Record<string, number> = {
  P_CONTROL_HARD_RESET_CLIENT_V2: Opcode.hardResetClientV2,
  P_CONTROL_HARD_RESET_SERVER_V2: Opcode.hardResetServerV2,
  P_CONTROL_V1: Opcode.controlV1,
  P_ACK_V1: Opcode.ackV1,
};

/** Unwraps every control packet of a trace, each with the wrap of its receiver. */
function decode(
  trace: TraceName,
  wraps: { client: ControlWrap; server: ControlWrap },
): [ControlPacket[], ControlPacket[]] {
  const packets: Record<'client' | 'server', ControlPacket[]> = { client: [], server: [] };
  for (const { from, time, bytes } of readTrace(trace)) {
    if (!isControlOpcode(opcodeOf(bytes[0] ?? 0))) continue;
    const packet = wraps[from === 'client' ? 'server' : 'client'].unwrap(bytes, time);
    assert.ok(typeof packet !== 'string', `${from}: ${packet as string}`);
    packets[from].push(packet);
  }
  return [packets.client, packets.server];
}

function assertEachStartsWith(actual: readonly string[], expected: readonly string[]): void {
  assert.equal(actual.length, expected.length);
  assert.ok(expected.length > 10);
  for (const [i, hex] of expected.entries())
    assert.ok(actual[i]?.startsWith(hex), `packet ${i}: ${actual[i]}\nlog: ${hex}`);
}

for (const trace of ['01-tlscrypt-gcm-ekm-2614', '05-epoch-tlscrypt-276', '09-prf-client2511-server2614'] as const) {
  test(`every control packet of ${trace} decrypts to what both peers logged`, () => {
    const [fromClient, fromServer] = decode(trace, {
      client: tlsCryptWrap({ ...tlsCrypt, role: 'client' }),
      server: tlsCryptWrap({ ...tlsCrypt, role: 'server' }),
    });
    const client = readLog(trace, 'client');
    assertEachStartsWith(fromClient.map(bodyHex), hexAfter(client, 'TLS-CRYPT WRAP FROM: '));
    assertEachStartsWith(fromServer.map(bodyHex), hexAfter(client, 'TLS-CRYPT UNWRAP TO: '));
  });
}

test('every control packet of a tls-auth session parses to the fields that the client logged', () => {
  const trace = '02-tlsauth-cbc-sha256-2614';
  const [fromClient, fromServer] = decode(trace, {
    client: tlsAuthWrap({ ...tlsAuth, direction: 'inverse' }),
    server: tlsAuthWrap({ ...tlsAuth, direction: 'normal' }),
  });
  const log = readLog(trace, 'client');
  for (const [verb, packets] of [
    ['WRITE', fromClient],
    ['READ', fromServer],
  ] as const) {
    const lines = log.filter((line) => line.startsWith(`UDPv4 ${verb} `) && line.includes('tls_hmac='));
    assert.equal(packets.length, lines.length);
    assert.ok(lines.length > 10);
    for (const [i, line] of lines.entries()) {
      const fields =
        /: (P_\w+) kid=(\d) sid=(\w+ \w+) .*\] \[ ((?:\d+ )*)(?:sid=(\w+ \w+) )?\] (?:pid=(\d+) )?DATA ([\w ]*)/.exec(
          line,
        );
      assert.ok(fields, line);
      const packet = packets[i] as ControlPacket;
      assert.equal(packet.opcode, opcodeNames[fields[1] ?? ''], line);
      assert.equal(packet.keyId, Number(fields[2]));
      assert.equal(formatSessionId(packet.sessionId), fields[3]);
      assert.deepEqual(packet.acks.map(String), fields[4]?.trim().split(' ').filter(Boolean));
      assert.equal(packet.peerSessionId && formatSessionId(packet.peerSessionId), fields[5]);
      assert.equal(packet.messageId?.toString(), fields[6]);
      assert.ok(toHex(packet.payload).startsWith(fields[7]?.replaceAll(' ', '') ?? ''), line);
    }
  }
});

for (const { trace, ours, peer, timeAt } of [
  {
    trace: '01-tlscrypt-gcm-ekm-2614',
    ours: tlsCryptWrap({ ...tlsCrypt, role: 'client' }),
    peer: tlsCryptWrap({ ...tlsCrypt, role: 'server' }),
    timeAt: 13,
  },
  {
    trace: '02-tlsauth-cbc-sha256-2614',
    ours: tlsAuthWrap({ ...tlsAuth, direction: 'inverse' }),
    peer: tlsAuthWrap({ ...tlsAuth, direction: 'normal' }),
    timeAt: 45,
  },
] as const) {
  test(`a ${ours.kind} wrap gives byte for byte what the stock client sent`, () => {
    for (const { from, time, bytes } of readTrace(trace)) {
      if (from === 'server' || !isControlOpcode(opcodeOf(bytes[0] ?? 0))) continue;
      const packet = peer.unwrap(bytes, time);
      assert.ok(typeof packet !== 'string');
      assert.equal(toHex(ours.wrap(packet, readUint32(bytes, timeAt))), toHex(bytes));
    }
  });
}
