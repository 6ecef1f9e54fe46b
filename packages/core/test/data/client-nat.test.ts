import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type NatRule, translateAddresses } from '@seikan/core';

const TCP = 6;
const UDP = 17;
const ICMP = 1;

function number(address: string): number {
  return Buffer.from(address.split('.').map(Number)).readUInt32BE();
}

function rule(kind: NatRule['kind'], network: string, netmask: string, foreign: string): NatRule {
  return { kind, network: number(network), netmask: number(netmask), foreign: number(foreign) };
}

/** RFC 1071: over all, it is 0 where a checksum inside is right. */
function sum(...parts: readonly Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) total += (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

interface Shape {
  readonly options?: number;
  readonly fragment?: number;
  readonly payload?: Buffer;
}

/** A whole packet with right checksums. `fragment`: its offset, of which it has no transport header. */
function packet(protocol: number, source: string, destination: string, shape: Shape = {}): Buffer {
  const { options = 0, fragment = 0, payload = Buffer.from('some payload, odd') } = shape;
  const size = fragment > 0 ? 0 : protocol === TCP ? 20 : 8;
  const transport = Buffer.concat([Buffer.alloc(size), payload]);
  const header = Buffer.alloc(20 + options);
  header[0] = 0x40 + header.length / 4;
  header.writeUInt16BE(header.length + transport.length, 2);
  header.writeUInt16BE(fragment, 6);
  header[8] = 64;
  header[9] = protocol;
  header.writeUInt32BE(number(source), 12);
  header.writeUInt32BE(number(destination), 16);
  header.writeUInt16BE(sum(header), 10);
  if (fragment === 0) {
    transport.writeUInt16BE(1_234, 0);
    transport.writeUInt16BE(80, 2);
    if (protocol === UDP) transport.writeUInt16BE(transport.length, 4);
    const at = protocol === TCP ? 16 : protocol === UDP ? 6 : 2;
    transport.writeUInt16BE(sum(...(protocol === ICMP ? [] : [pseudo(header, transport)]), transport), at);
  }
  return Buffer.concat([header, transport]);
}

function pseudo(header: Buffer, transport: Buffer): Buffer {
  const rest = Buffer.of(0, header[9] ?? 0, transport.length >>> 8, transport.length & 0xff);
  return Buffer.concat([header.subarray(12, 20), rest]);
}

/** Translates in the middle of a larger buffer, of which the rest must stay. */
function translated(rules: readonly NatRule[], bytes: Buffer, direction: 'out' | 'in'): Buffer {
  const room = Buffer.alloc(bytes.length + 20, 0xee);
  bytes.copy(room, 7);
  translateAddresses(rules, room, 7, 7 + bytes.length, direction);
  assert.ok([...room.subarray(0, 7), ...room.subarray(7 + bytes.length)].every((byte) => byte === 0xee));
  return room.subarray(7, 7 + bytes.length);
}

const rules = [
  rule('snat', '192.168.5.0', '255.255.255.0', '10.99.5.0'),
  rule('dnat', '10.88.0.0', '255.255.0.0', '172.16.0.0'),
  rule('snat', '192.168.0.0', '255.255.0.0', '10.1.0.0'),
];

test('addresses change out and back, by the first rule that fits each, and checksums are right', () => {
  const stories = [
    ['192.168.5.7', '10.88.3.4', '10.99.5.7', '172.16.3.4'],
    ['192.168.6.7', '10.88.3.4', '10.1.6.7', '172.16.3.4'],
    ['192.168.5.7', '10.89.3.4', '10.99.5.7', '10.89.3.4'],
    ['10.88.3.4', '192.168.5.7', '10.88.3.4', '192.168.5.7'],
  ] as const;
  for (const protocol of [TCP, UDP, ICMP])
    for (const options of [0, 4, 40])
      for (const [source, destination, source2, destination2] of stories) {
        const inside = packet(protocol, source, destination, { options });
        assert.deepEqual(translated(rules, inside, 'out'), packet(protocol, source2, destination2, { options }));
        const [answer, answer2] = [
          packet(protocol, destination2, source2, { options }),
          packet(protocol, destination, source, { options }),
        ];
        assert.deepEqual(translated(rules, answer, 'in'), answer2);
      }
});

test('what has no checksum gets none: later fragments, UDP without one; a UDP sum of zero is written as ones', () => {
  const later = packet(UDP, '192.168.5.7', '10.88.3.4', { fragment: 100, payload: Buffer.alloc(64, 0x5a) });
  const moved = packet(UDP, '10.99.5.7', '172.16.3.4', { fragment: 100, payload: Buffer.alloc(64, 0x5a) });
  assert.deepEqual(translated(rules, later, 'out'), moved);

  const without = packet(UDP, '192.168.5.7', '10.88.3.4');
  without.writeUInt16BE(0, 26);
  assert.equal(translated(rules, without, 'out').readUInt16BE(26), 0);

  // A payload that makes the sum come out as 0.
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(packet(UDP, '10.99.5.7', '172.16.3.4', { payload }).readUInt16BE(26));
  const zero = packet(UDP, '10.99.5.7', '172.16.3.4', { payload });
  assert.equal(zero.readUInt16BE(26), 0);
  zero.writeUInt16BE(0xffff, 26);
  assert.deepEqual(translated(rules, packet(UDP, '192.168.5.7', '10.88.3.4', { payload }), 'out'), zero);
});

test('a foreign network with host bits and a mask with gaps act as in openvpn: the bits are added', () => {
  const odd = [rule('snat', '10.0.0.0', '255.0.0.0', '11.2.2.2'), rule('dnat', '10.0.7.0', '255.0.255.0', '12.0.9.0')];
  assert.deepEqual(translated(odd, packet(TCP, '10.1.1.1', '10.5.7.6'), 'out'), packet(TCP, '11.3.3.3', '12.5.9.6'));
});

test('what is no IPv4 packet stays as it is, and a cut one is not written beyond its end', () => {
  const whole = packet(TCP, '192.168.5.7', '10.88.3.4');
  for (let size = 0; size < 20; size += 1)
    assert.deepEqual(translated(rules, whole.subarray(0, size), 'out'), whole.subarray(0, size));
  const moved = packet(TCP, '10.99.5.7', '172.16.3.4');
  for (let size = 20; size < 38; size += 1)
    assert.deepEqual(
      translated(rules, whole.subarray(0, size), 'out'),
      Buffer.concat([moved.subarray(0, 20), whole.subarray(20, size)]),
    );
  for (const first of [0x65, 0x44, 0x4f, 0x00]) {
    const other = Buffer.from(whole.subarray(0, 40));
    other[0] = first;
    assert.deepEqual(translated(rules, other, 'out'), other);
  }
});
