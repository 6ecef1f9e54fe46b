/** The order of places, beside what openvpn 2.6.14 tried: each address of a name, then the next `remote`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Endpoint } from '@seikan/core';
import { parseConfig } from '@seikan/engine';
import { SeededRandom } from '@seikan/testkit';

import { ConnectionList } from '#src/client/connection-list.js';

import { PLAIN_CLIENT } from './world.js';

const at = (last: number): Endpoint => ({ family: 4, address: `192.0.2.${last}`, port: 1194 });

function listOf(config: string, shuffled = false): ConnectionList {
  const text = PLAIN_CLIENT.replace(/remote .*\n/, '') + config;
  const { options } = parseConfig(text, 'c', { read: () => undefined });
  return new ConnectionList(options.connections, shuffled ? new SeededRandom(5).fill : undefined);
}

const TWO = 'remote a.example\nremote b.example\n';

test('each address of a name, then the next name; a round is over with the last', () => {
  const list = listOf(TWO);
  const tried: string[] = [];
  for (let step = 0; step < 6; step += 1) {
    if (list.address === undefined) list.resolved(list.current.remote === 'a.example' ? [at(1), at(2)] : [at(3)]);
    tried.push(`${list.current.remote} ${list.address?.address} ${list.rounds}`);
    list.ended();
  }
  assert.deepEqual(tried, [
    'a.example 192.0.2.1 0',
    'a.example 192.0.2.2 0',
    'b.example 192.0.2.3 0',
    'a.example 192.0.2.1 1',
    'a.example 192.0.2.2 1',
    'b.example 192.0.2.3 1',
  ]);
});

test('what was up is tried again once; `remote` passes over the other addresses, `no` stays', () => {
  const list = listOf(TWO);
  list.resolved([at(1), at(2)]);
  list.succeeded();
  list.ended();
  assert.equal(list.address?.address, '192.0.2.1');
  list.ended();
  assert.equal(list.address?.address, '192.0.2.2');
  list.succeeded();
  list.ended('remote');
  assert.equal(list.current.remote, 'b.example');
  list.resolved([at(3)]);
  list.ended('no');
  assert.equal(list.address?.address, '192.0.2.3');
});

test('the pause doubles from the fifth round on, up to the maximum, and begins anew after a success', () => {
  const list = listOf('remote a.example\nconnect-retry 3 40\n');
  const pauses: number[] = [];
  for (let round = 0; round < 9; round += 1) {
    pauses.push(list.pause(0) / 1000);
    list.resolved([at(1)]);
    list.ended();
  }
  assert.deepEqual(pauses, [3, 3, 3, 3, 3, 6, 12, 24, 40]);
  list.succeeded();
  assert.equal(list.pause(0), 3_000);
  assert.equal(list.pause(10_000), 10_000);
  assert.equal(list.pause(60_000), 40_000);
});

test('remote-random draws an order of all of them once', () => {
  const names = Array.from({ length: 8 }, (_, index) => `host${index}.example`);
  const list = listOf(names.map((name) => `remote ${name}\n`).join(''), true);
  const order = (): string[] =>
    names.map(() => {
      const { remote = '' } = list.current;
      list.resolved([at(1)]);
      list.ended();
      return remote;
    });
  const first = order();
  assert.deepEqual(first.toSorted(), names);
  assert.notDeepEqual(first, names);
  assert.deepEqual(order(), first);
});
