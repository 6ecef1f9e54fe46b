import assert from 'node:assert/strict';
import { test } from 'node:test';

import { array, assert as check, constantFrom, nat, property, tuple, uint8Array } from 'fast-check';

import { encodeAddressAdd, encodeAddressDelete, type InterfaceAddress, parseAddress } from '#src/netlink/address.js';
import { encodeLinkChange, encodeLinkCreate, parseLink } from '#src/netlink/link.js';
import {
  attributeUint,
  MessageWriter,
  NetlinkFormatError,
  type NetlinkMessage,
  parseAcknowledgement,
  parseAttributes,
  parseMessages,
} from '#src/netlink/message.js';
import { encodeRouteAdd, encodeRouteDelete, encodeRouteLookup, parseRoute, type Route } from '#src/netlink/route.js';
import { encodeRuleAdd, parseRule, tableRule } from '#src/netlink/rule.js';

import { answers, defaultRoute, output, present, recordedShape, recording, shape } from './vectors.js';

const LINK_NAMES: Record<number, string> = { 1: 'lo', 2: 'e1', 3: 'e0', 4: 'tun7' };
const SCOPES: Record<number, string> = { 0: 'global', 253: 'link', 254: 'host' };

function messages(name: string, type: number): NetlinkMessage[] {
  return answers(name)
    .flatMap((datagram) => parseMessages(datagram))
    .filter((message) => message.type === type);
}

test('reads the links of a recorded dump as ip shows them', () => {
  const shown = output('links').map((link) => ({
    index: link['ifindex'],
    name: link['ifname'],
    mtu: link['mtu'],
    txQueueLength: link['txqlen'],
    up: (link['flags'] as string[]).includes('UP'),
    kind: (link['linkinfo'] as { info_kind?: string } | undefined)?.info_kind ?? '',
    hardwareAddress: link['link_type'] === 'none' ? undefined : link['address'],
  }));
  const links = messages('links', 16)
    .map(parseLink)
    .map(({ index, name, mtu, txQueueLength, up, kind, hardwareAddress }) => ({
      index,
      name,
      mtu,
      txQueueLength,
      up,
      kind,
      hardwareAddress,
    }));
  assert.deepEqual(new Set(links), new Set(shown));
  assert.equal(links.length, 4);
});

test('reads the addresses of a recorded dump as ip shows them', () => {
  const shown = output('addrs').flatMap((link) =>
    (link['addr_info'] as Record<string, unknown>[]).map((info) => ({
      link: link['ifname'],
      local: info['local'],
      peer: info['address'],
      length: info['prefixlen'],
      broadcast: info['broadcast'],
      scope: info['scope'],
    })),
  );
  const read = messages('addrs', 20)
    .map((message) => present(parseAddress(message)))
    .map((a) => ({
      link: LINK_NAMES[a.linkIndex],
      local: a.address,
      peer: a.peer,
      length: a.prefixLength,
      broadcast: a.broadcast,
      scope: SCOPES[a.scope],
    }));
  assert.deepEqual(new Set(read), new Set(shown));
  assert.equal(read.length, 8);
});

for (const [name, family] of [
  ['routes4', undefined],
  ['routes6', 6],
] as const) {
  test(`reads the ${name} of a recorded dump as ip shows them`, () => {
    const shown = output(name).map((route) => ({
      destination: route['dst'],
      link: route['dev'],
      gateway: route['gateway'] ?? (route['via'] as { host: string } | undefined)?.host,
      table: route['table'] ?? 'main',
      metric: route['metric'],
      source: route['prefsrc'],
      nexthops: (route['nexthops'] as { gateway: string; dev: string }[] | undefined)?.map(
        (hop) => `${hop.gateway} ${hop.dev}`,
      ),
    }));
    const read = messages(name, 24)
      .map((message) => present(parseRoute(message)))
      .filter((route) => family === undefined || route.family === family)
      .map((route) => ({
        destination:
          route.prefixLength === 0
            ? 'default'
            : route.prefixLength === (route.family === 4 ? 32 : 128)
              ? route.destination
              : `${route.destination}/${route.prefixLength}`,
        link: route.linkIndex === undefined ? undefined : LINK_NAMES[route.linkIndex],
        gateway: route.gateway,
        table: { 254: 'main', 255: 'local', 300: '300' }[route.table],
        metric: route.metric,
        source: route.preferredSource,
        nexthops: route.multipath?.map((hop) => `${hop.gateway} ${LINK_NAMES[present(hop.linkIndex)]}`),
      }));
    assert.deepEqual(read, shown);
  });
}

