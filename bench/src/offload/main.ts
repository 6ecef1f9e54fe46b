/**
 * `node bench/dist/offload/main.js`: what each native call of the data channel costs for a packet of 1400 bytes, by
 * tables with offloads and beside it by batches without. Needs root: the tun calls run in a network namespace. Each figure
 * is CPU time, the best of several short runs, so that what else the machine does stays out as far as may be.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { openSync } from 'node:fs';

import {
  AddressTable,
  KeyRing,
  loadAddon,
  OUTBOX_LEAST,
  Outbox,
  PacketBatch,
  PacketKey,
  PacketTable,
  type RingKeyOptions,
  splitSuperpacket,
  TunDevice,
  UdpSocket,
} from '@seikan/native';

const INSIDE = 'SEIKAN_BENCH_NAMESPACE';
if (process.env[INSIDE] === undefined) {
  const command = 'ip link set lo up && exec "$0" "$@"';
  const { status } = spawnSync(
    'unshare',
    ['--net', 'sh', '-c', command, process.execPath, import.meta.filename, ...process.argv.slice(2)],
    {
      stdio: 'inherit',
      env: { ...process.env, [INSIDE]: '1' },
    },
  );
  process.exit(status ?? 1);
}

const PACKET = 1_400;
const HEADERS = 52;
const SEGMENTS = 46;
const RUNS = 7;
const RUN_MS = Number(process.env['SEIKAN_BENCH_MS'] ?? 60);

const only = process.argv[2] ?? '';

/** Prints the cost of one packet; `call` moves `packets` of them. */
function measure(name: string, packets: number, call: () => void): void {
  if (!name.includes(only)) return;
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run += 1) {
    const from = process.cpuUsage();
    let spent = 0;
    let calls = 0;
    while (spent < RUN_MS * 1_000) {
      for (let k = 0; k < 16; k += 1) call();
      calls += 16;
      const { user, system } = process.cpuUsage(from);
      spent = user + system;
    }
    best = Math.min(best, (spent * 1_000) / (calls * packets));
  }
  console.log(`${name.padEnd(64)} ${best.toFixed(0).padStart(6)} ns`);
}

const layout = { aadOffset: 0, aadLength: 8, counterOffset: 4, counterLength: 4, tagOffset: 8, bodyOffset: 24 };
const key = (cipher: string): RingKeyOptions => ({
  cipher,
  key: new Uint8Array(32).fill(1),
  iv: new Uint8Array(12),
  layout,
  header: Uint8Array.of(0x48, 0, 0, 1),
});

/** The first bytes of a TCP segment with timestamps, from 10.9.0.1 to 10.9.0.2. */
function tcpPacket(length: number, sequence: number, id: number): Uint8Array {
  const packet = new Uint8Array(length).fill(0x5a);
  const view = new DataView(packet.buffer);
  packet.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2]);
  view.setUint16(2, length);
  view.setUint16(4, id);
  view.setUint16(10, fold(sumOf(packet, 0, 20)));
  view.setUint16(20, 5_000);
  view.setUint16(22, 5_001);
  view.setUint32(24, sequence);
  view.setUint32(28, 1);
  packet.set([0x80, 0x10, 1, 0, 0, 0, 0, 0, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], 32);
  view.setUint16(36, fold(sumOf(packet, 12, length) + 6 + length - 20));
  return packet;
}

function sumOf(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i += 1) sum += (bytes[i] ?? 0) << (i % 2 === 0 ? 8 : 0);
  return sum;
}

function fold(sum: number): number {
  return 0xffff - (sum % 0xffff);
}

const numbers = (count: number) => Uint32Array.from({ length: count }, (_, i) => i);

