import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  broadcastOf,
  canonicalIp,
  halvesOf,
  ipBytes,
  ipFamily,
  ipText,
  lengthNetmask,
  netmaskLength,
  networkOf,
  prefixContains,
} from '#src/ip.js';

test('only whole numeric addresses have a family', () => {
  assert.equal(ipFamily('10.8.0.1'), 4);
  assert.equal(ipFamily('fd00::1'), 6);
  for (const text of ['10.8.1', '0x7f.1', '10.8.0.256', '010.8.0.1.', 'fe80::1%eth0', 'vpn.example', '', '1::2::3'])
    assert.equal(ipFamily(text), undefined, text);
});

test('addresses become bytes and canonical text', () => {
  assert.deepEqual(ipBytes('10.8.0.1'), Uint8Array.of(10, 8, 0, 1));
  assert.equal(ipText(Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1)), 'fd00::1');
  assert.equal(ipText(new Uint8Array(5)), undefined);
  assert.equal(canonicalIp('2001:DB8:0:0::1'), '2001:db8::1');
  assert.throws(() => ipBytes('vpn.example'), RangeError);
});

test('networks, broadcasts and halves', () => {
  assert.deepEqual(networkOf({ address: '10.8.3.77', length: 22 }), { address: '10.8.0.0', length: 22 });
  assert.deepEqual(networkOf({ address: 'fd00:0:1:ffff::9', length: 50 }), { address: 'fd00:0:1:c000::', length: 50 });
  assert.equal(broadcastOf({ address: '10.8.3.77', length: 22 }), '10.8.3.255');
  assert.equal(broadcastOf({ address: '10.8.3.77', length: 31 }), undefined);
  assert.deepEqual(halvesOf({ address: '192.0.2.10', length: 24 }), [
    { address: '192.0.2.0', length: 25 },
    { address: '192.0.2.128', length: 25 },
  ]);
  assert.deepEqual(halvesOf({ address: '::', length: 0 }), [
    { address: '::', length: 1 },
    { address: '8000::', length: 1 },
  ]);
  assert.deepEqual(halvesOf({ address: '192.0.2.10', length: 32 }), []);
});

test('a prefix contains its addresses and no other family', () => {
  assert.equal(prefixContains({ address: '10.8.0.0', length: 15 }, '10.9.255.255'), true);
  assert.equal(prefixContains({ address: '10.8.0.0', length: 15 }, '10.10.0.0'), false);
  assert.equal(prefixContains({ address: '0.0.0.0', length: 0 }, '::1'), false);
  assert.equal(prefixContains({ address: '2000::', length: 3 }, '3fff::1'), true);
});

test('netmasks both ways', () => {
  assert.equal(netmaskLength('255.255.252.0'), 22);
  assert.equal(netmaskLength('255.0.255.0'), undefined);
  assert.equal(netmaskLength('ffff::'), undefined);
  assert.equal(lengthNetmask(0), '0.0.0.0');
  assert.equal(lengthNetmask(25), '255.255.255.128');
});
