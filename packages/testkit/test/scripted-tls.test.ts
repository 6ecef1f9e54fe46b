import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { TlsConnection, VerifyCertificate } from '@seikan/core';
import { fakeCertificate, ScriptedTls, type ScriptedTlsOptions, SeededRandom } from '@seikan/testkit';

const accept = () => 'accept' as const;

function openPair(
  options: Partial<ScriptedTlsOptions> = {},
  verify: { client?: VerifyCertificate; server?: VerifyCertificate } = {},
) {
  const issuer = fakeCertificate('Fake CA');
  const client = new ScriptedTls({ role: 'client', seed: 1, chain: [fakeCertificate('alice'), issuer], ...options });
  const server = new ScriptedTls({ role: 'server', seed: 2, chain: [fakeCertificate('gate'), issuer], ...options });
  const pair = { client: client.open(verify.client ?? accept), server: server.open(verify.server ?? accept) };
  pair.client.start();
  return pair;
}

function carry(from: TlsConnection, to: TlsConnection, chunk: number): number {
  const buffer = new Uint8Array(chunk);
  const length = from.take(buffer);
  to.receive(buffer.subarray(0, length));
  return length;
}

function exchange({ client, server }: { client: TlsConnection; server: TlsConnection }, chunk = 1_200): void {
  while (carry(client, server, chunk) + carry(server, client, chunk) > 0);
}

describe('ScriptedTls', () => {
  it('has the flight sizes that it is given, the client secured one flight before the server', () => {
    const { client, server } = openPair({ flights: [500, 2_500, 1_900] });
    assert.equal(client.pending, 507);
    carry(client, server, 9_999);
    assert.equal(server.pending, 2_507);
    carry(server, client, 9_999);
    assert.equal(client.pending, 1_907);
    assert.deepEqual([client.state, server.state], ['secured', 'handshaking']);
    carry(client, server, 9_999);
    assert.equal(server.state, 'secured');
  });

  it('asks about each certificate from the root to the leaf, with the error that it is told', () => {
    const asked: unknown[] = [];
    const revoked = { code: 23, text: 'certificate revoked' };
    const pair = openPair(
      { judge: ({ depth, subject }) => (depth === 0 && subject === 'CN=alice' ? revoked : undefined) },
      {
        server(certificate, error) {
          asked.push([certificate.depth, certificate.subject, error?.code]);
          return error === undefined ? 'accept' : 'reject';
        },
      },
    );
    exchange(pair);
    assert.deepEqual(asked, [
      [1, 'CN=Fake CA', undefined],
      [0, 'CN=alice', 23],
    ]);
    assert.deepEqual(pair.server.failure?.alert, { direction: 'sent', name: 'certificate unknown' });
    assert.deepEqual(pair.client.failure?.alert, { direction: 'received', name: 'certificate unknown' });
    assert.equal(pair.client.state, 'failed');
  });

  it('gives a peer’s certificate back field for field', () => {
    const certificate = fakeCertificate('alice', { keyUsage: undefined, sha256: Uint8Array.of(0, 255, 16) });
    const pair = openPair({ chain: [certificate] });
    exchange(pair);
    assert.deepEqual(pair.server.peerCertificate?.sha256, Uint8Array.of(0, 255, 16));
    assert.equal(pair.server.peerCertificate?.keyUsage, undefined);
    assert.equal(pair.server.peerCertificate?.subject, 'CN=alice');
  });

  it('fails without a certificate unless that is optional', () => {
    const required = openPair({ chain: [] });
    exchange(required);
    assert.equal(required.client.failure?.reason, 'peer did not return a certificate');
    const optional = openPair({ chain: [], verifyPeer: 'optional' });
    exchange(optional);
    assert.equal(optional.server.state, 'secured');
  });

  it('keeps records apart and exports the same material at both ends', () => {
    const pair = openPair();
    exchange(pair, 7);
    pair.server.write(Uint8Array.of(1, 2));
    pair.server.write(Uint8Array.of(3));
    exchange(pair);
    assert.deepEqual([pair.client.read(), pair.client.read()], [Uint8Array.of(1, 2), Uint8Array.of(3)]);
    assert.equal(pair.client.read(), undefined);
    const material = pair.client.exportKeyingMaterial('label', 40);
    assert.deepEqual(material, pair.server.exportKeyingMaterial('label', 40));
    assert.notDeepEqual(material, pair.server.exportKeyingMaterial('other', 40));
  });

  it('runs the same way from the same seeds', () => {
    const [first, second] = [openPair(), openPair()].map((pair) => {
      exchange(pair);
      return pair.client.exportKeyingMaterial('label', 40);
    });
    assert.deepEqual(first, second);
  });

  it('notices any changed, missing or doubled byte of a record', () => {
    const random = new SeededRandom(20);
    for (let round = 0; round < 200; round += 1) {
      const pair = openPair();
      exchange(pair);
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

  it('takes a record twice for damage', () => {
    const pair = openPair();
    exchange(pair);
    pair.client.write(Uint8Array.of(9));
    const record = new Uint8Array(pair.client.pending);
    pair.client.take(record);
    pair.server.receive(record);
    pair.server.receive(record);
    assert.deepEqual(pair.server.read(), Uint8Array.of(9));
    assert.equal(pair.server.failure?.alert?.name, 'bad record mac');
  });

  it('says goodbye with close notify', () => {
    const pair = openPair();
    exchange(pair);
    pair.client.shutdown();
    exchange(pair);
    assert.deepEqual([pair.client.state, pair.server.state], ['closed', 'closed']);
  });
});

const RECORD_AND_MORE = 20_000;
