import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Endpoint } from '@seikan/core';
import { UdpLink } from '@seikan/dataplane';
import { UdpSocket } from '@seikan/native';

interface Arrived {
  readonly bytes: Uint8Array;
  readonly from: Endpoint;
}

interface Options {
  readonly packetInfo?: boolean;
  readonly wildcard?: boolean;
  readonly reportErrors?: boolean;
}

function openLink(family: 4 | 6, options: Options = {}) {
  const loopback = family === 4 ? '127.0.0.1' : '::1';
  const { packetInfo = false, wildcard = false, reportErrors = false } = options;
  const socket = UdpSocket.open({
    family,
    bind: { address: wildcard ? undefined : loopback, port: 0 },
    packetInfo,
    reportErrors,
  });
  const { port } = socket.address;
  const errors: string[] = [];
  const link = new UdpLink(socket);
  const arrived: Arrived[] = [];
  link.start({
    datagrams: (batch, count, from) => {
      for (let i = 0; i < count; i += 1) {
        const start = batch.offsets[i] ?? 0;
        arrived.push({ bytes: batch.slab.slice(start, start + (batch.lengths[i] ?? 0)), from: from[i] as Endpoint });
      }
    },
    accepted: () => assert.fail(),
    connected: () => assert.fail(),
    failed: (text) => errors.push(text),
    down: (reason) => assert.fail(reason),
  });
  const address: Endpoint = { family, address: loopback, port };
  return { link, arrived, errors, address };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 4_000 && !condition(); i += 1) await sleep(5);
  assert(condition(), 'nothing happened for a second');
}

for (const family of [4, 6] as const) {
  test(`datagrams go both ways over UDP${family}, and one address is one object`, async () => {
    const [a, b] = [openLink(family), openLink(family)];
    const packet = Uint8Array.from({ length: 1_400 }, (_, i) => i & 0xff);
    for (let i = 0; i < 3; i += 1) assert(a.link.send(packet, i, 1_000 + i, b.address));
    assert.equal(b.arrived.length, 0, 'nothing leaves before the flush');
    assert.equal(a.link.flush(), 0);
    await until(() => b.arrived.length === 3);
    for (const [i, { bytes, from }] of b.arrived.entries()) {
      assert.deepEqual(bytes, packet.subarray(i, 1_000 + i));
      assert.deepEqual(from, a.address);
      assert.equal(from, b.arrived[0]?.from);
    }
    b.link.send(packet, 0, 1, b.arrived[0]?.from ?? a.address);
    b.link.flush();
    await until(() => a.arrived.length === 1);
    assert.deepEqual(a.arrived[0]?.from, b.address);
    a.link.close();
    b.link.close();
    a.link.close();
  });
}

test('more than a queue of datagrams in one turn all leave', async () => {
  const [a, b] = [openLink(4), openLink(4)];
  for (let i = 0; i < 200; i += 1) assert(a.link.send(Uint8Array.of(i), 0, 1, b.address));
  a.link.flush();
  await until(() => b.arrived.length === 200);
  assert.deepEqual(
    b.arrived.map(({ bytes }) => bytes[0]),
    Array.from({ length: 200 }, (_, i) => i),
  );
  a.link.close();
  b.link.close();
});

test('a datagram that the socket refuses is counted as lost, and those after it go out', async () => {
  const [a, b] = [openLink(4), openLink(4)];
  const nowhere: Endpoint = { family: 4, address: '255.255.255.255', port: 9 };
  assert(a.link.send(Uint8Array.of(1), 0, 1, b.address));
  assert(a.link.send(Uint8Array.of(2), 0, 1, nowhere));
  assert(a.link.send(Uint8Array.of(3), 0, 1, b.address));
  assert.equal(a.link.flush(), 1);
  assert.deepEqual(a.errors, ['write UDPv4 [EACCES]: Permission denied (code=13)']);
  await until(() => b.arrived.length === 2);
  assert.equal(a.link.flush(), 0);
  assert.equal(a.link.send(new Uint8Array(60_000), 0, 60_000, b.address), false, 'longer than the capacity');
  const six: Endpoint = { family: 6, address: '::1', port: 9 };
  assert.equal(a.link.send(Uint8Array.of(1), 0, 1, six), false, 'no socket of IPv4 reaches it');
  const nobody: Endpoint = { family: 4, address: '0.0.0.0', port: 0 };
  assert.equal(a.link.send(Uint8Array.of(1), 0, 1, nobody), false, 'nobody is known there');
  assert.equal(a.errors.length, 1);
  a.link.close();
  b.link.close();
});

test('a port where nobody listens is told of once a second, and the link neither turns in circles nor stops', async () => {
  const [a, b, gone] = [openLink(4, { reportErrors: true }), openLink(4), openLink(4)];
  gone.link.close();
  for (let i = 0; i < 20; i += 1) {
    a.link.send(Uint8Array.of(i), 0, 1, gone.address);
    a.link.flush();
    await sleep(1);
  }
  await until(() => a.errors.length > 0);
  assert.equal(a.errors.length, 1);
  assert.match(a.errors[0] ?? '', /^(read|write) UDPv4 \[ECONNREFUSED\]: Connection refused \(code=111\)$/);
  const { user, system } = process.cpuUsage();
  await sleep(300);
  const spent = process.cpuUsage({ user, system });
  assert.ok(spent.user + spent.system < 150_000, 'an error that waits keeps nobody busy');
  // The call that returns an error sends nothing.
  for (let i = 0; i < 100 && b.arrived.length === 0; i += 1) {
    a.link.send(Uint8Array.of(1), 0, 1, b.address);
    a.link.flush();
    await sleep(5);
  }
  assert.ok(b.arrived.length > 0);
  a.link.close();
  b.link.close();
});

test('answers leave from the address to which a socket is bound, and from any where it is bound to none', () => {
  const remote: Endpoint = { family: 4, address: '192.0.2.1', port: 1 };
  const remote6: Endpoint = { family: 6, address: '2001:db8::1', port: 1 };
  const links = [openLink(4), openLink(6), openLink(4, { wildcard: true }), openLink(6, { wildcard: true })];
  assert.deepEqual(
    links.map(({ link }) => [link.localOf(remote), link.localOf(remote6)]),
    [
      ['127.0.0.1', undefined],
      [undefined, '::1'],
      [undefined, undefined],
      [undefined, undefined],
    ],
  );
  for (const { link } of links) link.close();
});

test('with packet information, answers leave from the address that was asked', async () => {
  const server = openLink(4, { packetInfo: true, wildcard: true });
  const client = openLink(4);
  const other: Endpoint = { family: 4, address: '127.0.0.77', port: server.address.port };
  for (const to of [other, server.address, other]) {
    client.arrived.length = 0;
    client.link.send(Uint8Array.of(1), 0, 1, to);
    client.link.flush();
    await until(() => server.arrived.length > 0);
    const [first] = server.arrived.splice(0);
    assert.equal(server.link.localOf({ ...(first?.from ?? to) }), to.address);
    // A copy of the address: control does not always give the same object back.
    server.link.send(Uint8Array.of(2), 0, 1, { ...(first?.from ?? to) });
    server.link.flush();
    await until(() => client.arrived.length > 0);
    assert.deepEqual(client.arrived[0]?.from, to);
  }
  server.link.close();
  client.link.close();
});
