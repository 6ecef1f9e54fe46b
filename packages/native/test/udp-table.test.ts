import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

import {
  AddressTable,
  KeyRing,
  OUTBOX_LEAST,
  Outbox,
  PacketBatch,
  PacketTable,
  resultName,
  UdpSocket,
} from '@seikan/native';
import { inNetworkNamespace } from '@seikan/testkit';

const ip = (...argv: string[]) => execFileSync('ip', argv, { encoding: 'utf8' });

/** An outbox with datagrams of these sizes: byte 0 is the place in the list, for address `address`. */
function filled(sizes: readonly number[], address = 0, mostSegments = 128): Outbox {
  const layout = { aadOffset: 0, aadLength: 8, counterOffset: 4, counterLength: 4, tagOffset: 8, bodyOffset: 24 };
  const ring = new KeyRing(1);
  ring.set(0, {
    cipher: 'AES-128-GCM',
    key: new Uint8Array(16),
    iv: new Uint8Array(12),
    layout,
    header: new Uint8Array(4),
  });
  const table = new PacketTable({ packets: sizes.length, bytes: sizes.reduce((sum, size) => sum + size + 64, 200) });
  let at = 64;
  for (const [i, size] of sizes.entries()) {
    table.put(i, new Uint8Array(size - 24), at);
    at += size + 40;
  }
  table.addresses.fill(address);
  const outbox = new Outbox({ bytes: OUTBOX_LEAST });
  outbox.mostSegments = mostSegments;
  const order = Uint32Array.from(sizes.keys());
  assert.equal(ring.seal(table, order, 0, sizes.length, outbox), sizes.length);
  // What is tested is the way, not the seal.
  let from = 0;
  for (const [i, size] of sizes.entries()) {
    outbox.slab[from] = i;
    from += size;
  }
  return outbox;
}

