/** What a server decides, whatever a client says of itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseConfig } from '@seikan/engine';
import { createCrypto } from '@seikan/native';

import { agreeOnPush } from '#src/client/agreement.js';
import { chooseCipher, peerCiphers } from '#src/negotiation.js';
import { PushReader } from '#src/options/pull.js';

import { PLAIN_CLIENT, PLAIN_SERVER, World } from '../world.js';

test("the digest of CBC packets is the server's own: a client cannot name a weaker one", () => {
  const world = new World(81);
  const cipher = 'data-ciphers AES-256-CBC\n';
  const server = world.add('server', `${PLAIN_SERVER}${cipher}auth SHA512\n`, '198.51.100.1');
  world.add('ada', `${PLAIN_CLIENT}${cipher}auth SHA1\n`, '198.51.100.2');
  world.run(10_000);
  assert.ok(
    server.log.includes("Data Channel: cipher 'AES-256-CBC', auth 'SHA512', peer-id: 0"),
    server.log.join('\n'),
  );
});

test('a client whose peer info does not list the cipher of its options string can it all the same', () => {
  const old = new Map([['IV_NCP', '2']]);
  const recent = new Map([['IV_CIPHERS', 'AES-256-GCM:AES-128-GCM']]);
  const said = 'V4,dev-type tun,cipher AES-256-CBC,auth SHA1';
  assert.equal(chooseCipher(['AES-256-CBC', 'AES-128-GCM'], peerCiphers(old, said)), 'AES-256-CBC');
  assert.equal(chooseCipher(['AES-256-CBC', 'AES-128-GCM'], peerCiphers(recent, said)), 'AES-256-CBC');
  assert.equal(chooseCipher(['AES-192-GCM', 'AES-128-GCM'], peerCiphers(recent, said)), 'AES-128-GCM');
  assert.equal(chooseCipher(['AES-192-GCM'], peerCiphers(old, said)), undefined);
  assert.deepEqual(peerCiphers(new Map([['IV_NCP', '1']]), ''), []);
});

/** A client with `data-ciphers AES-256-GCM:AES-256-CBC`, and what it does about a push. */
function agreed(config: string, push: string, theirs: string): string {
  const { options } = parseConfig(`${PLAIN_CLIENT}data-ciphers AES-256-GCM:AES-256-CBC\n${config}`, 'c', {
    read: () => undefined,
  });
  const [connection] = options.connections;
  assert.ok(connection !== undefined);
  const read = new PushReader(options, connection).read(push);
  assert.ok(read.outcome === 'done');
  const agreement = agreeOnPush(options, read.pulled, theirs, createCrypto());
  return typeof agreement === 'string' ? agreement : agreement.negotiated.cipher;
}

test('a client takes the pushed cipher, else the one of the options string, else its fallback; none but its own', () => {
  assert.equal(agreed('', 'PUSH_REPLY,cipher AES-256-CBC', 'V4,cipher AES-128-CBC'), 'AES-256-CBC');
  assert.equal(
    agreed('', 'PUSH_REPLY,cipher AES-128-GCM', ''),
    'Error: negotiated cipher not allowed - AES-128-GCM not in AES-256-GCM:AES-256-CBC',
  );
  assert.equal(agreed('', 'PUSH_REPLY', 'V4,cipher AES-256-CBC'), 'AES-256-CBC');
  assert.match(agreed('', 'PUSH_REPLY', 'V4,cipher AES-128-CBC'), /Add the server's cipher \('AES-128-CBC'\)/);
  assert.equal(agreed('data-ciphers-fallback AES-192-CBC\n', 'PUSH_REPLY', 'V4'), 'AES-192-CBC');
  assert.match(agreed('', 'PUSH_REPLY', 'V4'), /Configure --data-ciphers-fallback/);
});
