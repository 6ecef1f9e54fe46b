import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { AddressTable, PacketBatch, resultName, type UdpOptions, UdpSocket } from '@seikan/native';

const open: UdpSocket[] = [];
after(() => {
  for (const socket of open) socket.close();
});

function socket(options: UdpOptions): UdpSocket {
  const made = UdpSocket.open(options);
  open.push(made);
  return made;
}

const small = () => new PacketBatch({ slots: 32, headroom: 64, capacity: 2_048, tailroom: 32 });

/** Loopback delivers before the sender returns, nearly always; a busy machine may take a moment. */
async function receive(from: UdpSocket, batch: PacketBatch, addresses: AddressTable, wanted: number): Promise<number> {
  let got = 0;
  for (let tries = 0; tries < 200 && got < wanted; tries += 1) {
    const result = from.receiveBatch(batch, addresses, got);
    assert.ok(result >= 0, `receive: ${result}`);
    got += result;
    if (got < wanted) await sleep(5);
  }
  return got;
}

function fill(batch: PacketBatch, sizes: readonly number[]): void {
  for (const [i, size] of sizes.entries()) batch.put(i, new Uint8Array(size).fill(i + 1));
}

for (const [family, address] of [
  [4, '127.0.0.1'],
  [6, '::1'],
] as const)
  test(`a batch of datagrams crosses IPv${family} loopback whole, in order, with its sender`, async () => {
    const server = socket({ family, v6only: family === 6 ? true : undefined, bind: { address, port: 0 } });
    const client = socket({ family, bind: { address, port: 0 } });
    const sizes = [1, 1_400, 0, 2_048, 77];
    const sending = small();
    fill(sending, sizes);
    const to = new AddressTable(3);
    to.set(2, server.address);
    const which = new Uint32Array(32).fill(2);
    assert.equal(client.sendBatch(sending, 0, 5, to, which), 5);

    const receiving = small();
    const from = new AddressTable(32);
    assert.equal(await receive(server, receiving, from, 5), 5);
    for (const [i, size] of sizes.entries()) {
      assert.deepEqual(receiving.packet(i), new Uint8Array(size).fill(i + 1));
      assert.deepEqual(from.remote(i), client.address);
      assert.equal(from.local(i), undefined);
    }
    assert.equal(server.receiveBatch(receiving, from), 0, 'nothing more');
    // The answer goes to the record that came in.
    fill(sending, [3]);
    assert.equal(server.sendBatch(sending, 0, 1, from, new Uint32Array([0])), 1);
    assert.equal(await receive(client, receiving, from, 1), 1);
    assert.deepEqual(from.remote(0), server.address);
  });

