/**
 * Random superpackets and random flows through the native code, compared byte for byte with the naive twin
 * (naive-offload.ts). `SEIKAN_SEED` and `SEIKAN_OFFLOAD_ROUNDS` choose the run; tools/test-sanitized.mjs does it under
 * AddressSanitizer.
 */
import assert from 'node:assert/strict';
import { createDecipheriv, createHmac } from 'node:crypto';
import { test } from 'node:test';

import { KeyRing, OUTBOX_LEAST, Outbox, PacketBatch, PacketKind, PacketTable, splitSuperpacket } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';

import {
  ACK,
  build,
  CWR,
  cut,
  DF,
  ECE,
  FIN,
  GsoType,
  type Headers,
  headerSize,
  NEEDS_CSUM,
  PSH,
  read,
  readVirtio,
  SYN,
  sum16,
  transportOffset,
  writeVirtio,
} from './naive-offload.js';
import { CBC_CIPHERS, DIGESTS, FakeTun, MERGE_ALL, pick, randomBytes, randomHeaders } from './offload-harness.js';

const seed = Number(process.env['SEIKAN_SEED'] ?? 20_261_126);
const rounds = Number(process.env['SEIKAN_OFFLOAD_ROUNDS'] ?? 150);

const LAYOUTS = [
  { name: 'P_DATA_V2', aadOffset: 0, aadLength: 8, counterOffset: 4, counterLength: 4, tagOffset: 8, bodyOffset: 24 },
  { name: 'P_DATA_V1', aadOffset: 1, aadLength: 4, counterOffset: 1, counterLength: 4, tagOffset: 5, bodyOffset: 21 },
  { name: 'epoch', aadOffset: 0, aadLength: 12, counterOffset: 4, counterLength: 8, tagOffset: 'end', bodyOffset: 12 },
] as const;

/** A key as the ring is given it, and node:crypto's way to open what was sealed under it. */
interface Sealed {
  readonly name: string;
  /** The upper half of the first packet's id. */
  readonly high: number;
  readonly set: (ring: KeyRing) => void;
  readonly open: (datagram: Uint8Array) => { readonly id: bigint; readonly plaintext: Buffer };
}

function randomAead(random: SeededRandom): Sealed {
  const { name, ...layout } = pick(random, LAYOUTS);
  const cipher = pick(random, ['AES-128-GCM', 'AES-256-GCM', 'CHACHA20-POLY1305'] as const);
  const key = randomBytes(random, cipher === 'AES-128-GCM' ? 16 : 32);
  const iv = randomBytes(random, 12);
  const header = randomBytes(random, layout.counterOffset);
  return {
    name: `${name} ${cipher}`,
    high: name === 'epoch' ? random.below(0x1_0000_0000) : 0,
    set: (ring) => ring.set(0, { cipher, key, iv, layout, header }),
    open: (datagram) => {
      const head = datagram.subarray(0, layout.bodyOffset);
      assert.deepEqual(head.slice(0, header.length), header);
      const view = new DataView(head.buffer, head.byteOffset + layout.counterOffset);
      const nonce = iv.slice();
      for (let k = 0; k < layout.counterLength; k += 1) nonce[k] = (iv[k] ?? 0) ^ (head[layout.counterOffset + k] ?? 0);
      const behind = layout.tagOffset === 'end' ? 16 : 0;
      const tagAt = layout.tagOffset === 'end' ? datagram.length - 16 : layout.tagOffset;
      const decipher = createDecipheriv(cipher.toLowerCase() as 'aes-256-gcm', key, nonce);
      const body = datagram.subarray(layout.bodyOffset, datagram.length - behind);
      decipher.setAAD(datagram.subarray(layout.aadOffset, layout.aadOffset + layout.aadLength), {
        plaintextLength: body.length,
      });
      decipher.setAuthTag(datagram.subarray(tagAt, tagAt + 16));
      return {
        id: layout.counterLength === 4 ? BigInt(view.getUint32(0)) : view.getBigUint64(0),
        plaintext: Buffer.concat([decipher.update(body), decipher.final()]),
      };
    },
  };
}

