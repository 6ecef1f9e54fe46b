/** One suite for every implementation of the TLS port, so that the simulator's scripted TLS behaves as the real one. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { exchangeTls, openTlsPair, type TlsContexts, takeTls } from '../tls-pair.js';

/**
 * `make` gives fresh contexts each time. Both sides show a chain of one root and one leaf: the client's leaf is
 * `CN=client`, the server's `CN=server`, and nothing is wrong with them.
 */
export function tlsCompliance(name: string, make: () => TlsContexts): void {
  suite(`${name}: the handshake`, () => handshakeRules(make));
  suite(`${name}: records`, () => recordRules(make));
  suite(`${name}: the end`, () => endRules(make));
}

function handshakeRules(make: () => TlsContexts): void {
  test('asks each side about the other’s root, then its leaf, without an error', () => {
    const asked: string[] = [];
    const note = (side: string) => (certificate: { depth: number; subject: string }, error: unknown) => {
      asked.push(`${side} ${certificate.depth} ${certificate.depth === 0 ? certificate.subject : ''} ${String(error)}`);
      return 'accept' as const;
    };
    const pair = openTlsPair(make(), { client: note('client'), server: note('server') });
    exchangeTls(pair);
    assert.deepEqual(asked, [
      'client 1  undefined',
      'client 0 CN=server undefined',
      'server 1  undefined',
      'server 0 CN=client undefined',
    ]);
    assert.deepEqual([pair.client.state, pair.server.state], ['secured', 'secured']);
    assert.equal(pair.client.peerCertificate?.subject, 'CN=server');
    assert.equal(pair.server.peerCertificate?.subject, 'CN=client');
  });

  test('works in pieces of any size, down to single bytes', () => {
    for (const chunk of [1, 5, 333]) {
      const pair = openTlsPair(make());
      exchangeTls(pair, chunk);
      pair.server.write(new Uint8Array(900).fill(chunk));
      exchangeTls(pair, chunk);
      assert.deepEqual(pair.client.read(), new Uint8Array(900).fill(chunk));
    }
  });

  test('begins with the client, and starting a server changes nothing', () => {
    const { client, server } = make();
    const [first, second] = [client.open(() => 'accept'), server.open(() => 'accept')];
    second.start();
    assert.deepEqual([first.pending, second.pending], [0, 0]);
    first.start();
    assert.ok(first.pending > 0);
    exchangeTls({ client: first, server: second });
    assert.equal(second.state, 'secured');
  });

  test('stops at a refusal: both sides fail, one with the alert sent, one with the same received', () => {
    let asked = 0;
    const pair = openTlsPair(make(), {
      server() {
        asked += 1;
        return 'reject';
      },
    });
    exchangeTls(pair);
    assert.equal(asked, 1);
    assert.deepEqual([pair.client.state, pair.server.state], ['failed', 'failed']);
    assert.deepEqual(pair.server.failure?.alert, { direction: 'sent', name: 'certificate unknown' });
    assert.deepEqual(pair.client.failure?.alert, { direction: 'received', name: 'certificate unknown' });
  });

  test('takes what verification throws for a refusal and keeps it', () => {
    const thrown = new Error('policy is broken');
    const pair = openTlsPair(make(), {
      client() {
        throw thrown;
      },
    });
    exchangeTls(pair);
    assert.equal(pair.client.failure?.cause, thrown);
    assert.equal(pair.server.state, 'failed');
  });

  test('exports the same keying material on both sides, different for each label and session', () => {
    const contexts = make();
    const [pair, other] = [openTlsPair(contexts), openTlsPair(contexts)];
    exchangeTls(pair);
    exchangeTls(other);
    const material = pair.client.exportKeyingMaterial('EXPORTER-OpenVPN-datakeys', 256);
    assert.equal(material.length, 256);
    assert.deepEqual(material, pair.server.exportKeyingMaterial('EXPORTER-OpenVPN-datakeys', 256));
    assert.notDeepEqual(material, pair.server.exportKeyingMaterial('EXPORTER-OpenVPN-p2p-peerid', 256));
    assert.notDeepEqual(material, other.client.exportKeyingMaterial('EXPORTER-OpenVPN-datakeys', 256));
  });
}

