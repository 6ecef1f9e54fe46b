/** What may be merged and what may not, rule by rule; how messages are made of datagrams; and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KeyRing, OUTBOX_LEAST, Outbox, PacketBatch, PacketTable, splitSuperpacket } from '@seikan/native';

import { ACK, build, CWR, checksum, cut, DF, ECE, FIN, type Headers, PSH, SYN } from './naive-offload.js';
import { FakeTun } from './offload-harness.js';

const NONE = new Uint8Array(0);
const usual: Headers = {
  version: 4,
  tcp: true,
  source: Uint8Array.of(10, 0, 0, 1),
  destination: Uint8Array.of(10, 0, 0, 2),
  ports: [5_000, 5_001],
  tos: 0,
  label: 0,
  ttl: 64,
  id: 0xffff,
  fragment: 0,
  options: NONE,
  extension: NONE,
  sequence: 0xffff_ffff,
  acknowledgement: 7,
  flags: ACK,
  window: 500,
  urgent: 0,
  tcpOptions: Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2),
};
const six: Headers = {
  ...usual,
  version: 6,
  source: new Uint8Array(16).fill(1),
  destination: new Uint8Array(16).fill(2),
};
const udp: Headers = { ...usual, tcp: false, tcpOptions: NONE };
const payload = new Uint8Array(100).fill(0x55);
/** Writes that two packets of 100 bytes take, the second with `change`; the order is kept either way. */
function writesOf(headers: Headers, change: Partial<Headers>, second = payload): number {
  const tun = new FakeTun();
  const next = { ...headers, id: (headers.id + 1) & 0xffff, sequence: (headers.sequence + 100) >>> 0, ...change };
  const packets = [build(headers, payload), build(next, second)];
  const { length } = tun.write(packets);
  tun.close();
  return length;
}

test('segments that follow each other are merged, across the ends of ids and sequence numbers', () => {
  for (const headers of [usual, six, udp, { ...six, tcp: false }]) assert.equal(writesOf(headers, {}), 1);
  assert.equal(writesOf(usual, { flags: ACK | PSH }), 1);
  assert.equal(writesOf(usual, { flags: ACK | FIN }), 1);
  assert.equal(writesOf({ ...usual, flags: ACK | ECE }, { flags: ACK | ECE | PSH }), 1);
  assert.equal(writesOf(usual, {}, payload.subarray(0, 1)), 1, 'a shorter last one');
  assert.equal(writesOf({ ...usual, fragment: DF }, { id: usual.id }), 1, 'with DF ids may be all the same');
});

test('no packet is merged with a longer one behind it, or one without payload', () => {
  for (const headers of [usual, six, udp]) {
    assert.equal(writesOf(headers, {}, new Uint8Array(101)), 2);
    assert.equal(writesOf(headers, {}, NONE), 2);
  }
});

for (const [what, change] of [
  ['another source', { source: Uint8Array.of(10, 0, 0, 9) }],
  ['another port', { ports: [5_000, 5_009] }],
  ['another TOS', { tos: 1 }],
  ['another TTL', { ttl: 63 }],
  ['DF', { fragment: DF }],
  ['the reserved IP bit', { fragment: 0x8000 }],
  ['more fragments to come', { fragment: 0x2000 }],
  ['a fragment offset', { fragment: 1 }],
  ['IP options', { options: Uint8Array.of(1, 1, 1, 0) }],
  ['an id that does not follow', { id: 1 }],
  ['the same id without DF', { id: usual.id }],
] as const)
  test(`no IPv4 packet is merged with one that has ${what}`, () => {
    assert.equal(writesOf(usual, change), 2);
    assert.equal(writesOf(udp, change), 2);
  });

for (const [what, change] of [
  ['another destination', { destination: new Uint8Array(16).fill(3) }],
  ['another traffic class', { tos: 3 }],
  ['another flow label', { label: 1 }],
  ['another hop limit', { ttl: 1 }],
  ['an extension header', { extension: new Uint8Array(7) }],
] as const)
  test(`no IPv6 packet is merged with one that has ${what}`, () => {
    assert.equal(writesOf(six, change), 2);
    assert.equal(writesOf({ ...six, tcp: false }, change), 2);
  });

