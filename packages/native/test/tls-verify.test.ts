import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';

import { createTlsContext, readCertificate, type TlsOptions } from '@seikan/native';
import { exchangeTls, openTlsPair, takeTls } from '@seikan/testkit';

import { type Issued, TestAuthority } from './test-pki.js';
import { Verifier } from './verifier.js';

const root = TestAuthority.root();
const sub = root.intermediate('Test Sub');
const stranger = TestAuthority.root('Stranger');
after(() => {
  root.remove();
  stranger.remove();
});

const server = root.issue({ name: 'server', usage: 'server' });
const good = sub.issue({ name: 'good' });
const stolen = sub.issue({ name: 'stolen' });
sub.revoke(stolen);

const withChain = ({ cert, key }: Issued) => ({ cert: cert + sub.cert, key });

/** What becomes of a client that shows this, at a server with these options and OpenVPN's own tolerance. */
function meet(shown: Partial<TlsOptions>, options: Partial<TlsOptions> = {}, verifier = new Verifier().tolerant) {
  const pair = openTlsPair(
    {
      client: createTlsContext({ role: 'client', ca: root.cert, ...shown }),
      server: createTlsContext({ role: 'server', ca: root.cert, ...server, ...options }),
    },
    { server: verifier },
  );
  exchangeTls(pair);
  return { ...pair, alert: pair.server.failure?.alert?.name };
}

describe('the server’s verification of a client', () => {
  for (const [what, shown, error, alert] of [
    [
      'an expired certificate',
      root.issue({ name: 'old', until: '20210101000000Z' }),
      'certificate has expired',
      'certificate expired',
    ],
    [
      'one that is not valid yet',
      root.issue({ name: 'young', from: '20480101000000Z' }),
      'certificate is not yet valid',
      'bad certificate',
    ],
    [
      'one of another authority',
      stranger.issue({ name: 'stranger' }),
      'unable to get local issuer certificate',
      'unknown CA',
    ],
    [
      'a server’s certificate',
      root.issue({ name: 'wrong', usage: 'server' }),
      'unsuitable certificate purpose',
      'unsupported certificate',
    ],
    [
      'an authority without its own issuer',
      { cert: stranger.cert, key: stranger.key },
      'self-signed certificate',
      'unknown CA',
    ],
  ] as const) {
    for (const version of ['1.2', '1.3'] as const) {
      it(`refuses ${what} with the alert for it (TLS ${version})`, () => {
        const verifier = new Verifier();
        const met = meet({ ...shown, versionMax: version, versionMin: version }, {}, verifier.strict);
        assert.ok(
          verifier.asked.some((asked) => asked.depth === 0 && asked.error === error),
          JSON.stringify(verifier.asked),
        );
        assert.equal(met.server.state, 'failed');
        assert.deepEqual(met.server.failure?.alert, { direction: 'sent', name: alert });
        assert.match(met.server.failure.reason, /certificate verify failed/);
        assert.equal(met.client.state, 'failed');
        assert.deepEqual(met.client.failure?.alert, { direction: 'received', name: alert });
      });
    }
  }

  it('goes through the chain from the root to the leaf and stops at the first refusal', () => {
    const verifier = new Verifier();
    const { server } = meet(withChain(good), {}, (certificate, error) => {
      verifier.strict(certificate, error);
      return certificate.depth === 1 ? 'reject' : 'accept';
    });
    assert.deepEqual(
      verifier.asked.map(({ subject }) => subject),
      ['CN=Test Root', 'CN=Test Sub'],
    );
    assert.equal(server.state, 'failed');
  });

  it('lets a self-signed peer in where policy accepts its fingerprint', () => {
    const expected = Buffer.from(readCertificate(stranger.cert).sha256).toString('hex');
    const byFingerprint = meet({ cert: stranger.cert, key: stranger.key }, { ca: undefined }, ({ sha256 }) =>
      Buffer.from(sha256).toString('hex') === expected ? 'accept' : 'reject',
    );
    assert.equal(byFingerprint.server.state, 'secured');
    assert.equal(byFingerprint.server.peerCertificate?.subject, 'CN=Stranger');
  });

  it('refuses a signature made with another key than the certificate’s, whatever policy says', () => {
    // The same name and serial, another key: the chain's signature does not match.
    const impostor = TestAuthority.root();
    const forged = impostor.issue({ name: 'forged' });
    const verifier = new Verifier();
    const met = meet(forged, {}, verifier.strict);
    impostor.remove();
    assert.equal(met.server.state, 'failed');
    assert.notEqual(verifier.asked.at(-1)?.error, undefined);
  });
});

