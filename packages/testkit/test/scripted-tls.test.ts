import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { VerifyCertificate } from '@seikan/core';
import {
  exchangeTls,
  fakeCertificate,
  openTlsPair,
  ScriptedTls,
  type ScriptedTlsOptions,
  SeededRandom,
  takeTls,
  tlsCompliance,
} from '@seikan/testkit';

function contexts(options: Partial<ScriptedTlsOptions> = {}) {
  const issuer = fakeCertificate('Fake CA');
  return {
    client: new ScriptedTls({ role: 'client', seed: 1, chain: [fakeCertificate('client'), issuer], ...options }),
    server: new ScriptedTls({ role: 'server', seed: 2, chain: [fakeCertificate('server'), issuer], ...options }),
  };
}

function openPair(options: Partial<ScriptedTlsOptions> = {}, verify: { server?: VerifyCertificate } = {}) {
  return openTlsPair(contexts(options), verify);
}

tlsCompliance('ScriptedTls', contexts);

describe('ScriptedTls', () => {
  it('has the flight sizes that it is given, the client secured one flight before the server', () => {
    const { client, server } = openPair({ flights: [500, 2_500, 1_900] });
    assert.equal(client.pending, 507);
    server.receive(takeTls(client));
    assert.equal(server.pending, 2_507);
    client.receive(takeTls(server));
    assert.equal(client.pending, 1_907);
    assert.deepEqual([client.state, server.state], ['secured', 'handshaking']);
    server.receive(takeTls(client));
    assert.equal(server.state, 'secured');
  });

  it('asks about each certificate from the root to the leaf, with the error that it is told', () => {
    const asked: unknown[] = [];
    const revoked = { code: 23, text: 'certificate revoked' };
    const pair = openPair(
      { judge: ({ depth, subject }) => (depth === 0 && subject === 'CN=client' ? revoked : undefined) },
      {
        server(certificate, error) {
          asked.push([certificate.depth, certificate.subject, error?.code]);
          return error === undefined ? 'accept' : 'reject';
        },
      },
    );
    exchangeTls(pair);
    assert.deepEqual(asked, [
      [1, 'CN=Fake CA', undefined],
      [0, 'CN=client', 23],
    ]);
    assert.deepEqual(pair.server.failure?.alert, { direction: 'sent', name: 'certificate unknown' });
    assert.deepEqual(pair.client.failure?.alert, { direction: 'received', name: 'certificate unknown' });
    assert.equal(pair.client.state, 'failed');
  });

  it('gives a peer’s certificate back field for field', () => {
    const certificate = fakeCertificate('alice', { keyUsage: undefined, sha256: Uint8Array.of(0, 255, 16) });
    const pair = openPair({ chain: [certificate] });
    exchangeTls(pair);
    assert.deepEqual(pair.server.peerCertificate?.sha256, Uint8Array.of(0, 255, 16));
    assert.equal(pair.server.peerCertificate?.keyUsage, undefined);
    assert.equal(pair.server.peerCertificate?.subject, 'CN=alice');
  });

  it('fails without a certificate unless that is optional', () => {
    const required = openPair({ chain: [] });
    exchangeTls(required);
    assert.equal(required.client.failure?.reason, 'peer did not return a certificate');
    const optional = openPair({ chain: [], verifyPeer: 'optional' });
    exchangeTls(optional);
    assert.equal(optional.server.state, 'secured');
  });

  it('runs the same way from the same seeds', () => {
    const [first, second] = [openPair(), openPair()].map((pair) => {
      exchangeTls(pair);
      return pair.client.exportKeyingMaterial('label', 40);
    });
    assert.deepEqual(first, second);
  });

  it('notices any changed, missing or doubled byte of a record', () => {
    const random = new SeededRandom(20);
    for (let round = 0; round < 200; round += 1) {
      const pair = openPair();
      exchangeTls(pair);
      pair.client.write(new TextEncoder().encode('a message of some length'));
      const record = new Uint8Array(pair.client.pending);
      pair.client.take(record);
      const at = random.below(record.length);
      const damaged = [...record];
      const how = random.below(3);
      if (how === 0) damaged[at] = (damaged[at] ?? 0) ^ (1 + random.below(255));
      if (how === 1) damaged.splice(at, 1);
      if (how === 2) damaged.splice(at, 0, 1 + random.below(255));
      pair.server.receive(Uint8Array.from(damaged));
      // A record that now seems longer waits for bytes that the next one brings.
      pair.server.receive(new Uint8Array(RECORD_AND_MORE));
      assert.equal(pair.server.state, 'failed', `round ${round}`);
      assert.equal(pair.server.read(), undefined);
    }
  });
});

const RECORD_AND_MORE = 20_000;
