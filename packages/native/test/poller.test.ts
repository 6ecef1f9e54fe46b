import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import {
  AddressTable,
  NOT_RECEIVED,
  PacketBatch,
  PacketTable,
  PollSet,
  READABLE,
  resultName,
  UdpSocket,
  Wake,
  Watch,
  WRITABLE,
} from '@seikan/native';

const index = new URL('../dist/index.js', import.meta.url).href;

test('a watch reports readiness until it is paused or closed', async () => {
  const wake = new Wake();
  let calls = 0;
  const watch = new Watch(wake.descriptor.fd, { readable: true }, (readable, writable) => {
    assert.deepEqual([readable, writable], [true, false]);
    calls += 1;
    if (calls === 3) wake.clear();
  });
  await sleep(20);
  assert.equal(calls, 0);
  wake.raise();
  await sleep(50);
  assert.equal(calls, 3, 'level-triggered: again in every turn until the flag is cleared');
  watch.setEvents({ writable: false });
  wake.raise();
  await sleep(20);
  assert.equal(calls, 3);
  watch.close();
  watch.close();
  assert.throws(() => watch.setEvents({ readable: true }), { code: 'ERR_CLOSED' });
  wake.close();
});

test('a watch may be closed inside its own callback', async () => {
  const wake = new Wake();
  wake.raise();
  let calls = 0;
  const watch = new Watch(wake.descriptor.fd, { readable: true }, () => {
    calls += 1;
    watch.close();
    wake.close();
  });
  await sleep(30);
  assert.equal(calls, 1);
});

test('a descriptor is watched once per thread, and plain files and closed numbers not at all', () => {
  const wake = new Wake();
  const watch = new Watch(wake.descriptor.fd, { readable: true }, () => {});
  assert.throws(() => new Watch(wake.descriptor.fd, { readable: true }, () => {}), { code: 'EEXIST' });
  watch.close();
  const { fd } = wake.descriptor;
  wake.close();
  assert.throws(() => new Watch(fd, { readable: true }, () => {}), { code: 'EBADF' });
  assert.throws(() => new Watch(-1, { readable: true }, () => {}), RangeError);
  assert.throws(() => new Watch(1, { readable: true }, 5 as unknown as () => void), TypeError);
});

test('an ICMP error wakes the watch and does not end it', async () => {
  const gone = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const to = gone.address;
  gone.close();
  const client = UdpSocket.open({ family: 4, connect: to });
  const batch = new PacketBatch({ slots: 4, headroom: 0, capacity: 100, tailroom: 0 });
  const from = new AddressTable(4);
  const seen: string[] = [];
  const watch = new Watch(client.descriptor.fd, { readable: true }, () => {
    const result = client.receiveBatch(batch, from);
    seen.push(result < 0 ? resultName(result) : `${result} packets`);
  });
  batch.put(0, new Uint8Array(1));
  client.sendConnected(batch, 0, 1);
  await sleep(30);
  assert.deepEqual(seen, ['ECONNREFUSED']);
  const server = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: to.port }, connect: client.address });
  server.sendConnected(batch, 0, 1);
  await sleep(30);
  assert.deepEqual(seen, ['ECONNREFUSED', '1 packets']);
  watch.close();
  client.close();
  server.close();
});

test('an exception in the callback is an uncaughtException, and the watch goes on', () => {
  const script = `
    import { Wake, Watch } from ${JSON.stringify(index)};
    const wake = new Wake(); wake.raise(); let calls = 0;
    process.on('uncaughtException', (error) => console.log(error.message));
    const watch = new Watch(wake.descriptor.fd, { readable: true }, () => { calls += 1; if (calls === 2) watch.close(); throw new Error('call ' + calls); });`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 60_000 });
  assert.deepEqual([run.status, run.stdout, run.stderr], [0, 'call 1\ncall 2\n', '']);
});

test('a watch does not keep the process when told not to, and a process may end with watches open', () => {
  const script = `
    import { Wake, Watch } from ${JSON.stringify(index)};
    const wake = new Wake(); const watch = new Watch(wake.descriptor.fd, { readable: true }, () => {});
    watch.keepRunning(false);`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8', timeout: 60_000 });
  assert.deepEqual([run.status, run.stderr], [0, '']);
});

const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.index).then(({ PollSet, Wake, Watch }) => {
    const wake = new Wake();
    new Watch(wake.descriptor.fd, { readable: true }, () => { wake.clear(); parentPort.postMessage('watched'); });
    wake.raise();
    if (workerData.block) {
      const set = new PollSet(4);
      set.watch(workerData.block, { readable: true });
      parentPort.postMessage('blocking');
      const started = Date.now();
      set.wait(20000);
      const [count, , fd, state] = set.ready;
      parentPort.postMessage({ count, fd, state, waited: Date.now() - started < 15000 });
      set.close();
    }
  });
