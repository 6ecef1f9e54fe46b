/** Which certificates are let in, and with which lines. Expectations are what OpenVPN 2.6.14 did with such certificates. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type PeerCertificate, toHex, type VerifyError } from '@seikan/core';
import { parseConfig } from '@seikan/engine';
import { fakeCertificate } from '@seikan/testkit';

import { commonNameOf, judgeCertificate } from '#src/certificate-policy.js';

const SERVER = 'mode server\ntls-server\ndev tun\nserver 10.8.0.0 255.255.255.0\ndh none\ncert c\nkey k\n';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const SELF_SIGNED: VerifyError = { code: 18, text: 'self-signed certificate' };

const client: PeerCertificate = fakeCertificate('client', {
  subject: 'C=SE, O=Org, CN=client',
  keyUsage: 0x80,
  extendedKeyUsage: [CLIENT_AUTH],
});

/** Lines up to verb 2, and 'in' or 'out' at the end. */
function judged(
  lines: string,
  certificate: PeerCertificate = client,
  error?: VerifyError,
  revoked: readonly string[] = [],
): string[] {
  const { options } = parseConfig(SERVER + lines, 'server.conf', { read: () => undefined });
  const context = { options, revokedSerials: { has: (serial: string) => revoked.includes(serial) } };
  const { verdict, log } = judgeCertificate(context, certificate, error);
  const shown = log.filter(({ verb }) => verb <= 2).map(({ text }) => text);
  return [...shown, verdict === 'accept' ? 'in' : 'out'];
}

const OK = 'VERIFY OK: depth=0, C=SE, O=Org, CN=client';
const fingerprint = (certificate: PeerCertificate): string => toHex(certificate.sha256).replace(/..(?=.)/g, '$&:');

test('what the TLS library finds wrong is refused, with the serial number', () => {
  assert.deepEqual(judged('ca a\n'), [OK, 'in']);
  assert.deepEqual(judged('ca a\n', client, { code: 10, text: 'certificate has expired' }), [
    'VERIFY ERROR: depth=0, error=certificate has expired: C=SE, O=Org, CN=client, serial=4660',
    'out',
  ]);
  assert.deepEqual(judged('ca a\n', client, { code: 3, text: 'unable to get certificate CRL' }), [OK, 'in']);
  assert.deepEqual(judged('ca a\n', client, { code: 12, text: 'CRL has expired' }).at(-1), 'out');
  assert.deepEqual(judged('ca a\n', { ...client, depth: 15 }).at(-1), 'in');
  assert.deepEqual(judged('ca a\n', { ...client, depth: 16 }), [
    'TLS Error: Convoluted certificate chain detected with depth [16] greater than 16',
    'out',
  ]);
  assert.deepEqual(judged('ca a\n', client, undefined, ['4660']), [
    'VERIFY CRL: certificate serial number 4660 is revoked',
    'out',
  ]);
});

test('peer-fingerprint lets in whom it names: without a CA self-signed ones, with one only those that it signed', () => {
  const named = `peer-fingerprint ${fingerprint(client)}\n`;
  const other = fakeCertificate('other');
  assert.deepEqual(judged(named, client, SELF_SIGNED), [OK, 'in']);
  assert.deepEqual(judged(`ca a\n${named}`), [OK, 'in']);
  for (const root of ['ca a\n', 'capath a\n'])
    assert.deepEqual(judged(root + named, client, SELF_SIGNED), [
      'VERIFY ERROR: depth=0, error=self-signed certificate: C=SE, O=Org, CN=client, serial=4660',
      'out',
    ]);
  for (const root of ['', 'ca a\n'])
    assert.deepEqual(judged(root + named, other, root === '' ? SELF_SIGNED : undefined), [
      `TLS Error: --tls-verify/--peer-fingerprint certificate hash verification failed. (got certificate fingerprint: ${fingerprint(other)})`,
      'out',
    ]);
  assert.deepEqual(judged(named, { ...other, depth: 1 }), ['VERIFY OK: depth=1, CN=other', 'in']);
  assert.deepEqual(judged(`${named}peer-fingerprint ${fingerprint(other)}\n`, other, SELF_SIGNED).at(-1), 'in');
});

test('verify-hash looks at the certificate above the last one', () => {
  const authority = fakeCertificate('ca', { depth: 1 });
  assert.equal(judged(`ca a\nverify-hash ${fingerprint(authority)} SHA256\n`, authority).at(-1), 'in');
  assert.deepEqual(judged(`ca a\nverify-hash ${fingerprint(client)} SHA256\n`, authority), [
    'TLS Error: --tls-verify/--tls-export-cert: level-1 certificate hash verification failed',
    'out',
  ]);
  assert.equal(judged(`ca a\nverify-hash ${fingerprint(authority)} SHA256\n`, client).at(-1), 'in');
});