test('reads recorded rules', () => {
  const rules = messages('rules4', 32).map((message) => present(parseRule(message)));
  assert.deepEqual(
    rules.map(({ priority, table, mark, markMask, source }) => ({ priority, table, mark, markMask, source })),
    [
      { priority: 0, table: 255, mark: undefined, markMask: undefined, source: undefined },
      { priority: 1000, table: 300, mark: 0x10, markMask: 0xff, source: { address: '10.8.0.2', length: 32 } },
      { priority: 32766, table: 254, mark: undefined, markMask: undefined, source: undefined },
      { priority: 32767, table: 253, mark: undefined, markMask: undefined, source: undefined },
    ],
  );
  const [, rule] = messages('rules6', 32).map((message) => present(parseRule(message)));
  assert.equal(rule?.inLink, 'tun7');
  assert.deepEqual(rule?.destination, { address: 'fd88::', length: 64 });
});

test('reads a recorded route lookup', () => {
  const [message] = messages('get', 24);
  const route = present(parseRoute(present(message)));
  assert.equal(route.destination, '10.20.0.1');
  assert.equal(route.gateway, '192.0.2.1');
  assert.equal(route.linkIndex, 3);
});

test('reads errno and words of recorded refusals, and a plain acknowledgement', () => {
  assert.deepEqual(parseAcknowledgement(present(messages('addrdup', 2)[0])), {
    errno: 17,
    text: 'ipv4: Address already assigned',
  });
  assert.deepEqual(parseAcknowledgement(present(messages('bad', 2)[0])), {
    errno: 101,
    text: 'Nexthop has invalid gateway',
  });
  assert.deepEqual(parseAcknowledgement(present(messages('mtu', 2)[0])), { errno: 0, text: '' });
});

test('a dump that ends without an errno ended well', () => {
  assert.deepEqual(parseAcknowledgement({ type: 3, flags: 2, sequence: 1, portId: 1, payload: new Uint8Array(0) }), {
    errno: 0,
    text: '',
  });
});

const address = { linkIndex: 4, scope: 0, flags: 0 };
const addresses: [string, InterfaceAddress][] = [
  ['addr4', { ...address, address: '10.8.0.2', prefixLength: 24, broadcast: '10.8.0.255' }],
  ['addrp2p', { ...address, address: '10.9.0.6', prefixLength: 32, peer: '10.9.0.5' }],
  ['addr6', { ...address, address: 'fd00::2', prefixLength: 64, flags: 2 }],
];
for (const [name, wanted] of addresses) {
  test(`asks for an address as ip does: ${name}`, () => {
    assert.equal(shape(encodeAddressAdd(wanted).finish(1), 8), recordedShape(name, 8));
  });
}

test('asks to delete an address as ip does', () => {
  assert.equal(
    shape(encodeAddressDelete({ ...address, address: 'fd00::2', prefixLength: 64 }).finish(1), 8),
    recordedShape('del6', 8),
  );
});

