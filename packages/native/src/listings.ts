/** What this machine's OpenSSL offers, for `--show-tls`, `--show-ciphers`, `--show-digests` and `--show-groups`. */
import { createHash, getCiphers, getCurves, getHashes } from 'node:crypto';

import { cipherTraits } from './node-crypto.js';
import { listTlsCiphers, type TlsOptions } from './tls.js';

export interface CipherListing {
  /** As `data-ciphers` takes it: `AES-256-GCM`. */
  readonly name: string;
  readonly keyBits: number;
  /** Of the underlying block cipher, in every mode; 0 for a stream cipher. */
  readonly blockBits: number;
  /** Whether static keys could use it: CBC only. */
  readonly staticKey: boolean;
}

export interface DigestListing {
  readonly name: string;
  readonly bits: number;
}

/** Cipher suites in order of preference, spelled as OpenVPN does: `TLS_AES_…` for 1.3, `TLS-ECDHE-…` for older. */
export function listTlsSuites(
  options: Pick<TlsOptions, 'cipherList' | 'cipherSuites' | 'certProfile' | 'versionMin' | 'versionMax'> = {},
): { readonly tls13: readonly string[]; readonly tls12: readonly string[] } {
  const ciphers = listTlsCiphers(options);
  const names = (modern: boolean) =>
    ciphers.filter(({ version }) => (version === 'TLSv1.3') === modern).map(({ standardName }) => standardName);
  return { tls13: names(true), tls12: names(false).map((name) => name.replaceAll('_', '-')) };
}

/** Data-channel ciphers by name. */
export function listCiphers(): CipherListing[] {
  return getCiphers()
    .map(cipherTraits)
    .filter((traits) => traits !== undefined)
    .map(({ name, mode, keySize, blockSize }) => ({
      name,
      keyBits: keySize * 8,
      blockBits: mode === 'aead' && blockSize === 1 ? 0 : 128,
      staticKey: mode === 'cbc',
    }))
    .toSorted(byName);
}

/** Digests for `auth` by their own names, without the signature algorithms that share the list. */
export function listDigests(): DigestListing[] {
  return getHashes()
    .filter((name) => /^(md5|sha|sm3|blake|ripemd160)/.test(name) && !name.includes('With'))
    .map((name) => ({
      name: name.startsWith('blake') ? name.replace('blake', 'BLAKE') : name.toUpperCase(),
      bits: createHash(name).digest().length * 8,
    }))
    .toSorted(byName);
}

/** Elliptic curves that OpenSSL has built in; X25519, X448 and the hybrid groups are not among them. */
export function listCurves(): string[] {
  return getCurves();
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
