import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { encodeMessage, frameOf, type Message, parseMessage, variant, WireError } from '@seikan/dbus';
import * as fc from 'fast-check';

const recorded = new Map(
  readFileSync(new URL('../test/vectors/recorded.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(' ') as [string, string])
    .map(([name, bytes]) => [name, new Uint8Array(Buffer.from(bytes, 'hex'))] as const),
);

function vector(name: string): Uint8Array {
  const bytes = recorded.get(name);
  assert.ok(bytes !== undefined, name);
  return bytes.slice();
}

function parse(bytes: Uint8Array) {
  const frame = frameOf(bytes);
  assert.ok(frame !== undefined && !(frame instanceof WireError));
  assert.equal(frame.totalLength, bytes.length);
  return parseMessage(bytes, frame);
}

const EXPECTED: Readonly<Record<string, Message>> = {
  'dbus-send-basic-types': {
    type: 'signal',
    serial: 2,
    sender: ':1.2',
    path: '/a/b',
    interface: 'x.y',
    member: 'Z',
    signature: 'ybnqiuxtdsoaia{si}v',
    descriptorCount: 0,
    body: [
      255,
      true,
      -2,
      65_535,
      -2_147_483_648,
      4_294_967_295,
      -9_223_372_036_854_775_808n,
      18_446_744_073_709_551_615n,
      -0.5,
      'grüße',
      '/x/y',
      [1, 2, 3],
      new Map([
        ['a', 1],
        ['b', -1],
      ]),
      { signature: 'q', value: 7 },
    ],
  },
  'gdbus-network-change': {
    type: 'signal',
    serial: 2,
    sender: ':1.3',
    path: '/net/openvpn/v3/netcfg',
    interface: 'net.openvpn.v3.netcfg',
    member: 'NetworkChange',
    signature: 'usa{ss}',
    descriptorCount: 0,
    body: [
      16,
      'tun0',
      new Map([
        ['ip_version', '4'],
        ['subnet', '10.8.0.0'],
      ]),
    ],
  },
  'gdbus-deep': {
    type: 'signal',
    serial: 2,
    sender: ':1.4',
    path: '/',
    interface: 'a.b',
    member: 'Deep',
    signature: 'a{sv}a{sv}asaa(suibb)a(tx)go',
    descriptorCount: 0,
    body: [
      new Map([
        [
          'k',
          variant('a(yv)', [
            [1, variant('s', 'in')],
            [2, variant('ay', Uint8Array.of(1, 2, 3))],
          ]),
        ],
      ]),
      new Map(),
      [],
      [[['10.0.0.0', 8, -1, false, true]]],
      [[18_446_744_073_709_551_615n, -1n]],
      'a{sv}(ii)',
      '/',
    ],
  },
  'daemon-error': {
    type: 'error',
    serial: 3,
    sender: 'org.freedesktop.DBus',
    destination: ':1.1',
    errorName: 'org.freedesktop.DBus.Error.NameHasNoOwner',
    replySerial: 2,
    signature: 's',
    descriptorCount: 0,
    body: ["Could not get owner of name 'no.such.name': no such name"],
  },
  'busctl-hello': {
    type: 'method-call',
    serial: 1,
    sender: ':1.5',
    destination: 'org.freedesktop.DBus',
    path: '/org/freedesktop/DBus',
    interface: 'org.freedesktop.DBus',
    member: 'Hello',
    noReply: false,
    noAutoStart: false,
    signature: '',
    descriptorCount: 0,
    body: [],
  },
};

test('messages of dbus-send, gdbus, busctl and the bus itself read as what was asked for', () => {
  for (const [name, message] of Object.entries(EXPECTED)) assert.deepEqual(parse(vector(name)), { message }, name);
});

test('what is written reads the same, with and without descriptors in the signature', () => {
  const messages: Message[] = [
    ...Object.values(EXPECTED),
    { type: 'method-return', serial: 9, replySerial: 8, signature: '', body: [], descriptorCount: 1 },
    { type: 'method-return', serial: 9, replySerial: 8, signature: 'h', body: [0], descriptorCount: 1 },
    {
      type: 'method-call',
      serial: 0xffff_ffff,
      path: '/',
      member: 'Ping',
      noReply: true,
      noAutoStart: true,
      signature: '',
      body: [],
      descriptorCount: 0,
    },
  ];
  for (const message of messages) {
    for (const endian of ['little', 'big'] as const) {
      assert.deepEqual(parse(encodeMessage(message, endian)), { message });
    }
  }
});

test('a method return with a descriptor outside the signature has the bytes of the specification', () => {
  const bytes = encodeMessage({
    type: 'method-return',
    serial: 1,
    replySerial: 2,
    signature: '',
    body: [],
    descriptorCount: 1,
  });
  assert.equal(
    Buffer.from(bytes).toString('hex'),
    ['6c020001', '00000000', '01000000', '10000000', '05017500', '02000000', '09017500', '01000000'].join(''),
  );
});

test('a bad body leaves the header readable, so that the caller can be answered', () => {
  const bytes = vector('daemon-error');
  bytes[bytes.length - 1] = 0x41;
  const parsed = parse(bytes);
  assert.ok('message' in parsed && !(parsed instanceof WireError));
  assert.equal(parsed.bodyError?.fault, 'bad-utf8');
  assert.deepEqual(parsed.message, { ...EXPECTED['daemon-error'], body: [] });
});

test('headers that lack fields, repeat them, or name nothing valid are refused', () => {
  const call = vector('busctl-hello');
  const changed = (change: (bytes: Uint8Array) => void) => {
    const bytes = call.slice();
    change(bytes);
    return parse(bytes);
  };
  const fault = (result: ReturnType<typeof parse>) => (result instanceof WireError ? result.fault : 'none');
  assert.equal(fault(changed((bytes) => bytes.fill(0, 8, 12))), 'bad-header', 'serial 0');
  assert.equal(fault(changed((bytes) => bytes.set([2], 1))), 'bad-header', 'a return without a reply serial');
  assert.equal(fault(changed((bytes) => bytes.set([4], 16))), 'bad-header', 'a path numbered as an error name');
  assert.equal(fault(changed((bytes) => bytes.set([0], 16))), 'bad-header', 'a field numbered 0');
  assert.equal(fault(changed((bytes) => bytes.set([77], 16))), 'bad-header', 'no path, an unknown field instead');
  const text = Buffer.from(call).indexOf('Hello');
  assert.equal(fault(changed((bytes) => bytes.set([0x2d], text))), 'bad-name');
  assert.deepEqual(
    changed((bytes) => bytes.set([9], 1)),
    { type: 'unknown', descriptorCount: 0 },
    'an unknown type of message',
  );
});

test('what cannot be a message is known from 16 bytes', () => {
  const start = vector('busctl-hello').subarray(0, 16);
  const changed = (at: number, ...values: number[]) => {
    const bytes = start.slice();
    bytes.set(values, at);
    const frame = frameOf(bytes);
    return frame instanceof WireError ? frame.fault : frame?.totalLength;
  };
  assert.equal(frameOf(start.subarray(0, 15)), undefined);
  assert.equal(changed(0, 0x6c), 144);
  assert.equal(changed(0, 0x78), 'bad-header');
  assert.equal(changed(3, 2), 'bad-header');
  assert.equal(changed(4, 0, 0, 0, 8), 'too-large');
  assert.equal(changed(12, 1, 0, 0, 4), 'too-large');
  assert.equal(changed(12, 0xff, 0xff, 0xff, 0xff), 'too-large');
});

test('names that are none are not sent', () => {
  const signal: Message = {
    type: 'signal',
    serial: 1,
    path: '/',
    interface: 'a.b',
    member: 'C',
    signature: '',
    body: [],
    descriptorCount: 0,
  };
  for (const bad of [
    { interface: 'nodot' },
    { member: 'a.b' },
    { destination: ':x' },
    { path: 'x' },
    { member: '9x' },
  ]) {
    assert.throws(() => encodeMessage({ ...signal, ...bad }), WireError, JSON.stringify(bad));
  }
});

test('random changes to recorded messages never break the parser', () => {
  const names = [...recorded.keys()];
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.nat(),
      (name, changes, cut) => {
        const bytes = vector(name);
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        const frame = frameOf(bytes.subarray(0, cut % (bytes.length + 1)));
        if (frame === undefined || frame instanceof WireError) return;
        const parsed = parseMessage(bytes, frame);
        if ('message' in parsed && !(parsed instanceof WireError)) assert.ok(parsed.message.serial > 0);
      },
    ),
    { numRuns: 1000 },
  );
});
