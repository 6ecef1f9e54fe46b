import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { createTlsContext, type TlsOptions } from '@seikan/native';

import { TestAuthority } from './test-pki.js';
import { exchange, openPair, takeAll, Verifier } from './tls-pair.js';

const root = TestAuthority.root();
after(() => root.remove());
const server = root.issue({ name: 'server', usage: 'server' });
const client = root.issue({ name: 'client' });

function contexts(both: Partial<TlsOptions> = {}, clientOnly: Partial<TlsOptions> = {}) {
  return {
    client: createTlsContext({ role: 'client', ca: root.cert, ...client, ...both, ...clientOnly }),
    server: createTlsContext({ role: 'server', ca: root.cert, ...server, ...both }),
  };
}

const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : new TextDecoder().decode(bytes));
const bytes = (text: string) => new TextEncoder().encode(text);

for (const version of ['1.2', '1.3'] as const) {
  describe(`a TLS ${version} connection`, () => {
    const made = contexts({ versionMin: version, versionMax: version });

    it('secures both sides after each verified root and leaf of the other', () => {
      const [atClient, atServer] = [new Verifier(), new Verifier()];
      const pair = openPair(made, { client: atClient.strict, server: atServer.strict });
      exchange(pair);
      assert.equal(pair.client.state, 'secured');
      assert.equal(pair.server.state, 'secured');
      const issuer = { depth: 1, subject: 'CN=Test Root', error: undefined };
      assert.deepEqual(atClient.asked, [issuer, { depth: 0, subject: 'CN=server', error: undefined }]);
      assert.deepEqual(atServer.asked, [issuer, { depth: 0, subject: 'CN=client', error: undefined }]);
      assert.equal(pair.server.peerCertificate?.subject, 'CN=client');
      assert.match(pair.client.describe(), new RegExp(`^TLSv${version}, cipher TLSv${version} `));
    });

    it('keeps one record per write, also when several arrive at once', () => {
      const pair = openPair(made);
      exchange(pair);
      for (const word of ['one', 'two', 'three']) pair.client.write(bytes(word));
      pair.server.receive(takeAll(pair.client));
      assert.deepEqual(
        [1, 2, 3, 4].map(() => text(pair.server.read())),
        ['one', 'two', 'three', undefined],
      );
    });

    it('exports the same keying material on both sides, and different for each label', () => {
      const pair = openPair(made);
      exchange(pair);
      const keys = pair.client.exportKeyingMaterial('EXPORTER-OpenVPN-datakeys', 256);
      assert.equal(keys.length, 256);
      assert.deepEqual(keys, pair.server.exportKeyingMaterial('EXPORTER-OpenVPN-datakeys', 256));
      assert.notDeepEqual(keys, pair.client.exportKeyingMaterial('EXPORTER-OpenVPN-p2p-peerid', 256));
    });

    it('takes ciphertext in pieces of any size, down to single bytes', () => {
      for (const chunk of [1, 5, 333]) {
        const pair = openPair(made);
        exchange(pair, chunk);
        pair.server.write(new Uint8Array(900).fill(chunk));
        exchange(pair, chunk);
        assert.deepEqual(pair.client.read(), new Uint8Array(900).fill(chunk));
      }
    });

    it('writes records of 1 to 16384 bytes, and only when secured', () => {
      const pair = openPair(made);
      assert.throws(() => pair.client.write(Uint8Array.of(1)), /not secured/);
      assert.throws(() => pair.client.exportKeyingMaterial('EXPORTER-test', 16), /not secured/);
      exchange(pair);
      const largest = new Uint8Array(16_384).fill(7);
      pair.client.write(largest);
      pair.server.receive(takeAll(pair.client));
      assert.deepEqual(pair.server.read(), largest);
      assert.equal(pair.server.read(), undefined);
      for (const length of [0, 16_385]) assert.throws(() => pair.client.write(new Uint8Array(length)), RangeError);
    });

    it('sends no session ticket after the handshake', () => {
      const pair = openPair(made);
      for (let flight = 0; flight < 2; flight += 1) {
        pair.server.receive(takeAll(pair.client));
        pair.client.receive(takeAll(pair.server));
      }
      assert.deepEqual([pair.client.state, pair.server.state], ['secured', 'secured']);
      assert.deepEqual([pair.client.pending, pair.server.pending], [0, 0]);
    });

    it('tells the other side of a shutdown, after what was written before it', () => {
      const pair = openPair(made);
      exchange(pair);
      pair.client.write(bytes('last words'));
      pair.client.shutdown();
      exchange(pair);
      assert.equal(text(pair.server.read()), 'last words');
      assert.deepEqual([pair.client.state, pair.server.state], ['closed', 'closed']);
      assert.equal(pair.server.failure, undefined);
    });

    it('is of no use once closed, and closing twice is fine', () => {
      const pair = openPair(made);
      exchange(pair);
      pair.client.close();
      pair.client.close();
      assert.throws(() => pair.client.write(Uint8Array.of(1)), /closed/);
      assert.throws(() => pair.client.receive(Uint8Array.of(1)), /closed/);
    });
  });
}

describe('a TLS context', () => {
  it('can be closed while its connections live on', () => {
    const made = contexts();
    const pair = openPair(made);
    made.client.close();
    made.server.close();
    exchange(pair);
    assert.equal(pair.server.state, 'secured');
    assert.throws(() => made.client.open(() => 'accept'), /closed/);
  });

  it('shows its own certificate', () => {
    assert.equal(contexts().client.certificate?.subject, 'CN=client');
    assert.equal(createTlsContext({ role: 'client', ca: root.cert }).certificate, undefined);
  });
});
