import type { PeerCertificate } from '@seikan/core';

import { loadAddon } from './addon.js';

/** The objects that the C side hands out; only it looks inside. */
export type NativeContext = object & { readonly __context: never };
export type NativeConnection = object & { readonly __connection: never };

/** A connection's state (0 handshaking, 1 secured, 2 closed, 3 failed) and 4 times the bytes that wait to be sent. */
export type Standing = number;

export type NativeVerify = (
  certificate: PeerCertificate,
  code: number | undefined,
  text: string | undefined,
) => boolean;

/** `options` of c/tls-context.c: texts that are absent are left out, numbers are OpenSSL's own. */
export interface NativeTlsOptions {
  readonly server: 0 | 1;
  readonly verifyMode: number;
  readonly securityLevel: number;
  readonly versionMin: number;
  readonly versionMax: number;
  readonly cipherList?: string | undefined;
  readonly cipherSuites?: string | undefined;
  readonly groups?: string | undefined;
  readonly dh?: string | undefined;
  readonly ca?: string | undefined;
  readonly caPath?: string | undefined;
  readonly crl?: string | undefined;
  readonly cert?: string | undefined;
  readonly extraCerts?: string | undefined;
  readonly key?: string | undefined;
  readonly passphrase?: string | undefined;
  readonly pkcs12?: Uint8Array;
}

export interface NativeCipher {
  readonly name: string;
  readonly standardName: string;
  readonly version: string;
}

/** The addon's OpenSSL files (c/tls-context.c, c/tls-offer.c, c/tls-connection.c, c/x509.c). */
export interface OpensslRoom {
  createTlsContext(options: NativeTlsOptions): NativeContext;
  setTlsCrl(context: NativeContext, pem: string | undefined): void;
  closeTlsContext(context: NativeContext): void;
  tlsOwnCertificate(context: NativeContext): PeerCertificate | undefined;
  listTlsCiphers(context: NativeContext): NativeCipher[];
  /** Throws when it cannot be loaded; the name has at most 63 bytes. */
  loadProvider(name: string): void;
  opensslCipherName(standardName: string): string | undefined;

  openTls(context: NativeContext, server: boolean): NativeConnection;
  startTls(connection: NativeConnection): Standing;
  /** Adds what was decrypted to `records`. Undefined: `verify` has closed the connection. */
  receiveTls(
    connection: NativeConnection,
    ciphertext: Uint8Array,
    verify: NativeVerify,
    records: Uint8Array[],
  ): Standing | undefined;
  takeTls(connection: NativeConnection, into: Uint8Array): number;
  writeTls(connection: NativeConnection, plaintext: Uint8Array): Standing;
  exportTlsKeyingMaterial(connection: NativeConnection, label: string, length: number): Uint8Array;
  tlsPeerCertificate(connection: NativeConnection): PeerCertificate | undefined;
  describeTls(connection: NativeConnection): string;
  tlsFailure(connection: NativeConnection): { reason: string; alert?: string; sent?: boolean };
  shutdownTls(connection: NativeConnection): Standing;
  closeTls(connection: NativeConnection): void;

  readCertificate(bytes: Uint8Array): PeerCertificate;
}

export function opensslRoom(): OpensslRoom {
  return loadAddon() as OpensslRoom;
}
