/**
 * The sessions that tests/interop/dist/record.js took from stock peers (traces 30 to 37), and tests/openvpn3/dist/record.js
 * from an OpenVPN 3 client with a stock server (40): every control packet unwraps and every data packet opens under the
 * keys that one side logged, whatever the transport and the wrap.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { fromHex } from '#src/bytes/hex.js';
import { AeadOpener } from '#src/data/aead-format.js';
import { BlockOpener } from '#src/data/block-format.js';
import type { DataOpener } from '#src/data/data-format.js';
import { EpochOpener, EpochSealer } from '#src/data/epoch-format.js';
import { isOcc, isPing } from '#src/data/messages.js';
import { Packet } from '#src/data/packet.js';
import { isControlOpcode, keyIdOf, Opcode, opcodeOf } from '#src/wire/opcode.js';
import { type ControlWrap, plainWrap } from '#src/wrap/control-wrap.js';
import { parseStaticKey } from '#src/wrap/static-key.js';
import { tlsAuthWrap } from '#src/wrap/tls-auth.js';
import { tlsCryptWrap } from '#src/wrap/tls-crypt.js';
import { parseClientKey, parseServerKey, splitWrappedKey, unwrapClientKey } from '#src/wrap/tls-crypt-v2.js';
import { bytesAfter, type Datagram, hexAfter, readLog, readTrace, readVector, type TraceName } from './trace.js';

const crypto = createCrypto();
const replay = { size: 64, time: 15_000 };

type Side = Datagram['from'];
/** By the receiver. */
type Wraps = Readonly<Record<Side, ControlWrap>>;

interface Recorded {
  readonly trace: TraceName;
  readonly cipher: string;
  readonly format: 'aead' | 'block' | 'epoch';
  readonly digest?: string;
  readonly wrap: 'none' | 'tls-auth' | 'tls-crypt' | 'tls-crypt-v2' | 'static-key';
  /** Whose log tells the keys; the client's unless it says otherwise. */
  readonly logOf?: Side;
  /** Keys that data went under. */
  readonly keys: number;
  /** What the plaintext of a packet that is no ping starts with. */
  readonly payload: RegExp;
}

const ip = /^[46]/;
const sessions: readonly Recorded[] = [
  {
    trace: '30-tlscryptv2-user-2614',
    cipher: 'AES-256-GCM',
    format: 'aead',
    wrap: 'tls-crypt-v2',
    keys: 1,
    payload: ip,
  },
  // Fragment headers are 4 bytes: type 0 to 2 in the lowest bits of the last one.
  {
    trace: '31-fragment-2614',
    cipher: 'AES-256-GCM',
    format: 'aead',
    wrap: 'none',
    keys: 1,
    payload: /^[0-9a-f]{7}[0-24-689ac-e]/,
  },
  {
    trace: '32-static-key-2614',
    cipher: 'AES-256-CBC',
    format: 'block',
    digest: 'SHA256',
    wrap: 'static-key',
    keys: 1,
    payload: ip,
  },
  {
    trace: '33-tcp-tlscrypt-chacha-2614',
    cipher: 'CHACHA20-POLY1305',
    format: 'aead',
    wrap: 'tls-crypt',
    keys: 1,
    payload: ip,
  },
  {
    trace: '34-stubv2-tlsauth-sha1-2614',
    cipher: 'AES-192-GCM',
    format: 'aead',
    wrap: 'tls-auth',
    keys: 1,
    payload: ip,
  },
  { trace: '35-token-reneg-2614', cipher: 'AES-128-GCM', format: 'aead', wrap: 'tls-crypt', keys: 3, payload: ip },
  // Ethernet: the destination's first byte is even, or all ones, or a multicast of IPv4 or IPv6.
  {
    trace: '36-tap-udp6-cbc-2614',
    cipher: 'AES-128-CBC',
    format: 'block',
    digest: 'SHA1',
    wrap: 'none',
    keys: 1,
    payload: /^([0-9a-f][02468ace]|ff|01|33)/,
  },
  {
    trace: '37-epoch-tlscryptv2-278',
    cipher: 'AES-256-GCM',
    format: 'epoch',
    wrap: 'tls-crypt-v2',
    keys: 3,
    payload: ip,
  },
  // Three negotiations; it ends before anybody sends under the third key.
  {
    trace: '40-epoch-openvpn3-27-278',
    cipher: 'AES-256-GCM',
    format: 'epoch',
    wrap: 'tls-crypt-v2',
    logOf: 'server',
    keys: 2,
    payload: ip,
  },
];

