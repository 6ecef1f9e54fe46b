import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';

import type { Endpoint } from '#src/bytes/endpoint.js';
import { SessionCookie } from '#src/wrap/cookie.js';

const secret = Uint8Array.from({ length: 32 }, (_, i) => i);
const cookies = new SessionCookie({ crypto: createCrypto(), secret, handWindow: 60 });
const client: Endpoint = { family: 4, address: '198.51.100.7', port: 1194 };
const id = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
/** The first second of a slot of 30. */
const start = 30 * 59_841_076;

test('a cookie is good in its slot and the two after it', () => {
  const cookie = cookies.give(client, id, start + 29);
  assert.equal(cookie.length, 8);
  assert.deepEqual(cookies.give(client, id, start), cookie, 'the same all through the slot');
  for (const later of [0, 30, 60, 89]) assert.equal(cookies.check(client, id, cookie, start + later), true);
  assert.equal(cookies.check(client, id, cookie, start + 90), false);
  assert.equal(cookies.check(client, id, cookie, start - 1), false, 'nobody has it before it was given');
});

test('a cookie is good only for the address, port and session id that asked', () => {
  const cookie = cookies.give(client, id, start);
  assert.equal(cookies.check({ ...client, port: 1195 }, id, cookie, start), false);
  assert.equal(cookies.check({ ...client, address: '198.51.100.8' }, id, cookie, start), false);
  assert.equal(cookies.check({ family: 6, address: '2001:db8::1', port: 1194 }, id, cookie, start), false);
  assert.equal(cookies.check(client, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 9), cookie, start), false);
  assert.equal(
    cookies.check(
      client,
      id,
      cookie.map((byte) => byte ^ 1),
      start,
    ),
    false,
  );
  assert.equal(cookies.check(client, id, cookie.subarray(0, 7), start), false);
});

test('a cookie of another secret, such as before a restart, is refused', () => {
  const other = new SessionCookie({ crypto: createCrypto(), secret: new Uint8Array(32).fill(9), handWindow: 60 });
  assert.equal(other.check(client, id, cookies.give(client, id, start), start), false);
});

test('the secret is copied, and wiped on demand', () => {
  const own = new SessionCookie({ crypto: createCrypto(), secret, handWindow: 60 });
  const cookie = own.give(client, id, start);
  own.wipe();
  assert.equal(own.check(client, id, cookie, start), false);
  assert.equal(cookies.check(client, id, cookie, start), true);
});
