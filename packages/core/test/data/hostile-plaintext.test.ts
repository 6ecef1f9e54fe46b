/** Parsers of datagrams and plaintexts under random and mutated input: nothing throws, nothing is written outside the packet. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';
import { ipv4Packet, ipv6Packet, SeededRandom, tcpSyn } from '@seikan/testkit';

import { AeadOpener } from '#src/data/aead-format.js';
import { BlockOpener } from '#src/data/block-format.js';
import { unframe } from '#src/data/compression.js';
import type { DataOpener } from '#src/data/data-format.js';
import { EpochOpener, EpochSealer } from '#src/data/epoch-format.js';
import { Fragmenter, Reassembler } from '#src/data/fragment.js';
import { clampMss } from '#src/data/mss.js';
import { Packet, packetOf } from '#src/data/packet.js';

const seed = 20_261_121;
const crypto = createCrypto();
const replay = { size: 64, time: 15_000 };

function cipherOf(name: string) {
  const cipher = crypto.cipher(name);
  assert(cipher !== undefined);
  return cipher;
}

test('no random datagram opens, in any format', () => {
  const random = new SeededRandom(seed);
  const secret = new Uint8Array(64).fill(1);
  const gcm = cipherOf('AES-256-GCM');
  const short = { cipher: secret.subarray(0, 32), auth: secret.subarray(0, 8) };
  const block = (cipher: string) =>
    new BlockOpener(
      {
        crypto,
        cipher: cipherOf(cipher),
        digest: 'SHA1',
        key: { cipher: secret.subarray(0, 32), auth: secret.subarray(0, 20) },
        longPacketId: false,
      },
      replay,
    );
  const openers: DataOpener[] = [
    new AeadOpener(crypto, gcm, short, replay),
    new EpochOpener(crypto, gcm, short.cipher, replay, new EpochSealer(crypto, gcm, short.cipher)),
    block('AES-256-CBC'),
    block('AES-256-CFB'),
  ];
  for (let i = 0; i < 8_000; i += 1) {
    const datagram = new Uint8Array(random.below(120));
    random.fill(datagram);
    for (const opener of openers) {
      for (const headerSize of [0, 1, 4]) {
        const drop = opener.open(new Packet(datagram.slice()), headerSize, i);
        assert.match(drop ?? 'opened', /^(too-short|bad-auth|bad-epoch)$/, `seed ${seed}, round ${i}`);
      }
    }
  }
});

test('without cipher and HMAC anything opens, but too short or replayed packets', () => {
  const plain = new BlockOpener(
    {
      crypto,
      cipher: 'none',
      digest: 'none',
      key: { cipher: new Uint8Array(0), auth: new Uint8Array(0) },
      longPacketId: false,
    },
    replay,
  );
  const open = (...bytes: number[]) => plain.open(new Packet(Uint8Array.from(bytes)), 0, 0);
  assert.equal(open(), 'too-short');
  assert.equal(open(0, 0, 0, 1), 'too-short');
  assert.equal(open(0, 0, 0, 1, 9), undefined);
  assert.equal(open(0, 0, 0, 1, 9), 'replay');
  assert.equal(open(0, 0, 0, 0, 9), 'bad-packet-id');
});

test('fragments survive any order and loss: what is delivered is what was sent', () => {
  const random = new SeededRandom(seed);
  const fragmenter = new Fragmenter();
  const reassembler = new Reassembler();
  let delivered = 0;
  for (let round = 0; round < 400; round += 1) {
    const size = 1 + random.below(3_000);
    const content = new Uint8Array(size);
    random.fill(content);
    const cut = fragmenter.cut(size, 105 + random.below(400));
    assert(cut !== undefined);
    const pieces = Array.from({ length: cut.count }, (_, n) => {
      const piece = packetOf(cut.size);
      piece.load(content.subarray(n * cut.size, (n + 1) * cut.size));
      fragmenter.prepend(piece, cut, n);
      return piece.view().slice();
    });
    const keyed = pieces.map((piece) => ({ piece, key: random.next() }));
    const order = keyed.toSorted((a, b) => a.key - b.key).map(({ piece }) => piece);
    const lost = random.chance(0.2);
    if (lost) order.pop();
    for (const [i, piece] of order.entries()) {
      const packet = new Packet(piece);
      const whole = reassembler.take(packet, round * 10);
      assert.equal(whole, !lost && i === order.length - 1, `seed ${seed}, round ${round}`);
      if (whole) {
        assert.deepEqual(packet.view(), content);
        delivered += 1;
      }
    }
  }
  assert(delivered > 200);
});

/** Piece `n` of sequence 5 in pieces of 8 bytes; type 2 is the last. */
function piece(n: number, type: 1 | 2, fill: number): Packet {
  const place = (n << 10) | (5 << 2) | type;
  const head = type === 2 ? (2 << 15) | place : place;
  return new Packet(
    Uint8Array.from([head >>> 24, head >>> 16, head >>> 8, head, fill, fill, fill, fill, fill, fill, fill, fill]),
  );
}

