import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { DesiredNetwork, RedirectGateway } from '#src/desired-network.js';
import type { InterfaceAddress } from '#src/netlink/address.js';
import type { Link } from '#src/netlink/link.js';
import type { Route } from '#src/netlink/route.js';
import { NoSuchDeviceError, type Plan, planNetwork } from '#src/plan.js';
import { defaultGateway, type NetworkSnapshot, wayTo } from '#src/snapshot.js';

import { present } from './vectors.js';

function link(index: number, name: string): Link {
  return { index, name, up: true, flags: 1, mtu: 1_500, txQueueLength: 500, kind: '' };
}

function address(linkIndex: number, text: string, prefixLength: number): InterfaceAddress {
  return { linkIndex, address: text, prefixLength, scope: 0, flags: 128 };
}

/** `10.0.0.0/8 via 192.0.2.1 dev 1 metric 5` */
function route(text: string): Route {
  const [prefix = '', ...words] = text.split(' ');
  const [destination = '', length] = prefix.split('/');
  const word = (name: string) => (words.includes(name) ? words[words.indexOf(name) + 1] : undefined);
  const [gateway, device, metric] = [word('via'), word('dev'), word('metric')];
  return {
    family: destination.includes(':') ? 6 : 4,
    destination,
    prefixLength: Number(length),
    tos: 0,
    table: Number(word('table') ?? 254),
    protocol: 3,
    scope: 0,
    type: Number(word('type') ?? 1),
    flags: 0,
    ...(gateway === undefined ? {} : { gateway }),
    ...(device === undefined ? {} : { linkIndex: Number(device) }),
    ...(metric === undefined ? {} : { metric: Number(metric) }),
    others: [],
  };
}

/** A laptop: wlan (2) with the default routes, lan (3) with a worse one, and the tunnel (7). */
const laptop: NetworkSnapshot = {
  links: [link(1, 'lo'), link(2, 'wlan0'), link(3, 'lan0'), link(7, 'tun0'), link(8, 'tun1')],
  addresses: [address(2, '192.0.2.10', 24), address(2, '2001:db8::10', 64), address(3, '203.0.113.10', 26)],
  routes: [
    route('0.0.0.0/0 via 203.0.113.1 dev 3 metric 700'),
    route('0.0.0.0/0 via 192.0.2.1 dev 2 metric 600'),
    route('192.0.2.0/24 dev 2'),
    route('203.0.113.0/26 dev 3'),
    route('172.16.0.0/12 via 203.0.113.9 dev 3'),
    route('10.66.0.0/16 dev 3 type 7'),
    route('::/0 via fe80::1 dev 2 metric 600'),
    route('2001:db8::/64 dev 2 metric 256'),
  ],
};

const tunnel: DesiredNetwork = {
  device: 'tun0',
  addresses: [
    { address: '10.8.0.2', prefixLength: 24 },
    { address: 'fd00::2', prefixLength: 64 },
  ],
  gateway4: '10.8.0.1',
  remote: '198.51.100.7',
};

const redirect: RedirectGateway = {
  reroute: true,
  ipv4: true,
  ipv6: false,
  def1: true,
  local: 'never',
  blockLocal: false,
};

/** The routes of a plan, one line each, as `purpose prefix via gateway dev link metric m`. */
function routeLines(plan: Plan): string[] {
  return plan.steps.flatMap((step) => {
    if (step.kind !== 'route' && step.kind !== 'remove-route') return [];
    const { destination, prefixLength, gateway, linkIndex, metric, table } = step.route;
    return [
      [
        step.kind === 'route' ? step.purpose : 'remove',
        `${destination}/${prefixLength}`,
        ...(gateway === undefined ? [] : ['via', gateway]),
        ...(linkIndex === undefined ? [] : ['dev', linkIndex]),
        ...(metric === undefined ? [] : ['metric', metric]),
        ...(table === 254 ? [] : ['table', table]),
      ].join(' '),
    ];
  });
}

function planLines(desired: Partial<DesiredNetwork>, snapshot = laptop): string[] {
  const plan = planNetwork({ ...tunnel, ...desired }, snapshot);
  assert.deepEqual(plan.warnings, []);
  return routeLines(plan);
}

