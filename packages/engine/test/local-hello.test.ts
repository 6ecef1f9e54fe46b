/** What we tell a peer of ourselves. The names are those that openvpn 2.6.14 tells in the same place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parsePeerInfo } from '@seikan/core';
import { parseConfig } from '@seikan/engine';
import { createCrypto } from '@seikan/native';

import { peerInfoText } from '#src/local-hello.js';

const CLIENT = 'client\ndev tun\nremote 198.51.100.1\nca ca.crt\ncert c.crt\nkey c.key\n';
const PEER = 'tls-client\ndev tun\nremote 198.51.100.1\nca ca.crt\ncert c.crt\nkey c.key\n';

function told(config: string): string {
  const { options } = parseConfig(config, 'test.conf', { read: () => undefined });
  const [connection] = options.connections;
  assert.ok(connection !== undefined);
  return peerInfoText({
    options,
    connection,
    product: { openvpnVersion: '2.6.14', name: 'Seikan', version: '1', platform: 'linux' },
    abilities: { epoch: false, offload: false },
    crypto: createCrypto(),
    hostFacts: () => ({ hardwareAddress: undefined, tlsLibrary: 'OpenSSL 3.0.0', platformVersion: '6.1.0' }),
  });
}

const namesOf = (text: string): string[] => [...parsePeerInfo(text).keys()];

test('a client tells its version, its limits and what it can; with push-peer-info more', () => {
  const names = 'IV_VER IV_PLAT IV_TCPNL IV_MTU IV_NCP IV_CIPHERS IV_PROTO IV_LZO_STUB IV_COMP_STUB IV_COMP_STUBv2';
  assert.deepEqual(namesOf(told(CLIENT)), [...names.split(' '), 'IV_GUI_VER']);
  const site = 'setenv UV_SITE lab\n';
  assert.deepEqual(namesOf(told(CLIENT + site)), [...names.split(' '), 'IV_GUI_VER']);
  assert.deepEqual(namesOf(told(`${CLIENT}${site}push-peer-info\n`)), [
    ...names.split(' '),
    'IV_SSL',
    'IV_PLAT_VER',
    'IV_GUI_VER',
    'UV_SITE',
  ]);
});

test('a client with both AES-GCM says so in the way of 2.4 too', () => {
  assert.equal(parsePeerInfo(told(CLIENT)).get('IV_NCP'), '2');
  assert.equal(parsePeerInfo(told(`${CLIENT}data-ciphers AES-256-GCM\n`)).has('IV_NCP'), false);
});

test('a p2p peer tells only what is negotiated', () => {
  assert.deepEqual(namesOf(told(PEER)), ['IV_CIPHERS', 'IV_PROTO']);
});

test('no more is told than a peer reads: 1536 bytes; of what the user adds, whatever fits', () => {
  const variables = Array.from({ length: 61 }, (_, i) => `setenv UV_VAR${i + 10} ${'v'.repeat(50)}\n`).join('');
  const text = told(`${CLIENT}push-peer-info\n${variables}setenv UV_S x\n`);
  assert.ok(text.length < 1_536 && text.length > 1_536 - 60, String(text.length));
  const info = parsePeerInfo(text);
  assert.equal(info.get('UV_VAR10'), 'v'.repeat(50));
  assert.equal(info.get('UV_S'), 'x');
});