`;

test('several worker threads watch at once and may be terminated with watches open', async () => {
  for (let round = 0; round < 3; round += 1) {
    const workers = [1, 2].map(() => new Worker(WORKER, { eval: true, workerData: { index } }));
    const messages = workers.map((worker) => new Promise((resolve) => worker.once('message', resolve)));
    assert.deepEqual(await Promise.all(messages), ['watched', 'watched']);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
});

test('a thread that blocks on a poll set is woken by another', async () => {
  const wake = new Wake();
  const worker = new Worker(WORKER, { eval: true, workerData: { index, block: wake.descriptor.fd } });
  const messages: unknown[] = [];
  await new Promise<void>((resolve) => {
    worker.on('message', (message: unknown) => {
      messages.push(message);
      if (message === 'blocking') setTimeout(() => wake.raise(), 30);
      if (typeof message === 'object') resolve();
    });
  });
  assert.deepEqual(messages[1], { count: 1, fd: wake.descriptor.fd, state: READABLE, waited: true });
  await worker.terminate();
  wake.close();
});

test('a poll set reports what is ready, and no more than there is room for', () => {
  const set = new PollSet(2);
  const readyAtOnce = (): number | undefined => {
    set.wait(0);
    return set.ready[0];
  };
  const wakes = [new Wake(), new Wake(), new Wake()];
  for (const wake of wakes) {
    set.watch(wake.descriptor.fd, { readable: true });
    wake.raise();
  }
  assert.equal(readyAtOnce(), 2);
  for (const wake of wakes) wake.clear();
  assert.equal(readyAtOnce(), 0);
  const [first, second, third] = wakes;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  set.watch(first.descriptor.fd, { readable: true, writable: true });
  assert.equal(readyAtOnce(), 1);
  assert.deepEqual([set.ready[2], set.ready[3]], [first.descriptor.fd, WRITABLE]);
  set.forget(first.descriptor.fd);
  set.forget(first.descriptor.fd);
  assert.equal(readyAtOnce(), 0);
  for (const wake of wakes) wake.close();
  set.close();
  assert.throws(() => set.wait(0), /closed/);
});

test('a poll set reads what is ready first, from sources that it was given', async () => {
  const set = new PollSet(4);
  const sockets = [1, 2].map(() => UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } }));
  const tables = sockets.map(() => new PacketTable({ packets: 64, bytes: 2 * 66_000 }));
  const sender = UdpSocket.open({ family: 4 });
  const batch = new PacketBatch({ slots: 1, headroom: 0, capacity: 8, tailroom: 0 });
  const send = (to: UdpSocket, content: number) => {
    const peers = new AddressTable(1);
    peers.set(0, to.address);
    batch.slab.fill(content);
    batch.lengths[0] = 8;
    assert.equal(sender.sendBatch(batch, 0, 1, peers, Uint32Array.of(0)), 1);
  };
  const [first, second] = sockets;
  const [firstTable, secondTable] = tables;
  assert.ok(first !== undefined && second !== undefined && firstTable !== undefined && secondTable !== undefined);
  for (const socket of sockets) set.watch(socket.descriptor.fd, { readable: true });
  set.receive(first.descriptor.fd, first.tableSource(firstTable, new AddressTable(2)));

  const waited = (): number[] => {
    set.wait(10_000);
    return [...set.ready.subarray(0, 2 + 2 * (set.ready[0] ?? 0))];
  };
  send(first, 7);
  assert.deepEqual(waited(), [1, 1, first.descriptor.fd, READABLE]);
  assert.deepEqual(
    [...firstTable.packet(0)],
    Array.from({ length: 8 }, () => 7),
  );
  send(second, 8);
  assert.deepEqual(waited(), [1, NOT_RECEIVED, second.descriptor.fd, READABLE], 'no source');

  // Without a rest before it, all that waits is read.
  set.receive(second.descriptor.fd, { kind: 'tun', table: secondTable, most: 64, bytes: 1_000 });
  send(second, 9);
  assert.deepEqual(waited(), [1, 2, second.descriptor.fd, READABLE]);
  send(second, 10);
  assert.equal(waited()[1], 1);
  for (const content of [11, 12]) send(second, content);
  assert.equal(waited()[1], 2);
  assert.deepEqual(
    [...secondTable.packet(1)],
    Array.from({ length: 8 }, () => 12),
  );

  set.receive(first.descriptor.fd, undefined);
  send(first, 13);
  assert.deepEqual(waited(), [1, NOT_RECEIVED, first.descriptor.fd, READABLE], 'no source any more');
  set.receive(first.descriptor.fd, { ...first.tableSource(firstTable, new AddressTable(2)), most: 0 });
  assert.throws(() => set.wait(0), { message: /no room/ });
  set.close();
  for (const socket of [...sockets, sender]) socket.close();
});