for (const [what, change] of [
  ['a sequence number too high', { sequence: 100 }],
  ['a sequence number too low', { sequence: usual.sequence }],
  ['another acknowledgement', { acknowledgement: 8 }],
  ['another window', { window: 501 }],
  ['an urgent pointer', { urgent: 1 }],
  ['other options', { tcpOptions: Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 3) }],
  ['more options', { tcpOptions: new Uint8Array(16).fill(1) }],
  ['SYN', { flags: ACK | SYN }],
  ['RST', { flags: ACK | 0x04 }],
  ['URG', { flags: ACK | 0x20 }],
  ['CWR', { flags: ACK | CWR }],
  ['ECE', { flags: ACK | ECE }],
  ['no ACK', { flags: 0 }],
] as const)
  test(`no TCP segment is merged with one that has ${what}`, () => {
    assert.equal(writesOf(usual, change), 2);
    assert.equal(writesOf(six, change), 2);
  });

test('nothing is merged behind PSH, FIN or a shorter segment', () => {
  assert.equal(writesOf({ ...usual, flags: ACK | PSH }, {}), 2);
  assert.equal(writesOf({ ...usual, flags: ACK | FIN }, {}), 2);
  const tun = new FakeTun();
  const packets = cut(udp, new Uint8Array(250), 100);
  const next = build({ ...udp, id: udp.id + 3 - 0x1_0000 }, payload);
  assert.equal(tun.write([...packets, next]).length, 2);
  tun.close();
});

test('ids either count up or stay, not both', () => {
  const tun = new FakeTun();
  const headers = { ...udp, fragment: DF, id: 5 };
  const withIds = (...ids: readonly number[]) => tun.write(ids.map((id) => build({ ...headers, id }, payload))).length;
  assert.equal(withIds(5, 6, 7), 1);
  assert.equal(withIds(5, 5, 5), 1);
  assert.equal(withIds(5, 5, 7), 2);
  assert.equal(withIds(5, 6, 5), 2);
  tun.close();
});

/** Changes bytes of the second of two good packets; none of it may be merged. */
function writesOfDamaged(headers: Headers, damage: (packet: Uint8Array, view: DataView) => Uint8Array): number {
  const tun = new FakeTun();
  const [first, second] = cut(headers, new Uint8Array(200).fill(0x55), 100) as [Uint8Array, Uint8Array];
  const packet = damage(second, new DataView(second.buffer, second.byteOffset));
  const messages = tun.write([first, packet]);
  assert.deepEqual(messages.at(-1)?.subarray(10), packet);
  tun.close();
  return messages.length;
}

test('what has no right checksum goes alone, as it came', () => {
  for (const headers of [usual, six, udp])
    for (const at of [0, 1]) {
      const wrong = (packet: Uint8Array) => {
        packet[packet.length - 1 - at] = 0;
        return packet;
      };
      assert.equal(writesOfDamaged(headers, wrong), 2);
    }
  const badHeader = (packet: Uint8Array) => {
    packet[10] = (packet[10] ?? 0) ^ 1;
    return packet;
  };
  assert.equal(writesOfDamaged(usual, badHeader), 2, 'IP header checksum');
  // A first packet is checked as soon as a second would join it.
  const tun = new FakeTun();
  const [first, second] = cut(usual, new Uint8Array(200), 100) as [Uint8Array, Uint8Array];
  first[first.length - 1] = 9;
  assert.equal(tun.write([first, second]).length, 2);
  tun.close();
});

