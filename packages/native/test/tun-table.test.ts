/**
 * The whole path with the kernel at both of its ends: TCP and UDP sockets of this machine speak to each other through a
 * tun whose packets are cut, sealed, sent over UDP, received, opened, turned round (addresses swapped, which leaves
 * checksums as they are) and merged into the same tun.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  AddressTable,
  KeyRing,
  OUTBOX_LEAST,
  Outbox,
  PacketBatch,
  PacketTable,
  type RingKeyOptions,
  resultName,
  TunDevice,
  UdpSocket,
  Watch,
} from '@seikan/native';
import { inNetworkNamespace } from '@seikan/testkit';

import { build, checksum, type Headers } from './naive-offload.js';

const ip = (...argv: string[]) => execFileSync('ip', argv, { encoding: 'utf8' });

const V2 = {
  cipher: 'AES-256-GCM',
  key: new Uint8Array(32).fill(7),
  iv: new Uint8Array(12).fill(9),
  layout: { aadOffset: 0, aadLength: 8, counterOffset: 4, counterLength: 4, tagOffset: 8, bodyOffset: 24 },
  header: Uint8Array.of(0x48, 0, 0, 1),
} satisfies RingKeyOptions;

const EPOCH = {
  cipher: 'CHACHA20-POLY1305',
  key: new Uint8Array(32).fill(5),
  iv: new Uint8Array(12).fill(3),
  layout: { aadOffset: 0, aadLength: 12, counterOffset: 4, counterLength: 8, tagOffset: 'end', bodyOffset: 12 },
  header: Uint8Array.of(0x48, 0, 0, 1),
} satisfies RingKeyOptions;

/** Gives the device its addresses, and returns when packets to them arrive: the kernel brings IPv6 ones up in the background. */
function bringUp({ name }: TunDevice, mtu = 1_500): void {
  ip('address', 'add', '10.91.0.1/24', 'dev', name);
  ip('-6', 'address', 'add', 'fd91::1/64', 'dev', name, 'nodad');
  ip('link', 'set', name, 'up', 'mtu', String(mtu));
  const deadline = Date.now() + 20_000;
  while (!ip('-6', 'route', 'show', 'table', 'local').includes('fd91::1'))
    assert.ok(Date.now() < deadline, 'the IPv6 address came up');
}

class Mirror {
  readonly device: TunDevice;
  readonly #socket: UdpSocket;
  readonly #ring = new KeyRing(2);
  readonly #toLink = new PacketTable({ packets: 64, bytes: 512 * 1024 });
  readonly #fromLink = new PacketTable({ packets: 2_048, bytes: 16 * 66_000 });
  readonly #outbox = new Outbox({ bytes: 2 * OUTBOX_LEAST });
  readonly #addresses = new AddressTable(16);
  readonly #order = new Uint32Array(2_048);
  readonly #watches: Watch[];
  #lastId = 0;
  datagrams = 0;
  superpackets = 0;