test('the device first: queue length, MTU, up, addresses, each knowing what was before', () => {
  const { steps } = planNetwork({ ...tunnel, mtu: 1_400, txQueueLength: 100 }, laptop);
  assert.deepEqual(steps, [
    { kind: 'tx-queue-length', link: 7, value: 100, before: 500 },
    { kind: 'mtu', link: 7, value: 1_400, before: 1_500 },
    { kind: 'up', link: 7, before: true },
    { kind: 'address', address: { linkIndex: 7, address: '10.8.0.2', prefixLength: 24, scope: 0, flags: 0 } },
    { kind: 'address', address: { linkIndex: 7, address: 'fd00::2', prefixLength: 64, scope: 0, flags: 0 } },
  ]);
});

test('a missing device is an error', () => {
  assert.throws(() => planNetwork({ device: 'tun5' }, laptop), NoSuchDeviceError);
});

test('def1: host route by the best way out, then two halves', () => {
  assert.deepEqual(planLines({ redirect }), [
    'bypass 198.51.100.7/32 via 192.0.2.1 dev 2',
    'redirect 0.0.0.0/1 via 10.8.0.1 dev 7',
    'redirect 128.0.0.0/1 via 10.8.0.1 dev 7',
  ]);
});

test('the server takes its own way, not always the default gateway', () => {
  assert.equal(planLines({ redirect, remote: '172.16.9.9' })[0], 'bypass 172.16.9.9/32 via 203.0.113.9 dev 3');
});

test('without def1 the best default route goes and ours comes', () => {
  assert.deepEqual(planLines({ redirect: { ...redirect, def1: false } }), [
    'bypass 198.51.100.7/32 via 192.0.2.1 dev 2',
    'remove 0.0.0.0/0 via 192.0.2.1 dev 2 metric 600',
    'redirect 0.0.0.0/0 via 10.8.0.1 dev 7',
  ]);
});

test('a server on a connected network: a host route on the link, none with local or autolocal', () => {
  const remote = '203.0.113.5';
  const first = (local: RedirectGateway['local']) => planLines({ remote, redirect: { ...redirect, local } })[0];
  assert.equal(first('never'), 'bypass 203.0.113.5/32 dev 3');
  assert.equal(first('auto'), 'redirect 0.0.0.0/1 via 10.8.0.1 dev 7');
  assert.equal(first('always'), 'redirect 0.0.0.0/1 via 10.8.0.1 dev 7');
  assert.equal(
    planLines({ redirect: { ...redirect, local: 'auto' } })[0],
    'bypass 198.51.100.7/32 via 192.0.2.1 dev 2',
  );
});

test('redirect-private adds the host route alone; its ipv6 redirects all the same, as with OpenVPN', () => {
  const bypass = 'bypass 198.51.100.7/32 via 192.0.2.1 dev 2';
  assert.deepEqual(planLines({ redirect: { ...redirect, reroute: false } }), [bypass]);
  const both = planLines({ redirect: { ...redirect, reroute: false, ipv6: true } });
  assert.deepEqual(both.slice(0, 2), [bypass, 'redirect ::/3 dev 7 metric 1024']);
});

test('a device that is not to be up is left as it is', () => {
  assert.deepEqual(
    planNetwork({ device: 'tun0', up: false }, laptop).steps.map(({ kind }) => kind),
    [],
  );
});

test('block-local: the gateway and bypasses stay, the network of the way out goes into the tunnel, upper half first', () => {
  const routes = [{ destination: '10.99.0.0', prefixLength: 24 }];
  assert.deepEqual(planLines({ redirect: { ...redirect, blockLocal: true }, bypass: ['192.0.2.53'], routes }), [
    'bypass 198.51.100.7/32 via 192.0.2.1 dev 2',
    'bypass 192.0.2.53/32 via 192.0.2.1 dev 2',
    'bypass 192.0.2.1/32 via 192.0.2.1 dev 2',
    'redirect 0.0.0.0/1 via 10.8.0.1 dev 7',
    'redirect 128.0.0.0/1 via 10.8.0.1 dev 7',
    'route 10.99.0.0/24 via 10.8.0.1 dev 7',
    'block-local 192.0.2.128/25 via 10.8.0.1 dev 7',
    'block-local 192.0.2.0/25 via 10.8.0.1 dev 7',
  ]);
  const near = planLines({ remote: '203.0.113.5', redirect: { ...redirect, blockLocal: true } });
  assert.ok(!near.some((line) => line.startsWith('block-local')), near.join('\n'));
});