test('what has no UDP checksum, reserved TCP bits or bytes behind its end goes alone', () => {
  const none = (packet: Uint8Array, view: DataView) => {
    // Makes the payload such that a packet without a checksum sums up like one with.
    view.setUint16(26, 0);
    view.setUint16(
      28,
      checksum(Uint8Array.of(10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 108), packet.subarray(20, 28), packet.subarray(30)),
    );
    return packet;
  };
  assert.equal(writesOfDamaged(udp, none), 2);
  const reserved = (packet: Uint8Array, view: DataView) => {
    packet[32] = (packet[32] ?? 0) | 1;
    view.setUint16(36, view.getUint16(36) - 0x100);
    return packet;
  };
  assert.equal(writesOfDamaged(usual, reserved), 2);
  const tun = new FakeTun();
  const both = cut(usual, new Uint8Array(200), 100).map((packet) => reserved(packet, new DataView(packet.buffer)));
  assert.equal(tun.write(both).length, 2, 'even where all have them');
  tun.close();
  const longer = (packet: Uint8Array) => Uint8Array.from([...packet, 0, 0]);
  assert.equal(writesOfDamaged(udp, longer), 2);
  const shorter = (packet: Uint8Array, view: DataView) => {
    // The IP header says less than there is, and all sums are right for the whole.
    view.setUint16(2, 148);
    view.setUint16(10, view.getUint16(10) + 4);
    return packet;
  };
  assert.equal(writesOfDamaged(usual, shorter), 2);
});

test('a superpacket stays below 64 KiB and, of UDP, at 64 datagrams', () => {
  const tun = new FakeTun();
  assert.equal(tun.write(cut(usual, new Uint8Array(1_400 * 92), 1_400)).length, 2);
  assert.equal(tun.write(cut(usual, new Uint8Array(65_483), 1_400)).length, 1, '65535 in all');
  assert.equal(tun.write(cut(usual, new Uint8Array(65_484), 1_400).slice(0, 46)).length, 1);
  assert.equal(tun.write(cut(usual, new Uint8Array(46 * 1_425), 1_425)).length, 2);
  assert.equal(tun.write(cut(udp, new Uint8Array(64), 1)).length, 1);
  assert.equal(tun.write(cut(udp, new Uint8Array(65), 1)).length, 2);
  assert.equal(tun.write(cut(usual, new Uint8Array(244), 1)).length, 2);
  tun.close();
});

test('many flows at once: each is merged, the oldest goes first when there are too many', () => {
  const tun = new FakeTun();
  const flows = Array.from({ length: 40 }, (_, i) => cut({ ...usual, ports: [i, 1] }, new Uint8Array(300), 100));
  const interleaved = [0, 1, 2].flatMap((k) => flows.map((packets) => packets[k] as Uint8Array));
  assert.equal(tun.write(interleaved.filter((_, i) => i % 40 < 16)).length, 16);
  assert.equal(tun.write(interleaved).length, 120);
  assert.equal(tun.write(flows.flat()).length, 40);
  tun.close();
});

const layout = {
  aadOffset: 0,
  aadLength: 8,
  counterOffset: 4,
  counterLength: 4,
  tagOffset: 8,
  bodyOffset: 24,
} as const;
const key = {
  cipher: 'AES-256-GCM',
  key: new Uint8Array(32),
  iv: new Uint8Array(12),
  layout,
  header: Uint8Array.of(0x48, 0, 0, 1),
} as const;

function plainTable(sizes: readonly number[]): PacketTable {
  const table = new PacketTable({ packets: sizes.length, bytes: 100 + 2_000 * sizes.length });
  for (const [i, size] of sizes.entries()) table.put(i, new Uint8Array(size), 64 + i * 2_000);
  return table;
}
const order = (count: number) => Uint32Array.from({ length: count }, (_, i) => i);

test('datagrams of one address and size are one message, which a shorter one ends', () => {
  const ring = new KeyRing(2);
  ring.set(1, key);
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  const sizes = [100, 100, 50, 50, 100, 200, 100, 100];
  const table = plainTable(sizes);
  table.slots.fill(1);
  table.addresses.set([3, 3, 3, 3, 3, 3, 3, 4]);
  assert.equal(ring.seal(table, order(8), 0, 8, outbox), 8);
  const messages = Array.from({ length: outbox.messages }, (_, i) => [
    outbox.offsets[i],
    outbox.lengths[i],
    outbox.segmentSizes[i],
    outbox.addresses[i],
  ]);
  assert.deepEqual(messages, [
    [0, 322, 124, 3], // 100 100 50
    [322, 74, 74, 3], // 50: the next is longer
    [396, 124, 124, 3],
    [520, 348, 224, 3], // 200 100
    [868, 124, 124, 4],
  ]);
  assert.deepEqual([outbox.bytes, outbox.datagrams], [992, 8]);
});

