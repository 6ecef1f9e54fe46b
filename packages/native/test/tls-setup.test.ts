import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import {
  checkKeyPair,
  createTlsContext,
  loadProvider,
  readCertificate,
  type TlsOptions,
  TlsSetupError,
} from '@seikan/native';
import { exchangeTls, openTlsPair } from '@seikan/testkit';

import { openssl, RSA_KEY, TestAuthority } from './test-pki.js';
import { Verifier } from './verifier.js';

const root = TestAuthority.root();
after(() => root.remove());
const server = root.issue({ name: 'server', usage: 'server', keyKind: RSA_KEY });
const client = root.issue({ name: 'client' });

function connect(atClient: Partial<TlsOptions>, atServer: Partial<TlsOptions> = {}) {
  const verifier = new Verifier();
  const pair = openTlsPair(
    {
      client: createTlsContext({ role: 'client', ca: root.cert, ...client, ...atClient }),
      server: createTlsContext({ role: 'server', ca: root.cert, ...server, ...atServer }),
    },
    { client: verifier.strict, server: verifier.strict },
  );
  exchangeTls(pair);
  return pair;
}

const agreed = (options: Partial<TlsOptions>, atServer: Partial<TlsOptions> = {}) =>
  connect(options, atServer).client.describe();

describe('material that cannot be used', () => {
  const encrypted = openssl(['pkcs8', '-topk8', '-passout', 'pass:sesame', '-v2', 'aes-256-cbc'], client.key);
  for (const [what, options, fault, reason] of [
    ['a CA file without certificates', { ca: 'nothing' }, 'ca', /error:/],
    ['a missing certificate', { cert: '' }, 'cert', /no start line/],
    ['a certificate that is damaged', { cert: client.cert.replace('MII', 'MIJ') }, 'cert', /error:/],
    ['damage behind the first certificate', { cert: client.cert + root.cert.slice(0, 200) }, 'cert', /error:/],
    ['damaged extra certificates', { extraCerts: root.cert.slice(0, 200) }, 'extra-certs', /error:/],
    ['a key that is none', { key: 'x' }, 'key', /error:/],
    ['another certificate’s key', { key: server.key }, 'key-mismatch', /different key types|mismatch/],
    ['an encrypted key without a passphrase', { key: encrypted }, 'passphrase-needed', /error:/],
    ['an encrypted key with a wrong one', { key: encrypted, passphrase: 'x' }, 'passphrase-wrong', /error:/],
    ['bytes that are no archive', { pkcs12: Uint8Array.of(1, 2, 3) }, 'pkcs12', /error:/],
    ['a CRL that is none', { crl: 'x' }, 'crl', /no start line/],
    ['an unknown cipher', { cipherList: 'TLS-SNAKE-OIL' }, 'cipherList', /no cipher match/],
    ['an unknown suite', { cipherSuites: 'TLS_SNAKE_OIL' }, 'cipherSuites', /error:/],
    ['an unknown group', { groups: 'secp256r1:snake25519' }, 'groups', /./],
    ['parameters that are none', { dh: 'x' }, 'dh', /error:/],
  ] as const) {
    it(`is named: ${what}`, () => {
      assert.throws(
        () => createTlsContext({ role: 'client', ca: root.cert, ...client, ...options }),
        (error) => error instanceof TlsSetupError && error.fault === fault && reason.test(error.message),
      );
    });
  }

  it('includes a key that the profile finds too small, and the insecure profile takes it', () => {
    const small = root.issue({ name: 'small', keyKind: ['-newkey', 'rsa:1024'] });
    const options = { role: 'client', ca: root.cert, ...small } as const;
    assert.throws(() => createTlsContext({ ...options, certProfile: 'preferred' }), { fault: 'cert' });
    createTlsContext({ ...options, certProfile: 'insecure' });
  });

  it('does not include an encrypted key with its passphrase', () => {
    assert.equal(connect({ key: encrypted, passphrase: 'sesame' }).server.state, 'secured');
  });
});

describe('checkKeyPair', () => {
  it('passes over a pair and names a stranger', () => {
    checkKeyPair(client);
    const sibling = root.issue({ name: 'sibling' });
    assert.throws(() => checkKeyPair({ cert: client.cert, key: sibling.key }), { fault: 'key-mismatch' });
  });
});

