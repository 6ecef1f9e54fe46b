import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, type Socket as Connection, createServer } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Endpoint } from '@seikan/core';
import { SocksUdpLink, UdpLink } from '@seikan/dataplane';
import { TcpSocket, UdpSocket } from '@seikan/native';

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 4_000 && !condition(); i += 1) await sleep(5);
  assert(condition(), 'nothing happened for twenty seconds');
}

async function bound(): Promise<{ socket: Socket; endpoint: Endpoint; heard: { bytes: Buffer; from: RemoteInfo }[] }> {
  const socket = createSocket('udp4');
  const heard: { bytes: Buffer; from: RemoteInfo }[] = [];
  socket.on('message', (bytes, from) => heard.push({ bytes, from }));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { socket, endpoint: { family: 4, address: '127.0.0.1', port: socket.address().port }, heard };
}

/** A link whose relay and control connection are in our hands. */
async function relayed() {
  const relay = await bound();
  const proxy = createServer().listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  const accepted = once(proxy, 'connection') as Promise<[Connection]>;
  const control = TcpSocket.connect({ family: 4, address: '127.0.0.1', port }, { family: 4 });
  const [connection] = await accepted;
  const packets = new UdpLink(UdpSocket.open({ family: 4 }));
  const link = new SocksUdpLink({ packets, control, relay: relay.endpoint });
  const received: { bytes: Uint8Array; from: Endpoint }[] = [];
  const downs: string[] = [];
  link.start({
    datagrams: ({ slab, offsets, lengths }, count, from) => {
      for (let i = 0; i < count; i += 1) {
        const start = offsets[i] ?? 0;
        received.push({ bytes: slab.slice(start, start + (lengths[i] ?? 0)), from: from[i] as Endpoint });
      }
    },
    accepted: () => assert.fail('a socket for packets accepts nothing'),
    connected: () => undefined,
    down: (reason) => downs.push(reason),
  });
  const close = (): void => {
    link.close();
    relay.socket.close();
    proxy.close();
    connection.destroy();
  };
  return { link, relay, connection, received, downs, close };
}

const server: Endpoint = { family: 4, address: '198.51.100.7', port: 1194 };
const HEADER = Buffer.from('00000001c633640704aa', 'hex');

test('each packet goes to the relay behind ten bytes that name the peer, and comes back without them', async () => {
  const { link, relay, received, close } = await relayed();
  const packet = Buffer.from('..packet..');
  assert.ok(link.send(packet, 2, 8, server));
  assert.ok(link.send(packet, 0, 2, { ...server, port: 1 }));
  assert.equal(link.flush(), 0);
  await until(() => relay.heard.length === 2);
  assert.deepEqual(relay.heard[0]?.bytes, Buffer.concat([HEADER, Buffer.from('packet')]));
  assert.equal(relay.heard[1]?.bytes.toString('hex'), '00000001c633640700012e2e');

  const back = relay.heard[0]?.from.port;
  relay.socket.send(Buffer.concat([HEADER, Buffer.from('one')]), back, '127.0.0.1');
  relay.socket.send(Buffer.concat([HEADER, Buffer.from('two')]), back, '127.0.0.1');
  await until(() => received.length === 2);
  assert.deepEqual(
    received.map(({ bytes }) => Buffer.from(bytes).toString()),
    ['one', 'two'],
  );
  assert.deepEqual(received[0]?.from, server);
  assert.equal(received[0]?.from, received[1]?.from);
  close();
});

test('fragments, other kinds of address, short datagrams and strangers come out empty', async () => {
  const { link, relay, received, close } = await relayed();
  const stranger = await bound();
  link.send(Buffer.from('x'), 0, 1, server);
  link.flush();
  await until(() => relay.heard.length === 1);
  const back = relay.heard[0]?.from.port;
  const bad = ['00000101c633640704aa61', '00000003c633640704aa61', '000000', '00000001c633640704'];
  for (const hex of bad) relay.socket.send(Buffer.from(hex, 'hex'), back, '127.0.0.1');
  stranger.socket.send(Buffer.concat([HEADER, Buffer.from('a')]), back, '127.0.0.1');
  await until(() => received.length === bad.length + 1);
  assert.deepEqual(
    received.map(({ bytes }) => bytes.length),
    [0, 0, 0, 0, 0],
  );
  stranger.socket.close();
  close();
});

test('a packet that fits no relay and an IPv6 peer are refused, not cut', async () => {
  const { link, close } = await relayed();
  assert.equal(link.send(new Uint8Array(3_000), 0, 3_000, server), false);
  assert.equal(link.send(new Uint8Array(3), 0, 3, { family: 6, address: '2001:db8::1', port: 1194 }), false);
  close();
});

test('the link ends with the connection on which its relay was asked for, not with what is said there', async () => {
  const { connection, downs, close } = await relayed();
  connection.write('chatter');
  await sleep(50);
  assert.deepEqual(downs, []);
  connection.end();
  await until(() => downs.length > 0);
  assert.deepEqual(downs, ['the SOCKS proxy closed its connection']);
  close();
});