test('a message ends at what the outbox allows', () => {
  const ring = new KeyRing(1);
  ring.set(0, key);
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  outbox.mostSegments = 3;
  outbox.largestSegment = 200;
  const table = plainTable([100, 100, 100, 100, 177, 177, 176, 176]);
  assert.equal(ring.seal(table, order(8), 0, 8, outbox), 8);
  assert.deepEqual([...outbox.lengths.subarray(0, outbox.messages)], [372, 124, 201, 201, 400]);
  outbox.clear();
  outbox.mostSegments = 128;
  outbox.largestSegment = 0xffff;
  const full = plainTable(Array.from({ length: 50 }, () => 1_376));
  assert.equal(ring.seal(full, order(50), 0, 50, outbox), 50);
  assert.deepEqual([...outbox.lengths.subarray(0, outbox.messages)], [46 * 1_400, 4 * 1_400]);
});

test('the order says what is sealed, and what first; a full outbox takes the rest later', () => {
  const ring = new KeyRing(1);
  ring.set(0, key);
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  const table = plainTable([1_000, 10, 1_000, 20]);
  table.ids.set([1, 2, 3, 4]);
  assert.equal(ring.seal(table, Uint32Array.of(3, 1, 0), 0, 3, outbox), 3);
  assert.deepEqual([...outbox.lengths.subarray(0, outbox.messages)], [78, 1_024]);
  const zeros = new Uint32Array(2_000);
  outbox.clear();
  const taken = ring.seal(table, zeros, 0, zeros.length, outbox);
  assert.equal(taken, Math.floor(OUTBOX_LEAST / 1_024));
  assert.equal(ring.seal(table, zeros, taken, zeros.length - taken, outbox), 0);
  outbox.clear();
  assert.equal(ring.seal(table, zeros, taken, zeros.length - taken, outbox), zeros.length - taken);
});

test('packet ids that would wrap, empty slots and packets outside the slab are refused', () => {
  const ring = new KeyRing(2);
  ring.set(0, key);
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  const table = plainTable([100, 100]);
  table.ids[0] = 0xffff_ffff;
  assert.equal(ring.seal(table, order(1), 0, 1, outbox), 1);
  table.segments[0] = 2;
  table.kinds[0] = 1;
  assert.throws(() => ring.seal(table, order(1), 0, 1, outbox), { name: 'RangeError', message: /not a sound/ });
  const big = new PacketTable({ packets: 1, bytes: 400 });
  big.put(0, build(usual, new Uint8Array(200), { partial: true }), 64);
  big.kinds[0] = 1;
  big.segments[0] = 2;
  big.segmentSizes[0] = 100;
  big.transports[0] = 20;
  big.ids[0] = 0xffff_ffff;
  assert.throws(() => ring.seal(big, order(1), 0, 1, outbox), { message: /would wrap/ });
  big.ids[0] = 0xffff_fffe;
  assert.equal(ring.seal(big, order(1), 0, 1, outbox), 1);

  ring.set(1, { ...key, layout: { ...layout, counterLength: 8, tagOffset: 'end', bodyOffset: 12, aadLength: 12 } });
  big.put(0, build(usual, new Uint8Array(200), { partial: true }), 64);
  big.kinds[0] = 1;
  big.segments[0] = 2;
  big.segmentSizes[0] = 100;
  big.transports[0] = 20;
  big.slots[0] = 1;
  big.ids[0] = 0xffff_ffff;
  big.idsHigh[0] = 0x0001_ffff; // epoch 1, the counter's last value
  assert.throws(() => ring.seal(big, order(1), 0, 1, outbox), { message: /would wrap/ });
  big.idsHigh[0] = 0x0001_fffe;
  assert.equal(ring.seal(big, order(1), 0, 1, outbox), 1);

  ring.clear(1);
  ring.clear(1);
  assert.throws(() => ring.seal(big, order(1), 0, 1, outbox), { message: /no key/ });
  assert.throws(() => ring.open(big, order(1), 0, 1), { message: /no key/ });
  table.slots[1] = 7;
  assert.throws(() => ring.seal(table, order(2), 1, 1, outbox), { message: /no key/ });
  table.slots[1] = 0;
  assert.throws(() => ring.seal(table, Uint32Array.of(2), 0, 1, outbox), { message: /does not have/ });
  assert.throws(() => ring.seal(table, order(2), 1, 2, outbox), RangeError);
  table.offsets[1] = table.slab.length - 99;
  assert.throws(() => ring.seal(table, order(2), 1, 1, outbox), { message: /outside the slab/ });
  assert.throws(() => ring.set(0, { ...key, header: new Uint8Array(5) }), RangeError);
  assert.throws(() => ring.set(2, key), RangeError);
  const { header: _, ...opening } = key;
  ring.set(0, opening);
  assert.throws(() => ring.seal(table, order(1), 0, 1, outbox), { message: /only opens/ });
});

