/** Every data packet of the recorded sessions, opened with the keys that the logs print and sealed again to the same bytes. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { AeadOpener, AeadSealer } from '#src/data/aead-format.js';
import { BlockOpener, BlockSealer } from '#src/data/block-format.js';
import type { DataOpener, DataSealer } from '#src/data/data-format.js';
import { EpochOpener, EpochSealer } from '#src/data/epoch-format.js';
import { isOcc, isPing } from '#src/data/messages.js';
import { Packet, packetOf } from '#src/data/packet.js';
import { Opcode, opcodeOf } from '#src/wire/opcode.js';
import { bytesAfter, hexAfter, readLog, readTrace, type TraceName } from '../trace.js';

const crypto = createCrypto();
const replay = { size: 64, time: 15_000 };

function cipherOf(name: string) {
  const cipher = crypto.cipher(name);
  assert(cipher !== undefined);
  return cipher;
}

interface Keys {
  readonly opener: DataOpener;
  /** Seals what the same side sealed; `last` is the packet id before this one's. */
  sealer(iv: Uint8Array): DataSealer;
}

/** What one session must give: keys for each side's packets. */
interface Session {
  readonly trace: TraceName;
  readonly client: Keys;
  readonly server: Keys;
  /** Where the recorded packet carries what the sealer draws at random; empty when nothing is random. */
  ivOf(bytes: Uint8Array): Uint8Array;
}

const none = new Uint8Array(0);

function aead(trace: TraceName, sendLabel: string, receiveLabel: string): Session {
  const log = readLog(trace, 'client');
  const cipher = cipherOf('AES-256-GCM');
  const side = (keyLabel: string, ivLabel: string): Keys => {
    const key = { cipher: bytesAfter(log, keyLabel), auth: bytesAfter(log, ivLabel).slice(4) };
    const sealer = new AeadSealer(crypto, cipher, key);
    return { opener: new AeadOpener(crypto, cipher, key, replay), sealer: () => sealer };
  };
  return {
    trace,
    client: side(sendLabel, 'ENCRYPT IV: '),
    server: side(receiveLabel, 'DECRYPT IV: '),
    ivOf: () => none,
  };
}

function block(trace: TraceName): Session {
  const log = readLog(trace, 'client');
  const side = (direction: string): Keys => {
    const options = {
      crypto,
      cipher: cipherOf('AES-256-CBC'),
      digest: 'SHA256',
      key: {
        cipher: bytesAfter(log, `${direction} Data Channel: CIPHER KEY: `),
        auth: bytesAfter(log, `${direction} Data Channel: HMAC KEY: `),
      },
      longPacketId: false,
    };
    let lastId = 0;
    return {
      opener: new BlockOpener(options, replay),
      sealer: (iv) =>
        new BlockSealer(
          options,
          (into) => into.set(iv),
          () => assert.fail('a short packet id needs no time'),
          lastId++,
        ),
    };
  };
  return {
    trace,
    client: side('Outgoing'),
    server: side('Incoming'),
    ivOf: (bytes) => bytes.slice(4 + 32, 4 + 32 + 16),
  };
}

function epoch(trace: TraceName): Session {
  const log = readLog(trace, 'client');
  const cipher = cipherOf('AES-256-GCM');
  const side = (label: string): Keys => {
    const secret = bytesAfter(log, label);
    const sealer = new EpochSealer(crypto, cipher, secret);
    return { opener: new EpochOpener(crypto, cipher, secret, replay, sealer), sealer: () => sealer };
  };
  return {
    trace,
    client: side('Master Encrypt (cipher, AES-256-GCM, 256 bits): '),
    server: side('Master Decrypt (cipher, AES-256-GCM, 256 bits): '),
    ivOf: () => none,
  };
}

const sessions: (() => Session)[] = [
  () => aead('01-tlscrypt-gcm-ekm-2614', 'Outgoing Data Channel: CIPHER KEY: ', 'Incoming Data Channel: CIPHER KEY: '),
  () => block('02-tlsauth-cbc-sha256-2614'),
  () => epoch('05-epoch-tlscrypt-276'),
  () =>
    aead('09-prf-client2511-server2614', 'Outgoing Data Channel: CIPHER KEY: ', 'Incoming Data Channel: CIPHER KEY: '),
];

for (const create of sessions) {
  const session = create();
  suite(session.trace, () => {
    const packets = readTrace(session.trace).filter(({ bytes }) => opcodeOf(bytes[0] as number) === Opcode.dataV2);

    test('every data packet opens, once, and holds a ping, an OCC message or an IP packet', () => {
      assert(packets.length >= 10, `${packets.length} data packets`);
      let pings = 0;
      for (const { from, bytes } of packets) {
        const { opener } = session[from];
        const packet = new Packet(bytes.slice());
        assert.equal(opener.open(packet, 4, 0), undefined);
        const ping = isPing(packet.bytes, packet.start, packet.end);
        if (ping) pings += 1;
        else if (!isOcc(packet.bytes, packet.start, packet.end))
          assert.match(String((packet.bytes[packet.start] as number) >>> 4), /^[46]$/);
        assert.equal(opener.open(new Packet(bytes.slice()), 4, 0), 'replay');
      }
      assert(pings >= 3);
    });

    test('what the client logged before encrypting and after decrypting is what we find', () => {
      const fresh = create();
      const log = readLog(session.trace, 'client');
      const sent: string[] = [];
      const received: string[] = [];
      for (const { from, bytes } of packets) {
        const packet = new Packet(bytes.slice());
        fresh[from].opener.open(packet, 4, 0);
        (from === 'server' ? received : sent).push(Buffer.from(packet.view()).toString('hex'));
      }
      const expectedSent = hexAfter(log, 'ENCRYPT FROM: ').map(wholeBytes);
      let next = 0;
      for (const plaintext of sent) {
        next = expectedSent.findIndex((head, i) => i >= next && contains(plaintext, head)) + 1;
        assert(next > 0, `not in the log: ${plaintext}`);
      }
      const expectedReceived = hexAfter(log, 'DECRYPT TO: ').map(wholeBytes);
      assert(received.every((plaintext) => expectedReceived.some((head) => contains(plaintext, head))));
    });

    test('sealing the plaintexts again gives the recorded datagrams', () => {
      const fresh = create();
      for (const { from, bytes } of packets) {
        const keys = fresh[from];
        const opened = new Packet(bytes.slice());
        keys.opener.open(opened, 4, 0);
        const packet = packetOf(2_048);
        packet.load(opened.view());
        assert(keys.sealer(fresh.ivOf(bytes)).seal(packet, bytes.subarray(0, 4)));
        assert.deepEqual(Buffer.from(packet.view()), Buffer.from(bytes));
      }
    });
  });
}

/** The log cuts long values after any digit. */
function wholeBytes(hex: string): string {
  return hex.slice(0, hex.length & ~1);
}

/** The block format logs its plaintext with the packet id in front. */
function contains(plaintext: string, head: string): boolean {
  return head.length > 0 && (plaintext.startsWith(head) || plaintext.startsWith(head.slice(8)));
}
