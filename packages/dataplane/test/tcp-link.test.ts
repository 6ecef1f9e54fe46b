import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Endpoint } from '@seikan/core';
import { type PacketLink, TcpLink, TcpListenLink } from '@seikan/dataplane';
import { TcpListener, TcpSocket } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 4_000 && !condition(); i += 1) await sleep(5);
  assert(condition(), 'nothing happened for two seconds');
}

/** Keeps what a link reports. */
class Record {
  readonly packets: Uint8Array[] = [];
  readonly connections: { readonly link: PacketLink; readonly remote: Endpoint }[] = [];
  readonly connected: Endpoint[] = [];
  readonly downs: string[] = [];
  readonly foreign: { readonly fd: number; readonly begun: Uint8Array }[] = [];
  became: Record | undefined;

  link: PacketLink;

  constructor(link: PacketLink) {
    this.link = link;
    link.start({
      datagrams: (batch, count) => {
        for (let i = 0; i < count; i += 1) {
          const start = batch.offsets[i] ?? 0;
          this.packets.push(batch.slab.slice(start, start + (batch.lengths[i] ?? 0)));
        }
        batch.slab.fill(0xdd);
      },
      accepted: (connection, remote) => this.connections.push({ link: connection, remote }),
      connected: (remote) => this.connected.push(remote),
      became: (other) => {
        this.became = new Record(other);
        this.link = other;
      },
      foreign: (fd, begun) => this.foreign.push({ fd, begun }),
      down: (reason) => this.downs.push(reason),
    });
  }
}

/** A listening link, and a plain socket that has connected to it. */
async function acceptedLink(queueLimit = 64, shared = false) {
  const listener = TcpListener.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const { port } = listener.address;
  const listening = new TcpListenLink(listener, { queueLimit, shared });
  const listened = new Record(listening);
  const plain = connect(port, '127.0.0.1');
  await until(() => listened.connections.length === 1);
  const [connection] = listened.connections;
  assert(connection !== undefined);
  const { port: plainPort = 0 } = plain.address() as { port?: number };
  assert.deepEqual(connection.remote, { family: 4, address: '127.0.0.1', port: plainPort });
  const record = new Record(connection.link);
  const close = () => {
    record.link.close();
    listening.close();
    plain.destroy();
  };
  return { link: connection.link, remote: connection.remote, record, plain, close };
}

function frame(packet: Uint8Array): Uint8Array {
  return Uint8Array.of(packet.length >>> 8, packet.length & 0xff, ...packet);
}

async function readAll(socket: Socket, size: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    length += chunk.length;
  });
  socket.resume();
  await until(() => length >= size);
  return new Uint8Array(Buffer.concat(chunks));
}

test('packets are found in the stream however it is cut, down to single bytes', async () => {
  const seed = 7;
  const random = new SeededRandom(seed);
  const { record, plain, close } = await acceptedLink();
  plain.setNoDelay(true);
  const packets = Array.from({ length: 150 }, (_, i) => {
    const packet = new Uint8Array(i % 10 === 0 ? 2_048 : 1 + random.below(200));
    random.fill(packet);
    return packet;
  });
  const stream = Buffer.concat(packets.map(frame));
  for (let at = 0; at < stream.length; ) {
    const size = random.chance(0.3) ? 1 : 1 + random.below(4_000);
    plain.write(stream.subarray(at, at + size));
    at += size;
    if (random.chance(0.3)) await sleep(1);
  }
  await until(() => record.packets.length === packets.length);
  assert.deepEqual(record.packets, packets, `seed ${seed}`);
  close();
});

test('sent packets are framed, and leave in order', async () => {
  const { link, remote, plain, close } = await acceptedLink();
  const packets = Array.from({ length: 200 }, (_, i) => new Uint8Array(1 + i * 3).fill(i));
  for (const packet of packets) assert(link.send(packet, 0, packet.length, remote));
  link.flush();
  const expected = Buffer.concat(packets.map(frame));
  assert.deepEqual(Buffer.from(await readAll(plain, expected.length)), expected);
  close();
});

test('a peer that does not read fills the queue; what was taken arrives whole when it reads again', async () => {
  const { link, remote, plain, close } = await acceptedLink(10);
  plain.pause();
  const packet = new Uint8Array(2_000);
  const taken: number[] = [];
  let refused = 0;
  for (let i = 0; i < 20_000 && refused < 5; i += 1) {
    packet.fill(i & 0xff);
    if (link.send(packet, 0, packet.length, remote)) taken.push(i & 0xff);
    else refused += 1;
    link.flush();
  }
  assert.equal(refused, 5);
  const stream = await readAll(plain, taken.length * 2_002);
  assert.equal(stream.length, taken.length * 2_002);
  for (const [i, fill] of taken.entries()) {
    const piece = stream.subarray(i * 2_002, (i + 1) * 2_002);
    assert.deepEqual([...piece.subarray(0, 3)], [2_000 >>> 8, 2_000 & 0xff, fill]);
    assert(piece.subarray(2).every((byte) => byte === fill));
  }
  assert(link.send(packet, 0, packet.length, remote), 'and there is room again');
  close();
});