describe('a client without a certificate', () => {
  it('is refused by TLS itself where one is required', () => {
    const met = meet({});
    assert.deepEqual(met.server.failure?.alert, { direction: 'sent', name: 'certificate required' });
    assert.match(met.server.failure.reason, /peer did not return a certificate/);
    assert.equal(met.client.failure?.alert?.direction, 'received');
    assert.equal(meet({ versionMax: '1.2' }).alert, 'handshake failure');
  });

  it('comes in where certificates are optional, and one that it shows is still verified', () => {
    const met = meet({}, { verifyPeer: 'optional' });
    assert.equal(met.server.state, 'secured');
    assert.equal(met.server.peerCertificate, undefined);
    const strange = meet(stranger.issue({ name: 'stranger' }), { verifyPeer: 'optional' });
    assert.equal(strange.alert, 'unknown CA');
  });

  it('is not even asked where the server wants none', () => {
    const met = meet(withChain(good), { verifyPeer: 'none' }, () => 'reject');
    assert.equal(met.server.state, 'secured');
    assert.equal(met.server.peerCertificate, undefined);
  });
});

describe('the client’s verification of a server', () => {
  it('refuses a client’s certificate by its purpose', () => {
    const verifier = new Verifier();
    const pair = openTlsPair(
      {
        client: createTlsContext({ role: 'client', ca: root.cert, ...withChain(good) }),
        server: createTlsContext({ role: 'server', ca: root.cert, ...withChain(good) }),
      },
      { client: verifier.strict },
    );
    exchangeTls(pair);
    assert.equal(verifier.asked.at(-1)?.error, 'unsuitable certificate purpose');
    assert.equal(pair.server.failure?.alert?.name, 'unsupported certificate');
  });
});

describe('revocation', () => {
  it('tells a revoked leaf from a good one although the root has no CRL', () => {
    const verifier = new Verifier();
    const met = meet(withChain(stolen), { crl: sub.crl() }, verifier.tolerant);
    assert.deepEqual(verifier.asked, [
      { depth: 2, subject: 'CN=Test Root', error: 'unable to get certificate CRL' },
      { depth: 1, subject: 'CN=Test Sub', error: 'unable to get certificate CRL' },
      { depth: 0, subject: 'CN=stolen', error: 'certificate revoked' },
    ]);
    assert.equal(met.alert, 'certificate revoked');
    assert.equal(met.client.failure?.alert?.name, 'certificate revoked');
    assert.equal(meet(withChain(good), { crl: sub.crl() }).server.state, 'secured');
  });

  it('reports a revoked leaf as revoked even where its CRL has expired', () => {
    const met = meet(withChain(stolen), { crl: sub.crl('20210101000000Z') });
    assert.equal(met.alert, 'certificate revoked');
    assert.equal(meet(withChain(good), { crl: sub.crl('20210101000000Z') }).alert, 'certificate expired');
  });

  it('reports a revoked intermediate', () => {
    const authority = TestAuthority.root();
    const below = authority.issue({ name: 'Below', usage: 'authority' });
    authority.revoke(below);
    const verifier = new Verifier();
    const client = createTlsContext({ role: 'client', ca: authority.cert, cert: below.cert, key: below.key });
    const pair = openTlsPair(
      { client, server: createTlsContext({ role: 'server', ...server, ca: authority.cert, crl: authority.crl() }) },
      { server: verifier.tolerant },
    );
    exchangeTls(pair);
    authority.remove();
    assert.equal(verifier.asked.at(-1)?.error, 'certificate revoked');
  });

  it('takes a new CRL for the handshakes that follow, and none again', () => {
    const client = createTlsContext({ role: 'client', ca: root.cert, ...withChain(stolen) });
    const context = createTlsContext({ role: 'server', ca: root.cert, ...server });
    const stateAfterHandshake = () => {
      const pair = openTlsPair({ client, server: context }, { server: new Verifier().tolerant });
      exchangeTls(pair);
      return pair.server.state;
    };
    assert.equal(stateAfterHandshake(), 'secured');
    context.setCrl(sub.crl());
    assert.equal(stateAfterHandshake(), 'failed');
    assert.throws(() => context.setCrl('-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n'), { fault: 'crl' });
    assert.equal(stateAfterHandshake(), 'failed');
    context.setCrl(undefined);
    assert.equal(stateAfterHandshake(), 'secured');
  });
});

describe('a verify callback', () => {
  it('may close its connection: that takes effect when it returns', () => {
    const contexts = {
      client: createTlsContext({ role: 'client', ca: root.cert, ...withChain(good) }),
      server: createTlsContext({ role: 'server', ca: root.cert, ...server }),
    };
    const pair = openTlsPair(contexts, {
      server() {
        pair.server.close();
        return 'accept';
      },
    });
    pair.server.receive(takeTls(pair.client));
    pair.client.receive(takeTls(pair.server));
    pair.server.receive(takeTls(pair.client));
    assert.equal(pair.server.pending, 0);
    assert.throws(() => pair.server.receive(Uint8Array.of(1)), /closed/);
  });

  it('cannot drive the connection that is asking it', () => {
    const met = meet(withChain(good), {}, () => {
      met.server.receive(Uint8Array.of(1));
      return 'accept';
    });
    assert.equal(met.server.state, 'failed');
  });
});
