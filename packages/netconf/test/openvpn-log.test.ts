import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NetlinkError } from '#src/netlink/connection.js';
import type { Route } from '#src/netlink/route.js';
import { lineForUndone, linesForResult } from '#src/openvpn-log.js';
import type { Step } from '#src/step.js';

import { defaultRoute } from './vectors.js';

const name = (index: number) => (index === 4 ? 'tun7' : 'e0');
const route: Route = {
  ...defaultRoute,
  destination: '10.98.0.0',
  prefixLength: 24,
  gateway: '192.0.2.1',
  metric: 77,
};
const address = { linkIndex: 4, scope: 0, flags: 0 };

// Every expected line is from a log of OpenVPN 2.6.14.
const made: [Step, string][] = [
  [{ kind: 'tx-queue-length', link: 4, value: 333, before: 500 }, 'TUN/TAP TX queue length set to 333'],
  [{ kind: 'mtu', link: 4, value: 1_400, before: 1_500 }, 'net_iface_mtu_set: mtu 1400 for tun7'],
  [{ kind: 'up', link: 4, before: false }, 'net_iface_up: set tun7 up'],
  [
    { kind: 'address', address: { ...address, address: '10.8.0.2', prefixLength: 32, peer: '10.8.0.1' } },
    'net_addr_ptp_v4_add: 10.8.0.2 peer 10.8.0.1 dev tun7',
  ],
  [
    { kind: 'address', address: { ...address, address: '10.8.0.2', prefixLength: 24 } },
    'net_addr_v4_add: 10.8.0.2/24 dev tun7',
  ],
  [
    { kind: 'address', address: { ...address, address: 'fd00::2', prefixLength: 64 } },
    'net_addr_v6_add: fd00::2/64 dev tun7',
  ],
  [
    { kind: 'route', purpose: 'route', route },
    'net_route_v4_add: 10.98.0.0/24 via 192.0.2.1 dev [NULL] table 0 metric 77',
  ],
  [
    {
      kind: 'remove-route',
      route: { ...defaultRoute, gateway: '192.0.2.1' },
    },
    'net_route_v4_del: 0.0.0.0/0 via 192.0.2.1 dev [NULL] table 0 metric -1',
  ],
];

for (const [step, text] of made) {
  test(`logs ${step.kind} as OpenVPN does: ${text}`, () => {
    assert.deepEqual(linesForResult({ step, outcome: 'done' }, name), [
      { level: 'info', verb: /^net_(iface|addr)/.test(text) ? 1 : 3, text },
    ]);
  });
}

test('a route that exists is noted', () => {
  const lines = linesForResult({ step: { kind: 'route', purpose: 'route', route }, outcome: 'existed' }, name);
  assert.equal(lines.at(-1)?.text, 'NOTE: Linux route add command failed because route exists');
});

test("a route that fails is a warning with the kernel's reason", () => {
  const error = new NetlinkError('add route', 101, 'Nexthop has invalid gateway');
  const lines = linesForResult({ step: { kind: 'route', purpose: 'route', route }, outcome: 'failed', error }, name);
  assert.deepEqual(lines.at(-1), {
    level: 'warning',
    verb: 1,
    text: 'ERROR: Linux route add command failed: add route: network is unreachable (ENETUNREACH): Nexthop has invalid gateway',
  });
});

test('what stays says nothing; what is taken back is said as OpenVPN does', () => {
  assert.deepEqual(linesForResult({ step: { kind: 'up', link: 4, before: false }, outcome: 'kept' }, name), []);
  const undone = (step: Step) => lineForUndone(step, name)?.text;
  assert.equal(
    undone({ kind: 'address', address: { ...address, address: '10.8.0.2', prefixLength: 32, peer: '10.8.0.1' } }),
    'net_addr_ptp_v4_del: 10.8.0.2 dev tun7',
  );
  assert.equal(
    undone({ kind: 'address', address: { ...address, address: 'fd00::2', prefixLength: 64 } }),
    'net_addr_v6_del: fd00::2/64 dev tun7',
  );
  assert.equal(
    undone({ kind: 'route', purpose: 'route', route }),
    'net_route_v4_del: 10.98.0.0/24 via 192.0.2.1 dev [NULL] table 0 metric 77',
  );
  assert.equal(undone({ kind: 'mtu', link: 4, value: 1_400, before: 1_500 }), undefined);
});