function randomCbc(random: SeededRandom): Sealed {
  const [cipher, keySize, ivSize] = pick(random, CBC_CIPHERS);
  const [digest, macSize] = pick(random, DIGESTS);
  const key = randomBytes(random, keySize);
  const macKey = randomBytes(random, macSize);
  const idSize = pick(random, [4, 8] as const);
  const header = randomBytes(random, pick(random, [0, 1, 4]));
  return {
    name: `${cipher} ${digest}`,
    high: idSize === 8 ? random.below(0x1_0000_0000) : 0,
    set: (ring) => ring.setCbc(0, { cipher, key, digest, macKey, idSize, headerSize: header.length, header }),
    open: (datagram) => {
      assert.deepEqual(datagram.slice(0, header.length), header);
      const ivAt = header.length + macSize;
      if (digest !== undefined) {
        const mac = createHmac(digest, macKey).update(datagram.subarray(ivAt)).digest();
        assert.ok(mac.equals(datagram.subarray(header.length, ivAt)), 'the HMAC is wrong');
      }
      const decipher = createDecipheriv(cipher, key, datagram.subarray(ivAt, ivAt + ivSize));
      const text = Buffer.concat([decipher.update(datagram.subarray(ivAt + ivSize)), decipher.final()]);
      const high = idSize === 8 ? BigInt(text.readUInt32BE(4)) : 0n;
      return { id: (high << 32n) + BigInt(text.readUInt32BE(0)), plaintext: text.subarray(idSize) };
    },
  };
}

test(`superpackets are cut and sealed as the twin cuts them (seed ${seed}, ${rounds} rounds)`, () => {
  const random = new SeededRandom(seed);
  const tun = new FakeTun();
  const table = new PacketTable({ packets: 4, bytes: 300_000 });
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  const pieces = new PacketBatch({ slots: 100, headroom: 0, capacity: 0xffff, tailroom: 0 });
  const ring = new KeyRing(1);
  let several = 0;

  for (let round = 0; round < rounds; round += 1) {
    const headers = randomHeaders(random);
    const size = headerSize(headers);
    const length = 1 + random.below(pick(random, [10, 2_000, 0xffff - size]));
    const segmentSize = Math.max(1 + random.below(pick(random, [60, 1_500, 9_000])), Math.ceil(length / 1_536));
    const payload = randomBytes(random, length);
    const expected = cut(headers, payload, segmentSize);
    const type = headers.tcp ? (headers.version === 4 ? GsoType.TCP4 : GsoType.TCP6) : GsoType.UDP;
    tun.give(
      writeVirtio({
        flags: NEEDS_CSUM,
        gsoType: type | (random.chance(0.3) && headers.tcp ? GsoType.ECN : 0),
        headerLength: random.below(0x1_0000), // the kernel's is no promise
        gsoSize: segmentSize,
        checksumStart: transportOffset(headers),
        checksumOffset: headers.tcp ? 16 : 6,
      }),
      build(headers, payload, { partial: true }),
    );
    assert.equal(tun.read(table), 1);
    const what = `round ${round}: IPv${headers.version} ${headers.tcp ? 'TCP' : 'UDP'} ${length} by ${segmentSize}`;
    assert.equal(table.segments[0], expected.length, what);
    assert.equal(table.headerSizes[0], size, what);
    assert.equal(
      table.plainBytes(0),
      expected.reduce((sum, packet) => sum + packet.length, 0),
    );
    several += Number(expected.length > 1);

    for (let segment = 0; segment < expected.length; ) {
      const count = splitSuperpacket(table, 0, { segment, into: pieces, first: 0 });
      assert.ok(count > 0);
      for (let i = 0; i < count; i += 1)
        assert.deepEqual(pieces.packet(i), expected[segment + i], `${what}: segment ${segment + i}`);
      segment += count;
    }

    const first = random.below(0xffff_0000);
    const { name, high, set, open } = random.chance(0.3) ? randomCbc(random) : randomAead(random);
    set(ring);
    outbox.clear();
    outbox.mostSegments = pick(random, [1, 2, 64, 128]);
    table.slots[0] = 0;
    table.addresses[0] = 5;
    table.ids[0] = first;
    table.idsHigh[0] = high;
    assert.equal(ring.seal(table, Uint32Array.of(0), 0, 1, outbox), 1);
    assert.equal(outbox.datagrams, expected.length);
    const datagrams = datagramsOf(outbox);
    for (const [i, packet] of expected.entries()) {
      const { id, plaintext } = open(datagrams[i] as Uint8Array);
      assert.equal(id, (BigInt(high) << 32n) + BigInt(first) + BigInt(i));
      assert.ok(plaintext.equals(packet), `${what}: ${name} segment ${i}`);
    }
  }
  assert.ok(several > rounds / 3, `only ${several} had several segments`);
  tun.close();
});

