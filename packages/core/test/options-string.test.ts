import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { type OptionsStringInput, optionsString, parseOptionsString } from '#src/keys/options-string.js';
import { readLog, type TraceName } from './trace.js';

const crypto = createCrypto();

const client: OptionsStringInput = {
  mode: 'tls-client',
  device: 'tun',
  tunMtu: 1500,
  tunMtuExtra: 0,
  protocol: 'udp',
  socks: false,
  pointToPoint: undefined,
  compression: 'none',
  fragment: false,
  keyDirection: 'bidirectional',
  cipher: 'BF-CBC',
  dataCiphers: ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305'],
  digest: 'SHA1',
  tlsAuth: false,
};

/** Enough of OpenVPN's command line for the recorded ones. */
function inputOf(line: string): OptionsStringInput {
  const options = new Map(
    line
      .split('--')
      .slice(1)
      .map((option) => [option.split(' ')[0] ?? '', option.trim().split(' ').slice(1)]),
  );
  const first = (name: string, otherwise: string) => options.get(name)?.[0] ?? otherwise;
  const device = first('dev', '') as 'tun' | 'tap';
  const protocol = first('proto', 'udp');
  const compress = options.get('compress');
  const [local, second] = options.get('ifconfig') ?? [];
  const ifconfig =
    local === undefined || second === undefined || options.has('ifconfig-nowarn')
      ? undefined
      : second.startsWith('255.')
        ? { network: local.replace(/\d+$/, '0'), netmask: second }
        : { local, remote: second };
  const direction = first('tls-auth', '') === '' ? options.get('secret')?.[1] : options.get('tls-auth')?.[1];
  return {
    mode: options.has('secret') ? 'secret' : options.has('tls-server') ? 'tls-server' : 'tls-client',
    device,
    tunMtu: Number(first('tun-mtu', '1500')),
    tunMtuExtra: Number(first('tun-mtu-extra', device === 'tap' ? '32' : '0')),
    protocol: protocol.startsWith('udp') ? 'udp' : protocol.endsWith('server') ? 'tcp-server' : 'tcp-client',
    socks: options.has('socks-proxy'),
    pointToPoint: options.has('client') ? undefined : { tunIpv6: options.has('ifconfig-ipv6'), ifconfig },
    compression: compress?.[0]?.endsWith('v2') ? 'v2' : compress || options.has('comp-lzo') ? 'v1' : 'none',
    fragment: options.has('fragment'),
    keyDirection: direction === '0' ? 'normal' : direction === '1' ? 'inverse' : 'bidirectional',
    cipher: first('cipher', 'BF-CBC'),
    dataCiphers: first('data-ciphers', client.dataCiphers.join(':')).split(':'),
    digest: first('auth', 'SHA1'),
    tlsAuth: options.has('tls-auth'),
  };
}

const recorded = JSON.parse(
  readFileSync(new URL('../../../tests/vectors/options-strings/recorded.json', import.meta.url), 'utf8'),
) as { line: string; local: string; remote: string }[];

test('both strings are those that openvpn 2.6.14 makes of the same command line', () => {
  assert.ok(recorded.length > 30);
  for (const { line, local, remote } of recorded) {
    assert.equal(optionsString(crypto, inputOf(line), 'local'), local, line);
    assert.equal(optionsString(crypto, inputOf(line), 'remote'), remote, line);
  }
});

test('both ends of every recorded session logged these strings, versions 2.5 and 2.7 too', () => {
  const tlsAuth = { digest: 'SHA256', dataCiphers: ['AES-256-CBC'], tlsAuth: true } as const;
  const plain = {};
  for (const [trace, common] of [
    ['01-tlscrypt-gcm-ekm-2614', plain],
    ['02-tlsauth-cbc-sha256-2614', tlsAuth],
    ['05-epoch-tlscrypt-276', plain],
    ['09-prf-client2511-server2614', plain],
  ] as [TraceName, Partial<OptionsStringInput>][]) {
    for (const peer of ['client', 'server'] as const) {
      const direction = peer === 'client' ? 'inverse' : 'normal';
      const keyDirection = common === tlsAuth ? direction : 'bidirectional';
      const input: OptionsStringInput = { ...client, ...common, mode: `tls-${peer}`, keyDirection };
      const log = readLog(trace, peer).join('\n');
      const logged = (name: string) => new RegExp(`${name} Options String .*'(.*)'`).exec(log)?.[1];
      assert.equal(optionsString(crypto, input, 'local'), logged('Local'), trace);
      assert.equal(optionsString(crypto, input, 'remote'), logged('Expected Remote'), trace);
    }
  }
});

test('the words of a received string are found by name', () => {
  const words = parseOptionsString('V4,dev-type tun,link-mtu 1558,cipher AES-256-CBC,comp-lzo,,auth  SHA1');
  assert.equal(words.get('cipher'), 'AES-256-CBC');
  assert.equal(words.get('comp-lzo'), '');
  assert.equal(words.get('auth'), ' SHA1');
  assert.equal(words.has('tls-auth'), false);
});
