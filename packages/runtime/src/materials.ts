/**
 * What the configuration names by file or carries inline, read and made ready: the TLS context, the keys that protect
 * control packets. All of it before the process gives up its privileges.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, type Stats, statSync } from 'node:fs';

import {
  authTokenHmacKey,
  type KeyDirection,
  parseAuthTokenKey,
  parseClientKey,
  parseServerKey,
  parseStaticKey,
  type StaticKey,
} from '@seikan/core';
import { ConfigError, type Connection, type Material, type Options, type ProtectionKeys } from '@seikan/engine';
import { createTlsContext, errorText, loadProvider, type OpensslContext, TlsSetupError } from '@seikan/native';

/** A file or key that cannot be used; upstream's line first, ours after it. */
export class MaterialError extends Error {
  override readonly name = 'MaterialError';
}

export function readMaterial(material: Material, what: string): string {
  if (material.from === 'inline') return material.text;
  try {
    return readFileSync(material.path, 'utf8');
  } catch (error) {
    throw new MaterialError(`Cannot open file '${material.path}' (${what}): ${reasonOf(error)}`, { cause: error });
  }
}

/** Loads `providers`, before any key is read that may need them. */
export function loadProviders({ tls }: Options): void {
  for (const name of tls.providers) {
    try {
      loadProvider(name);
    } catch (error) {
      if (!(error instanceof TlsSetupError)) throw error;
      throw new MaterialError(`OpenSSL: ${error.message}\nfailed to load provider '${name}'`, { cause: error });
    }
  }
}

/** Makes the TLS context that the configuration describes; `passphrase` opens an encrypted key. */
function createTls(options: Options, revoked: RevokedList | undefined, passphrase?: string): OpensslContext {
  const { tls, verify } = options;
  try {
    return createTlsContext({
      role: tls.role === 'server' ? 'server' : 'client',
      ca: optional(tls.ca, 'ca'),
      caPath: tls.capath,
      cert: optional(tls.cert, 'cert'),
      key: optional(tls.key, 'key'),
      extraCerts: optional(tls.extraCerts, 'extra-certs'),
      pkcs12: tls.pkcs12 === undefined ? undefined : readPkcs12(tls.pkcs12),
      passphrase,
      crl: revoked?.pem,
      verifyPeer: verify.clientCertificate,
      versionMin: tls.versionMin,
      versionMax: tls.versionMax,
      cipherList: tls.cipher,
      cipherSuites: tls.ciphersuites,
      groups: tls.groups,
      certProfile: tls.certProfile,
      dh: optional(tls.dh, 'dh'),
    });
  } catch (error) {
    if (!(error instanceof TlsSetupError)) throw error;
    throw new MaterialError(`OpenSSL: ${error.message}\n${faultLine(error, options)}`, { cause: error });
  }
}

const UNDECODABLE = 'Decoding PKCS12 failed. Probably wrong password or unsupported/legacy encryption';

/** What could not be used, in upstream's words. */
function faultLine({ fault, message }: TlsSetupError, { tls, verify }: Options): string {
  switch (fault) {
    case 'ca':
      return `Cannot load CA certificate file ${nameOf(tls.ca)} (no entries were read)`;
    case 'cert':
      return `Cannot load certificate file ${nameOf(tls.cert)}`;
    case 'key':
    case 'key-mismatch':
    case 'passphrase-needed':
    case 'passphrase-wrong': {
      const what = tls.pkcs12 === undefined ? `Cannot load private key file ${nameOf(tls.key)}` : UNDECODABLE;
      return `${what}\nError: private key password verification failed`;
    }
    case 'dh':
      return `Cannot load DH parameters from ${nameOf(tls.dh)}`;
    case 'extra-certs':
      return `Error reading extra certificate\nIn ${nameOf(tls.extraCerts)}`;
    case 'pkcs12':
      if (!message.includes('unsupported')) return `Error reading PKCS#12 file ${nameOf(tls.pkcs12)}`;
      return `${UNDECODABLE}\n${nameOf(tls.pkcs12)} is encrypted as before OpenSSL 3: "providers legacy default" reads it`;
    case 'cipherList':
      return `Failed to set restricted TLS cipher list: ${tls.cipher ?? ''}`;
    case 'cipherSuites':
      return `Failed to set restricted TLS 1.3 cipher list: ${tls.ciphersuites ?? ''}`;
    case 'groups':
      return `Failed to set allowed TLS group list: ${tls.groups ?? ''}`;
    case 'crl':
      return `CRL: cannot read CRL from file ${verify.crl?.kind === 'file' ? nameOf(verify.crl.source) : ''}`;
    case 'capath':
    case 'provider':
    case 'version':
    case 'memory':
      return `Cannot set up TLS: ${fault}`;
    default:
      throw new Error(fault satisfies never);
  }
}

/** As upstream names a source in the log. */
function nameOf(source: Material | undefined): string {
  return source?.from === 'file' ? source.path : '[[INLINE]]';
}

