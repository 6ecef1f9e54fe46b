/**
 * What the configuration names by file or carries inline, read and made ready: the TLS context, the keys that protect
 * control packets, the serial numbers of a CRL directory. All of it before the process gives up its privileges.
 */
import { readdirSync, readFileSync } from 'node:fs';

import { type KeyDirection, parseClientKey, parseServerKey, parseStaticKey, type StaticKey } from '@seikan/core';
import {
  ConfigError,
  type Connection,
  type Credentials,
  type Material,
  type Options,
  type ProtectionKeys,
} from '@seikan/engine';
import { createTlsContext, type OpensslContext, TlsSetupError } from '@seikan/native';

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

/** Makes the TLS context that the configuration describes. `passphrase` is asked for only when a key needs one. */
export function createTls(options: Options): OpensslContext {
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
      passphrase: tls.askpass === undefined ? undefined : readPassphrase(tls.askpass),
      crl: verify.crl?.kind === 'file' ? readMaterial(verify.crl.source, 'crl-verify') : undefined,
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
    throw new MaterialError(`OpenSSL: cannot use ${error.fault}: ${error.message}`, { cause: error });
  }
}

/** The keys that wrap the control packets of one place to connect to (or to listen at). */
export function readProtectionKeys(options: Options, { wrap }: Connection): ProtectionKeys {
  const { tlsAuth, tlsCrypt, tlsCryptV2 } = wrap;
  const isServer = options.tls.role === 'server';
  const v2 = tlsCryptV2 === undefined ? undefined : readMaterial(tlsCryptV2.key, 'tls-crypt-v2');
  return {
    tlsAuth:
      tlsAuth === undefined
        ? undefined
        : {
            key: usable(parseStaticKey(readMaterial(tlsAuth.key, 'tls-auth')), 'tls-auth'),
            direction: directionName(tlsAuth.direction),
            digest: options.data.auth,
          },
    tlsCrypt:
      tlsCrypt === undefined ? undefined : usable(parseStaticKey(readMaterial(tlsCrypt, 'tls-crypt')), 'tls-crypt'),
    tlsCryptV2Client: v2 === undefined || isServer ? undefined : usable(parseClientKey(v2), 'tls-crypt-v2'),
    tlsCryptV2Server: v2 === undefined || !isServer ? undefined : usable(parseServerKey(v2), 'tls-crypt-v2'),
  };
}

/** The key of static key mode. */
export function readStaticKey({ data }: Options): StaticKey | undefined {
  return data.secret === undefined
    ? undefined
    : usable(parseStaticKey(readMaterial(data.secret.key, 'secret')), 'secret');
}

/** The serials for which a file stands in a `crl-verify … dir` directory. */
export function readRevokedSerials({ verify }: Options): ReadonlySet<string> | undefined {
  if (verify.crl?.kind !== 'directory') return undefined;
  try {
    return new Set(readdirSync(verify.crl.path));
  } catch (error) {
    throw new MaterialError(`crl-verify: cannot read directory '${verify.crl.path}': ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

export function reasonOf(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  const { code, errno, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'No such file or directory (errno=2)';
  if (code === 'EACCES') return 'Permission denied (errno=13)';
  return errno === undefined ? message : `${message} (errno=${Math.abs(errno)})`;
}

function usable<Value>(value: Value | undefined, directive: string): Value {
  if (value === undefined) {
    throw new MaterialError(`the key of ${directive} cannot be used: its file does not hold such a key`);
  }
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

/** The first line of the askpass file. */
function readPassphrase(credentials: Credentials): string | undefined {
  if (credentials.from === 'stdin') return undefined;
  return readMaterial(credentials, 'askpass').split(/\r?\n/, 1)[0];
}

function optional(material: Material | undefined, what: string): string | undefined {
  return material === undefined ? undefined : readMaterial(material, what);
}
