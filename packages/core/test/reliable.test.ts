import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '@seikan/testkit';

import { AckList } from '#src/reliable/ack-list.js';
import { ReliableReceive } from '#src/reliable/reliable-receive.js';
import { type QueuedMessage, ReliableSend } from '#src/reliable/reliable-send.js';
import { Opcode } from '#src/wire/opcode.js';

const payload = (...bytes: number[]) => Uint8Array.from(bytes);

function drain(send: ReliableSend, now: number): QueuedMessage[] {
  const messages = [];
  for (let message = send.due(now); message !== undefined; message = send.due(now)) messages.push(message);
  return messages;
}

const idsDue = (send: ReliableSend, now: number) => drain(send, now).map(({ messageId }) => messageId);

test('a message is due at once, then after 2, 4, 8 and again 8 seconds', () => {
  const send = new ReliableSend();
  assert.equal(send.queue(Opcode.controlV1, payload(1), 1_000), 0);
  const times: number[] = [];
  for (let now = 1_000; now <= 32_000; now += 500) if (drain(send, now).length > 0) times.push(now);
  assert.deepEqual(times, [1_000, 3_000, 7_000, 15_000, 23_000, 31_000]);
  assert.equal(send.nextTimeout(), 31_000 + 8_000);
});

test('the window is six messages after the oldest unacknowledged one', () => {
  const send = new ReliableSend();
  for (let i = 0; i < 6; i += 1) assert.equal(send.queue(Opcode.controlV1, payload(i), 0), i);
  assert.equal(send.canQueue, false);
  assert.throws(() => send.queue(Opcode.controlV1, payload(6), 0), RangeError);
  send.acknowledge([3, 4, 5], 0);
  assert.equal(send.canQueue, false, 'message 0 still holds the window');
  send.acknowledge([0], 0);
  assert.equal(send.canQueue, true);
  assert.equal(send.outstanding, 2);
  assert.equal(send.queue(Opcode.controlV1, payload(6), 0), 6);
});

test('three acknowledgements of later messages make a message due at once', () => {
  const send = new ReliableSend();
  for (let i = 0; i < 5; i += 1) send.queue(Opcode.controlV1, payload(i), 0);
  assert.deepEqual(idsDue(send, 0), [0, 1, 2, 3, 4]);
  send.acknowledge([1, 2], 100);
  assert.deepEqual(idsDue(send, 100), []);
  send.acknowledge([3], 200);
  assert.equal(send.nextTimeout(), 200);
  assert.deepEqual(idsDue(send, 200), [0]);
  assert.deepEqual(idsDue(send, 200), [], 'only once');
});

test('a sign of the peer makes everything due with a fresh time-out', () => {
  const send = new ReliableSend({ tlsTimeout: 1_000 });
  send.queue(Opcode.hardResetClientV2, payload(), 0);
  for (const now of [0, 1_000, 3_000]) assert.equal(drain(send, now).length, 1);
  send.rescheduleAll(3_500);
  assert.deepEqual(idsDue(send, 3_500), [0]);
  assert.equal(send.nextTimeout(), 4_500);
});

test('an acknowledged message is never sent again, and an unknown acknowledgement is harmless', () => {
  const send = new ReliableSend();
  send.queue(Opcode.controlV1, payload(1), 0);
  drain(send, 0);
  send.acknowledge([0, 0, 7, 0xffff_ffff], 10);
  assert.equal(send.outstanding, 0);
  assert.equal(send.nextTimeout(), undefined);
  assert.deepEqual(drain(send, 1_000_000), []);
});

test('after a stateless answer ids start at 1', () => {
  const send = new ReliableSend({ startAt: 1 });
  assert.equal(send.queue(Opcode.controlV1, payload(), 0), 1);
  const receive = new ReliableReceive({ startAt: 1 });
  assert.equal(receive.accept(0, Opcode.hardResetClientV2, payload()), 'duplicate');
  assert.equal(receive.accept(1, Opcode.controlV1, payload()), 'stored');
});

test('payloads are copied on the way in', () => {
  const slab = payload(1, 2, 3);
  const send = new ReliableSend();
  const receive = new ReliableReceive();
  send.queue(Opcode.controlV1, slab, 0);
  receive.accept(0, Opcode.controlV1, slab);
  slab.fill(0xff);
  assert.deepEqual(send.due(0)?.payload, payload(1, 2, 3));
  assert.deepEqual(receive.next()?.payload, payload(1, 2, 3));
});