/** The keys that wrap the control packets of one place to connect to (or to listen at). */
function readProtectionKeys(options: Options, { wrap }: Connection): ProtectionKeys {
  const { tlsAuth, tlsCrypt, tlsCryptV2 } = wrap;
  const isServer = options.tls.role === 'server';
  const v2 = tlsCryptV2 === undefined ? undefined : readMaterial(tlsCryptV2.key, 'tls-crypt-v2');
  return {
    tlsAuth:
      tlsAuth === undefined
        ? undefined
        : {
            key: readStaticKey(tlsAuth.key, 'tls-auth'),
            direction: directionName(tlsAuth.direction),
            digest: options.data.auth,
          },
    tlsCrypt: tlsCrypt === undefined ? undefined : readStaticKey(tlsCrypt, 'tls-crypt'),
    tlsCryptV2Client:
      v2 === undefined || isServer ? undefined : usable(parseClientKey(v2), 'invalid tls-crypt-v2 client key format'),
    tlsCryptV2Server:
      v2 === undefined || !isServer ? undefined : usable(parseServerKey(v2), 'invalid tls-crypt-v2 server key format'),
  };
}

/** A secret of 2048 bits, for `tls-auth`, `tls-crypt` and `secret`. The caller wipes it. */
export function readStaticKey(material: Material, directive: string): StaticKey {
  const key = parseStaticKey(readMaterial(material, directive));
  if (key !== undefined) return key;
  throw new MaterialError(
    `Insufficient key material or header text not found in file '${nameOf(material)}' (0/128/256 bytes found/min/max)`,
  );
}

/** What a tunnel is keyed with. A soft restart keeps it: the files may no longer be readable by then. */
export interface Materials {
  readonly tls: OpensslContext;
  /** What the TLS context was made with. */
  readonly revoked: RevokedList | undefined;
  /** By the `wrap` of a connection. */
  readonly protection: ReadonlyMap<Connection['wrap'], ProtectionKeys>;
  readonly staticKey: StaticKey | undefined;
  /** Signs auth-tokens. */
  readonly authTokenKey: Uint8Array;
}

/** `crl-verify` with a file or an inline block. */
export interface RevokedList {
  readonly pem: string;
  /** Of the file, before it was read; undefined for an inline block. */
  readonly seen: Stats | undefined;
}

function readRevokedList({ crl }: Options['verify']): RevokedList | undefined {
  if (crl?.kind !== 'file') return undefined;
  const { source } = crl;
  const seen = source.from === 'file' ? statSync(source.path, { throwIfNoEntry: false }) : undefined;
  return { seen, pem: readMaterial(source, 'crl-verify') };
}

/** Reads every file that the configuration names; throws MaterialError. */
export function readMaterials(options: Options, passphrase?: string): Materials {
  const revoked = readRevokedList(options.verify);
  return {
    protection: new Map(
      options.connections.map((connection) => [connection.wrap, readProtectionKeys(options, connection)]),
    ),
    tls: createTls(options, revoked, passphrase),
    revoked,
    staticKey: options.data.secret === undefined ? undefined : readStaticKey(options.data.secret.key, 'secret'),
    authTokenKey: readAuthTokenKey(options),
  };
}

/** The key that auth-tokens are signed with: of the file, so that they outlive a restart, or one for this run. */
function readAuthTokenKey({ auth }: Options): Uint8Array {
  const material = auth.genToken?.secret;
  if (material === undefined) return new Uint8Array(randomBytes(32));
  return authTokenHmacKey(
    usable(parseAuthTokenKey(readMaterial(material, 'auth-gen-token-secret')), 'Cannot load auth-token secret'),
  ).slice();
}

export function reasonOf(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  const { code, errno, message } = error as NodeJS.ErrnoException;
  if (errno === undefined) return message;
  const number = Math.abs(errno);
  // Node's own words are not libc's; the addon's are, behind the call that failed.
  return `${message.startsWith(`${code}:`) ? errorText(-number) : message} (errno=${number})`;
}

function usable<Value>(value: Value | undefined, problem: string): Value {
  if (value === undefined) throw new MaterialError(`ERROR: ${problem}`);
  return value;
}

function directionName(direction: 0 | 1 | undefined): KeyDirection {
  return direction === undefined ? 'bidirectional' : direction === 0 ? 'normal' : 'inverse';
}

function readPkcs12(material: Material): Uint8Array {
  if (material.from === 'inline') return new Uint8Array(Buffer.from(material.text, 'base64'));
  try {
    return new Uint8Array(readFileSync(material.path));
  } catch (error) {
    throw new MaterialError(`Cannot open file '${material.path}' (pkcs12): ${reasonOf(error)}`, { cause: error });
  }
}

function optional(material: Material | undefined, what: string): string | undefined {
  return material === undefined ? undefined : readMaterial(material, what);
}