test('redirecting IPv6 cuts it as OpenVPN does, and keeps an IPv6 server reachable', () => {
  assert.deepEqual(planLines({ remote: '2001:db8:9::7', redirect: { ...redirect, ipv4: false, ipv6: true } }), [
    'bypass 2001:db8:9::7/128 via fe80::1 dev 2 metric 1',
    'redirect ::/3 dev 7 metric 1024',
    'redirect 2000::/4 dev 7 metric 1024',
    'redirect 3000::/4 dev 7 metric 1024',
    'redirect fc00::/7 dev 7 metric 1024',
  ]);
  const [bypass] = planLines({ remote: '2001:db8::7', redirect: { ...redirect, ipv4: false, ipv6: true } });
  assert.equal(bypass, 'bypass 2001:db8::7/128 dev 2 metric 1');
});

test('a route that swallows the server brings its host route, in both families', () => {
  assert.deepEqual(planLines({ routes: [{ destination: '198.51.100.0', prefixLength: 24 }] }), [
    'bypass 198.51.100.7/32 via 192.0.2.1 dev 2',
    'route 198.51.100.0/24 via 10.8.0.1 dev 7',
  ]);
  assert.deepEqual(
    planLines({ remote: '2001:db8:9::7', routes: [{ destination: '2001:db8:9::', prefixLength: 48 }] }),
    ['bypass 2001:db8:9::7/128 via fe80::1 dev 2 metric 1', 'route 2001:db8:9::/48 dev 7 metric 1024'],
  );
  assert.deepEqual(planLines({ routes: [{ destination: '198.51.100.0', prefixLength: 24, gateway: 'net_gateway' }] }), [
    'route 198.51.100.0/24 via 192.0.2.1 dev 2',
  ]);
  assert.deepEqual(planLines({ routes: [{ destination: '198.51.100.0', prefixLength: 24, table: 300 }] }), [
    'route 198.51.100.0/24 via 10.8.0.1 dev 7 table 300',
  ]);
});

test('gateways by keyword, by address on the tunnel, and elsewhere', () => {
  const destination = '10.50.0.0';
  const lines = (gateway: string, more = {}) =>
    planLines({ routes: [{ destination, prefixLength: 16, gateway, ...more }] });
  assert.deepEqual(lines('vpn_gateway', { metric: 5 }), ['route 10.50.0.0/16 via 10.8.0.1 dev 7 metric 5']);
  assert.deepEqual(lines('net_gateway'), ['route 10.50.0.0/16 via 192.0.2.1 dev 2']);
  assert.deepEqual(lines('remote_host'), ['route 10.50.0.0/16 via 198.51.100.7']);
  assert.deepEqual(lines('10.8.0.77'), ['route 10.50.0.0/16 via 10.8.0.77 dev 7']);
  assert.deepEqual(lines('172.31.0.1'), ['route 10.50.0.0/16 via 172.31.0.1']);
});

test('destinations lose their host bits, and may be keywords', () => {
  assert.deepEqual(
    planLines({
      routes: [
        { destination: '10.50.3.9', prefixLength: 16 },
        { destination: 'remote_host', prefixLength: 32, gateway: 'net_gateway' },
      ],
    }),
    ['route 10.50.0.0/16 via 10.8.0.1 dev 7', 'route 198.51.100.7/32 via 192.0.2.1 dev 2'],
  );
});

test('an IPv6 route goes by the device, or through a gateway where one is given', () => {
  const routes = [{ destination: 'fd77::', prefixLength: 48 }];
  assert.deepEqual(planLines({ routes }), ['route fd77::/48 dev 7 metric 1024']);
  assert.deepEqual(planLines({ routes, gateway6: 'fd00::1' }), ['route fd77::/48 via fd00::1 dev 7 metric 1024']);
});

function exclude(destination: string, prefixLength: number): string[] {
  return planLines({ routes: [{ destination, prefixLength, exclude: true }] });
}

test('excluded destinations keep the way that they have', () => {
  assert.deepEqual(exclude('10.23.0.0', 16), ['exclude 10.23.0.0/16 via 192.0.2.1 dev 2']);
  assert.deepEqual(exclude('172.16.4.0', 24), ['exclude 172.16.4.0/24 via 203.0.113.9 dev 3']);
  assert.deepEqual(exclude('2001:db8:5::', 48), ['exclude 2001:db8:5::/48 via fe80::1 dev 2 metric 1024']);
});