test('messages leave in order, once, from a buffer of twelve', () => {
  const receive = new ReliableReceive();
  assert.equal(receive.accept(12, Opcode.controlV1, payload()), 'outside');
  assert.equal(receive.accept(11, Opcode.controlV1, payload(11)), 'stored');
  assert.equal(receive.accept(1, Opcode.controlV1, payload(1)), 'stored');
  assert.equal(receive.accept(1, Opcode.controlV1, payload(9)), 'duplicate');
  assert.equal(receive.next(), undefined);
  assert.equal(receive.accept(0, Opcode.hardResetServerV2, payload(0)), 'stored');
  assert.deepEqual(receive.next(), { messageId: 0, opcode: Opcode.hardResetServerV2, payload: payload(0) });
  assert.deepEqual(receive.next()?.payload, payload(1));
  assert.equal(receive.next(), undefined);
  assert.equal(receive.expected, 2);
  assert.equal(receive.accept(0, Opcode.hardResetServerV2, payload()), 'duplicate');
  assert.equal(receive.accept(13, Opcode.controlV1, payload()), 'stored');
  assert.equal(receive.accept(14, Opcode.controlV1, payload()), 'outside');
  assert.equal(receive.accept(0xffff_ffff, Opcode.controlV1, payload()), 'outside');
});

test('acknowledgements repeat the latest eight, newest first', () => {
  const acks = new AckList();
  for (const id of [0, 1, 2]) acks.add(id);
  acks.add(1);
  assert.equal(acks.hasPending, true);
  assert.deepEqual(acks.take(4), [2, 1, 0]);
  assert.equal(acks.hasPending, false);
  assert.deepEqual(acks.take(2), [2, 1], 'repeated without anything new');
  for (const id of [3, 4, 5, 6, 7, 8]) acks.add(id);
  assert.deepEqual(acks.take(4), [6, 5, 4, 3], 'two of six did not fit');
  assert.equal(acks.hasPending, true);
  assert.deepEqual(acks.take(8), [8, 7, 6, 5, 4, 3, 2, 1]);
  acks.add(3);
  assert.deepEqual(acks.take(3), [3, 8, 7], 'what is acknowledged again comes first');
});

test('at most eight acknowledgements wait', () => {
  const acks = new AckList();
  for (let id = 0; id < 20; id += 1) acks.add(id);
  assert.deepEqual(acks.take(8), [7, 6, 5, 4, 3, 2, 1, 0]);
  assert.equal(acks.hasPending, false);
});

test('two ends over a bad network deliver everything once and in order', () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const random = new SeededRandom(seed);
    const send = new ReliableSend();
    const receive = new ReliableReceive();
    const acks = new AckList();
    const toReceiver: { at: number; messageId: number; payload: Uint8Array }[] = [];
    const toSender: { at: number; ids: number[] }[] = [];
    const total = 60;
    let queued = 0;
    const delivered: number[] = [];
    let now = 0;
    for (; delivered.length < total && now < 3_600_000; now += 50) {
      while (queued < total && send.canQueue) {
        send.queue(Opcode.controlV1, payload(queued), now);
        queued += 1;
      }
      for (const message of drain(send, now)) {
        const copies = random.chance(0.1) ? 2 : 1;
        for (let i = 0; i < copies; i += 1) {
          if (!random.chance(0.3)) toReceiver.push({ ...message, at: now + random.below(400) });
        }
      }
      for (const packet of toReceiver.filter(({ at }) => at <= now)) {
        toReceiver.splice(toReceiver.indexOf(packet), 1);
        if (receive.accept(packet.messageId, Opcode.controlV1, packet.payload) !== 'outside')
          acks.add(packet.messageId);
        for (let message = receive.next(); message !== undefined; message = receive.next()) {
          delivered.push(message.payload[0] ?? -1);
        }
      }
      if (acks.hasPending && !random.chance(0.3)) toSender.push({ at: now + random.below(400), ids: acks.take(8) });
      for (const packet of toSender.filter(({ at }) => at <= now)) {
        toSender.splice(toSender.indexOf(packet), 1);
        send.acknowledge(packet.ids, now);
      }
    }
    assert.deepEqual(
      delivered,
      Array.from({ length: total }, (_, i) => i),
      `seed ${seed}`,
    );
  }
});