function cryptBoth(key: Uint8Array): Wraps {
  return {
    client: tlsCryptWrap({ crypto, key, role: 'client' }),
    server: tlsCryptWrap({ crypto, key, role: 'server' }),
  };
}

function material(path: string): Uint8Array {
  const key = parseStaticKey(readVector(path));
  assert.ok(key);
  return key;
}

function firstWraps({ trace, wrap }: Recorded): Wraps {
  switch (wrap) {
    case 'tls-crypt':
      return cryptBoth(material(`${trace}/tls-crypt.key`));
    case 'tls-crypt-v2': {
      const key = parseClientKey(readVector(`${trace}/tls-crypt-v2-user.key`));
      assert.ok(key);
      return cryptBoth(key.key);
    }
    case 'tls-auth': {
      const options = { crypto, digest: 'SHA1', staticKey: material(`${trace}/tls-auth.key`) };
      return {
        client: tlsAuthWrap({ ...options, direction: 'inverse' }),
        server: tlsAuthWrap({ ...options, direction: 'normal' }),
      };
    }
    default:
      return { client: plainWrap(), server: plainWrap() };
  }
}

/** Dynamic tls-crypt by the logged keys: the server's are the first half of a static key, the client's the second. */
function laterWraps({ trace, logOf = 'client' }: Recorded): Wraps {
  const log = readLog(trace, logOf);
  const [server, client] = logOf === 'client' ? ['Incoming', 'Outgoing'] : ['Outgoing', 'Incoming'];
  const key = new Uint8Array(256);
  key.set(bytesAfter(log, `${server} dynamic tls-crypt: CIPHER KEY: `), 0);
  key.set(bytesAfter(log, `${server} dynamic tls-crypt: HMAC KEY: `), 64);
  key.set(bytesAfter(log, `${client} dynamic tls-crypt: CIPHER KEY: `), 128);
  key.set(bytesAfter(log, `${client} dynamic tls-crypt: HMAC KEY: `), 192);
  return cryptBoth(key);
}

function hexBytes(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  assert.ok(bytes, hex);
  return bytes;
}

/** By key id, for packets from that side. */
function openers(recorded: Recorded, from: Side): DataOpener[] {
  const { logOf = 'client' } = recorded;
  const log = readLog(recorded.trace, logOf);
  const cipher = crypto.cipher(recorded.cipher);
  assert.ok(cipher);
  const [direction, verb] = from === logOf ? ['Outgoing', 'ENCRYPT'] : ['Incoming', 'DECRYPT'];
  const bits = cipher.keySize * 8;
  if (recorded.format === 'block') {
    const what = `${direction} ${recorded.wrap === 'static-key' ? 'Static Key Encryption' : 'Data Channel'}`;
    const key = { cipher: bytesAfter(log, `${what}: CIPHER KEY: `), auth: bytesAfter(log, `${what}: HMAC KEY: `) };
    const options = {
      crypto,
      cipher,
      digest: recorded.digest ?? '',
      key,
      longPacketId: recorded.wrap === 'static-key',
    };
    return [new BlockOpener(options, replay)];
  }
  // Whoever logs it, the client's key is the first and so `Encrypt`.
  const master = from === 'client' ? 'Encrypt' : 'Decrypt';
  const secrets = hexAfter(log, `Master ${master} (cipher, ${recorded.cipher}, ${bits} bits): `).map(hexBytes);
  if (recorded.format === 'epoch')
    return secrets.map(
      (secret) => new EpochOpener(crypto, cipher, secret, replay, new EpochSealer(crypto, cipher, secret)),
    );
  // An IV is the packet id and eight bytes of the key that it is used with, in the order in which keys are taken into use.
  const implicit = [...new Set(hexAfter(log, `${verb} IV: `).map((iv) => iv.slice(8)))];
  return secrets.map(
    (key, index) => new AeadOpener(crypto, cipher, { cipher: key, auth: hexBytes(implicit[index] ?? '') }, replay),
  );
}