test('other tunnels of ours are no way out', () => {
  const nested = { ...laptop, routes: [route('0.0.0.0/1 via 10.9.0.1 dev 8'), ...laptop.routes] };
  const routes = [{ destination: '10.23.0.0', prefixLength: 16, exclude: true }];
  assert.deepEqual(planLines({ routes }, nested), ['exclude 10.23.0.0/16 via 10.9.0.1 dev 8']);
  assert.deepEqual(planLines({ routes, ignoreDevices: ['tun1'] }, nested), [
    'exclude 10.23.0.0/16 via 192.0.2.1 dev 2',
  ]);
});

test("what cannot be planned is said in OpenVPN's words, and the rest is planned", () => {
  const { gateway4: _, ...without } = tunnel;
  const noGateway = planNetwork(
    { ...without, redirect, routes: [{ destination: '10.1.0.0', prefixLength: 16 }] },
    laptop,
  );
  assert.deepEqual(noGateway.warnings, [
    'OpenVPN ROUTE: OpenVPN needs a gateway parameter for a --route option and no default was specified by either --route-gateway or --ifconfig options',
    'NOTE: unable to redirect IPv4 default gateway -- VPN gateway parameter (--route-gateway or --ifconfig) is missing',
  ]);
  assert.deepEqual(routeLines(noGateway), []);

  const island = { ...laptop, routes: laptop.routes.filter(({ prefixLength }) => prefixLength > 0) };
  const noWay = planNetwork(
    {
      ...tunnel,
      redirect,
      routes: [
        { destination: '10.1.0.0', prefixLength: 16, gateway: 'net_gateway' },
        { destination: '10.2.0.0', prefixLength: 16, exclude: true },
        { destination: '10.3.0.0', prefixLength: 16, gateway: 'fd00::1' },
        { destination: 'vpn.example', prefixLength: 32 },
        { destination: '10.4.0.0', prefixLength: 16 },
      ],
    },
    island,
  );
  assert.equal(noWay.warnings.length, 5);
  assert.equal(
    noWay.warnings.at(-1),
    'NOTE: unable to redirect IPv4 default gateway -- Cannot read current default gateway from system',
  );
  assert.deepEqual(routeLines(noWay), ['route 10.4.0.0/16 via 10.8.0.1 dev 7']);
});

test('an IPv6 server that cannot be reached is warned about', () => {
  const island = { ...laptop, routes: [] };
  const { warnings } = planNetwork(
    { ...tunnel, remote: '2001:db8:9::7', redirect: { ...redirect, ipv4: false, ipv6: true } },
    island,
  );
  assert.match(present(warnings[0]), /^ROUTE6: IPv6 route overlaps with IPv6 remote address/);
});

test('the way to an address: longest prefix, then metric; refusing routes are no way; dead ones do not count', () => {
  assert.equal(wayTo(laptop, '8.8.8.8')?.gateway, '192.0.2.1');
  assert.equal(wayTo(laptop, '192.0.2.99')?.gateway, undefined);
  assert.equal(wayTo(laptop, '192.0.2.99')?.link.name, 'wlan0');
  assert.equal(wayTo(laptop, '10.66.1.1'), undefined);
  assert.equal(wayTo(laptop, '8.8.8.8', new Set([2]))?.gateway, '203.0.113.1');
  const dead = { ...laptop, routes: laptop.routes.map((one) => ({ ...one, flags: one.metric === 600 ? 1 : 0 })) };
  assert.equal(wayTo(dead, '8.8.8.8')?.gateway, '203.0.113.1');
  const multipath = {
    ...laptop,
    routes: [
      {
        ...route('0.0.0.0/0'),
        multipath: [
          { linkIndex: 7, gateway: '10.8.0.1' },
          { linkIndex: 3, gateway: '203.0.113.1' },
        ],
      },
    ],
  };
  assert.equal(wayTo(multipath, '8.8.8.8', new Set([7]))?.gateway, '203.0.113.1');
});

test('the default gateway knows its network on the link', () => {
  const gateway = present(defaultGateway(laptop, 4));
  assert.equal(gateway.gateway, '192.0.2.1');
  assert.deepEqual(gateway.network, { address: '192.0.2.10', length: 24 });
  assert.equal(present(defaultGateway(laptop, 6)).network, undefined);
});