test('remote-cert-ku: any of the masks whole, 0 or none at all for any usage, but never no extension', () => {
  const refused = (usage: string): string[] => [`Certificate has key usage ${usage}`, 'VERIFY KU ERROR', 'out'];
  const missing = ['Certificate does not have key usage extension', 'VERIFY KU ERROR', 'out'];
  const without = { ...client, keyUsage: undefined };
  assert.deepEqual(judged('ca a\nremote-cert-ku 80\n'), ['VERIFY KU OK', OK, 'in']);
  assert.deepEqual(judged('ca a\nremote-cert-ku a0\n'), refused('0080'));
  assert.deepEqual(judged('ca a\nremote-cert-ku a0 08 80\n'), ['VERIFY KU OK', OK, 'in']);
  assert.deepEqual(judged('ca a\nremote-cert-ku 80\n', { ...client, keyUsage: 0x20 }), refused('0020'));
  for (const masks of ['0', '']) {
    assert.deepEqual(judged(`ca a\nremote-cert-ku ${masks}\n`), ['VERIFY KU OK', OK, 'in']);
    assert.deepEqual(judged(`ca a\nremote-cert-ku ${masks}\n`, without), missing);
  }
  // Above the leaf nothing of this is asked.
  assert.equal(judged('ca a\nremote-cert-ku 80\n', { ...without, depth: 1 }).at(-1), 'in');
});

test('remote-cert-eku by its number or its long name, not by a short one', () => {
  const ok = ['VERIFY EKU OK', OK, 'in'];
  const refused = ['VERIFY EKU ERROR', 'out'];
  assert.deepEqual(judged(`ca a\nremote-cert-eku ${CLIENT_AUTH}\n`), ok);
  assert.deepEqual(judged('ca a\nremote-cert-eku "TLS Web Client Authentication"\n'), ok);
  for (const wrong of ['clientAuth', '1.2.3', '"TLS Web Server Authentication"'])
    assert.deepEqual(judged(`ca a\nremote-cert-eku ${wrong}\n`), refused);
  const without = { ...client, extendedKeyUsage: undefined };
  assert.deepEqual(judged('ca a\nremote-cert-eku 1.2.3\n', without).slice(-2), refused);
});

test('remote-cert-tls asks for a key usage, and for the extended one of the role', () => {
  assert.deepEqual(judged('ca a\nremote-cert-tls client\n'), ['VERIFY KU OK', 'VERIFY EKU OK', OK, 'in']);
  assert.equal(judged('ca a\nremote-cert-tls client\n', { ...client, keyUsage: undefined }).at(-2), 'VERIFY KU ERROR');
  for (const extendedKeyUsage of [undefined, ['1.3.6.1.5.5.7.3.1']])
    assert.equal(judged('ca a\nremote-cert-tls client\n', { ...client, extendedKeyUsage }).at(-2), 'VERIFY EKU ERROR');
});

test('verify-x509-name compares the whole subject, the name or its beginning, letter by letter', () => {
  const ok = ['VERIFY X509NAME OK: C=SE, O=Org, CN=client', OK, 'in'];
  for (const right of [
    '"C=SE, O=Org, CN=client"',
    '"C=SE, O=Org, CN=client" subject',
    'client name',
    'cli name-prefix',
  ])
    assert.deepEqual(judged(`ca a\nverify-x509-name ${right}\n`), ok);
  for (const wrong of ['client', '"C=SE, O=Org, CN=clien" subject', 'Client name', 'clien name', 'lient name-prefix'])
    assert.equal(judged(`ca a\nverify-x509-name ${wrong}\n`).at(-1), 'out', wrong);
  assert.deepEqual(judged('ca a\nverify-x509-name other name\n'), [
    'VERIFY X509NAME ERROR: C=SE, O=Org, CN=client, must be other',
    'out',
  ]);
});

test('x509-username-field: the last of a field, a mail address of the alternative names, several joined', () => {
  const many: PeerCertificate = {
    ...client,
    subjectFields: [
      { name: 'O', value: 'Org' },
      { name: 'OU', value: 'one' },
      { name: 'OU', value: 'two' },
      { name: 'CN', value: 'first' },
      { name: 'CN', value: 'second' },
      { name: 'emailAddress', value: 'a@b.c' },
    ],
    subjectAltNames: [
      { type: 'dns', value: 'host.example.org' },
      { type: 'email', value: 'ada@example.org' },
    ],
  };
  assert.equal(commonNameOf(many, []), 'second');
  assert.equal(commonNameOf(many, ['OU']), 'two');
  assert.equal(commonNameOf(many, ['ext:subjectAltName']), 'ada@example.org');
  assert.equal(commonNameOf(many, ['CN', 'OU', 'emailAddress']), 'second_two_a@b.c');
  assert.equal(commonNameOf(many, ['L']), undefined);
  assert.equal(commonNameOf({ ...many, subjectFields: [{ name: 'CN', value: 'a'.repeat(64) }] }, [])?.length, 64);
  assert.equal(commonNameOf({ ...many, subjectFields: [{ name: 'CN', value: 'a'.repeat(65) }] }, []), undefined);
});
