import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { concatBytes } from '#src/bytes/bytes.js';
import { toHex } from '#src/bytes/hex.js';
import { type DataKey, deriveDataKey } from '#src/keys/data-key.js';
import { exportDataKeys, exportDynamicWrapKey, exportP2pPeerId } from '#src/keys/exporter.js';
import type { ControlPacket } from '#src/wire/control-packet.js';
import { announcesEarlyNegotiation, parseEarlyNegotiation } from '#src/wire/early-negotiation.js';
import { isControlOpcode, keyIdOf, Opcode, opcodeOf } from '#src/wire/opcode.js';
import type { ControlWrap } from '#src/wrap/control-wrap.js';
import { parseStaticKey } from '#src/wrap/static-key.js';
import { tlsAuthWrap } from '#src/wrap/tls-auth.js';
import { tlsCryptWrap } from '#src/wrap/tls-crypt.js';
import { parseClientKey, parseServerKey, splitWrappedKey, unwrapClientKey } from '#src/wrap/tls-crypt-v2.js';
import {
  bodyHex,
  type Datagram,
  hexAfter,
  readLog,
  readTrace,
  readVector,
  recordedExporter,
  type TraceName,
} from './trace.js';

const crypto = createCrypto();

type Wraps = { readonly client: ControlWrap; readonly server: ControlWrap };

function tlsCryptBoth(key: Uint8Array): Wraps {
  return {
    client: tlsCryptWrap({ crypto, key, role: 'client' }),
    server: tlsCryptWrap({ crypto, key, role: 'server' }),
  };
}

/** As the receiver of `datagram` unwraps it; key id 0 and the later ones have wraps of their own. */
function unwrap({ from, time, bytes }: Datagram, first: Wraps, later: Wraps): ControlPacket {
  const wraps = keyIdOf(bytes[0] ?? 0) === 0 ? first : later;
  const packet = wraps[from === 'client' ? 'server' : 'client'].unwrap(bytes, time);
  assert.ok(typeof packet !== 'string', `${from}: ${packet as string}`);
  return packet;
}

const isControl = ({ bytes }: Datagram) => isControlOpcode(opcodeOf(bytes[0] ?? 0));

/** Both keys of a session with one renegotiation are the logged ones, and open the data packets that name them. */
function assertDataOpens(
  trace: TraceName,
  exporter: ReturnType<typeof recordedExporter>,
  used: readonly number[],
): void {
  const keys: DataKey[] = [];
  const log = readLog(trace, 'client');
  const logged = hexAfter(log, 'Master Encrypt (cipher, AES-256-GCM, 256 bits): ');
  for (const sent of logged) {
    const key = deriveDataKey({
      crypto,
      material: exportDataKeys(exporter),
      direction: 'normal',
      cipher: crypto.cipher('AES-256-GCM') ?? assert.fail(),
      digest: 'SHA1',
      epoch: false,
      replayWindow: 64,
      replayTime: 15_000,
      longPacketId: false,
    });
    assert.equal(toHex(key.send.cipher), sent);
    keys.push(key);
  }
  assert.equal(keys.length, 2);
  const opened = new Set<number>();
  for (const { from, bytes } of readTrace(trace)) {
    if (opcodeOf(bytes[0] ?? 0) !== Opcode.dataV2) continue;
    const keyId = keyIdOf(bytes[0] ?? 0);
    const key = keys[keyId]?.[from === 'client' ? 'send' : 'receive'];
    assert.ok(key);
    const opening = createDecipheriv('aes-256-gcm', key.cipher, concatBytes(bytes.subarray(4, 8), key.auth));
    opening.setAAD(bytes.subarray(0, 8)).setAuthTag(bytes.subarray(8, 24)).update(bytes.subarray(24));
    opening.final();
    opened.add(keyId);
  }
  assert.deepEqual([...opened], used);
}

