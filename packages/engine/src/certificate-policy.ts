/**
 * Which certificates of a peer are accepted, beyond what the TLS library checks (chain, signature, validity, CRL).
 * Called inside the handshake, from the root down to the leaf; a refusal becomes a TLS alert.
 * upstream: ssl_verify.c `verify_cert`, `verify_peer_cert`; ssl_verify_openssl.c `verify_callback` (2.6).
 */
import { encodeText, type PeerCertificate, type VerifyError } from '@seikan/core';

import type { Options, VerifyOptions } from './options/options.js';

export interface CertificateVerdict {
  readonly verdict: 'accept' | 'reject';
  /** Upstream's log lines, in order. */
  readonly log: readonly {
    readonly verb: number;
    readonly severity: 'error' | 'warning' | 'notice';
    readonly text: string;
  }[];
}

/** X509_V_ERR_* of OpenSSL 3 that the policy treats on their own. */
const X509Error = { unableToGetCrl: 3 } as const;

/** Chains deeper than this are refused (upstream MAX_CERT_DEPTH). */
const DEPTH_LIMIT = 16;

/** Serial numbers (decimal) for which a file stands in the CRL directory, at the time of the question. */
export interface RevokedSerials {
  has(serial: string): boolean;
}

export interface PolicyContext {
  readonly options: Pick<Options, 'tls' | 'verify'>;
  readonly revokedSerials: RevokedSerials | undefined;
}

export function judgeCertificate(
  context: PolicyContext,
  certificate: PeerCertificate,
  error: VerifyError | undefined,
): CertificateVerdict {
  const { tls, verify } = context.options;
  const log: { verb: number; severity: 'error' | 'warning' | 'notice'; text: string }[] = [];
  const { depth } = certificate;
  const subject = sanitizeSubject(certificate.subject);
  const reject = (text: string): CertificateVerdict => {
    log.push({ verb: 1, severity: 'error', text });
    return { verdict: 'reject', log };
  };

  if (error !== undefined) {
    // With a CA the chain counts beside the fingerprint.
    const hasCa = tls.ca !== undefined || tls.capath !== undefined;
    const toleratedByFingerprint = verify.peerFingerprints.length > 0 && !hasCa && SELF_SIGNED.has(error.code);
    if (error.code === X509Error.unableToGetCrl) {
      // A chain whose upper issuers publish no list is usual; upstream warns and goes on (20.5).
      log.push({ verb: 3, severity: 'warning', text: `VERIFY WARNING: depth=${depth}, ${error.text}: ${subject}` });
    } else if (!toleratedByFingerprint) {
      return reject(
        `VERIFY ERROR: depth=${depth}, error=${error.text}: ${subject}, serial=${certificate.serialDecimal}`,
      );
    }
  }
  if (depth >= DEPTH_LIMIT)
    return reject(`TLS Error: Convoluted certificate chain detected with depth [${depth}] greater than ${DEPTH_LIMIT}`);
  if (context.revokedSerials?.has(certificate.serialDecimal) === true) {
    return reject(`VERIFY CRL: certificate serial number ${certificate.serialDecimal} is revoked`);
  }
  if (depth === 1 && verify.caFingerprints !== undefined) {
    const { algorithm, hashes } = verify.caFingerprints;
    const hash = toHex(algorithm === 'SHA1' ? certificate.sha1 : certificate.sha256);
    if (!hashes.includes(hash)) {
      return reject('TLS Error: --tls-verify/--tls-export-cert: level-1 certificate hash verification failed');
    }
  }
  if (depth === 0) {
    const refusal = judgeLeaf(verify, certificate, subject, log);
    if (refusal !== undefined) return reject(refusal);
  }
  log.push({ verb: 2, severity: 'notice', text: `VERIFY OK: depth=${depth}, ${subject}` });
  return { verdict: 'accept', log };
}

/** DEPTH_ZERO_SELF_SIGNED_CERT, SELF_SIGNED_CERT_IN_CHAIN, UNABLE_TO_GET_ISSUER_CERT(_LOCALLY), UNABLE_TO_VERIFY_LEAF_SIGNATURE, CERT_UNTRUSTED. */
const SELF_SIGNED: ReadonlySet<number> = new Set([2, 18, 19, 20, 21, 27]);