for (const [name, bytes] of [
  ['zero', [0, 0]],
  ['too large', [0xff, 0xff, 1]],
] as const) {
  test(`a length that is ${name} ends the connection; packets before it are delivered`, async () => {
    const { record, plain, close } = await acceptedLink();
    plain.write(Uint8Array.of(0, 2, 7, 8, ...bytes));
    await once(plain, 'close');
    assert.deepEqual(record.packets, [Uint8Array.of(7, 8)]);
    assert.deepEqual(record.downs, ['bad packet length']);
    close();
  });
}

test('the end of the stream is reported once', async () => {
  const { record, plain, close } = await acceptedLink();
  plain.write(Uint8Array.of(0, 9, 1));
  plain.end();
  await until(() => record.downs.length > 0);
  assert.deepEqual(record.downs, ['closed by the peer']);
  assert.deepEqual(record.packets, []);
  close();
});

test('a connection that we make is reported when it stands, and sends what was queued before', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const remote: Endpoint = { family: 4, address: '127.0.0.1', port };
  const link = new TcpLink(TcpSocket.connect(remote, { family: 4 }), { remote, connecting: true });
  const record = new Record(link);
  assert(link.send(Uint8Array.of(5, 6), 0, 2));
  link.flush();
  const [socket] = (await once(server, 'connection')) as [Socket];
  assert.deepEqual(await readAll(socket, 4), Uint8Array.of(0, 2, 5, 6));
  assert.deepEqual(record.connected, [remote]);
  link.close();
  socket.destroy();
  server.close();
});

test('a connection that is refused is reported as down', async () => {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  const remote: Endpoint = { family: 4, address: '127.0.0.1', port };
  const record = new Record(new TcpLink(TcpSocket.connect(remote, { family: 4 }), { remote, connecting: true }));
  await until(() => record.downs.length > 0);
  assert.deepEqual(record.downs, ['Connection refused']);
});

/** How openvpn 2.6.14 was seen to judge the first bytes of a connection. */
const openings: readonly (readonly [string, 'ours' | 'foreign' | 'waits'])[] = [
  ['474554', 'foreign'],
  ['160301', 'foreign'],
  ['4745', 'foreign'],
  ['0000', 'foreign'],
  ['000d38', 'foreign'],
  ['000e38', 'ours'],
  ['00ff38', 'ours'],
  ['010038', 'foreign'],
  ['000e39', 'foreign'],
  ['000e3a', 'foreign'],
  ['001040', 'foreign'],
  ['001050', 'foreign'],
  ['014f50', 'foreign'],
  ['015050', 'ours'],
  ['04fe50', 'ours'],
  ['04ff50', 'foreign'],
  ['00', 'waits'],
  ['47', 'waits'],
  ['ff', 'waits'],
  ['0010', 'waits'],
];

test('a connection on a shared port is judged by its first bytes, also when they come one by one', async () => {
  for (const split of [false, true])
    for (const [hex, verdict] of openings) {
      const { record, plain, close } = await acceptedLink(64, true);
      plain.setNoDelay(true);
      const bytes = Buffer.from(hex, 'hex');
      for (const part of split ? bytes : [bytes]) {
        plain.write(split ? Uint8Array.of(part as number) : (part as Buffer));
        await sleep(2);
      }
      // The next byte stays where it is until it is known whose it is.
      if (verdict !== 'waits') plain.write('x');
      await until(() => verdict === 'waits' || record.became !== undefined || record.foreign.length === 1);
      const [foreign] = record.foreign;
      assert.equal(foreign !== undefined, verdict === 'foreign', hex);
      assert.equal(record.became !== undefined, verdict === 'ours', hex);
      if (foreign !== undefined) {
        const taken = new TcpSocket(foreign.fd);
        const rest = new Uint8Array(8);
        let size = 0;
        await until(() => {
          const count = taken.read(rest, size, rest.length - size);
          if (count > 0) size += count;
          return foreign.begun.length + size === bytes.length + 1;
        });
        assert.equal(Buffer.from([...foreign.begun, ...rest.subarray(0, size)]).toString('hex'), `${hex}78`);
        taken.close();
      }
      close();
    }
});

test('on a shared port the packet that began a session comes whole, and those behind it', async () => {
  const { record, remote, plain, close } = await acceptedLink(64, true);
  const first = new Uint8Array(54).fill(1);
  first[0] = 0x38;
  const second = new Uint8Array(1_400).fill(2);
  plain.write(Buffer.concat([frame(first), frame(second)]));
  await until(() => record.became?.packets.length === 2);
  assert.deepEqual(record.became?.packets, [first, second]);
  assert(record.link.send(second, 0, second.length, remote));
  record.link.flush();
  assert.deepEqual(Buffer.from(await readAll(plain, 1_402)), Buffer.from(frame(second)));
  plain.destroy();
  await until(() => record.became?.downs.length === 1);
  close();
});

test('a connection on a shared port that ends before it was judged is down, and closed', async () => {
  const { record, plain, close } = await acceptedLink(64, true);
  plain.end('G');
  await until(() => record.downs.length === 1);
  assert.deepEqual(record.downs, ['closed by the peer']);
  close();
});
