/** What is asked for the tun: compared with what OpenVPN 2.6.14 did to the host for the same lines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from './world.js';

function asked(clientConfig: string, serverConfig = '') {
  const world = new World(61);
  world.add('server', `${PLAIN_SERVER}${serverConfig}`, '198.51.100.1');
  const client = world.add('client', `${PLAIN_CLIENT}${clientConfig}`, '198.51.100.2');
  world.run(10_000);
  const opened = client.outputs.flatMap((output) =>
    output.output === 'ask' && output.ask === 'open-tun' ? [output] : [],
  );
  const [first] = opened;
  assert.ok(first !== undefined, client.log.join('\n'));
  return first;
}

test('ifconfig-noexec leaves the link down', () => {
  assert.equal(asked('').plan.up, true);
  assert.deepEqual([asked('ifconfig-noexec\n').plan.up, asked('ifconfig-noexec\n').plan.addresses], [false, []]);
});

test('redirect-private keeps the server reachable and the default route; !ipv4 does nothing about IPv4', () => {
  const of = (line: string): (boolean | undefined)[] => {
    const { redirect } = asked(`${line}\n`).plan;
    return [redirect?.reroute, redirect?.ipv4, redirect?.ipv6];
  };
  assert.deepEqual(of('redirect-gateway'), [true, true, false]);
  assert.deepEqual(of('redirect-private def1'), [false, true, false]);
  assert.deepEqual(of('redirect-private ipv6'), [false, true, true]);
  assert.deepEqual(of('redirect-gateway !ipv4 ipv6'), [false, false, true]);
});

test('the gateway of an IPv6 route means nothing on a tun, and something on a tap', () => {
  const line = 'route-ipv6 fd61::/64 fd08::1\n';
  assert.deepEqual(asked(line).plan.routes, [{ destination: 'fd61::', prefixLength: 64 }]);
  assert.deepEqual(asked(`${line}dev-type tap\n`, 'dev-type tap\n').plan.routes, [
    { destination: 'fd61::', prefixLength: 64, gateway: 'fd08::1' },
  ]);
});

test('a route has its own metric, else route-metric; with route-noexec nobody asks for routes', () => {
  const lines = 'route 10.61.0.0 255.255.0.0 vpn_gateway 9\nroute 10.62.0.0 255.255.0.0\nroute-ipv6 fd62::/64\n';
  const routes = asked(`${lines}route-metric 7\n`).plan.routes;
  assert.deepEqual(
    routes.map(({ destination, metric }) => [destination, metric]),
    [
      ['10.61.0.0', 9],
      ['10.62.0.0', 7],
      ['fd62::', 7],
    ],
  );
  const { plan } = asked(`${lines}redirect-gateway def1\nroute-noexec\n`);
  assert.deepEqual([plan.routes, plan.redirect], [[], undefined]);
});

test('local and autolocal say whether the server may be reached without a route of its own', () => {
  const of = (flags: string): string | undefined => asked(`redirect-gateway def1 ${flags}\n`).plan.redirect?.local;
  assert.deepEqual([of(''), of('local'), of('autolocal')], ['never', 'always', 'auto']);
  assert.equal(asked('redirect-gateway def1 block-local\n').plan.redirect?.blockLocal, true);
});
