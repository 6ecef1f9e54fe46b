import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ADDRESS_SIZE, AddressTable, addressBytes } from '@seikan/native';

test('a record lays out family, port and address as drawn', () => {
  const table = new AddressTable(2);
  table.set(1, { family: 4, address: '198.51.100.7', port: 1194 }, { address: '192.0.2.1', interfaceIndex: 3 });
  const record = table.bytes.slice(ADDRESS_SIZE);
  assert.deepEqual(record.slice(0, 8), new Uint8Array([4, 0, 0x04, 0xaa, 198, 51, 100, 7]));
  assert.deepEqual(record.slice(8, 24), new Uint8Array(16));
  assert.deepEqual(record.slice(24, 28), new Uint8Array([192, 0, 2, 1]));
  assert.equal(table.words[11 + 10], 3);
  assert.equal(table.remote(0), undefined);
  assert.equal(table.local(0), undefined);
});

test('addresses come back in canonical text', () => {
  const table = new AddressTable(1);
  for (const [given, expected] of [
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['::', '::'],
    ['fe80::1', 'fe80::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ] as const) {
    table.set(0, { family: 6, address: given, port: 65_535 });
    assert.deepEqual(table.remote(0), { family: 6, address: expected, port: 65_535 });
  }
  table.set(0, { family: 6, address: 'fe80::1', port: 1, scope: 7 });
  assert.deepEqual(table.remote(0), { family: 6, address: 'fe80::1', port: 1, scope: 7 });
});

test('two records are the same remote whatever their local halves say', () => {
  const table = new AddressTable(3);
  table.set(0, { family: 4, address: '192.0.2.1', port: 1 }, { address: '192.0.2.9', interfaceIndex: 1 });
  table.set(1, { family: 4, address: '192.0.2.1', port: 1 });
  table.set(2, { family: 4, address: '192.0.2.1', port: 2 });
  assert.equal(table.sameRemote(0, table, 1), true);
  assert.equal(table.sameRemote(1, table, 2), false);
  table.copy(2, table, 0);
  assert.equal(table.sameRemote(0, table, 2), true);
  assert.deepEqual(table.local(2), { address: '192.0.2.9', interfaceIndex: 1 });
});

test('text that is no numeric address of the family is refused', () => {
  for (const bad of ['', 'localhost', '1.2.3', '1.2.3.4.5', '010.1.1.1', '::1', '1.2.3.4:5'])
    assert.throws(() => addressBytes(4, bad), TypeError, bad);
  for (const bad of ['', '1.2.3.4', 'fe80::1%eth0', '[::1]', '1::2::3'])
    assert.throws(() => addressBytes(6, bad), TypeError);
  assert.throws(() => new AddressTable(1).set(1, { family: 4, address: '1.2.3.4', port: 1 }), RangeError);
});
