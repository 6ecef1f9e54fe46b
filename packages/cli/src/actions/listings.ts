/**
 * `--show-ciphers`, `--show-digests`, `--show-tls`, `--show-groups`, `--show-engines`: what this machine's OpenSSL has.
 * Other programs read these lists, so their lines have OpenVPN's shape.
 * upstream: crypto_openssl.c `show_available_*`, ssl_openssl.c `show_available_tls_ciphers_list` (2.6).
 */
import type { Options } from '@seikan/engine';
import { type CipherListing, listCiphers, listCurves, listDigests, listTlsSuites } from '@seikan/native';

export function cipherList(): string {
  const line = ({ name, keyBits, blockBits, staticKey }: CipherListing): string => {
    const block = blockBits === 0 ? 'stream cipher' : `${blockBits} bit block`;
    return `${name}  (${keyBits} bit key, ${block}${staticKey ? '' : ', TLS client/server mode only'})`;
  };
  return text(
    'Ciphers for --data-ciphers (and --cipher). Static keys take those in CBC mode only.',
    '',
    ...listCiphers().map(line),
    '',
  );
}

export function digestList(): string {
  return text(
    'Digests for --auth: the HMAC that authenticates packets of ciphers without their own.',
    '',
    ...listDigests().map(({ name, bits }) => `${name} ${bits} bit digest size`),
    '',
  );
}

/** Throws a TlsSetupError when `tls-cipher` or `tls-ciphersuites` name nothing usable. */
export function tlsList({ tls }: Options): string {
  const { tls13, tls12 } = listTlsSuites({
    cipherList: tls.cipher,
    cipherSuites: tls.ciphersuites,
    certProfile: tls.certProfile,
    versionMin: tls.versionMin,
    versionMax: tls.versionMax,
  });
  return text(
    'Available TLS Ciphers, listed in order of preference:',
    '',
    'For TLS 1.3 and newer (--tls-ciphersuites):',
    '',
    ...tls13,
    '',
    'For TLS 1.2 and older (--tls-cipher):',
    '',
    ...tls12,
    '',
    'Which of them two peers can use depends on the certificates and settings of both.',
    '',
  );
}

export function groupList(): string {
  return text(
    'Curves built into OpenSSL, for --tls-groups; X25519, X448 and hybrid groups can be used too.',
    '',
    'Available Elliptic curves/groups:',
    ...listCurves(),
  );
}

export function engineList(): string {
  return text('OpenSSL engines are not supported here.');
}

function text(...lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}