function recordRules(make: () => TlsContexts): void {
  test('are one for each write, also when several arrive at once, and the reader owns them', () => {
    const pair = openTlsPair(make());
    exchangeTls(pair);
    for (const value of [1, 2, 3]) pair.client.write(Uint8Array.of(value, value));
    const wire = takeTls(pair.client);
    pair.server.receive(wire);
    wire.fill(0xee);
    for (const value of [1, 2, 3]) assert.deepEqual(pair.server.read(), Uint8Array.of(value, value));
    assert.equal(pair.server.read(), undefined);
  });

  test('hold 1 to 16384 bytes and wait for the handshake', () => {
    const pair = openTlsPair(make());
    assert.throws(() => pair.client.write(Uint8Array.of(1)), /not secured/);
    assert.throws(() => pair.client.exportKeyingMaterial('EXPORTER-test', 16), /not secured/);
    exchangeTls(pair);
    const largest = new Uint8Array(16_384).fill(7);
    pair.client.write(largest);
    pair.server.receive(takeTls(pair.client));
    assert.deepEqual(pair.server.read(), largest);
    assert.equal(pair.server.read(), undefined);
    for (const length of [0, 16_385]) assert.throws(() => pair.client.write(new Uint8Array(length)), RangeError);
  });

  test('that are damaged fail the connection with an alert; those before stay readable, nothing of them is', () => {
    const pair = openTlsPair(make());
    exchangeTls(pair);
    pair.client.write(Uint8Array.of(1));
    pair.client.write(new Uint8Array(500));
    const wire = takeTls(pair.client);
    wire[wire.length - 100] = (wire[wire.length - 100] ?? 0) ^ 0x10;
    pair.server.receive(wire);
    assert.deepEqual(pair.server.read(), Uint8Array.of(1));
    assert.equal(pair.server.read(), undefined);
    assert.deepEqual(pair.server.failure?.alert, { direction: 'sent', name: 'bad record mac' });
    pair.client.receive(takeTls(pair.server));
    assert.deepEqual(pair.client.failure?.alert, { direction: 'received', name: 'bad record mac' });
  });

  test('that come twice are refused', () => {
    const pair = openTlsPair(make());
    exchangeTls(pair);
    pair.client.write(Uint8Array.of(9));
    const record = takeTls(pair.client);
    pair.server.receive(record);
    pair.server.receive(record);
    assert.deepEqual(pair.server.read(), Uint8Array.of(9));
    assert.equal(pair.server.read(), undefined);
    assert.equal(pair.server.state, 'failed');
  });
}

function endRules(make: () => TlsContexts): void {
  test('by shutdown comes after what was written before it', () => {
    const pair = openTlsPair(make());
    exchangeTls(pair);
    pair.client.write(Uint8Array.of(5));
    pair.client.shutdown();
    exchangeTls(pair);
    assert.deepEqual(pair.server.read(), Uint8Array.of(5));
    assert.deepEqual([pair.client.state, pair.server.state], ['closed', 'closed']);
    assert.equal(pair.server.failure, undefined);
  });

  test('by failure is final', () => {
    const pair = openTlsPair(make());
    exchangeTls(pair);
    pair.server.receive(new Uint8Array(64));
    assert.equal(pair.server.state, 'failed');
    const { failure } = pair.server;
    pair.server.receive(new Uint8Array(64));
    pair.server.shutdown();
    assert.equal(pair.server.state, 'failed');
    assert.equal(pair.server.failure, failure);
    assert.throws(() => pair.server.write(Uint8Array.of(1)), /not secured/);
  });

  test('by close is final too, and closing twice is fine', () => {
    const pair = openTlsPair(make());
    exchangeTls(pair);
    pair.client.close();
    pair.client.close();
    assert.throws(() => pair.client.write(Uint8Array.of(1)), /closed/);
    assert.throws(() => pair.client.receive(Uint8Array.of(1)), /closed/);
  });

  test('of a context does not touch its connections', () => {
    const contexts = make();
    const pair = openTlsPair(contexts);
    contexts.client.close();
    contexts.server.close();
    exchangeTls(pair);
    assert.equal(pair.server.state, 'secured');
    assert.throws(() => contexts.client.open(() => 'accept'), /closed/);
  });
}
