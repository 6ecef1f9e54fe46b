import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, parseArguments, parseConfig } from '@seikan/engine';

const noFiles = { read: () => undefined };

const client = 'client\ndev tun\nremote vpn.example 443 udp\nca ca.crt\ncert a.crt\nkey a.key\n';

function failure(run: () => unknown): ConfigError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error;
  }
  return assert.fail('nothing was refused');
}

test('a client profile gets the defaults of OpenVPN 2.6', () => {
  const { options } = parseConfig(client, 'a.ovpn', noFiles);
  assert.equal(options.pull, true);
  assert.equal(options.tls.role, 'client');
  assert.deepEqual(options.data.dataCiphers, ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305']);
  assert.equal(options.timers.pingTimeout, 120);
  const [connection] = options.connections;
  assert.equal(connection?.remote, 'vpn.example');
  assert.equal(connection?.remotePort, 443);
  assert.equal(connection?.bind, false);
  assert.deepEqual(connection?.mssfix, { size: 1_492, measure: 'mtu' });
});

test('server with subnet topology makes addresses, pool and pushes', () => {
  const text =
    'server 10.8.0.0 255.255.255.0\nserver-ipv6 fd00:8::/64\ndev tun\ntopology subnet\nkeepalive 10 60\nca a\ncert b\nkey c\ndh none\n';
  const { options } = parseConfig(text, 'server.conf', noFiles);
  assert.deepEqual(options.addresses.ipv4, { local: '10.8.0.1', remoteOrNetmask: '255.255.255.0' });
  assert.deepEqual(options.addresses.ipv6, { local: 'fd00:8::1', bits: 64, remote: 'fd00:8::2' });
  assert.deepEqual(options.server.pool, { start: '10.8.0.2', end: '10.8.0.254', netmask: '255.255.255.0' });
  assert.deepEqual(options.server.poolIpv6, { base: 'fd00:8::1000', bits: 64 });
  assert.deepEqual(options.push, [
    'tun-ipv6',
    'route-gateway 10.8.0.1',
    'topology subnet',
    'ping 10',
    'ping-restart 60',
  ]);
  assert.equal(options.timers.pingTimeout, 120);
  assert.equal(options.tls.dh, undefined);
});

test('an unknown option is refused in OpenVPN’s words, then ours with the place and the nearest name', () => {
  const error = failure(() => parseConfig('client\n  prot udp\n', 'a.ovpn', noFiles));
  assert.equal(
    error.message,
    'Options error: Unrecognized option or missing or extra parameter(s) in a.ovpn:2: prot (2.6.14)\n' +
      'a.ovpn:2:3: There is no option "prot". Do you mean "proto"?',
  );
  assert.deepEqual([error.file, error.line, error.column, error.directive], ['a.ovpn', 2, 3, 'prot']);
});

test('the command line says the same as a file', () => {
  const argv = client
    .trim()
    .split('\n')
    .flatMap((line) => `--${line}`.split(' '));
  const { options } = parseArguments(argv, noFiles);
  assert.deepEqual({ ...options, configFile: 'a.ovpn' }, parseConfig(client, 'a.ovpn', noFiles).options);
});