for (const recorded of sessions) {
  suite(recorded.trace, () => {
    const datagrams = readTrace(recorded.trace);
    const opcode = ({ bytes }: Datagram): number => opcodeOf(bytes[0] ?? 0);
    const isStatic = recorded.wrap === 'static-key';

    test('every control packet unwraps', { skip: isStatic && 'a static key has no control channel' }, () => {
      const control = datagrams.filter((datagram) => isControlOpcode(opcode(datagram)));
      assert.ok(control.length >= 10, String(control.length));
      const first = firstWraps(recorded);
      const later = laterWraps(recorded);
      for (const { from, time, bytes } of control) {
        const wraps = keyIdOf(bytes[0] ?? 0) === 0 ? first : later;
        const carriesKey =
          opcodeOf(bytes[0] ?? 0) === Opcode.hardResetClientV3 || opcodeOf(bytes[0] ?? 0) === Opcode.controlWkcV1;
        const split = carriesKey ? splitWrappedKey(bytes) : { packet: bytes, wrapped: undefined };
        assert.ok(typeof split !== 'string');
        if (split.wrapped !== undefined) {
          const serverKey = parseServerKey(readVector(`${recorded.trace}/tls-crypt-v2-server.key`));
          assert.ok(serverKey);
          assert.notEqual(typeof unwrapClientKey({ crypto, serverKey, wrapped: split.wrapped }), 'string');
        }
        const packet = wraps[from === 'client' ? 'server' : 'client'].unwrap(split.packet, time);
        assert.ok(typeof packet !== 'string', `${from}: ${packet as string}`);
      }
    });

    test('every data packet opens once, under the key that it names, and holds a ping, an OCC message or a packet', () => {
      const data = isStatic ? datagrams : datagrams.filter((datagram) => opcode(datagram) === Opcode.dataV2);
      assert.ok(data.length >= 20, String(data.length));
      const keys = { client: openers(recorded, 'client'), server: openers(recorded, 'server') };
      const used = new Set<number>();
      const seen = { ping: 0, other: 0 };
      for (const { from, bytes } of data) {
        const keyId = isStatic ? 0 : keyIdOf(bytes[0] ?? 0);
        used.add(keyId);
        const opener = keys[from][keyId];
        assert.ok(opener, `no key ${keyId}`);
        const header = isStatic ? 0 : 4;
        const packet = new Packet(bytes.slice());
        assert.equal(opener.open(packet, header, 0), undefined);
        const skip = recorded.trace.startsWith('31') ? 4 : 0;
        if (isPing(packet.bytes, packet.start + skip, packet.end)) seen.ping += 1;
        else if (!isOcc(packet.bytes, packet.start + skip, packet.end)) {
          seen.other += 1;
          const hex = Buffer.from(packet.bytes.subarray(packet.start, packet.end)).toString('hex');
          assert.match(hex, recorded.payload);
        }
        assert.equal(opener.open(new Packet(bytes.slice()), header, 0), 'replay');
      }
      assert.equal(used.size, recorded.keys);
      assert.ok(seen.ping >= 2 && seen.other >= 10, JSON.stringify(seen));
    });
  });
}