const routes: [string, Route][] = [
  ['route4', { ...defaultRoute, gateway: '192.0.2.1', linkIndex: 3, metric: 50 }],
  [
    'routel',
    {
      ...defaultRoute,
      destination: '10.20.0.0',
      prefixLength: 16,
      gateway: '10.8.0.1',
      linkIndex: 4,
      table: 300,
      preferredSource: '10.8.0.2',
    },
  ],
  [
    'onlink',
    { ...defaultRoute, destination: '10.66.0.0', prefixLength: 16, gateway: '203.0.113.9', linkIndex: 3, flags: 4 },
  ],
  ['via6', { ...defaultRoute, destination: '10.68.0.0', prefixLength: 16, gateway: 'fe80::9', linkIndex: 3 }],
  ['black', { ...defaultRoute, destination: '10.70.0.0', prefixLength: 16, type: 6 }],
  ['route6', { ...defaultRoute, family: 6, destination: 'fd77::', prefixLength: 48, linkIndex: 4, metric: 77 }],
  ['route6g', { ...defaultRoute, family: 6, destination: '::', gateway: 'fd00::1' }],
];
for (const [name, route] of routes) {
  test(`asks for a route as ip does: ${name}`, () => {
    const ours = shape(encodeRouteAdd(route).finish(1), 12);
    const theirs = recordedShape(name, 12);
    // Where they differ on purpose: IPv4 without NLM_F_EXCL (0x0600 → 0x0400), as OpenVPN; an absent default destination.
    const normal = (text: string) =>
      text.replace(/^(\w{4})0506/, route.family === 4 ? '$10504' : '$10506').replace(`0100${'00'.repeat(16)} `, '');
    assert.equal(normal(ours), normal(theirs));
  });
}

test('adds a route with the bytes that OpenVPN 2.6.14 sends', () => {
  const sent = recording.openvpn.filter(({ dir }) => dir === 'sent').map(({ hex }) => Buffer.from(hex, 'hex'));
  const recorded = sent.find((bytes) => bytes.toString('hex').includes('080006004d000000'));
  const ours = encodeRouteAdd({
    ...defaultRoute,
    destination: '10.98.0.0',
    prefixLength: 24,
    gateway: '192.0.2.1',
    metric: 77,
  });
  assert.equal(shape(ours.finish(1), 12), shape(present(recorded), 12));
});

test('deletes a route by everything that identifies it', () => {
  const bytes = encodeRouteDelete({ ...defaultRoute, destination: '10.20.0.0', prefixLength: 16, table: 300 }).finish(
    7,
  );
  assert.equal(
    Buffer.from(bytes).toString('hex'),
    ['2c000000190005000700000000000000', '021000000003000100000000', '08000f002c010000', '080001000a140000'].join(''),
  );
});

test('a lookup names the whole address', () => {
  assert.equal(
    Buffer.from(encodeRouteLookup('192.0.2.7').finish(1)).toString('hex'),
    ['240000001a0001000100000000000000', '022000000000000000100000', '08000100c0000207'].join(''),
  );
});

test('routes that were read go back with the attributes that have no field: metrics, multipath, pref', () => {
  for (const message of messages('routes4', 24)) {
    const route = present(parseRoute(message));
    const again = present(parseRoute(present(parseMessages(encodeRouteAdd(route).finish(1))[0])));
    assert.deepEqual({ ...again, flags: 0 }, { ...route, flags: 0 });
    assert.equal(again.flags, route.flags & 4);
  }
});

test('changes a link as ip does', () => {
  assert.equal(shape(encodeLinkChange({ index: 4, mtu: 1400 }).finish(1), 16), recordedShape('mtu', 16));
  assert.equal(shape(encodeLinkChange({ index: 4, up: true }).finish(1), 16), recordedShape('up', 16));
  assert.equal(shape(encodeLinkChange({ index: 4, txQueueLength: 333 }).finish(1), 16), recordedShape('qlen', 16));
});

test('creates a link of a kind: name, and the kind inside IFLA_LINKINFO', () => {
  assert.equal(
    Buffer.from(encodeLinkCreate('ovpn0', 'ovpn').finish(2)).toString('hex'),
    [
      '38000000100005060200000000000000',
      '00'.repeat(16),
      '0a0003006f76706e30000000',
      '0c001280',
      '080001006f76706e',
    ].join(''),
  );
});

test('writes what the kind of a link wants to know into IFLA_INFO_DATA', () => {
  const writer = encodeLinkCreate('tun0', 'ovpn', (data) => data.attributeU8(1, 1));
  assert.equal(
    Buffer.from(writer.finish(2)).toString('hex'),
    [
      '44000000100005060200000000000000',
      '00'.repeat(16),
      '0900030074756e3000000000',
      '15001280',
      '080001006f76706e',
      '090002800500010001000000',
    ].join(''),
  );
});