async function receiveAll(socket: UdpSocket, table: PacketTable, addresses: AddressTable, count: number) {
  const got: { first: number; length: number; from: number | undefined; to: string | undefined }[] = [];
  const deadline = Date.now() + 20_000;
  while (got.length < count) {
    const came = socket.receiveTable(table, addresses);
    assert.ok(came >= 0, String(came));
    for (let i = 0; i < came; i += 1) {
      const packet = table.packet(i);
      const record = table.addresses[i] ?? 0;
      got.push({
        first: packet[0] ?? -1,
        length: packet.length,
        from: addresses.remote(record)?.port,
        to: addresses.local(record)?.address,
      });
    }
    if (came === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    assert.ok(Date.now() < deadline, `${got.length} of ${count} arrived`);
  }
  return got;
}

inNetworkNamespace(import.meta.filename, () => {
  const sizes = [700, 700, 700, 700, 100, 1_000, 1_000, 500, 24];

  for (const [family, address] of [
    [4, '127.0.0.1'],
    [6, '::1'],
  ] as const)
    for (const coalesce of [true, false])
      for (const connected of [true, false])
        test(`datagrams arrive as they were: IPv${family}, coalesced ${coalesce}, connected ${connected}`, async () => {
          const receiver = UdpSocket.open({ family, bind: { address, port: 0 }, coalesce });
          const sender = UdpSocket.open({
            family,
            bind: { address, port: 0 },
            ...(connected ? { connect: receiver.address } : {}),
          });
          assert.equal(sender.segmentation, true);
          const peers = new AddressTable(3);
          peers.set(2, receiver.address);
          const outbox = filled(sizes, 2);
          assert.equal(outbox.messages, 3);
          assert.equal(sender.sendOutbox(outbox, 0, 3, connected ? undefined : peers), 3);
          const table = new PacketTable({ packets: 64, bytes: 8 * 66_000 });
          const got = await receiveAll(receiver, table, new AddressTable(8), sizes.length);
          const { port } = sender.address;
          assert.deepEqual(
            got,
            sizes.map((length, first) => ({ first, length, from: port, to: undefined })),
          );
          assert.equal(outbox.fallbacks, 0);
          sender.close();
          receiver.close();
        });

  test('a ring sends what it seals; what it could not send is left with the reason', async () => {
    const receiver = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 }, coalesce: true });
    const sender = UdpSocket.open({ family: 4, connect: receiver.address });
    const ring = new KeyRing(1);
    const layout = { aadOffset: 0, aadLength: 8, counterOffset: 4, counterLength: 4, tagOffset: 8, bodyOffset: 24 };
    const key = { cipher: 'AES-128-GCM', key: new Uint8Array(16), iv: new Uint8Array(12), layout };
    ring.set(0, { ...key, header: Uint8Array.of(1, 2, 3, 4) });
    const plain = new PacketTable({ packets: 3, bytes: 1_000 });
    for (const i of [0, 1, 2]) plain.put(i, new Uint8Array(i === 2 ? 50 : 100), 100 + 200 * i);
    const order = Uint32Array.of(0, 1, 2);
    const outbox = new Outbox({ bytes: OUTBOX_LEAST });
    assert.equal(ring.sealAndSend(plain, order, 0, 3, outbox, sender), 3);
    assert.deepEqual([outbox.messages, outbox.sent, outbox.takeError()], [0, 0, 0]);
    const table = new PacketTable({ packets: 64, bytes: 66_000 });
    const got = await receiveAll(receiver, table, new AddressTable(1), 3);
    assert.deepEqual(
      got.map(({ first, length }) => [first, length]),
      [
        [1, 124],
        [1, 124],
        [1, 74],
      ],
    );
    receiver.close();
    // Nobody listens any more: the answer to the first is the second's error.
    assert.equal(ring.sealAndSend(plain, order, 0, 1, outbox, sender), 1);
    assert.equal(outbox.messages, 0);
    const refused = async (): Promise<number> => {
      for (;;) {
        assert.equal(ring.sealAndSend(plain, order, 1, 1, outbox, sender), 1);
        if (outbox.messages > 0) return outbox.takeError();
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    assert.equal(resultName(await refused()), 'ECONNREFUSED');
    assert.deepEqual([outbox.messages, outbox.sent, outbox.takeError()], [1, 0, 0]);
    // Into one that is not empty it only seals.
    assert.equal(ring.sealAndSend(plain, order, 2, 1, outbox, sender), 1);
    assert.equal(outbox.datagrams, 2);
    assert.throws(
      () => ring.sealAndSend(plain, order, 0, 1, new Outbox({ bytes: OUTBOX_LEAST }), sender, new AddressTable(1)),
      {
        message: /empty or of the wrong family/,
      },
    );
    sender.close();
  });

  test('a run comes in as one message, and what the table has no place for is counted', async () => {
    const receiver = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 }, coalesce: true });
    const sender = UdpSocket.open({ family: 4, connect: receiver.address });
    const outbox = filled(Array.from({ length: 40 }, () => 500));
    assert.equal(outbox.messages, 1);
    assert.equal(sender.sendOutbox(outbox, 0, 1), 1);
    const table = new PacketTable({ packets: 30, bytes: 66_000 });
    const got = await receiveAll(receiver, table, new AddressTable(1), 30);
    assert.equal(got.length, 30);
    assert.equal(table.takeLost(), 10);
    assert.equal(table.takeLost(), 0);
    sender.close();
    receiver.close();
  });

  test('the local address is where a datagram was sent to, and where the answer goes out from', async () => {
    const receiver = UdpSocket.open({ family: 4, bind: { port: 0 }, coalesce: true, packetInfo: true });
    const sender = UdpSocket.open({ family: 4, bind: { port: 0 }, packetInfo: true });
    const peers = new AddressTable(1);
    peers.set(
      0,
      { family: 4, address: '127.0.0.77', port: receiver.address.port },
      { address: '127.0.0.99', interfaceIndex: 0 },
    );
    const outbox = filled([700, 700, 100]);
    assert.equal(sender.sendOutbox(outbox, 0, 1, peers), 1);
    const senders = new AddressTable(4);
    const table = new PacketTable({ packets: 64, bytes: 4 * 66_000 });
    const got = await receiveAll(receiver, table, senders, 3);
    assert.deepEqual(new Set(got.map(({ to }) => to)), new Set(['127.0.0.77']));
    assert.equal(senders.remote(0)?.address, '127.0.0.99');
    sender.close();
    receiver.close();
  });

  test('what the route is too narrow for goes datagram by datagram, and the outbox learns it', async () => {
    ip('link', 'add', 'va', 'type', 'veth', 'peer', 'name', 'vb');
    ip('address', 'add', '10.92.0.1/24', 'dev', 'va');
    ip('link', 'set', 'va', 'up', 'mtu', '1000');
    ip('link', 'set', 'vb', 'up', 'mtu', '1000');
    ip('neighbour', 'add', '10.92.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'va');
    const sender = UdpSocket.open({
      family: 4,
      connect: { family: 4, address: '10.92.0.2', port: 9 },
      mtuDiscovery: 'no',
    });
    const outbox = filled([1_200, 1_200, 1_200, 300]);
    assert.equal(outbox.messages, 1);
    assert.equal(sender.sendOutbox(outbox, 0, 1), 1);
    assert.deepEqual([outbox.fallbacks, outbox.takeLost(), outbox.largestSegment], [1, 0, 1_199]);
    // With DF each of them is refused: the message's own error.
    const strict = UdpSocket.open({
      family: 4,
      connect: { family: 4, address: '10.92.0.2', port: 9 },
      mtuDiscovery: 'yes',
    });
    assert.equal(resultName(strict.sendOutbox(outbox, 0, 1)), 'EMSGSIZE');
    const fits = filled([900, 900, 1_200]);
    assert.equal(fits.messages, 2);
    assert.equal(strict.sendOutbox(fits, 0, 2), 1);
    assert.equal(resultName(strict.sendOutbox(fits, 1, 1)), 'EMSGSIZE');
    assert.equal(fits.fallbacks, 0);
    sender.close();
    strict.close();
  });

  test('an outbox without segmentation sends each datagram alone', async () => {
    const receiver = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
    const sender = UdpSocket.open({ family: 4, connect: receiver.address });
    const outbox = filled(sizes, 0, 1);
    assert.equal(outbox.messages, sizes.length);
    assert.equal(sender.sendOutbox(outbox, 0, sizes.length), sizes.length);
    const batch = new PacketBatch({ slots: 16, headroom: 0, capacity: 2_000, tailroom: 0 });
    let came = 0;
    while (came < sizes.length) came += receiver.receiveBatch(batch, new AddressTable(16), came);
    assert.deepEqual([...batch.lengths.subarray(0, came)], sizes);
    sender.close();
    receiver.close();
  });

  test('addresses and messages outside their tables are refused', () => {
    const sender = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
    const peers = new AddressTable(1);
    assert.throws(() => sender.sendOutbox(filled([100]), 0, 1, peers), { message: /empty or of the wrong family/ });
    assert.throws(() => sender.sendOutbox(filled([100], 1), 0, 1, peers), { message: /outside the table/ });
    assert.throws(() => sender.sendOutbox(filled([100]), 0, 2, peers), RangeError);
    const wild = filled([100]);
    wild.offsets[0] = OUTBOX_LEAST;
    assert.throws(() => sender.sendOutbox(wild, 0, 1), { message: /outside the outbox/ });
    const small = new PacketTable({ packets: 8, bytes: 65_000 });
    assert.throws(() => sender.receiveTable(small, peers), { message: /no room/ });
    sender.close();
  });
});