test('a tls-crypt-v2 session decodes whole: key resent for the cookie, then dynamic tls-crypt, then both data keys', () => {
  const trace = '20-tlscryptv2-reneg-2614';
  const serverKey = parseServerKey(readVector('../tls-crypt-v2/server.key'));
  const clientKey = parseClientKey(readVector('../tls-crypt-v2/client-timestamp.key'));
  assert.ok(serverKey && clientKey);
  const exporter = recordedExporter(trace);
  const first = tlsCryptBoth(clientKey.key);
  const later = tlsCryptBoth(exportDynamicWrapKey(exporter, clientKey.key));

  const control = readTrace(trace).filter(isControl);
  assert.equal(announcesEarlyNegotiation(control[0]?.bytes ?? new Uint8Array()), true);
  const packets = control.map((datagram) => {
    const opcode = opcodeOf(datagram.bytes[0] ?? 0);
    if (opcode !== Opcode.hardResetClientV3 && opcode !== Opcode.controlWkcV1) return unwrap(datagram, first, later);
    const split = splitWrappedKey(datagram.bytes);
    assert.ok(typeof split !== 'string');
    const opened = unwrapClientKey({ crypto, serverKey, wrapped: split.wrapped });
    assert.ok(typeof opened !== 'string');
    assert.deepEqual(opened.key, clientKey.key);
    return unwrap({ ...datagram, bytes: split.packet }, first, later);
  });
  const opcodes = packets.map(({ opcode }) => opcode);
  assert.deepEqual(opcodes.slice(0, 3), [Opcode.hardResetClientV3, Opcode.hardResetServerV2, Opcode.controlWkcV1]);
  assert.equal(opcodes.filter((opcode) => opcode === Opcode.softResetV1).length, 2);
  assert.deepEqual(parseEarlyNegotiation(packets[1]?.payload ?? new Uint8Array()), { resendWrappedKey: true });

  const log = readLog(trace, 'client');
  for (const [from, label] of [
    ['client', 'TLS-CRYPT WRAP FROM: '],
    ['server', 'TLS-CRYPT UNWRAP TO: '],
  ] as const) {
    const bodies = packets.filter((_, i) => control[i]?.from === from).map(bodyHex);
    const logged = hexAfter(log, label);
    assert.ok(logged.length >= 10 && bodies.length >= logged.length);
    for (const [i, hex] of logged.entries())
      assert.ok(bodies[i]?.startsWith(hex), `${from} ${i}: ${bodies[i]}, ${hex}`);
  }
  assertDataOpens(trace, exporter, [0]);
});

test('a point-to-point session starts under tls-auth, goes on under dynamic tls-crypt, and exports its peer-id', () => {
  const trace = '21-p2p-tlsauth-reneg-2614';
  const staticKey = parseStaticKey(readVector('tls-auth.key'));
  assert.ok(staticKey);
  const exporter = recordedExporter(trace);
  const first = {
    client: tlsAuthWrap({ crypto, digest: 'SHA1', staticKey, direction: 'inverse' }),
    server: tlsAuthWrap({ crypto, digest: 'SHA1', staticKey, direction: 'normal' }),
  };
  const later = tlsCryptBoth(exportDynamicWrapKey(exporter, staticKey));
  const packets = readTrace(trace)
    .filter(isControl)
    .map((datagram) => unwrap(datagram, first, later));
  assert.deepEqual([...new Set(packets.map(({ keyId }) => keyId))], [0, 1]);

  const peerId = exportP2pPeerId(exporter);
  assert.ok(readLog(trace, 'client').some((line) => line.includes(`peer-id ${peerId}, cipher=AES-256-GCM`)));
  const data = readTrace(trace).find(({ bytes }) => opcodeOf(bytes[0] ?? 0) === Opcode.dataV2);
  assert.equal(toHex(data?.bytes.subarray(1, 4) ?? new Uint8Array()), peerId.toString(16).padStart(6, '0'));
  assertDataOpens(trace, exporter, [0, 1]);
});
