import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { EngineOutput } from '@seikan/engine';
import { AddressPool, type PoolSettings } from '#src/server/pool.js';
import { TunnelLog } from '#src/tunnel-log.js';

const subnet: PoolSettings = {
  ipv4: { start: '10.8.0.2', end: '10.8.0.4', netmask: '255.255.255.0' },
  ipv6: undefined,
  topology: 'subnet',
  device: 'tun',
  duplicateCn: false,
};
const net30: PoolSettings = {
  ...subnet,
  topology: 'net30',
  ipv4: { start: '10.98.0.4', end: '10.98.0.251', netmask: undefined },
};

function described(settings: PoolSettings): readonly string[] {
  const lines: string[] = [];
  const log = new TunnelLog((output: EngineOutput) => void (output.output === 'log' && lines.push(output.text)));
  new AddressPool(settings).describe(log);
  return lines;
}

test('a name gets its place back until somebody else needs it: the one that was left longest ago', () => {
  const pool = new AddressPool(subnet);
  const [ada, bob, eve] = ['ada', 'bob', 'eve'].map((name) => pool.acquire(name));
  assert.deepEqual([ada?.ipv4, bob?.ipv4, eve?.ipv4], ['10.8.0.2', '10.8.0.3', '10.8.0.4']);
  assert.equal(pool.acquire('dan'), undefined);
  pool.release(bob?.handle ?? -1, 2_000);
  pool.release(ada?.handle ?? -1, 1_000);
  assert.equal(pool.acquire('bob')?.ipv4, '10.8.0.3');
  assert.equal(pool.acquire('dan')?.ipv4, '10.8.0.2');
  assert.equal(pool.acquire('ada'), undefined);
});

test('with duplicate-cn a name has no place of its own', () => {
  const pool = new AddressPool({ ...subnet, duplicateCn: true });
  assert.equal(pool.acquire('ada')?.ipv4, '10.8.0.2');
  assert.equal(pool.acquire('ada')?.ipv4, '10.8.0.3');
  assert.equal(pool.encode(), '');
});

test('net30 gives each client a /30, and says which end is the server', () => {
  const pool = new AddressPool({ ...net30, ipv6: { base: 'fd98::1000', bits: 64 } });
  assert.deepEqual(pool.acquire('ada'), {
    handle: 0,
    ipv4: '10.98.0.6',
    ipv4Peer: '10.98.0.5',
    ipv6: 'fd98::1000',
  });
  assert.deepEqual(pool.acquire('bob')?.ipv4, '10.98.0.10');
  assert.equal(pool.encode(), 'ada,10.98.0.4,fd98::1000\nbob,10.98.0.8,fd98::1001\n');
});

test('what was written down is taken up again, and lines that cannot be are named', () => {
  const pool = new AddressPool(subnet);
  assert.deepEqual(pool.restore('# names\nada,10.8.0.4,\nbob,10.9.9.9,\n,10.8.0.3\n\n'), [
    'bob,10.9.9.9,',
    ',10.8.0.3',
  ]);
  assert.equal(pool.acquire('ada')?.ipv4, '10.8.0.4');
  assert.equal(pool.acquire('bob')?.ipv4, '10.8.0.2');
});

// As a stock 2.6.14 logged for the same pools.
test('its log lines are those of OpenVPN', () => {
  assert.deepEqual(described({ ...net30, ipv6: { base: 'fd98::1000', bits: 64 } }), [
    'IFCONFIG POOL IPv4: base=10.98.0.4 size=62',
    'IFCONFIG POOL IPv6: base=fd98::1000 size=65536 netbits=64',
    'NOTE: IPv4 pool size is 62, IPv6 pool size is 65536. IPv4 pool size limits the number of clients that can be served from the pool',
  ]);
  assert.deepEqual(
    described({
      ...subnet,
      ipv4: { start: '10.98.0.2', end: '10.98.0.254', netmask: undefined },
      ipv6: { base: 'fd98::2', bits: 120 },
    }),
    [
      'IFCONFIG POOL IPv4: base=10.98.0.2 size=253',
      'IFCONFIG POOL IPv6: base=fd98::2 size=254 netbits=120',
      'NOTE: IPv4 pool size is 253, IPv6 pool size is 254. IPv4 pool size limits the number of clients that can be served from the pool',
    ],
  );
  assert.deepEqual(described({ ...subnet, ipv4: undefined, ipv6: { base: 'fd98::2', bits: 112 } }), [
    'IFCONFIG POOL IPv6: base=fd98::2 size=65534 netbits=112',
  ]);
  assert.deepEqual(described({ ...subnet, ipv4: undefined, ipv6: { base: 'fd98::1000', bits: 64 } }), [
    'IFCONFIG POOL IPv6: base=fd98::1000 size=65536 netbits=64',
  ]);
});

test('who has no name is not remembered, and a place that was not needed is forgotten', () => {
  const pool = new AddressPool(subnet);
  const [nameless, ada] = [pool.acquire(undefined), pool.acquire('ada')];
  pool.forget(ada?.handle ?? -1);
  assert.equal(pool.encode(), '');
  assert.equal(pool.acquire('bob')?.ipv4, '10.8.0.3');
  pool.release(nameless?.handle ?? -1, 1_000);
  assert.equal(pool.acquire(undefined)?.ipv4, '10.8.0.2');
});

test('what a file reserves is given to nobody else, as by openvpn where the file is only read', () => {
  const pool = new AddressPool(subnet);
  pool.restore('ada,10.8.0.2,\nbob,10.8.0.3,\n', true);
  assert.equal(pool.acquire('eve')?.ipv4, '10.8.0.4');
  assert.equal(pool.acquire('dan'), undefined);
  assert.equal(pool.acquire('bob')?.ipv4, '10.8.0.3');
  pool.release(1, 1_000);
  assert.equal(pool.acquire('dan'), undefined);
  const remembered = new AddressPool(subnet);
  remembered.restore('ada,10.8.0.2,\nbob,10.8.0.3,\n');
  for (const name of ['eve', 'dan']) assert.notEqual(remembered.acquire(name), undefined);
});
