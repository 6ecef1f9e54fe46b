/** What a client says of itself, beside what openvpn 2.6.14 says with the same options (IV_PROTO apart). */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseConfig } from '@seikan/engine';
import { createCrypto } from '@seikan/native';

import { peerInfoText } from '#src/local-hello.js';

import { PLAIN_CLIENT } from './world.js';

const product = { openvpnVersion: '2.6.14', name: 'Seikan', version: '1', platform: 'linux' };
const hostFacts = () => ({ hardwareAddress: '02:00:00:00:00:01', tlsLibrary: 'OpenSSL_3', platformVersion: '6.1' });

function said(config = '', offload = false): Record<string, string> {
  const { options } = parseConfig(PLAIN_CLIENT + config, 'c', { read: () => undefined });
  const [connection] = options.connections;
  assert.ok(connection !== undefined);
  const abilities = { epoch: true, offload };
  const text = peerInfoText({ options, connection, product, abilities, crypto: createCrypto(), hostFacts });
  return Object.fromEntries(
    text
      .trimEnd()
      .split('\n')
      .map((line) => line.split('=', 2)),
  );
}

test('a plain client announces what it can, and nothing of its host', () => {
  assert.deepEqual(said(), {
    IV_VER: '2.6.14',
    IV_PLAT: 'linux',
    IV_TCPNL: '1',
    IV_MTU: '1600',
    IV_NCP: '2',
    IV_CIPHERS: 'AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305',
    // Data v2, push unasked, exported keys, AUTH_PENDING, EXIT, TEMP, dynamic tls-crypt, epochs, `dns` options.
    IV_PROTO: String(
      (1 << 1) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10) | (1 << 11),
    ),
    IV_LZO_STUB: '1',
    IV_COMP_STUB: '1',
    IV_COMP_STUBv2: '1',
    IV_GUI_VER: 'Seikan_1',
  });
});

test('IV_NCP needs both of AES-GCM, epochs AEAD throughout, stubs a channel of our own', () => {
  const one = said('data-ciphers AES-256-GCM:AES-256-CBC\n');
  assert.equal(one['IV_NCP'], undefined);
  assert.equal(one['IV_CIPHERS'], 'AES-256-GCM:AES-256-CBC');
  assert.equal(Number(one['IV_PROTO']) & (1 << 10), 0);
  assert.equal(said('', true)['IV_COMP_STUBv2'], undefined);
  assert.equal(said('tun-mtu 1400\ntun-mtu-max 1450\n')['IV_MTU'], '1600');
  assert.equal(said('tun-mtu 1700\n')['IV_MTU'], '1700');
});

test('the host, and variables of the user, are told with push-peer-info alone; those of a front end always', () => {
  const set = 'setenv UV_SITE lab\nsetenv IV_GUI_VER "Front 2"\nsetenv IV_SSO webauth\nsetenv IV_OTHER 1\n';
  const plain = said(set);
  assert.deepEqual(
    [plain['UV_SITE'], plain['IV_GUI_VER'], plain['IV_SSO'], plain['IV_OTHER'], plain['IV_HWADDR'], plain['IV_SSL']],
    [undefined, 'Front 2', 'webauth', undefined, undefined, undefined],
  );
  const told = said(`${set}push-peer-info\n`);
  assert.deepEqual(
    [told['UV_SITE'], told['IV_OTHER'], told['IV_HWADDR'], told['IV_SSL'], told['IV_PLAT_VER']],
    ['lab', undefined, '02:00:00:00:00:01', 'OpenSSL_3', '6.1'],
  );
});