test('a new header is used at once', () => {
  const ring = new KeyRing(1);
  ring.set(0, key);
  ring.setHeader(0, Uint8Array.of(0x49, 0, 0, 9));
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  const table = plainTable([100]);
  ring.seal(table, order(1), 0, 1, outbox);
  assert.deepEqual(outbox.slab.slice(0, 4), Uint8Array.of(0x49, 0, 0, 9));
  assert.throws(() => ring.setHeader(0, new Uint8Array(3)), RangeError);
});

test('forged and short datagrams are told apart from authentic ones, each under its own key', () => {
  const ring = new KeyRing(4);
  ring.set(0, key);
  ring.set(1, { ...key, key: new Uint8Array(32).fill(1) });
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  outbox.mostSegments = 1;
  const table = plainTable([100, 100, 100, 100]);
  table.slots.set([0, 1, 0, 1]);
  ring.seal(table, order(4), 0, 4, outbox);
  const link = new PacketTable({ packets: 5, bytes: 10_000 });
  for (let i = 0; i < 4; i += 1) link.put(i, outbox.slab.slice(i * 124, (i + 1) * 124), i * 1_000);
  link.put(4, new Uint8Array(23), 5_000);
  link.slots.set([0, 1, 1, 1, 0]); // number 2 under the wrong key
  link.slab[3_000 + 7] = 99; // number 3: its packet id, which is authenticated
  assert.equal(ring.open(link, order(5), 0, 5), 2);
  assert.deepEqual([...link.verdicts], [1, 1, 0, 0, 0]);
  assert.ok(
    link
      .packet(2)
      .subarray(24)
      .every((byte) => byte === 0),
    'nothing unauthenticated stays',
  );
});

test('splitting stops at the last slot and goes on from there', () => {
  const headers = { ...usual, id: 5, sequence: 1 };
  const content = Uint8Array.from({ length: 950 }, (_, i) => i);
  const table = new PacketTable({ packets: 2, bytes: 3_000 });
  table.put(0, build(headers, content, { partial: true }), 64);
  table.kinds[0] = 1;
  table.segments[0] = 10;
  table.segmentSizes[0] = 100;
  table.transports[0] = 20;
  const into = new PacketBatch({ slots: 4, headroom: 8, capacity: 152, tailroom: 8 });
  const expected = cut(headers, content, 100);
  const found: Uint8Array[] = [];
  for (let segment = 0; segment < 10; ) {
    const count = splitSuperpacket(table, 0, { segment, into, first: 0 });
    for (let i = 0; i < count; i += 1) found.push(into.packet(i).slice());
    segment += count;
  }
  assert.deepEqual(found, expected);
  assert.equal(splitSuperpacket(table, 0, { segment: 10, into, first: 0 }), 0);
  table.put(1, new Uint8Array(152).fill(3), 1_500);
  assert.equal(splitSuperpacket(table, 1, { segment: 0, into, first: 3 }), 1);
  assert.deepEqual(into.packet(3), new Uint8Array(152).fill(3));
  const small = new PacketBatch({ slots: 4, headroom: 8, capacity: 151, tailroom: 8 });
  assert.throws(() => splitSuperpacket(table, 0, { segment: 0, into: small, first: 0 }), { message: /longer than/ });
  assert.throws(() => splitSuperpacket(table, 1, { segment: 0, into: small, first: 0 }), { message: /longer than/ });
});
