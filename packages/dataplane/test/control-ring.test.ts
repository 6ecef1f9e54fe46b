import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Endpoint } from '@seikan/core';
import { SeededRandom } from '@seikan/testkit';

import { ControlRing } from '#src/control-ring.js';

function openRing() {
  const memory = new SharedArrayBuffer(ControlRing.bytes);
  return { writer: new ControlRing(memory), reader: new ControlRing(memory) };
}

const host: Endpoint = { family: 4, address: '203.0.113.7', port: 1_194 };
const host6: Endpoint & { scope: number } = { family: 6, address: 'fe80::1234:5678:9abc:def0', port: 65_535, scope: 3 };

test('packets come out as they went in, in order, over many rounds of the ring', () => {
  const seed = 3;
  const random = new SeededRandom(seed);
  const { writer, reader } = openRing();
  const waiting: { link: number; from: Endpoint; packet: Uint8Array }[] = [];
  let taken = 0;
  for (let i = 0; i < 5_000; i += 1) {
    const packet = new Uint8Array(random.below(2_000));
    random.fill(packet);
    const from = random.chance(0.5) ? host : host6;
    const link = random.chance(0.5) ? -i - 1 : i + 1;
    if (writer.write(link, from, packet, true)) waiting.push({ link, from, packet });
    if (random.chance(0.02)) {
      writer.publish();
      reader.readTo(reader.published, (gotLink, gotFrom, gotPacket) => {
        const expected = waiting.shift();
        assert.deepEqual({ link: gotLink, from: gotFrom, packet: gotPacket.slice() }, expected, `seed ${seed}`);
        taken += 1;
      });
      assert.equal(waiting.length, 0);
    }
  }
  assert(taken > 3_000, `${taken}`);
});

test('strangers find it full at the half, known peers at the end, and a packet too long is refused', () => {
  const { writer, reader } = openRing();
  const packet = new Uint8Array(1_000);
  const fill = (known: boolean): number => {
    for (let count = 0; ; count += 1) if (!writer.write(1, host, packet, known)) return count;
  };
  const strangers = fill(false);
  const known = fill(true);
  assert(strangers >= 125 && strangers <= 128, `${strangers}`);
  assert(known >= 125 && known <= 128, `${known}`);
  let count = 0;
  writer.publish();
  reader.readTo(reader.published, () => {
    count += 1;
  });
  assert.equal(count, strangers + known);
  assert.equal(writer.write(1, host, new Uint8Array(0x1_0000), true), false);
  assert.equal(writer.write(1, host, new Uint8Array(0xffff), true), true);
});

test('only what was written before a position is read, and a position already passed reads nothing', () => {
  const { writer, reader } = openRing();
  const read: number[] = [];
  const take = (_link: number, _from: Endpoint, packet: Uint8Array): void => void read.push(packet[0] ?? -1);
  writer.write(1, host, Uint8Array.of(1), true);
  const first = writer.position;
  writer.write(1, host, Uint8Array.of(2), true);
  reader.readTo(first, take);
  assert.deepEqual(read, [1]);
  reader.readTo(0, take);
  assert.deepEqual(read, [1]);
  assert.equal(reader.published, 0, 'nothing is published yet');
  writer.publish();
  reader.readTo(reader.published, take);
  assert.deepEqual(read, [1, 2]);
});