test('reads numbers of any size', () => {
  const attribute = (text: string) => ({ type: 1, value: Uint8Array.from(Buffer.from(text, 'hex')) });
  assert.equal(attributeUint(attribute('07')), 7);
  assert.equal(attributeUint(attribute('0701')), 0x107);
  assert.equal(attributeUint(attribute('07000001')), 0x1000007);
  assert.equal(attributeUint(attribute('0700000000010000')), 2 ** 40 + 7);
  assert.throws(() => attributeUint(attribute('070000')), NetlinkFormatError);
});

test('asks for a rule as ip does', () => {
  const rule = tableRule({
    family: 4,
    table: 300,
    priority: 1000,
    source: { address: '10.8.0.2', length: 32 },
    mark: 0x10,
    markMask: 0xff,
  });
  assert.equal(shape(encodeRuleAdd(rule).finish(1), 12), recordedShape('rule4', 12));
  const rule6 = tableRule({
    family: 6,
    table: 300,
    priority: 1001,
    destination: { address: 'fd88::', length: 64 },
    inLink: 'tun7',
  });
  assert.equal(shape(encodeRuleAdd(rule6).finish(1), 12), recordedShape('rule6', 12));
});

test('a message grows past its first buffer and pads its attributes', () => {
  const bytes = new MessageWriter(1, 2).attribute(1, new Uint8Array(301).fill(7)).attributeU32(2, 9).finish(3);
  assert.equal(bytes.length, 16 + 308 + 8);
  const attributes = parseAttributes(present(parseMessages(bytes)[0]).payload);
  assert.deepEqual(
    attributes.map(({ type, value }) => [type, value.length]),
    [
      [1, 301],
      [2, 4],
    ],
  );
});

function parseEverything(datagram: Uint8Array): void {
  for (const message of parseMessages(datagram)) {
    for (const parse of [parseLink, parseAddress, parseRoute, parseRule, parseAcknowledgement]) {
      try {
        parse(message);
      } catch (error) {
        if (!(error instanceof NetlinkFormatError)) throw error;
      }
    }
  }
}

function survives(datagram: Uint8Array): void {
  try {
    parseEverything(datagram);
  } catch (error) {
    if (!(error instanceof NetlinkFormatError)) throw error;
  }
}

test('every truncation of every recorded datagram is read or refused with a NetlinkFormatError', () => {
  for (const { answers: hexes } of recording.commands) {
    const bytes = new Uint8Array(Buffer.from(present(hexes[0]), 'hex')).subarray(0, 600);
    for (let length = 0; length < bytes.length; length++) survives(bytes.slice(0, length));
  }
});

test('random bytes, and recorded datagrams with random damage, never throw anything else', () => {
  check(property(uint8Array({ maxLength: 200 }), survives));
  const recorded = recording.commands.map(
    ({ answers: hexes }) => new Uint8Array(Buffer.from(present(hexes[0]), 'hex')),
  );
  const damage = array(tuple(nat(1500), nat(255)), { maxLength: 8 });
  check(
    property(constantFrom(...recorded), damage, (original, changes) => {
      const bytes = original.slice(0, 1500);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      survives(bytes);
    }),
  );
});

function header(length: number): Uint8Array {
  return Uint8Array.of(length, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

test('lengths that lie are refused', () => {
  assert.throws(() => parseMessages(header(15)), NetlinkFormatError);
  assert.throws(() => parseMessages(header(17)), NetlinkFormatError);
  assert.throws(() => parseMessages(new Uint8Array(15)), NetlinkFormatError);
  assert.throws(() => parseAttributes(Uint8Array.of(3, 0, 1, 0)), NetlinkFormatError);
  assert.throws(() => parseAttributes(Uint8Array.of(9, 0, 1, 0, 1, 2, 3, 4)), NetlinkFormatError);
  assert.throws(
    () =>
      parseRoute({
        type: 24,
        flags: 0,
        sequence: 1,
        portId: 0,
        payload: Uint8Array.of(2, 33, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
      }),
    NetlinkFormatError,
  );
});
