import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PacketBatch, resultName, TcpListener, TcpSocket, Watch, WOULD_BLOCK } from '@seikan/native';

function ready(fd: number, events: { readable?: boolean; writable?: boolean }): Promise<void> {
  return new Promise((resolve) => {
    const watch = new Watch(fd, events, () => {
      watch.close();
      resolve();
    });
  });
}

async function pair(family: 4 | 6) {
  const listener = TcpListener.open({
    family,
    bind: { address: family === 4 ? '127.0.0.1' : '::1', port: 0 },
    reuseAddress: true,
  });
  assert.equal(listener.accept(), WOULD_BLOCK);
  // A buffer that holds a fraction of what is sent, so that a write has to stop in the middle.
  const client = TcpSocket.connect(listener.address, { family, sendBuffer: 32_768 });
  await ready(client.descriptor.fd, { writable: true });
  assert.equal(client.connectResult(), 0);
  await ready(listener.descriptor.fd, { readable: true });
  const accepted = listener.accept();
  assert.ok(typeof accepted === 'object');
  assert.deepEqual(accepted.remote, client.address);
  assert.deepEqual(client.remoteAddress, listener.address);
  listener.close();
  return { client, server: accepted.socket };
}

for (const family of [4, 6] as const)
  test(`packets written in parts arrive as one unbroken stream over IPv${family}`, async () => {
    const { client, server } = await pair(family);
    const batch = new PacketBatch({ slots: 40, headroom: 0, capacity: 9_000, tailroom: 0 });
    const sent: number[] = [];
    for (let i = 0; i < 40; i += 1) {
      const bytes = new Uint8Array(9_000).fill(i + 1);
      batch.put(i, bytes);
      sent.push(...bytes);
    }
    const got: number[] = [];
    const into = new Uint8Array(4_096);
    let first = 0;
    let partial = 0;
    while (first < 40) {
      const written = client.write(batch, first, 40 - first);
      assert.ok(written > 0 || written === WOULD_BLOCK, String(written));
      let left = Math.max(written, 0);
      while (first < 40 && left >= (batch.lengths[first] ?? 0)) {
        left -= batch.lengths[first] ?? 0;
        first += 1;
      }
      if (left > 0) {
        partial += 1;
        batch.offsets[first] = (batch.offsets[first] ?? 0) + left;
        batch.lengths[first] = (batch.lengths[first] ?? 0) - left;
      }
      for (;;) {
        const read = server.read(into, 100, 3_000);
        if (read === WOULD_BLOCK) break;
        assert.ok(read > 0);
        got.push(...into.subarray(100, 100 + read));
      }
      // Not for the server to be readable: it may have read all, with only the acknowledgement still to come.
      if (written === WOULD_BLOCK) await ready(client.descriptor.fd, { writable: true });
    }
    client.end();
    for (;;) {
      const read = server.read(into, 0, into.length);
      if (read === 0) break;
      if (read === WOULD_BLOCK) await ready(server.descriptor.fd, { readable: true });
      else got.push(...into.subarray(0, read));
    }
    assert.ok(partial > 0, 'no write ended inside a packet');
    assert.deepEqual(got, sent);
    client.close();
    server.close();
  });

test('a refused connection becomes writable with ECONNREFUSED as its result', async () => {
  const listener = TcpListener.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const to = listener.address;
  listener.close();
  const client = TcpSocket.connect(to, { family: 4 });
  await ready(client.descriptor.fd, { writable: true });
  assert.equal(resultName(client.connectResult()), 'ECONNREFUSED');
  client.close();
});

test('writing to a peer that reset is a result, no signal and no exception', async () => {
  const { client, server } = await pair(4);
  const batch = new PacketBatch({ slots: 1, headroom: 0, capacity: 100, tailroom: 0 });
  batch.put(0, new Uint8Array(100));
  client.write(batch, 0, 1);
  await ready(server.descriptor.fd, { readable: true });
  server.close(); // with unread bytes: a reset
  await ready(client.descriptor.fd, { readable: true });
  assert.equal(resultName(client.read(new Uint8Array(10), 0, 10)), 'ECONNRESET');
  assert.equal(resultName(client.write(batch, 0, 1)), 'EPIPE');
  client.close();
});

test('reads and writes outside the buffer are refused', async () => {
  const { client, server } = await pair(4);
  const bytes = new Uint8Array(10);
  assert.throws(() => client.read(bytes, 11, 0), RangeError);
  assert.throws(() => client.read(bytes, 5, 6), RangeError);
  assert.throws(() => client.read(bytes, -1, 1), RangeError);
  assert.throws(() => client.read(bytes, 0, 0.5), RangeError);
  const batch = new PacketBatch({ slots: 1, headroom: 0, capacity: 64, tailroom: 0 });
  batch.lengths[0] = 65;
  assert.throws(() => client.write(batch, 0, 1), RangeError);
  client.close();
  server.close();
});