describe('a PKCS#12 archive', () => {
  const file = (name: string) => join(root.folder, name);
  writeFileSync(file('chain.pem'), client.cert + root.cert);
  writeFileSync(file('client.key'), client.key);
  const archive = (...options: string[]): Uint8Array => {
    const pems = ['-in', file('chain.pem'), '-inkey', file('client.key')];
    openssl(['pkcs12', '-export', ...pems, '-out', file('x.p12'), '-passout', 'pass:open', ...options]);
    return readFileSync(file('x.p12'));
  };
  const pkcs12 = archive();

  it('gives certificate, key and what to trust', () => {
    const bare = { ca: undefined, cert: undefined, key: undefined };
    const pair = connect({ ...bare, pkcs12, passphrase: 'open' });
    assert.equal(pair.server.peerCertificate?.subject, 'CN=client');
    assert.equal(pair.client.state, 'secured');
  });

  it('says whether a passphrase is missing or wrong', () => {
    assert.throws(() => createTlsContext({ role: 'client', pkcs12 }), { fault: 'passphrase-needed' });
    assert.throws(() => createTlsContext({ role: 'client', pkcs12, passphrase: 'x' }), { fault: 'passphrase-wrong' });
  });

  it('of before OpenSSL 3 needs the legacy provider', () => {
    const old = { role: 'client', pkcs12: archive('-legacy'), passphrase: 'open' } as const;
    assert.throws(() => createTlsContext(old), { fault: 'pkcs12', message: /unsupported.*RC2-40-CBC/ });
    assert.throws(() => loadProvider('nonexistent'), { fault: 'provider', message: /nonexistent/ });
    loadProvider('legacy');
    assert.equal(createTlsContext(old).certificate?.subject, 'CN=client');
  });

  it('is not trusted beside a ca', () => {
    const other = TestAuthority.root('Other');
    const pair = connect({ cert: undefined, key: undefined, ca: other.cert, pkcs12, passphrase: 'open' });
    other.remove();
    assert.equal(pair.client.failure?.alert?.name, 'unknown CA');
  });
});

describe('a directory of authorities', () => {
  it('is trusted by hashed names, and its CRLs are looked at', () => {
    const folder = join(root.folder, 'capath');
    mkdirSync(folder);
    const hash = openssl(['x509', '-noout', '-subject_hash'], root.cert).trim();
    writeFileSync(join(folder, `${hash}.0`), root.cert);
    writeFileSync(join(folder, `${hash}.r0`), root.crl());
    assert.equal(connect({ ca: undefined, caPath: folder }).client.state, 'secured');
    const revoked = root.issue({ name: 'revoked', usage: 'server' });
    root.revoke(revoked);
    writeFileSync(join(folder, `${hash}.r0`), root.crl());
    assert.equal(
      connect({ ca: undefined, caPath: folder }, revoked).client.failure?.alert?.name,
      'certificate revoked',
    );
  });
});

