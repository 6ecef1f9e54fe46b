import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { readCertificate } from '@seikan/native';

import { openssl } from './test-pki.js';

const folder = new URL('../test/vectors/certificates/', import.meta.url);
const pem = (name: string) => readFileSync(new URL(`${name}.crt`, folder), 'utf8');

interface Recorded {
  readonly verifyOk: string;
  readonly controlChannel: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** What stock 2.6.14 logged of these certificates and gave to a tls-verify script. */
const stock = JSON.parse(readFileSync(new URL('openvpn-2.6.14.json', folder), 'utf8')) as Record<string, Recorded>;

const colons = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .toString('hex')
    .replaceAll(/..(?=.)/g, '$&:');

for (const [name, recorded] of Object.entries(stock)) {
  describe(`the ${name} certificate`, () => {
    const certificate = readCertificate(pem(name));

    it('has the subject, serial and digests that stock OpenVPN prints', () => {
      assert.equal(certificate.subject, recorded.verifyOk);
      assert.equal(certificate.subject, recorded.environment['tls_id_0']);
      assert.equal(certificate.issuer, 'CN=Vector Root');
      assert.equal(certificate.serialDecimal, recorded.environment['tls_serial_0']);
      assert.equal(certificate.serialHex, recorded.environment['tls_serial_hex_0']);
      assert.equal(colons(certificate.sha1), recorded.environment['tls_digest_0']);
      assert.equal(colons(certificate.sha256), recorded.environment['tls_digest_sha256_0']);
    });

    it('describes its key and signature as the Control Channel line does', () => {
      const { keyDescription, signatureAlgorithm } = certificate;
      const part = `, peer certificate: ${keyDescription}, signature: ${signatureAlgorithm}`;
      assert.ok(recorded.controlChannel.includes(part), part);
    });
  });
}

describe('readCertificate', () => {
  it('lists the subject fields in the certificate’s order, repeated ones too', () => {
    assert.deepEqual(
      readCertificate(pem('rsa')).subjectFields.map(({ name, value }) => `${name}=${value}`),
      ['C=CH', 'ST=Zürich', 'OU=Süd', 'O=Seikan "Ltd"', 'OU=Nord', 'CN=gate, one'],
    );
  });

  it('reads usages and alternative names', () => {
    const gate = readCertificate(pem('rsa'));
    assert.equal(gate.keyUsage, 0xa0);
    assert.deepEqual(gate.extendedKeyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.5']);
    assert.deepEqual(gate.subjectAltNames, [
      { type: 'dns', value: 'gate.example' },
      { type: 'email', value: 'ops@example.org' },
      { type: 'uri', value: 'https://example.org/x' },
      { type: 'ip', value: '192.0.2.7' },
      { type: 'ip', value: '2001:db8::7' },
    ]);
    assert.equal(readCertificate(pem('ec')).keyUsage, 0x8008);
  });

  it('tells absent usages from empty ones', () => {
    const plain = readCertificate(pem('ed'));
    assert.equal(plain.keyUsage, undefined);
    assert.equal(plain.extendedKeyUsage, undefined);
  });

  it('takes DER as well as PEM and gives the same DER back, with its times', () => {
    const der = Buffer.from(openssl(['x509', '-outform', 'DER'], pem('rsa'), 'latin1'), 'latin1');
    const certificate = readCertificate(der);
    assert.deepEqual(Buffer.from(certificate.der), der);
    const [, from, until] =
      /notBefore=(.*)\nnotAfter=(.*)\n/.exec(openssl(['x509', '-noout', '-dates'], pem('rsa'))) ?? [];
    assert.equal(certificate.notBefore, Date.parse(from ?? '') / 1_000);
    assert.equal(certificate.notAfter, Date.parse(until ?? '') / 1_000);
  });

  it('throws on text, truncated DER and nothing at all', () => {
    const { der } = readCertificate(pem('ed'));
    for (const bad of ['', 'no certificate', new Uint8Array(0), der.subarray(0, der.length - 1)])
      assert.throws(() => readCertificate(bad), /error:/);
  });

  it('survives every certificate that differs in one byte', () => {
    const { der } = readCertificate(pem('rsa'));
    let read = 0;
    for (let at = 0; at < der.length; at += 1) {
      const damaged = der.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 0x5a;
      try {
        readCertificate(damaged);
        read += 1;
      } catch (error) {
        assert.match(String(error), /error:/);
      }
    }
    assert.ok(read > 0 && read < der.length, `${read} of ${der.length} still read`);
  });
});
