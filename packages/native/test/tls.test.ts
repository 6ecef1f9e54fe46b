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
  });
}
