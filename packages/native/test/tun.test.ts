import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { createPersistentTun, PacketBatch, removePersistentTun, resultName, TunDevice, Watch } from '@seikan/native';

import { inNetworkNamespace } from '@seikan/testkit';

const ip = (...argv: string[]) => execFileSync('ip', argv, { encoding: 'utf8' });
const devices = () => readdirSync('/proc/sys/net/ipv4/conf').filter((name) => /^t(un|ap)/.test(name));

inNetworkNamespace(import.meta.filename, () => {
  test('a name that is only the kind takes the next free device', () => {
    const first = TunDevice.open({ kind: 'tun', name: 'tun' });
    const second = TunDevice.open({ kind: 'tun', name: 'tun' });
    const tap = TunDevice.open({ kind: 'tap', name: 'tap' });
    assert.deepEqual([first.name, second.name, tap.name], ['tun0', 'tun1', 'tap0']);
    assert.deepEqual(tap.info, {
      name: 'tap0',
      kind: 'tap',
      multiQueue: false,
      virtioHeader: false,
      persistent: false,
    });
    first.close();
    assert.deepEqual(devices(), ['tap0', 'tun1'], 'a device vanishes with its descriptor');
    second.close();
    tap.close();
  });

  test('a device is held by one, and of one kind', () => {
    const device = TunDevice.open({ kind: 'tun', name: 'tun7' });
    assert.throws(() => TunDevice.open({ kind: 'tun', name: 'tun7' }), { code: 'EBUSY', syscall: 'TUNSETIFF' });
    assert.throws(() => TunDevice.open({ kind: 'tap', name: 'tun7' }), { code: 'EINVAL' });
    assert.throws(() => TunDevice.open({ kind: 'tun', name: 'a-name-of-16-byt' }), RangeError);
    device.close();
    assert.throws(() => new TunDevice(0), { code: /EBADFD|ENOTTY|EINVAL/ });
  });

  test('queues of one device and the virtio header are asked for by flag', () => {
    const options = { kind: 'tun', name: 'tunq', multiQueue: true, virtioHeader: true } as const;
    const queues = [TunDevice.open(options), TunDevice.open(options)];
    assert.deepEqual(
      queues.map(({ info }) => [info.name, info.multiQueue, info.virtioHeader]),
      [
        ['tunq', true, true],
        ['tunq', true, true],
      ],
    );
    for (const queue of queues) queue.close();
  });

  test('a persistent device outlives its maker and is taken over by descriptor', () => {
    assert.equal(createPersistentTun({ kind: 'tun', name: 'tunp', owner: 0, group: 0 }), 'tunp');
    assert.match(ip('-d', 'link', 'show', 'tunp'), /persist on user (root|0) group (root|0)/);
    const opened = TunDevice.open({ kind: 'tun', name: 'tunp' });
    const moved = new TunDevice(opened.descriptor.release());
    assert.equal(opened.descriptor.closed, true);
    assert.deepEqual([moved.name, moved.info.persistent], ['tunp', true]);
    moved.close();
    removePersistentTun({ kind: 'tun', name: 'tunp' });
    assert.deepEqual(devices(), []);
  });

  for (const [kind, head] of [
    ['tun', 0],
    ['tap', 14],
  ] as const)
    test(`packets that the kernel sends to a ${kind} come out in a batch, and answers written in a batch arrive`, async () => {
      const device = TunDevice.open({ kind, name: kind });
      ip('address', 'add', '10.91.0.1/24', 'dev', device.name);
      ip('link', 'set', device.name, 'up');
      if (kind === 'tap') ip('neighbour', 'add', '10.91.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', device.name);
      const socket = createSocket('udp4');
      socket.bind(5000, '10.91.0.1');
      await once(socket, 'listening');
      const arrived: string[] = [];
      socket.on('message', (message, { address, port }) => arrived.push(`${message.toString()} ${address}:${port}`));
      for (const text of ['one', 'two', 'three']) socket.send(text, 6000, '10.91.0.2');

      const batch = new PacketBatch({ slots: 64, headroom: 32, capacity: 2_000, tailroom: 0 });
      let count = 0;
      await new Promise<void>((resolve) => {
        const watch = new Watch(device.descriptor.fd, { readable: true }, () => {
          for (;;) {
            const read = device.readBatch(batch, count);
            assert.ok(read >= 0);
            if (read === 0) break;
            // The kernel sends multicast of its own; keep the IPv4 UDP datagrams.
            for (let i = count, end = count + read; i < end; i += 1) {
              const packet = batch.packet(i);
              if (packet[head] !== 0x45 || packet[head + 9] !== 17) continue;
              batch.offsets[count] = batch.offsets[i] ?? 0;
              batch.lengths[count] = batch.lengths[i] ?? 0;
              count += 1;
            }
          }
          if (count < 3) return;
          watch.close();
          resolve();
        });
      });
      assert.equal(count, 3);
      for (let i = 0; i < 3; i += 1) {
        const packet = batch.packet(i);
        // Swap the ends: IPv4 addresses and UDP ports (the checksums stay right), and MAC addresses on tap.
        packet.set([...packet.slice(head + 16, head + 20), ...packet.slice(head + 12, head + 16)], head + 12);
        packet.set([...packet.slice(head + 22, head + 24), ...packet.slice(head + 20, head + 22)], head + 20);
        if (head > 0) packet.set([...packet.slice(6, 12), ...packet.slice(0, 6)]);
      }
      assert.equal(device.writeBatch(batch, 0, 3), 3);
      while (arrived.length < 3) await sleep(5);
      assert.deepEqual(arrived, ['one 10.91.0.2:6000', 'two 10.91.0.2:6000', 'three 10.91.0.2:6000']);
      socket.close();
      device.close();
    });

  test('a write stops before a packet that is none, and gives its errno when it comes first', () => {
    const device = TunDevice.open({ kind: 'tun', name: 'tun' });
    ip('link', 'set', device.name, 'up');
    const batch = new PacketBatch({ slots: 3, headroom: 0, capacity: 100, tailroom: 0 });
    const good = new Uint8Array(20);
    good[0] = 0x45;
    batch.put(0, good);
    batch.put(1, new Uint8Array(20)); // version 0
    batch.put(2, good);
    assert.equal(device.writeBatch(batch, 0, 3), 1);
    assert.equal(resultName(device.writeBatch(batch, 1, 2)), 'EINVAL');
    assert.equal(device.writeBatch(batch, 2, 1), 1);
    assert.throws(() => device.writeBatch(batch, 1, 3), RangeError);
    ip('link', 'set', device.name, 'down');
    assert.equal(resultName(device.writeBatch(batch, 0, 1)), 'EIO');
    device.close();
  });

  test('a device that is removed under its reader is a result', () => {
    const device = TunDevice.open({ kind: 'tun', name: 'tun' });
    const batch = new PacketBatch({ slots: 1, headroom: 0, capacity: 100, tailroom: 0 });
    assert.equal(device.readBatch(batch), 0);
    ip('link', 'delete', device.name);
    assert.equal(resultName(device.readBatch(batch)), 'EBADFD');
    device.close();
  });
});