  constructor(key: RingKeyOptions, { mtu = 1_400, coalesce = true, segments = 128 } = {}) {
    this.device = TunDevice.openOffloaded({ kind: 'tun', name: 'tun' });
    bringUp(this.device, mtu);
    this.#outbox.mostSegments = segments;
    const loop = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
    const at = loop.address;
    loop.close();
    this.#socket = UdpSocket.open({
      family: 4,
      bind: { address: '127.0.0.1', port: at.port },
      connect: { ...at, address: '127.0.0.1' },
      coalesce,
      receiveBuffer: 8 << 20,
      sendBuffer: 8 << 20,
    });
    for (const slot of [0, 1]) this.#ring.set(slot, key);
    this.#watches = [
      new Watch(this.device.descriptor.fd, { readable: true }, () => this.#fromTun()),
      new Watch(this.#socket.descriptor.fd, { readable: true }, () => this.#fromSocket(key)),
    ];
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
    this.device.close();
    this.#socket.close();
  }

  #fromTun(): void {
    const table = this.#toLink;
    const count = this.device.readTable(table, 64, 128 * 1024);
    assert.ok(count >= 0);
    for (let i = 0; i < count; i += 1) {
      assert.ok((table.segments[i] ?? 0) > 0, 'the kernel gives sound superpackets');
      this.#order[i] = i;
      table.slots[i] = 0;
      table.addresses[i] = 0;
      table.ids[i] = this.#lastId + 1;
      this.#lastId += table.segments[i] ?? 0;
      if ((table.segments[i] ?? 0) > 1) this.superpackets += 1;
    }
    assert.equal(this.#ring.seal(table, this.#order, 0, count, this.#outbox), count);
    for (let first = 0; first < this.#outbox.messages; ) {
      const sent = this.#socket.sendOutbox(this.#outbox, first, this.#outbox.messages - first);
      assert.ok(sent >= 0, String(sent));
      first += Math.max(1, sent);
    }
    this.datagrams += this.#outbox.datagrams;
    this.#outbox.clear();
  }

  #fromSocket({ layout }: RingKeyOptions): void {
    const table = this.#fromLink;
    const count = this.#socket.receiveTable(table, this.#addresses);
    assert.ok(count >= 0, String(count));
    for (let i = 0; i < count; i += 1) {
      this.#order[i] = i;
      table.slots[i] = 1;
    }
    assert.equal(this.#ring.open(table, this.#order, 0, count), count);
    for (let i = 0; i < count; i += 1) {
      table.offsets[i] = (table.offsets[i] ?? 0) + layout.bodyOffset;
      table.lengths[i] = (table.lengths[i] ?? 0) - layout.bodyOffset - (layout.tagOffset === 'end' ? 16 : 0);
      const packet = table.packet(i);
      const [from, size] = (packet[0] ?? 0) >> 4 === 4 ? [12, 4] : [8, 16];
      const source = packet.slice(from, from + size);
      packet.copyWithin(from, from + size, from + 2 * size);
      packet.set(source, from + size);
    }
    assert.equal(this.device.writeTable(table, this.#order, 0, count), count);
  }
}

/** Sends `content` through a connection from `near` to `far`, and compares what arrives. */
async function transfer(near: string, far: string, content: Uint8Array): Promise<void> {
  const server = createServer();
  server.listen(0, near);
  await once(server, 'listening');
  const client = createConnection({ host: far, port: (server.address() as AddressInfo).port, localAddress: near });
  const [accepted] = (await once(server, 'connection')) as [Socket];
  const chunks: Buffer[] = [];
  accepted.on('data', (chunk: Buffer) => chunks.push(chunk));
  client.end(content);
  await once(accepted, 'end');
  assert.ok(Buffer.concat(chunks).equals(content), 'what arrived is what was sent');
  client.destroy();
  accepted.destroy();
  server.close();
}

const ENDS = [
  ['10.91.0.1', '10.91.0.2'],
  ['fd91::1', 'fd91::2'],
] as const;

inNetworkNamespace(import.meta.filename, () => {
  for (const [near, far] of ENDS)
    test(`megabytes of TCP to ${far} go as superpackets and arrive as they were sent`, async () => {
      const mirror = new Mirror(V2);
      await transfer(near, far, randomBytes(8 << 20));
      const counters = mirror.device.writeCounters;
      assert.deepEqual(mirror.device.offloads, { tcp: true, udp: mirror.device.offloads.udp });
      assert.ok(mirror.superpackets > 50, `${mirror.superpackets} superpackets`);
      assert.ok(counters.merged > mirror.datagrams / 2, JSON.stringify({ counters, sent: mirror.datagrams }));
      assert.equal(counters.refused, 0);
      mirror.close();
    });

  for (const [what, key, options] of [
    ['an MTU of 1281', V2, { mtu: 1_281 }],
    ['an MTU of 9001', V2, { mtu: 9_001 }],
    ['an MTU of 65000', V2, { mtu: 65_000 }],
    ['the epoch format and ChaCha20-Poly1305', EPOCH, {}],
    ['neither UDP_GRO nor UDP_SEGMENT', V2, { coalesce: false, segments: 1 }],
  ] as const)
    test(`with ${what} TCP arrives as it was sent`, async () => {
      const mirror = new Mirror(key, options);
      for (const [near, far] of ENDS) await transfer(near, far, randomBytes((1 << 20) + 1));
      assert.equal(mirror.device.writeCounters.refused, 0);
      mirror.close();
    });

  test('with ECN TCP arrives as it was sent', async () => {
    writeFileSync('/proc/sys/net/ipv4/tcp_ecn', '1');
    const mirror = new Mirror(V2);
    for (const [near, far] of ENDS) await transfer(near, far, randomBytes(1 << 20));
    assert.equal(mirror.device.writeCounters.refused, 0);
    mirror.close();
  });

  for (const mtu of [1_400, 1_281, 9_000])
    for (const [near, far] of ENDS)
      test(`datagrams of 0 to 64 KiB to ${far} arrive as they were sent, MTU ${mtu}`, async () => {
        const mirror = new Mirror(V2, { mtu });
        const type = near.includes(':') ? 'udp6' : 'udp4';
        const receiver = createSocket(type);
        const sender = createSocket(type);
        receiver.bind(0, near);
        sender.bind(0, near);
        await Promise.all([once(receiver, 'listening'), once(sender, 'listening')]);
        for (const size of [0, 1, 2, 3, 100, mtu - 48, mtu - 47, mtu - 28, mtu - 27, 3_001, 40_000, 65_487]) {
          const content = randomBytes(size);
          const arrival = once(receiver, 'message') as Promise<[Buffer]>;
          sender.send(content, receiver.address().port, far);
          assert.ok((await arrival)[0].equals(content), `${size} bytes`);
        }
        receiver.close();
        sender.close();
        mirror.close();
      });

  for (const [near, far] of ENDS)
    test(`runs of datagrams to ${far} that the kernel leaves uncut arrive as they were sent`, async (context) => {
      const mirror = new Mirror(V2);
      if (!mirror.device.offloads.udp) {
        mirror.close();
        context.skip('no USO before Linux 6.2');
        return;
      }
      const receiver = createSocket(near.includes(':') ? 'udp6' : 'udp4');
      receiver.bind(0, near);
      await once(receiver, 'listening');
      const arrived: Buffer[] = [];
      receiver.on('message', (message) => arrived.push(message));
      const family = near.includes(':') ? 6 : 4;
      const sender = UdpSocket.open({ family, bind: { address: near, port: 0 } });
      const peers = new AddressTable(1);
      peers.set(0, { family, address: far, port: receiver.address().port });
      const outbox = new Outbox({ bytes: OUTBOX_LEAST });
      const ring = new KeyRing(1);
      ring.set(0, V2);
      const table = new PacketTable({ packets: 40, bytes: 40 * 1_000 });
      for (let i = 0; i < 40; i += 1) table.put(i, new Uint8Array(i === 39 ? 100 : 700), 64 + i * 900);
      ring.seal(
        table,
        Uint32Array.from({ length: 40 }, (_, i) => i),
        0,
        40,
        outbox,
      );
      assert.equal(outbox.messages, 1);
      assert.equal(sender.sendOutbox(outbox, 0, 1, peers), 1);
      while (arrived.length < 40) await sleep(2);
      assert.ok(Buffer.concat(arrived).equals(outbox.slab.subarray(0, outbox.bytes)));
      assert.equal(mirror.superpackets, 1);
      assert.equal(mirror.device.writeCounters.merged, 40);
      sender.close();
      receiver.close();
      mirror.close();
    });

  test('what cannot be merged reaches its socket beside what can', async () => {
    const device = TunDevice.openOffloaded({ kind: 'tun', name: 'tun' });
    bringUp(device);
    const arrived: string[] = [];
    const sockets = [createSocket('udp4'), createSocket('udp6')] as const;
    sockets[0].bind(7_000, '10.91.0.1');
    sockets[1].bind(7_000, 'fd91::1');
    await Promise.all(sockets.map((socket) => once(socket, 'listening')));
    for (const socket of sockets) socket.on('message', (message) => arrived.push(message.toString()));

    const four: Headers = {
      version: 4,
      tcp: false,
      source: Uint8Array.of(10, 91, 0, 2),
      destination: Uint8Array.of(10, 91, 0, 1),
      ports: [6_000, 7_000],
      tos: 0,
      label: 0,
      ttl: 64,
      id: 1,
      fragment: 0,
      options: new Uint8Array(0),
      extension: new Uint8Array(0),
      sequence: 0,
      acknowledgement: 0,
      flags: 0,
      window: 0,
      urgent: 0,
      tcpOptions: new Uint8Array(0),
    };
    const six: Headers = {
      ...four,
      version: 6,
      source: Uint8Array.from([0xfd, 0x91, ...new Uint8Array(13), 2]),
      destination: Uint8Array.from([0xfd, 0x91, ...new Uint8Array(13), 1]),
    };
    const text = (name: string) => new TextEncoder().encode(name);
    const packet = (headers: Headers, change: Partial<Headers>, name: string) =>
      build({ ...headers, ...change }, text(name));
    const fragments = build({ ...four, id: 77 }, text('a datagram in two fragments')).slice();
    const first = fragments.slice(0, 44);
    const second = Uint8Array.from([...fragments.subarray(0, 20), ...fragments.subarray(44)]);
    for (const [piece, flags] of [
      [first, 0x2000],
      [second, 3],
    ] as const) {
      const view = new DataView(piece.buffer);
      view.setUint16(2, piece.length);
      view.setUint16(6, flags);
      view.setUint16(10, 0);
      view.setUint16(10, checksum(piece.subarray(0, 20)));
    }
    const bad = packet(four, { id: 3 }, '4: forged').slice();
    bad[30] = 0;
    const packets = [
      packet(four, { id: 1 }, '4: one'),
      packet(four, { id: 2 }, '4: two'),
      bad,
      packet(four, { id: 3, options: Uint8Array.of(1, 1, 1, 0) }, '4: with options'),
      packet(four, { id: 4, tos: 3 }, '4: with ECN'),
      first,
      second,
      packet(four, { id: 5 }, '4: six'),
      packet(six, {}, '6: one'),
      packet(six, {}, '6: two'),
      packet(six, { extension: Uint8Array.of(0, 1, 4, 0, 0, 0, 0) }, '6: with an extension header'),
      packet(six, { tos: 1 }, '6: with ECN'),
      packet(six, {}, '6: five'),
    ];
    const table = new PacketTable({ packets: packets.length, bytes: packets.length * 200 });
    for (const [i, each] of packets.entries()) table.put(i, each, i * 200);
    const order = Uint32Array.from(packets.keys());
    assert.equal(device.writeTable(table, order, 0, packets.length), packets.length);
    const expected = [
      ['4: one', '4: two', '4: with options', '4: with ECN', 'a datagram in two fragments', '4: six'],
      ['6: one', '6: two', '6: with an extension header', '6: with ECN', '6: five'],
    ];
    while (arrived.length < expected.flat().length) await sleep(2);
    assert.deepEqual(
      arrived.filter((name) => !name.startsWith('6')),
      expected[0],
    );
    assert.deepEqual(
      arrived.filter((name) => name.startsWith('6')),
      expected[1],
    );
    assert.equal(device.writeCounters.merged, device.offloads.udp ? 4 : 0);
    for (const socket of sockets) socket.close();
    device.close();
  });

  test('what the kernel refuses is counted, and a device that is gone is a result', () => {
    const device = TunDevice.openOffloaded({ kind: 'tun', name: 'tun' });
    ip('link', 'set', device.name, 'up');
    const table = new PacketTable({ packets: 3, bytes: 70_000 });
    const good = new Uint8Array(20);
    good[0] = 0x45;
    table.put(0, good, 64);
    table.put(1, new Uint8Array(20), 128); // version 0
    table.put(2, good, 192);
    table.verdicts.fill(1);
    const order = Uint32Array.of(0, 1, 2);
    assert.equal(device.writeTable(table, order, 0, 3), 2);
    assert.deepEqual([...table.verdicts], [1, 2, 1]);
    assert.deepEqual({ ...device.writeCounters }, { writes: 3, merged: 0, refused: 1, lastErrno: 22 });
    ip('link', 'delete', device.name);
    assert.equal(resultName(device.writeTable(table, order, 0, 3)), 'EBADFD');
    assert.equal(resultName(device.readTable(table)), 'EBADFD');
    device.close();
  });

  test('a tap, and a tun without a virtio header, work through the same calls without offloads', async () => {
    const tap = TunDevice.openOffloaded({ kind: 'tap', name: 'tap' });
    assert.deepEqual([tap.offloads, tap.info.virtioHeader], [{ tcp: false, udp: false }, false]);
    tap.close();
    const device = TunDevice.open({ kind: 'tun', name: 'tun' });
    assert.deepEqual(device.enableOffloads(), { tcp: false, udp: false });
    ip('address', 'add', '10.91.0.1/24', 'dev', device.name);
    ip('link', 'set', device.name, 'up', 'mtu', '1300');
    const sender = UdpSocket.open({
      family: 4,
      bind: { address: '10.91.0.1', port: 0 },
      connect: { family: 4, address: '10.91.0.2', port: 9 },
    });
    const batch = new PacketBatch({ slots: 3, headroom: 0, capacity: 1_272, tailroom: 0 });
    batch.lengths.set([1_272, 1_272, 5]);
    assert.equal(sender.sendConnected(batch, 0, 3), 3);
    const table = new PacketTable({ packets: 64, bytes: 100_000 });
    const sizes: number[] = [];
    while (sizes.length < 3) {
      const count = device.readTable(table);
      for (let i = 0; i < count; i += 1) {
        const packet = table.packet(i);
        if (packet[0] !== 0x45 || packet[9] !== 17) continue; // the kernel's own multicast
        assert.deepEqual([table.kinds[i], table.segments[i]], [0, 1]);
        sizes.push(packet.length);
      }
      if (count === 0) await sleep(2);
    }
    assert.deepEqual(sizes, [1_300, 1_300, 33]);
    sender.close();
    device.close();
  });
});
