import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type EngineOutput, type Options, parseConfig } from '@seikan/engine';
import { AskBook, Asks } from '#src/asks.js';
import { PushReader } from '#src/options/pull.js';
import { type NamedOptions, withAddresses } from '#src/tunnel-names.js';

const files = { read: () => undefined };
const BASE = 'dev tun\nremote vpn.example 1194\nca ca\ncert c\nkey k\n';
const config = (text: string): Options => parseConfig(`${BASE}client\n${text}`, 'f', files).options;
const time = { now: 0, wallClock: 0 };

/** What becomes of the names, with the questions that were asked. */
function resolved(options: Options, zone: Readonly<Record<string, readonly string[]>>) {
  const outputs: EngineOutput[] = [];
  const asks = new Asks((output) => outputs.push(output), new AskBook());
  const asked: string[] = [];
  let named: NamedOptions | undefined;
  withAddresses(asks, options, (answer) => {
    named = answer;
  });
  for (let output = outputs.shift(); output !== undefined; output = outputs.shift()) {
    assert.ok(output.output === 'ask' && output.ask === 'resolve');
    asked.push(output.host);
    const found = zone[output.host];
    const addresses = found?.map((address) => ({ family: 4, address, port: 0 }));
    asks.handleAnswer(output.id, addresses === undefined ? { error: 'ENOTFOUND' } : { addresses }, false, time);
  }
  return { named, asked };
}

test('a route to a name is a route to each of its addresses, asked once; words and addresses stay', () => {
  const options = config(
    'route shop.example 255.255.255.255 vpn_gateway 5\nroute 192.0.2.0 255.255.255.0 gw.example\nroute shop.example\nroute remote_host 255.255.255.255 net_gateway\n',
  );
  const { named, asked } = resolved(options, {
    'shop.example': ['203.0.113.1', '203.0.113.2', '203.0.113.1'],
    'gw.example': ['10.0.0.9'],
  });
  assert.deepEqual(asked, ['shop.example', 'gw.example']);
  assert.ok(named !== undefined && 'options' in named);
  assert.deepEqual(named.problems, []);
  assert.deepEqual(
    named.options.routing.routes.map(({ network, gateway, metric }) => [network, gateway, metric]),
    [
      ['203.0.113.1', 'vpn_gateway', 5],
      ['203.0.113.2', 'vpn_gateway', 5],
      ['192.0.2.0', '10.0.0.9', undefined],
      ['203.0.113.1', undefined, undefined],
      ['203.0.113.2', undefined, undefined],
      ['remote_host', 'net_gateway', undefined],
    ],
  );
});

test('a route whose name is unknown is left out with a line, a tunnel whose own address is unknown ends', () => {
  const routes = resolved(config('route gone.example\nroute 192.0.2.0 255.255.255.0 lost.example\n'), {});
  assert.ok(routes.named !== undefined && 'options' in routes.named);
  assert.deepEqual(routes.named.options.routing.routes, []);
  assert.deepEqual(routes.named.problems, [
    'OpenVPN ROUTE: failed to parse/resolve route for host/network: gone.example',
    'OpenVPN ROUTE: failed to parse/resolve route for host/network: lost.example',
  ]);
  const own = resolved(config('allow-pull-fqdn\nifconfig me.example 10.0.0.2\n'), {});
  assert.deepEqual(own.named, { fatal: 'RESOLVE: Cannot resolve host address: me.example', time });
  const gateway = resolved(config('allow-pull-fqdn\nroute-gateway gw.example\nroute-noexec\nroute shop.example\n'), {});
  assert.ok(gateway.named !== undefined && 'options' in gateway.named);
  assert.equal(gateway.named.options.routing.gateway, undefined);
  assert.deepEqual(gateway.asked, ['gw.example']);
});

test('without names nothing is asked, and the answer is there at once', () => {
  const { named, asked } = resolved(config('route 192.0.2.0 255.255.255.0 vpn_gateway\n'), {});
  assert.deepEqual(asked, []);
  assert.ok(named !== undefined && 'options' in named);
});

test('a server may push names only with allow-pull-fqdn', () => {
  const push = 'PUSH_REPLY,route shop.example,route-gateway gw.example,ifconfig me.example 255.255.255.0';
  const pulled = (text: string) => {
    const options = config(text);
    const connection = options.connections[0] ?? assert.fail();
    const outcome = new PushReader(options, connection).read(push);
    assert.ok(outcome.outcome === 'done');
    return outcome.pulled;
  };
  const strict = pulled('');
  assert.deepEqual(strict.options.routing.routes, []);
  assert.deepEqual(
    strict.warnings.map(({ text }) => text.replace('Options error: ', '')),
    [
      "route parameter network/IP 'shop.example' must be a valid address",
      "route-gateway parm 'gw.example' must be a valid address",
      "ifconfig parms 'me.example' and '255.255.255.0' must be valid addresses",
    ],
  );
  const open = pulled('allow-pull-fqdn\n');
  assert.deepEqual(open.warnings, []);
  assert.equal(open.options.routing.routes[0]?.network, 'shop.example');
  assert.equal(open.options.routing.gateway, 'gw.example');
  assert.equal(open.options.addresses.ipv4?.local, 'me.example');
});
