/**
 * The whole path with the kernel at both of its ends: TCP and UDP sockets of this machine speak to each other through a
 * tun whose packets are cut, sealed, sent over UDP, received, opened, turned round (addresses swapped, which leaves
 * checksums as they are) and merged into the same tun.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import { test } from 'node:test';

import {
  AddressTable,
  KeyRing,
  OUTBOX_LEAST,
  Outbox,
  PacketTable,
  type RingKeyOptions,
  TunDevice,
  UdpSocket,
  Watch,
} from '@seikan/native';
import { inNetworkNamespace } from '@seikan/testkit';

const ip = (...argv: string[]) => execFileSync('ip', argv, { encoding: 'utf8' });

const V2 = {
  cipher: 'AES-256-GCM',
  key: new Uint8Array(32).fill(7),
  iv: new Uint8Array(12).fill(9),
  layout: { aadOffset: 0, aadLength: 8, counterOffset: 4, counterLength: 4, tagOffset: 8, bodyOffset: 24 },
  header: Uint8Array.of(0x48, 0, 0, 1),
} satisfies RingKeyOptions;

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

  constructor(key: RingKeyOptions, coalesce: boolean) {
    this.device = TunDevice.openOffloaded({ kind: 'tun', name: 'tun' });
    ip('address', 'add', '10.91.0.1/24', 'dev', this.device.name);
    ip('-6', 'address', 'add', 'fd91::1/64', 'dev', this.device.name, 'nodad');
    ip('link', 'set', this.device.name, 'up', 'mtu', '1400');
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
      table.lengths[i] = (table.lengths[i] ?? 0) - layout.bodyOffset;
      const packet = table.packet(i);
      const [from, size] = (packet[0] ?? 0) >> 4 === 4 ? [12, 4] : [8, 16];
      const source = packet.slice(from, from + size);
      packet.copyWithin(from, from + size, from + 2 * size);
      packet.set(source, from + size);
    }
    assert.equal(this.device.writeTable(table, this.#order, 0, count), count);
  }
}

inNetworkNamespace(import.meta.filename, () => {
  for (const [near, far] of [
    ['10.91.0.1', '10.91.0.2'],
    ['fd91::1', 'fd91::2'],
  ] as const)
    test(`megabytes from ${near} to ${far} arrive as they were sent`, async () => {
      const mirror = new Mirror(V2, true);
      const content = randomBytes(8 << 20);
      const server = createServer();
      server.listen(0, near);
      await once(server, 'listening');
      const client = createConnection({ host: far, port: (server.address() as AddressInfo).port, localAddress: near });
      const [accepted] = await once(server, 'connection');
      const hash = createHash('sha256');
      let bytes = 0;
      accepted.on('data', (chunk: Buffer) => {
        hash.update(chunk);
        bytes += chunk.length;
      });
      client.end(content);
      await once(accepted, 'end');
      assert.equal(bytes, content.length);
      assert.equal(hash.digest('hex'), createHash('sha256').update(content).digest('hex'));
      const counters = mirror.device.writeCounters;
      assert.deepEqual(mirror.device.offloads.tcp, true);
      assert.ok(mirror.superpackets > 50, `${mirror.superpackets} superpackets`);
      assert.ok(counters.merged > mirror.datagrams / 2, JSON.stringify({ counters, sent: mirror.datagrams }));
      assert.equal(counters.refused, 0);
      client.destroy();
      accepted.destroy();
      server.close();
      mirror.close();
    });
});