test(`what the kernel says of a packet may be any nonsense (seed ${seed})`, () => {
  const random = new SeededRandom(seed);
  const tun = new FakeTun();
  const table = new PacketTable({ packets: 4, bytes: 300_000 });
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  const ring = new KeyRing(1);
  const { name: _, ...layout } = LAYOUTS[0];
  ring.set(0, {
    cipher: 'AES-256-GCM',
    key: new Uint8Array(32),
    iv: new Uint8Array(12),
    layout,
    header: new Uint8Array(4),
  });
  let bad = 0;
  for (let round = 0; round < rounds * 20; round += 1) {
    const headers = randomHeaders(random);
    const packet = build(headers, randomBytes(random, random.below(200)), { partial: true }).slice();
    for (let k = random.below(4); k > 0; k -= 1) packet[random.below(Math.min(60, packet.length))] = random.below(256);
    const message = packet.subarray(0, random.chance(0.2) ? random.below(packet.length) : packet.length);
    tun.give(
      writeVirtio({
        flags: random.below(4),
        gsoType: pick(random, [0, 1, 3, 4, 5, 0x81, random.below(256)]),
        headerLength: random.below(200),
        gsoSize: random.chance(0.1) ? random.below(0x1_0000) : random.below(100),
        checksumStart: random.chance(0.5)
          ? transportOffset(headers)
          : random.below(random.chance(0.1) ? 0x1_0000 : 120),
        checksumOffset: random.chance(0.5) ? 6 : random.below(random.chance(0.1) ? 0x1_0000 : 40),
      }),
      message,
    );
    assert.equal(tun.read(table), 1);
    outbox.clear();
    table.slots[0] = 0;
    table.ids[0] = 1;
    assert.equal(table.kinds[0] === PacketKind.BAD, table.segments[0] === 0);
    if (table.segments[0] === 0) {
      bad += 1;
      assert.throws(() => ring.seal(table, Uint32Array.of(0), 0, 1, outbox), RangeError);
    } else {
      assert.equal(ring.seal(table, Uint32Array.of(0), 0, 1, outbox), 1);
      assert.equal(outbox.datagrams, table.segments[0]);
    }
  }
  assert.ok(bad > rounds && bad < rounds * 20, `${bad} bad`);
  tun.close();
});

test(`merged packets are the same when they are cut again (seed ${seed}, ${rounds} rounds)`, () => {
  const random = new SeededRandom(seed);
  const tun = new FakeTun();
  let merged = 0;
  let alone = 0;
  for (let round = 0; round < rounds; round += 1) {
    const flows = Array.from({ length: 1 + random.below(5) }, () => new RandomFlow(random));
    const packets: Uint8Array[] = [];
    for (let count = 2 + random.below(60); count > 0; count -= 1) packets.push(pick(random, flows).next());
    const order = packets.map((packet) => packet.slice());
    const came: Uint8Array[] = [];
    for (const message of tun.write(packets)) {
      const virtio = readVirtio(message);
      const packet = message.subarray(10);
      if (virtio.gsoType === GsoType.NONE) {
        assert.equal(virtio.flags & NEEDS_CSUM, 0);
        came.push(packet);
        alone += 1;
        continue;
      }
      const { headers, payload } = read(packet, virtio.checksumStart);
      const kind = headers.tcp ? (headers.version === 4 ? GsoType.TCP4 : GsoType.TCP6) : GsoType.UDP;
      assert.equal(virtio.gsoType, kind);
      assert.equal(virtio.flags, NEEDS_CSUM);
      assert.equal(virtio.headerLength, headerSize(headers));
      assert.equal(virtio.checksumOffset, headers.tcp ? 16 : 6);
      assert.ok(payload.length > virtio.gsoSize, 'a superpacket is more than one segment');
      // Lengths, header checksum and the partial checksum are as the kernel itself writes them.
      assert.deepEqual(packet, build(headers, payload, { partial: true }));
      const cutAgain = cut(headers, payload, virtio.gsoSize);
      came.push(...cutAgain);
      merged += cutAgain.length;
    }
    assertSameByFlow(came, order, `round ${round}`);
  }
  assert.ok(merged > alone / 4 && alone > 0, `${merged} merged, ${alone} alone`);
  tun.close();
});