function judgeLeaf(
  verify: VerifyOptions,
  certificate: PeerCertificate,
  subject: string,
  log: { verb: number; severity: 'error' | 'warning' | 'notice'; text: string }[],
): string | undefined {
  const error = (text: string): void => void log.push({ verb: 1, severity: 'error', text });
  const commonName = commonNameOf(certificate, verify.usernameFields);
  if (commonName === undefined) {
    const fields = verify.usernameFields.length > 0 ? verify.usernameFields.join(' ') : 'CN';
    return `VERIFY ERROR: could not extract ${fields} from X509 subject string ('${subject}') -- note that the field length is limited to ${NAME_LIMIT} characters`;
  }
  if (verify.peerFingerprints.length > 0 && !verify.peerFingerprints.includes(toHex(certificate.sha256))) {
    return (
      'TLS Error: --tls-verify/--peer-fingerprint certificate hash verification failed. (got certificate fingerprint: ' +
      `${toHex(certificate.sha256).replace(/..(?=.)/g, '$&:')})`
    );
  }
  if (verify.keyUsage !== undefined) {
    const usage = certificate.keyUsage;
    const wanted = verify.keyUsage;
    const refuse = (why: string): string => {
      error(why);
      return 'VERIFY KU ERROR';
    };
    if (usage === undefined) return refuse('Certificate does not have key usage extension');
    if (wanted.length > 0 && !wanted.some((mask) => mask === 0 || (usage & mask) === mask))
      return refuse(`Certificate has key usage ${usage.toString(16).padStart(4, '0')}`);
    log.push({ verb: 2, severity: 'notice', text: 'VERIFY KU OK' });
  }
  if (verify.extendedKeyUsage !== undefined) {
    const wanted = EXTENDED_KEY_USAGES[verify.extendedKeyUsage] ?? verify.extendedKeyUsage;
    const usages = certificate.extendedKeyUsage;
    if (usages === undefined) error('Certificate does not have extended key usage extension');
    if (usages?.includes(wanted) !== true) return 'VERIFY EKU ERROR';
    log.push({ verb: 2, severity: 'notice', text: 'VERIFY EKU OK' });
  }
  if (verify.x509Name !== undefined) {
    const { name, type } = verify.x509Name;
    const matches =
      type === 'subject' ? subject === name : type === 'name' ? commonName === name : commonName.startsWith(name);
    if (!matches) return `VERIFY X509NAME ERROR: ${subject}, must be ${name}`;
    log.push({ verb: 2, severity: 'notice', text: `VERIFY X509NAME OK: ${subject}` });
  }
  return undefined;
}

/** Long names that configurations use for `remote-cert-eku`. */
const EXTENDED_KEY_USAGES: Readonly<Record<string, string>> = {
  'TLS Web Server Authentication': '1.3.6.1.5.5.7.3.1',
  'TLS Web Client Authentication': '1.3.6.1.5.5.7.3.2',
  'Code Signing': '1.3.6.1.5.5.7.3.3',
  'E-mail Protection': '1.3.6.1.5.5.7.3.4',
  'Time Stamping': '1.3.6.1.5.5.7.3.8',
  'OCSP Signing': '1.3.6.1.5.5.7.3.9',
  'Any Extended Key Usage': '2.5.29.37.0',
};

/** Longest common name in bytes (upstream TLS_USERNAME_LEN). */
const NAME_LIMIT = 64;

/**
 * The name under which a peer is known: CN, or the fields of `x509-username-field` joined by `_`. `undefined`: the
 * certificate has none, or it is longer than 64 bytes.
 */
export function commonNameOf(certificate: PeerCertificate, fields: readonly string[]): string | undefined {
  const names = (fields.length > 0 ? fields : ['CN']).map((field) => usernameField(certificate, field));
  if (names.some((name) => name === undefined || name === '')) return undefined;
  const joined = names.join('_');
  return encodeText(joined).length > NAME_LIMIT ? undefined : sanitizeSubject(joined);
}

function usernameField(certificate: PeerCertificate, field: string): string | undefined {
  if (field === 'serialNumber') return serialName(certificate);
  if (field === '_SERIALNUMBER')
    return certificate.subjectFields.findLast(({ name }) => name === 'serialNumber')?.value;
  if (field === 'ext:subjectAltName') return certificate.subjectAltNames.find(({ type }) => type === 'email')?.value;
  return certificate.subjectFields.findLast(({ name }) => name === field)?.value;
}

/** As OpenSSL writes a number for people: decimal below 128 bits, hexadecimal from there on. upstream: `i2s_ASN1_INTEGER`. */
function serialName({ serialDecimal }: PeerCertificate): string {
  const serial = BigInt(serialDecimal);
  if (BigInt.asUintN(127, serial) === serial) return serialDecimal;
  const digits = serial.toString(16).toUpperCase();
  return `0x${digits.length % 2 === 0 ? '' : '0'}${digits}`;
}

/**
 * A subject or name as logs, scripts and files are shown it: no character that ends a line or moves a cursor. All else
 * stays, since people look for it: `ada+vpn@example.com`. upstream: ssl_verify.c `string_mod_remap_name` (2.6), which knows
 * no C1 control characters.
 */
export function sanitizeSubject(subject: string): string {
  return subject.replace(/[\u0000-\u001f\u007f-\u009f]/g, '_');
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
