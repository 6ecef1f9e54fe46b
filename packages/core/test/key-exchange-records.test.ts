import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createCrypto } from '@seikan/native';
import * as fc from 'fast-check';

import { fromHex, toHex } from '#src/bytes/hex.js';
import { isAuthToken, isTokenCurrent, signAuthToken, verifyAuthToken } from '#src/keys/auth-token.js';
import { authTokenHmacKey, parseAuthTokenKey } from '#src/keys/auth-token-key.js';
import { encodeKeyMethod2, parseKeyMethod2 } from '#src/keys/key-method-2.js';
import { parsePeerInfo } from '#src/keys/peer-info.js';
import { splitControlMessages } from '#src/wire/control-message.js';
import { readVector } from './trace.js';

const records = readVector('../key-exchange/client-plaintext.txt')
  .trim()
  .split('\n')
  .map((line) => fromHex(line.split(' ')[1] ?? '') ?? new Uint8Array());
const [fromClient = new Uint8Array(), fromServer = new Uint8Array(), pushReply = new Uint8Array()] = records;

const tokenKey = parseAuthTokenKey(readVector('../auth-token.key'));
assert.ok(tokenKey);
const secret = { crypto: createCrypto(), hmacKey: authTokenHmacKey(tokenKey) };
const reply = splitControlMessages(pushReply).messages[0] ?? '';
const recordedToken = /auth-token ([^,]*)/.exec(reply)?.[1] ?? '';

test("a stock client's key method 2 message is read, and written the same", () => {
  const parsed = parseKeyMethod2(fromClient, 'client');
  assert.ok(typeof parsed !== 'string');
  assert.match(parsed.options, /^V4,dev-type tun,link-mtu 1541,.*,tls-client$/);
  assert.equal(parsed.username, 'alice');
  assert.equal(parsed.password, 'secret');
  assert.equal(parsePeerInfo(parsed.peerInfo ?? '').get('IV_PROTO'), '990');
  assert.equal(toHex(encodeKeyMethod2(parsed)), toHex(fromClient));
});

test("a stock server's key method 2 message is read, and written the same", () => {
  const parsed = parseKeyMethod2(fromServer, 'server');
  assert.ok(typeof parsed !== 'string');
  assert.match(parsed.options, /,tls-server$/);
  assert.equal(parsed.source.preMaster, undefined);
  assert.equal(parsed.username, undefined);
  assert.equal(toHex(encodeKeyMethod2(parsed)), toHex(fromServer));
});

test('a stock push reply is one control message', () => {
  const { messages, rejected } = splitControlMessages(pushReply);
  assert.deepEqual([messages.length, rejected], [1, 0]);
  assert.ok(reply.startsWith('PUSH_REPLY,route-gateway 10.77.0.1,') && reply.endsWith(',tun-mtu 1500'));
});

test('a token that stock made is verified, and made again from its fields', () => {
  const token = verifyAuthToken(secret, 'alice', recordedToken);
  assert.ok(token);
  assert.equal(token.issued, 1_795_233_075);
  assert.equal(token.renewed, token.issued);
  assert.equal(token.emptyUser, false);
  assert.equal(signAuthToken(secret, 'alice', token), recordedToken);
});

test('a token is good for its own user name only, unless it was made for the empty one', () => {
  assert.equal(verifyAuthToken(secret, 'mallory', recordedToken), undefined);
  const token = { sessionId: new Uint8Array(12).fill(7), issued: 5, renewed: 9 };
  const forAnyone = signAuthToken(secret, '', token);
  assert.deepEqual(verifyAuthToken(secret, 'bob', forAnyone), { ...token, emptyUser: true });
  assert.deepEqual(verifyAuthToken(secret, '', forAnyone), { ...token, emptyUser: false });
});

test('forged, cut and foreign tokens are refused, and passwords are no tokens', () => {
  for (let at = 0; at < recordedToken.length; at += 1) {
    const other = recordedToken[at] === 'A' ? 'B' : 'A';
    const forged = recordedToken.slice(0, at) + other + recordedToken.slice(at + 1);
    assert.equal(verifyAuthToken(secret, 'alice', forged), undefined, `${at}`);
    assert.equal(verifyAuthToken(secret, 'alice', recordedToken.slice(0, at)), undefined, `${at}`);
  }
  const foreign = { ...secret, hmacKey: new Uint8Array(32) };
  assert.equal(verifyAuthToken(foreign, 'alice', recordedToken), undefined);
  assert.equal(isAuthToken('SESS_ID_A'), false);
  assert.equal(isAuthToken(recordedToken), true);
  fc.assert(
    fc.property(fc.base64String({ minLength: 76, maxLength: 84 }), (text) => {
      assert.equal(verifyAuthToken(secret, 'alice', `SESS_ID_AT_${text}`), undefined);
    }),
  );
});

test('a token lives two renewal intervals from its making, and no longer than the login', () => {
  const token = { sessionId: new Uint8Array(12), issued: 1_000, renewed: 2_000 };
  const current = (now: number, lifetime = 0, initial = false) =>
    isTokenCurrent(token, { now, renewal: 600, lifetime, initial });
  assert.deepEqual(
    [1_999, 2_000, 3_199, 3_200].map((now) => current(now)),
    [false, true, true, false],
  );
  assert.equal(current(9_999, 0, true), true, 'the first token of a living session');
  assert.deepEqual(
    [2_500, 2_501].map((now) => current(now, 1_500)),
    [true, false],
  );
  assert.equal(current(2_501, 1_500, true), false);
  assert.equal(
    isTokenCurrent({ ...token, renewed: 999 }, { now: 999, renewal: 600, lifetime: 0, initial: true }),
    false,
  );
});