test('a dual-stack socket speaks to both families and shows IPv4 as IPv4', async () => {
  const server = socket({ family: 6, bind: { port: 0 } });
  const { port } = server.address;
  const v4 = socket({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const v6 = socket({ family: 6, bind: { address: '::1', port: 0 } });
  const sending = small();
  fill(sending, [4, 6]);
  const to = new AddressTable(2);
  to.set(0, { family: 4, address: '127.0.0.1', port });
  to.set(1, { family: 6, address: '::1', port });
  const which = new Uint32Array([0, 1]);
  assert.equal(v4.sendBatch(sending, 0, 1, to, which), 1);
  assert.equal(v6.sendBatch(sending, 1, 1, to, which), 1);
  const receiving = small();
  const from = new AddressTable(32);
  assert.equal(await receive(server, receiving, from, 2), 2);
  assert.deepEqual([from.remote(0), from.remote(1)], [v4.address, v6.address]);
  assert.equal(server.sendBatch(receiving, 0, 2, from, which), 2);
  assert.equal(await receive(v4, receiving, from, 1), 1);
  assert.deepEqual(from.remote(0), { family: 4, address: '127.0.0.1', port });
});

for (const family of [4, 6] as const)
  test(`with packetInfo an answer leaves from the address that was hit (socket of family ${family})`, async () => {
    const server = socket({ family, bind: { port: 0 }, packetInfo: true });
    const client = socket({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
    const to = new AddressTable(1);
    to.set(0, { family: 4, address: '127.0.0.5', port: server.address.port });
    const batch = small();
    fill(batch, [9]);
    assert.equal(client.sendBatch(batch, 0, 1, to, new Uint32Array(1)), 1);
    const from = new AddressTable(32);
    assert.equal(await receive(server, batch, from, 1), 1);
    assert.deepEqual(from.local(0), { address: '127.0.0.5', interfaceIndex: 1 });
    assert.equal(server.sendBatch(batch, 0, 1, from, new Uint32Array(1)), 1);
    assert.equal(await receive(client, batch, from, 1), 1);
    assert.deepEqual(from.remote(0), { family: 4, address: '127.0.0.5', port: server.address.port });
  });

test('a datagram longer than the capacity comes out with length 0 and touches nothing behind its slot', async () => {
  const server = socket({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const client = socket({ family: 4, connect: server.address });
  const sending = small();
  fill(sending, [101, 100]);
  assert.equal(client.sendConnected(sending, 0, 2), 2);
  const receiving = new PacketBatch({ slots: 2, headroom: 0, capacity: 100, tailroom: 28 });
  const from = new AddressTable(2);
  assert.equal(await receive(server, receiving, from, 2), 2);
  assert.deepEqual([...receiving.lengths], [0, 100]);
  assert.deepEqual(receiving.slab.slice(100, 128), new Uint8Array(28));
});

test('an ICMP refusal is one result and the socket lives on', async () => {
  const gone = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const server = gone.address;
  gone.close();
  const client = socket({ family: 4, connect: server });
  const batch = small();
  fill(batch, [5]);
  assert.equal(client.sendConnected(batch, 0, 1), 1);
  const from = new AddressTable(32);
  let result = 0;
  for (let tries = 0; tries < 200 && result === 0; tries += 1) {
    result = client.receiveBatch(batch, from);
    if (result === 0) await sleep(5);
  }
  assert.equal(resultName(result), 'ECONNREFUSED');
  assert.equal(client.receiveBatch(batch, from), 0);
  const back = socket({ family: 4, bind: { address: '127.0.0.1', port: server.port } });
  fill(batch, [5]);
  assert.equal(client.sendConnected(batch, 0, 1), 1);
  assert.equal(await receive(back, batch, from, 1), 1);
});

test('a send stops before the datagram that cannot go, and gives its errno when it comes first', () => {
  const client = socket({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const batch = new PacketBatch({ slots: 3, headroom: 0, capacity: 70_000, tailroom: 0 });
  fill(batch, [10, 66_000, 10]);
  const to = new AddressTable(1);
  to.set(0, client.address);
  const which = new Uint32Array(3);
  assert.equal(client.sendBatch(batch, 0, 3, to, which), 1);
  assert.equal(resultName(client.sendBatch(batch, 1, 2, to, which)), 'EMSGSIZE');
  assert.equal(client.sendBatch(batch, 2, 1, to, which), 1);
});

test('options reach the kernel, and a step that fails is named', () => {
  const tuned = UdpSocket.open({
    family: 6,
    bind: { port: 0 },
    reuseAddress: true,
    sendBuffer: 300_000,
    receiveBuffer: 300_000,
    mtuDiscovery: 'yes',
    tos: 0x28,
    bindDevice: 'lo',
  });
  tuned.setTos(0);
  tuned.close();
  tuned.close();
  assert.throws(() => tuned.address, /closed/);
  assert.throws(() => UdpSocket.open({ family: 4, bind: { address: '203.0.113.1', port: 0 } }), {
    code: 'EADDRNOTAVAIL',
    syscall: 'bind',
  });
  assert.throws(() => UdpSocket.open({ family: 4, bindDevice: 'nosuchdevice' }), {
    code: 'ENODEV',
    syscall: 'SO_BINDTODEVICE',
  });
  assert.throws(() => UdpSocket.open({ family: 4, bind: { address: '::1', port: 0 } }), TypeError);
  const taken = socket({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  assert.throws(() => UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: taken.address.port } }), {
    code: 'EADDRINUSE',
  });
});

test('runs, addresses and choices that do not fit together are refused before anything is sent', () => {
  const one = socket({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const batch = small();
  fill(batch, [5, 5]);
  const to = new AddressTable(2);
  to.set(0, one.address);
  assert.throws(() => one.sendBatch(batch, 31, 2, to, new Uint32Array(40)), RangeError);
  assert.throws(() => one.sendBatch(batch, 0, 2, to, new Uint32Array(1)), RangeError);
  assert.throws(() => one.sendBatch(batch, 0, 2, to, new Uint32Array([0, 2])), RangeError, 'outside the table');
  assert.throws(() => one.sendBatch(batch, 0, 2, to, new Uint32Array([0, 1])), RangeError, 'an empty record');
  assert.throws(() => one.receiveBatch(batch, new AddressTable(1)), RangeError);
  assert.equal(one.receiveBatch(batch, new AddressTable(32)), 0);
  to.set(1, { family: 6, address: '::1', port: 1 });
  assert.throws(() => one.sendBatch(batch, 0, 2, to, new Uint32Array([0, 1])), RangeError, 'the wrong family');
});