test('a superpacket that was cut becomes the same superpacket', () => {
  const random = new SeededRandom(seed);
  const tun = new FakeTun();
  for (let round = 0; round < rounds; round += 1) {
    const unusual = randomHeaders(random);
    const headers = {
      ...unusual,
      options: new Uint8Array(0),
      extension: new Uint8Array(0),
      flags: ACK | pick(random, [0, PSH, FIN, ECE, ECE | PSH]),
    };
    const most = headers.tcp ? 122 : 64;
    const segmentSize = 1 + random.below(1_500);
    const length = Math.min(0xffff - headerSize(headers), segmentSize + 1 + random.below(segmentSize * (most - 1)));
    const payload = randomBytes(random, length);
    const messages = tun.write(cut(headers, payload, segmentSize));
    assert.equal(messages.length, 1, `round ${round}: ${length} by ${segmentSize}`);
    const [message] = messages as [Uint8Array];
    assert.equal(readVirtio(message).gsoSize, segmentSize);
    assert.deepEqual(message.subarray(10), build(headers, payload, { partial: true }));
  }
  tun.close();
});

test('a device without UDP merging merges TCP alone, one without a virtio header nothing', () => {
  const random = new SeededRandom(seed);
  const tun = new FakeTun();
  const usual = { ...randomHeaders(random, 4), options: new Uint8Array(0), flags: ACK };
  const tcp = cut({ ...usual, tcp: true }, randomBytes(random, 300), 100);
  const udp = cut({ ...usual, tcp: false }, randomBytes(random, 300), 100);
  assert.equal(tun.write([...tcp, ...udp], MERGE_ALL).length, 2);
  assert.equal(tun.write([...tcp, ...udp], 3).length, 4);
  assert.equal(tun.write([...tcp, ...udp], 1).length, 6);
  assert.deepEqual(tun.write([...tcp, ...udp], 0), [...tcp, ...udp]);
  tun.close();
});

/** Every datagram of the outbox; messages are runs of equal ones, a shorter one ends them. */
function datagramsOf(outbox: Outbox): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  for (let i = 0; i < outbox.messages; i += 1) {
    const [from = 0, length = 0, size = 0] = [outbox.offsets[i], outbox.lengths[i], outbox.segmentSizes[i]];
    assert.equal(outbox.addresses[i], 5);
    assert.ok(length <= 65_507 && outbox.datagramsOf(i) <= outbox.mostSegments);
    for (let at = 0; at < length; at += size)
      datagrams.push(outbox.slab.subarray(from + at, from + Math.min(length, at + size)));
  }
  return datagrams;
}

/** A flow whose packets mostly follow each other, and now and then do not. */
class RandomFlow {
  readonly #random: SeededRandom;
  #headers: Headers;
  readonly #size: number;
  readonly #countsIds: boolean;