function sealing(cipher: string): void {
  const table = new PacketTable({ packets: 1, bytes: 80_000 });
  const superpacket = new Uint8Array(HEADERS + SEGMENTS * (PACKET - HEADERS)).fill(0x5a);
  superpacket.set(tcpPacket(PACKET, 1, 1).subarray(0, HEADERS));
  table.put(0, superpacket, 64);
  table.kinds[0] = 1;
  table.segments[0] = SEGMENTS;
  table.segmentSizes[0] = PACKET - HEADERS;
  table.headerSizes[0] = HEADERS;
  table.transports[0] = 20;
  table.ids[0] = 1;
  const head = superpacket.slice(0, HEADERS);
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  const ring = new KeyRing(1);
  ring.set(0, key(cipher));
  const order = numbers(64);
  measure(`cut and seal a superpacket of ${SEGMENTS}, ${cipher}`, SEGMENTS, () => {
    table.slab.set(head, 64);
    ring.seal(table, order, 0, 1, outbox);
    outbox.clear();
  });

  const single = new PacketTable({ packets: SEGMENTS, bytes: SEGMENTS * 1_600 });
  for (let i = 0; i < SEGMENTS; i += 1) single.put(i, tcpPacket(PACKET, 1, 1), i * 1_536 + 64);
  measure(`seal ${SEGMENTS} plain packets, ${cipher}`, SEGMENTS, () => {
    ring.seal(single, order, 0, SEGMENTS, outbox);
    outbox.clear();
  });

  const packetKey = new PacketKey(key(cipher));
  const batch = new PacketBatch({ slots: SEGMENTS, headroom: 24, capacity: 2_048, tailroom: 0 });
  batch.lengths.fill(PACKET + 24);
  measure(`  without: PacketKey.sealBatch of ${SEGMENTS}`, SEGMENTS, () => packetKey.sealBatch(batch, 0, SEGMENTS));

  // Decrypting garbage costs the same and one memset; real datagrams are not garbage, so decrypt those of the outbox.
  for (let i = 0; i < SEGMENTS; i += 1) single.ids[i] = i + 1;
  ring.seal(single, order, 0, SEGMENTS, outbox);
  const opened = new PacketTable({ packets: SEGMENTS, bytes: OUTBOX_LEAST });
  for (let i = 0; i < SEGMENTS; i += 1) opened.put(i, new Uint8Array(PACKET + 24), i * (PACKET + 24));
  measure(`open ${SEGMENTS} datagrams, ${cipher} (and copy them)`, SEGMENTS, () => {
    opened.slab.set(outbox.slab.subarray(0, SEGMENTS * (PACKET + 24)));
    if (ring.open(opened, order, 0, SEGMENTS) !== SEGMENTS) throw new Error('not opened');
  });

  const pieces = new PacketBatch({ slots: SEGMENTS, headroom: 128, capacity: 1_600, tailroom: 64 });
  table.slab.set(head, 64);
  if (cipher.startsWith('AES'))
    measure(`split a superpacket of ${SEGMENTS} without sealing`, SEGMENTS, () => {
      splitSuperpacket(table, 0, { segment: 0, into: pieces, first: 0 });
    });
}

function small(): void {
  const ring = new KeyRing(1);
  ring.set(0, key('AES-256-GCM'));
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  const order = numbers(64);
  const single = new PacketTable({ packets: 64, bytes: 64 * 256 });
  for (let i = 0; i < 64; i += 1) single.put(i, tcpPacket(64, 1, 1), i * 192 + 64);
  for (const count of [1, 64])
    measure(`seal ${count} plain packet(s) of 64 bytes`, count, () => {
      ring.seal(single, order, 0, count, outbox);
      outbox.clear();
    });
}

