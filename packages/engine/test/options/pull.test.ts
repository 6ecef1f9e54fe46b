import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PulledOptions, PushReader, parseConfig } from '@seikan/engine';

function reader(extra = ''): PushReader {
  const text = `client\ndev tun\nremote vpn.example\nca a\ncert b\nkey c\n${extra}`;
  const { options } = parseConfig(text, 'c', { read: () => undefined });
  const [connection] = options.connections;
  assert.ok(connection !== undefined);
  return new PushReader(options, connection);
}

function pull(message: string, extra = ''): PulledOptions {
  const outcome = reader(extra).read(message);
  assert.ok(outcome.outcome === 'done', outcome.outcome);
  return outcome.pulled;
}

const reply =
  'PUSH_REPLY,route 10.9.0.0 255.255.0.0,dhcp-option DNS 10.8.0.1,route-gateway 10.8.0.1,topology subnet,ping 10,ping-restart 60,ifconfig-ipv6 fd00::1000/64 fd00::1,ifconfig 10.8.0.2 255.255.255.0,peer-id 3,cipher AES-256-GCM,protocol-flags cc-exit tls-ekm dyn-tls-crypt,tun-mtu 1400';

test('a reply of OpenVPN 2.6 sets addresses, routes, timers and what was negotiated', () => {
  const { options, connection, peerId, cipher, protocolFlags, warnings } = pull(reply);
  assert.deepEqual(options.addresses.ipv4, { local: '10.8.0.2', remoteOrNetmask: '255.255.255.0' });
  assert.deepEqual(options.addresses.ipv6, { local: 'fd00::1000', bits: 64, remote: 'fd00::1' });
  assert.deepEqual(options.routing.routes, [
    { network: '10.9.0.0', netmask: '255.255.0.0', gateway: undefined, metric: undefined },
  ]);
  assert.deepEqual(options.dns.dhcpOptions, [{ type: 'DNS', value: '10.8.0.1' }]);
  assert.equal(options.routing.gateway, '10.8.0.1');
  assert.equal(options.device.topology, 'subnet');
  assert.deepEqual([options.timers.ping, options.timers.pingTimeout, options.timers.pingAction], [10, 60, 'restart']);
  assert.equal(peerId, 3);
  assert.equal(cipher, 'AES-256-GCM');
  assert.deepEqual([...protocolFlags], ['cc-exit', 'tls-ekm', 'dyn-tls-crypt']);
  assert.equal(connection.tunMtu, 1_400);
  assert.deepEqual(warnings, []);
});

test('a reply may come in several messages, and an empty one is complete', () => {
  const push = reader();
  assert.equal(push.read('PUSH_REPLY,route 10.1.0.0 255.255.0.0,push-continuation 2').outcome, 'more');
  const last = push.read('PUSH_REPLY,route 10.2.0.0 255.255.0.0,push-continuation 1');
  assert.ok(last.outcome === 'done');
  assert.deepEqual(
    last.pulled.options.routing.routes.map(({ network }) => network),
    ['10.1.0.0', '10.2.0.0'],
  );
  assert.equal(reader().read('PUSH_REPLY').outcome, 'done');
  assert.equal(reader().read('PUSH_REPLYX').outcome, 'not-a-reply');
  assert.equal(reader().read('AUTH_FAILED').outcome, 'not-a-reply');
});

test('a server cannot set what is the client’s own: scripts, files, users, certificates', () => {
  const forbidden = [
    'up /bin/sh',
    'config /etc/passwd',
    'user root',
    'ca x',
    'script-security 3',
    'setenv a b',
    'log x',
    'writepid x',
    'cd /',
    'pull-filter accept x',
    'remote evil.example',
    '<ca>',
    'client-connect x',
    'iroute 10.0.0.0',
    'setenv opt up x',
    'ignore-unknown-option x',
    'plugin x',
  ];
  const before = pull('PUSH_REPLY');
  for (const option of forbidden) {
    const { options, connection, warnings } = pull(`PUSH_REPLY,${option}`);
    assert.equal(warnings.length, 1, option);
    assert.deepEqual(options, before.options, option);
    assert.deepEqual(connection, before.connection, option);
  }
});

test('unknown and malformed options are warnings in OpenVPN’s words, and the rest is taken', () => {
  const { options, warnings } = pull('PUSH_REPLY,foo 1,route,ping x,"open,,route 10.1.0.0 255.255.0.0');
  assert.equal(
    warnings[0]?.text,
    'Options error: Unrecognized option or missing or extra parameter(s) in [PUSH-OPTIONS]:1: foo (2.6.14)',
  );
  assert.equal(warnings.length, 4);
  assert.equal(options.routing.routes.length, 1);
});