test('an unfinished packet is forgotten after ten seconds, so that its sequence number can come again', () => {
  const reassembler = new Reassembler();
  assert.equal(reassembler.take(piece(0, 1, 1), 0), false);
  const last = piece(1, 2, 2);
  assert.equal(reassembler.take(last, 10_001), false, 'the first half is gone');
  const first = piece(0, 1, 3);
  assert.equal(reassembler.take(first, 10_002), true);
  assert.deepEqual([...first.view()], [3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2]);
});

test('no random fragment throws or makes more than 64 KiB of a packet', () => {
  const random = new SeededRandom(seed);
  const reassembler = new Reassembler();
  for (let i = 0; i < 30_000; i += 1) {
    const bytes = new Uint8Array(random.below(80));
    random.fill(bytes);
    const packet = new Packet(bytes);
    if (reassembler.take(packet, i) === true) assert(packet.length <= 0x1_0000);
  }
});

test('no random plaintext breaks the compression framing', () => {
  const random = new SeededRandom(seed);
  for (let i = 0; i < 20_000; i += 1) {
    const bytes = new Uint8Array(random.below(6));
    random.fill(bytes);
    if (random.chance(0.7) && bytes.length > 0) bytes[0] = [0x50, 0xfa, 0xfb, 0x66, 0x69][random.below(5)] ?? 0;
    for (const framing of ['none', 'lzo-no', 'stub', 'stub-v2'] as const) {
      const packet = new Packet(bytes.slice());
      unframe(packet, framing);
      assert(packet.start >= 0 && packet.end <= bytes.length && packet.length >= 0, `seed ${seed}, round ${i}`);
    }
  }
});

test('the MSS clamp reads and writes inside the packet, and touches only SYNs', () => {
  const random = new SeededRandom(seed);
  const ends4 = { from: '10.0.0.1', to: '10.0.0.2' };
  const ends6 = { from: 'fd00::1', to: 'fd00::2' };
  for (let i = 0; i < 20_000; i += 1) {
    const ends = random.chance(0.5) ? ends4 : ends6;
    const genuine = random.chance(0.8)
      ? tcpSyn({ ...ends, mss: 1_460, padding: random.below(5) })
      : (ends === ends4 ? ipv4Packet : ipv6Packet)({ ...ends, payload: new Uint8Array(random.below(40)) });
    for (let mutation = random.below(4); mutation > 0; mutation -= 1)
      genuine[random.below(genuine.length)] = random.below(256);
    const size = random.chance(0.3) ? random.below(genuine.length + 1) : genuine.length;
    const slab = new Uint8Array(32 + size + 32).fill(0xaa);
    slab.set(genuine.subarray(0, size), 32);
    const before = slab.slice();
    const changed = clampMss(slab, 32, 32 + size, 1_200);
    assert.deepEqual(slab.subarray(0, 32), before.subarray(0, 32));
    assert.deepEqual(slab.subarray(32 + size), before.subarray(32 + size));
    if (!changed) assert.deepEqual(slab, before, `seed ${seed}, round ${i}`);
  }
  const ack = tcpSyn({ ...ends4, mss: 1_460 });
  ack[33] = 0x10;
  assert.equal(clampMss(ack, 0, ack.length, 1_200), false);
  const laterFragment = tcpSyn({ ...ends4, mss: 1_460 });
  laterFragment[7] = 1;
  assert.equal(clampMss(laterFragment, 0, laterFragment.length, 1_200), false);
});
