/** auth-gen-token: what was given to a client without a user name says nothing of whatever name comes with it later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { signAuthToken } from '@seikan/core';
import { createCrypto } from '@seikan/native';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

const UP = 'Initialization Sequence Completed';
const secret = { crypto: createCrypto(), hmacKey: new Uint8Array(32) };

/** One client that logs in as `username` with a token that is nobody's, and what became of it. */
function login(username: string, more: string) {
  const world = new World(91);
  world.asked.add('auth-user-pass-verify');
  const now = world.time.wallClock;
  const password = signAuthToken(secret, '', { sessionId: new Uint8Array(12).fill(7), issued: now, renewed: now });
  world.credentials = { username, password };
  const asked: (string | undefined)[][] = [];
  world.events = (_host, { env }) => {
    asked.push([env['username'], env['session_state']]);
    return { result: 'success' };
  };
  const auth = `script-security 2\nauth-user-pass-verify login.sh via-env\nauth-gen-token 0 200 ${more}\n`;
  const server = world.add('server', `${PLAIN_SERVER}${auth}username-as-common-name\n`, '198.51.100.1');
  const client = world.add('ada', `${PLAIN_CLIENT}auth-user-pass\n`, '198.51.100.2');
  world.run(3_000);
  return { server, asked, isUp: client.log.includes(UP) };
}

test('with a name beside it, it lets nobody in', () => {
  const { server, asked, isUp } = login('root', '');
  assert.equal(isUp, false, server.log.join('\n'));
  assert.deepEqual(asked, []);
  assert.ok(server.log.includes("TLS Auth Error: --auth-gen-token: auth-token of 'root' is not valid"));
  assert.equal(login('', '').isUp, true);
});

test('who decides with external-auth is not shown that name, and the client is not called so', () => {
  const { server, asked, isUp } = login('root', 'external-auth');
  assert.equal(isUp, true, server.log.join('\n'));
  assert.deepEqual(asked, [['', 'AuthenticatedEmptyUser']]);
  assert.ok(!server.log.some((line) => line.includes('root')), server.log.join('\n'));
});