  constructor(random: SeededRandom) {
    this.#random = random;
    const headers = randomHeaders(random);
    const clean = random.chance(0.9);
    this.#headers = {
      ...headers,
      flags: clean ? ACK : headers.flags,
      options: clean ? new Uint8Array(0) : headers.options,
      extension: clean ? new Uint8Array(0) : headers.extension,
    };
    this.#size = 1 + random.below(pick(random, [3, 100, 1_400]));
    this.#countsIds = random.chance(0.8) || headers.fragment !== DF;
  }

  /** The next packet in sequence; now and then with one thing about it that is unlike the others. */
  next(): Uint8Array {
    const random = this.#random;
    const payload = randomBytes(random, random.chance(0.1) ? random.below(this.#size + 2) : this.#size);
    const headers = this.#headers;
    this.#headers = {
      ...headers,
      id: (headers.id + (this.#countsIds ? 1 : 0)) & 0xffff,
      sequence: (headers.sequence + payload.length) >>> 0,
    };
    if (random.chance(0.8)) return build(headers, payload);
    const packet = build({ ...headers, ...oneChange(random, headers) }, payload);
    if (random.chance(0.7)) return packet;
    switch (random.below(4)) {
      case 0: // without a checksum, or a wrong one
        packet.fill(0, packet.length - payload.length - 2, packet.length - payload.length);
        return packet;
      case 1:
        return Uint8Array.from([...packet, ...randomBytes(random, random.below(3))]);
      case 2:
        return packet.slice(0, random.below(packet.length + 1));
      default:
        packet[random.below(packet.length)] = random.below(256);
        return packet;
    }
  }
}

function oneChange(random: SeededRandom, headers: Headers): Partial<Headers> {
  const change = pick(random, CHANGES);
  return change(random, headers);
}

const CHANGES: readonly ((random: SeededRandom, headers: Headers) => Partial<Headers>)[] = [
  (random) => ({ flags: pick(random, [PSH, FIN, SYN, CWR, ECE, 0x20, 0x04]) | ACK }),
  (random) => ({ flags: pick(random, [0, PSH]) }),
  (random) => ({ fragment: pick(random, [0, DF, 0x2000, 1, 0x8000]) }),
  (random) => ({ ttl: random.below(256) }),
  (random) => ({ tos: random.below(256) }),
  (random) => ({ label: random.below(0x10_0000) }),
  (random) => ({ window: random.below(0x1_0000) }),
  (random) => ({ urgent: random.below(0x1_0000) }),
  (random) => ({ acknowledgement: random.below(0x1_0000_0000) }),
  (_, { sequence }) => ({ sequence: (sequence + 1) >>> 0 }),
  (_, { id }) => ({ id: (id + 1) & 0xffff }),
  (random, { tcpOptions }) => ({ tcpOptions: randomBytes(random, tcpOptions.length) }),
  (random) => ({ tcpOptions: randomBytes(random, 4 * random.below(11)) }),
  (random, { version }) => (version === 4 ? { options: randomBytes(random, 4) } : { extension: new Uint8Array(7) }),
  (random, { ports }) => ({ ports: [ports[0], random.below(0x1_0000)] }),
  () => ({}),
];

/** Same packets, and within a flow in the same order. */
function assertSameByFlow(came: readonly Uint8Array[], sent: readonly Uint8Array[], what: string): void {
  assert.equal(came.length, sent.length, what);
  const flows = (packets: readonly Uint8Array[]) => {
    const byName = new Map<string, string[]>();
    for (const packet of packets) {
      const name = flowName(packet);
      byName.set(name, [...(byName.get(name) ?? []), Buffer.from(normalised(packet)).toString('hex')]);
    }
    return byName;
  };
  const expected = flows(sent);
  const found = flows(came);
  for (const [name, packets] of expected) assert.deepEqual(found.get(name), packets, `${what}: flow ${name}`);
}

/** Addresses, protocol and ports, as far as they can be seen. */
function flowName(packet: Uint8Array): string {
  const hex = (from: number, to: number) => Buffer.from(packet.subarray(from, to)).toString('hex');
  if (packet.length < 20) return 'short';
  const version = (packet[0] ?? 0) >> 4;
  if (version !== 4 && version !== 6) return 'none';
  if (version === 4) return `4 ${hex(12, 20)} ${hex(9, 10)} ${packet[0] === 0x45 ? hex(20, 24) : ''}`;
  return `6 ${hex(8, 40)} ${hex(6, 7)} ${hex(40, 44)}`;
}

/** With DF an IP id means nothing (RFC 6864), and ids that were all the same count up after cutting. */
function normalised(packet: Uint8Array): Uint8Array {
  if (packet.length < 20 || packet[0] !== 0x45 || ((packet[6] ?? 0) & 0x40) === 0) return packet;
  const copy = packet.slice();
  copy.fill(0, 4, 6);
  copy.fill(sum16(packet.subarray(0, 20)) === 0 ? 1 : 0, 10, 12);
  return copy;
}