function merging(): void {
  const native = loadAddon() as { tunWriteTable(...argv: unknown[]): number };
  const nowhere = openSync('/dev/null', 'r+');
  const counters = new Uint32Array(4);
  const table = new PacketTable({ packets: SEGMENTS, bytes: SEGMENTS * 1_600 });
  const order = numbers(SEGMENTS);
  const packets = Array.from({ length: SEGMENTS }, (_, i) => tcpPacket(PACKET, 1 + i * (PACKET - HEADERS), i));
  for (const [i, packet] of packets.entries()) table.put(i, packet, i * 1_536 + 64);
  const first = packets[0] as Uint8Array;
  measure(`merge ${SEGMENTS} segments (to /dev/null)`, SEGMENTS, () => {
    table.slab.set(first.subarray(0, HEADERS), 64);
    native.tunWriteTable(nowhere, 7, table.slab, table.columns, order, 0, SEGMENTS, counters);
  });

  const device = TunDevice.openOffloaded({ kind: 'tun', name: 'tun' });
  execFileSync('ip', ['address', 'add', '10.9.0.2/24', 'dev', device.name]);
  execFileSync('ip', ['link', 'set', device.name, 'up']);
  measure('write them merged into a tun, which drops them', SEGMENTS, () => {
    table.slab.set(first.subarray(0, HEADERS), 64);
    device.writeTable(table, order, 0, SEGMENTS);
  });
  const plain = TunDevice.open({ kind: 'tun', name: 'tun' });
  execFileSync('ip', ['address', 'add', '10.9.1.2/24', 'dev', plain.name]);
  execFileSync('ip', ['link', 'set', plain.name, 'up']);
  table.slab.set(first.subarray(0, HEADERS), 64);
  measure('  without: TunDevice.writeBatch', SEGMENTS, () => plain.writeBatch(table, 0, SEGMENTS));
  device.close();
  plain.close();
}

function sending(): void {
  const sink = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 }, coalesce: true, receiveBuffer: 1 });
  const socket = UdpSocket.open({ family: 4, connect: { ...sink.address, address: '127.0.0.1' } });
  const ring = new KeyRing(1);
  ring.set(0, key('AES-256-GCM'));
  const single = new PacketTable({ packets: SEGMENTS, bytes: SEGMENTS * 1_600 });
  for (let i = 0; i < SEGMENTS; i += 1) single.put(i, tcpPacket(PACKET, 1, 1), i * 1_536 + 64);
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  ring.seal(single, numbers(SEGMENTS), 0, SEGMENTS, outbox);
  measure(`send ${SEGMENTS} datagrams in ${outbox.messages} message(s) to a full socket`, SEGMENTS, () => {
    socket.sendOutbox(outbox, 0, outbox.messages);
  });
  measure('  without: UdpSocket.sendConnected', SEGMENTS, () => socket.sendConnected(single, 0, SEGMENTS));

  const open = UdpSocket.open({
    family: 4,
    bind: { address: '127.0.0.1', port: 0 },
    coalesce: true,
    receiveBuffer: 8 << 20,
  });
  const to = UdpSocket.open({ family: 4, connect: { ...open.address, address: '127.0.0.1' } });
  const table = new PacketTable({ packets: 1_024, bytes: 16 * 66_000 });
  const addresses = new AddressTable(16);
  measure(`send and receive ${SEGMENTS} datagrams over loopback`, SEGMENTS, () => {
    to.sendOutbox(outbox, 0, outbox.messages);
    for (let came = 0; came < SEGMENTS; ) came += open.receiveTable(table, addresses);
  });
  const plain = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 }, receiveBuffer: 8 << 20 });
  const toPlain = UdpSocket.open({ family: 4, connect: { ...plain.address, address: '127.0.0.1' } });
  const batch = new PacketBatch({ slots: SEGMENTS, headroom: 0, capacity: 2_048, tailroom: 0 });
  const senders = new AddressTable(SEGMENTS);
  measure('  without: sendConnected and receiveBatch', SEGMENTS, () => {
    toPlain.sendConnected(single, 0, SEGMENTS);
    for (let came = 0; came < SEGMENTS; ) came += plain.receiveBatch(batch, senders);
  });
  for (const each of [sink, socket, open, to, plain, toPlain]) each.close();
}

console.log(`Node ${process.version}, OpenSSL ${process.versions.openssl}; for each packet of ${PACKET} bytes:`);
sealing('AES-256-GCM');
sealing('CHACHA20-POLY1305');
small();
merging();
sending();
