import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { listCiphers, listCurves, listDigests, listTlsSuites } from '@seikan/native';

/** The entries of what stock 2.6.14 prints with Debian's OpenSSL 3.0. */
const stock = (option: string) =>
  readFileSync(new URL(`../test/vectors/show-${option}-2.6.14.txt`, import.meta.url), 'utf8')
    .trim()
    .split('\n');

describe('listings', () => {
  it('name the TLS suites of stock OpenVPN in its order', () => {
    const { tls13, tls12 } = listTlsSuites();
    assert.deepEqual([...tls13, ...tls12], stock('tls'));
  });

  it('follow the options that narrow them', () => {
    assert.deepEqual(listTlsSuites({ certProfile: 'suiteb', versionMax: '1.2' }).tls12, [
      'TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256',
      'TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384',
    ]);
    assert.deepEqual(listTlsSuites({ versionMax: '1.2' }).tls13, []);
  });

  it('name the data ciphers of stock OpenVPN with their sizes, but for those with blocks of 64 bits', () => {
    const lines = listCiphers().map(({ name, keyBits, blockBits, staticKey }) => {
      const block = blockBits === 0 ? 'stream cipher' : `${blockBits} bit block`;
      return `${name}  (${keyBits} bit key, ${block}${staticKey ? '' : ', TLS client/server mode only'})`;
    });
    const expected = stock('ciphers').filter((line) => !line.includes(' 64 bit block'));
    assert.deepEqual(lines, expected.toSorted());
  });

  it('name digests that stock OpenVPN has, with the same sizes', () => {
    const known = new Set(stock('digests'));
    const digests = listDigests();
    assert.ok(digests.length >= 15);
    for (const { name, bits } of digests) assert.ok(known.has(`${name} ${bits} bit digest size`), name);
  });

  it('name the curves', () => {
    for (const curve of ['prime256v1', 'secp384r1', 'secp521r1']) assert.ok(listCurves().includes(curve));
  });
});
