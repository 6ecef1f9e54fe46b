import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { createTlsContext } from '@seikan/native';
import { openTlsPair, takeTls, tlsCompliance } from '@seikan/testkit';

import { TestAuthority } from './test-pki.js';

const root = TestAuthority.root();
after(() => root.remove());
const server = root.issue({ name: 'server', usage: 'server' });
const client = root.issue({ name: 'client' });

for (const version of ['1.2', '1.3'] as const) {
  const range = { versionMin: version, versionMax: version, ca: root.cert } as const;
  const make = () => ({
    client: createTlsContext({ role: 'client', ...client, ...range }),
    server: createTlsContext({ role: 'server', ...server, ...range }),
  });

  tlsCompliance(`OpenSSL with TLS ${version}`, make);

  describe(`a TLS ${version} handshake`, () => {
    it('ends without a session ticket', () => {
      const pair = openTlsPair(make());
      for (let flight = 0; flight < 2; flight += 1) {
        pair.server.receive(takeTls(pair.client));
        pair.client.receive(takeTls(pair.server));
      }
      assert.deepEqual([pair.client.state, pair.server.state], ['secured', 'secured']);
      assert.deepEqual([pair.client.pending, pair.server.pending], [0, 0]);
    });
  });
}

describe('a TLS context', () => {
  it('shows its own certificate', () => {
    const context = createTlsContext({ role: 'client', ca: root.cert, ...client });
    assert.equal(context.certificate?.subject, 'CN=client');
    assert.equal(createTlsContext({ role: 'client', ca: root.cert }).certificate, undefined);
  });
});