test('pull-filter takes the first prefix that matches', () => {
  const filters =
    'pull-filter accept "route 10.1."\npull-filter ignore "route "\npull-filter reject "dhcp-option PROXY"\n';
  const { options } = pull('PUSH_REPLY,route 10.1.0.0 255.255.0.0,route 10.2.0.0 255.255.0.0,route-metric 5', filters);
  assert.deepEqual(
    options.routing.routes.map(({ network }) => network),
    ['10.1.0.0'],
  );
  assert.equal(options.routing.metric, 5);
  const rejected = reader(filters).read('PUSH_REPLY,route 10.1.0.0,route 10.2.0.0,dhcp-option PROXY_HTTP a');
  assert.ok(rejected.outcome === 'rejected');
  assert.equal(rejected.reason, "Pushed option rejected by filter: 'dhcp-option PROXY_HTTP a'. Restarting.");
  assert.deepEqual(
    rejected.warnings.map(({ text }) => text),
    ["Pushed option accepted by filter: 'route 10.1.0.0'", "Pushed option removed by filter: 'route 10.2.0.0'"],
  );
});

test('route-nopull leaves out routes and DNS, nothing else', () => {
  const { options } = pull(reply, 'route-nopull\n');
  assert.deepEqual(options.routing.routes, []);
  assert.deepEqual(options.dns.dhcpOptions, []);
  assert.equal(options.routing.gateway, '10.8.0.1');
  assert.notEqual(options.addresses.ipv4, undefined);
});

test('a pushed route to a name is left out with a warning', () => {
  const { warnings, options } = pull('PUSH_REPLY,route intranet.example 255.255.255.0');
  assert.equal(warnings.length, 1);
  assert.deepEqual(options.routing.routes, []);
});

test('pushed compression is refused unless allowed, stubs are taken', () => {
  assert.equal(reader().read('PUSH_REPLY,comp-lzo yes').outcome, 'rejected');
  assert.equal(reader().read('PUSH_REPLY,compress lz4').outcome, 'rejected');
  assert.equal(pull('PUSH_REPLY,compress stub-v2').options.data.compression.framing, 'stub-v2');
  assert.equal(pull('PUSH_REPLY,comp-lzo no').options.data.compression.framing, 'lzo-no');
  assert.equal(pull('PUSH_REPLY,comp-lzo yes', 'allow-compression asym\n').options.data.compression.framing, 'lzo-no');
});

test('the digest leaves out what may change without touching the tun', () => {
  const { digestInput } = pull(
    'PUSH_REPLY,route 10.1.0.0 255.255.0.0,peer-id 1,auth-token x,auth-token-user eA==,ping 5,ping-restart 9,cipher AES-128-GCM,protocol-flags cc-exit,explicit-exit-notify 1,ifconfig 10.8.0.2 255.255.255.0',
  );
  assert.equal(digestInput, 'route 10.1.0.0 255.255.0.0\0ifconfig 10.8.0.2 255.255.255.0\0');
  assert.match(pull('PUSH_REPLY,cipher AES-128-GCM', 'link-mtu 1500\n').digestInput, /cipher/);
});

test('tokens are handed on', () => {
  const { authToken, authTokenUser } = pull('PUSH_REPLY,auth-token SESS_ID_AT_abc,auth-token-user dXNlcg==');
  assert.equal(authToken, 'SESS_ID_AT_abc');
  assert.equal(authTokenUser, 'dXNlcg==');
});

test('a server that pushes without end is rejected', () => {
  const push = reader();
  const message = `PUSH_REPLY${',route 10.0.0.0 255.0.0.0'.repeat(35)},push-continuation 2`;
  for (let count = 0; count < 262_144; count += message.length)
    if (push.read(message).outcome === 'rejected') {
      assert.ok(count + message.length > 262_144);
      return;
    }
  assert.fail('it was taken');
});

test('a pushed tun-mtu goes no further than tun-mtu-max, which is 1600 at least', () => {
  const { connection, warnings } = pull('PUSH_REPLY,tun-mtu 1700');
  assert.equal(connection.tunMtu, 1_600);
  assert.deepEqual(
    warnings.map(({ text }) => text),
    ['Server-pushed tun-mtu is too large, please add tun-mtu-max 1700 in the client configuration'],
  );
  assert.equal(pull('PUSH_REPLY,tun-mtu 1700', 'tun-mtu-max 1800\n').connection.tunMtu, 1_700);
});