describe('ciphers, versions and groups', () => {
  it('print as stock OpenVPN prints them', () => {
    const suite = 'TLSv1.3, cipher TLSv1.3 TLS_AES_256_GCM_SHA384';
    const temporary = 'peer temporary key: 253 bits X25519';
    const { client, server } = connect({ groups: 'X25519' });
    assert.equal(
      client.describe(),
      `${suite}, peer certificate: 2048 bits RSA, signature: ecdsa-with-SHA256, ${temporary}`,
    );
    assert.equal(
      server.describe(),
      `${suite}, peer certificate: 256 bits ECprime256v1, signature: ecdsa-with-SHA256, ${temporary}`,
    );
    assert.equal(
      connect({ versionMax: '1.2' }).server.describe(),
      'TLSv1.2, cipher TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384, peer certificate: 256 bits ECprime256v1, signature: ecdsa-with-SHA256',
    );
  });

  it('take OpenSSL’s names, IANA names with either separator, and suites for TLS 1.3', () => {
    for (const name of [
      'TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256',
      'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
      'ECDHE-RSA-AES128-GCM-SHA256',
      'DEFAULT:!AES256:!CHACHA20:!AESCCM:-TLS-ECDHE-RSA-WITH-AES-128-CBC-SHA256',
    ])
      assert.match(agreed({ versionMax: '1.2', cipherList: name }), /cipher TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256,/);
    for (const name of ['TLS_CHACHA20_POLY1305_SHA256', 'TLS-CHACHA20-POLY1305-SHA256'])
      assert.match(agreed({ cipherSuites: name }), /cipher TLSv1.3 TLS_CHACHA20_POLY1305_SHA256,/);
    assert.match(agreed({ groups: 'secp256r1' }), /peer temporary key: 256 bits ECprime256v1$/);
  });

  it('are all that OpenSSL has', () => {
    for (const [name, suite] of [
      ['ECDHE-RSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305'],
      ['TLS-ECDHE-RSA-WITH-ARIA-128-GCM-SHA256', 'ECDHE-ARIA128-GCM-SHA256'],
      ['ECDHE-RSA-CAMELLIA256-SHA384', 'ECDHE-RSA-CAMELLIA256-SHA384'],
      ['ECDHE-RSA-AES128-SHA256', 'ECDHE-RSA-AES128-SHA256'],
      ['ECDHE-RSA-AES256-SHA', 'ECDHE-RSA-AES256-SHA'],
      ['AES256-CCM8', 'AES256-CCM8'],
      ['AES128-SHA', 'AES128-SHA'],
    ] as const)
      assert.ok(
        agreed(
          { versionMax: '1.2', certProfile: 'insecure', cipherList: name },
          { certProfile: 'insecure', cipherList: 'ALL' },
        ).includes(` ${suite},`),
        name,
      );
    for (const name of ['TLS_AES_128_CCM_SHA256', 'TLS_AES_128_CCM_8_SHA256'])
      assert.ok(
        agreed(
          { certProfile: 'insecure', cipherSuites: name },
          { certProfile: 'insecure', cipherSuites: name },
        ).includes(` ${name},`),
        name,
      );
  });

  it('that have nothing in common fail with an alert', () => {
    const pair = connect({ versionMax: '1.2' }, { versionMin: '1.3' });
    assert.match(pair.server.failure?.reason ?? '', /unsupported protocol/);
    assert.deepEqual(pair.client.failure?.alert, { direction: 'received', name: 'protocol version' });
  });

  it('may use finite-field Diffie-Hellman where parameters are given', () => {
    const dh = openssl(['genpkey', '-genparam', '-algorithm', 'DH', '-pkeyopt', 'group:ffdhe2048']);
    const parameters = openssl(['dhparam', '-check'], dh);
    const pair = connect({ versionMax: '1.2', cipherList: 'DHE-RSA-AES256-GCM-SHA384' }, { dh: parameters });
    assert.match(pair.client.describe(), /peer temporary key: 2048 bits /);
    assert.equal(connect({ versionMax: '1.2', cipherList: 'DHE-RSA-AES256-GCM-SHA384' }).server.state, 'failed');
  });
});

describe('a peer’s key', () => {
  for (const [kind, described] of [
    ['rsa:2048', '2048 bits RSA'],
    ['rsa-pss -pkeyopt rsa_keygen_bits:2048', '2048 bits RSASSA-PSS'],
    ['ec -pkeyopt ec_paramgen_curve:secp384r1', '384 bits ECsecp384r1'],
    ['ec -pkeyopt ec_paramgen_curve:secp521r1', '521 bits ECsecp521r1'],
    ['ed25519', '256 bits ED25519'],
    ['ed448', '456 bits ED448'],
  ] as const) {
    it(`may be of ${described}`, () => {
      const keyKind = ['-newkey', ...kind.split(' ')];
      const pair = connect(
        root.issue({ name: 'kind', keyKind }),
        root.issue({ name: 'kind', usage: 'server', keyKind }),
      );
      for (const end of [pair.client, pair.server])
        assert.ok(end.describe().includes(`peer certificate: ${described},`));
    });
  }
});

describe('intermediates', () => {
  it('are sent with our certificate where we trust them ourselves, also when the revocation lists have changed', () => {
    const sub = root.intermediate('Trusted');
    const below = sub.issue({ name: 'below', usage: 'server' });
    const context = createTlsContext({ role: 'server', ...below, ca: root.cert + sub.cert });
    const connects = () => {
      const verifier = new Verifier();
      const pair = openTlsPair(
        { client: createTlsContext({ role: 'client', ca: root.cert, ...client }), server: context },
        { client: verifier.strict, server: verifier.strict },
      );
      exchangeTls(pair);
      return pair.server.state;
    };
    assert.equal(connects(), 'secured');
    context.setCrl(root.crl() + sub.crl());
    assert.equal(connects(), 'secured');
  });

  it('may stand behind our certificate or in extra-certs', () => {
    const sub = root.intermediate('Sub');
    const below = sub.issue({ name: 'below' });
    assert.equal(connect({ key: below.key, cert: below.cert + sub.cert }).server.state, 'secured');
    assert.equal(connect({ ...below, extraCerts: sub.cert }).server.state, 'secured');
    assert.equal(connect({ ...below }).server.state, 'failed');
    assert.equal(readCertificate(below.cert).issuer, 'CN=Sub');
  });
});
