import type { PeerCertificate } from '@seikan/core';

import { loadAddon } from './addon.js';

/** The objects that the C side hands out; only it looks inside. */
export type NativeContext = object & { readonly __context: never };
export type NativeConnection = object & { readonly __connection: never };

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

/** The addon's OpenSSL files (c/tls-context.c, c/tls-connection.c, c/x509.c). */
export interface OpensslRoom {
  createTlsContext(options: NativeTlsOptions): NativeContext;
  setTlsCrl(context: NativeContext, pem: string | undefined): void;
  closeTlsContext(context: NativeContext): void;
  tlsOwnCertificate(context: NativeContext): PeerCertificate | undefined;
  listTlsCiphers(context: NativeContext): NativeCipher[];
  opensslCipherName(standardName: string): string | undefined;

  openTls(context: NativeContext, server: boolean): NativeConnection;
  startTls(connection: NativeConnection): void;
  receiveTls(
    connection: NativeConnection,
    ciphertext: Uint8Array,
    verify: (certificate: PeerCertificate, code: number | undefined, text: string | undefined) => boolean,
  ): Uint8Array[] | undefined;
  pendingTls(connection: NativeConnection): number;
  takeTls(connection: NativeConnection, into: Uint8Array): number;
  writeTls(connection: NativeConnection, plaintext: Uint8Array): void;
  exportTlsKeyingMaterial(connection: NativeConnection, label: string, length: number): Uint8Array;
  tlsPeerCertificate(connection: NativeConnection): PeerCertificate | undefined;
  describeTls(connection: NativeConnection): string;
  tlsState(connection: NativeConnection): 0 | 1 | 2 | 3;
  tlsFailure(connection: NativeConnection): { reason: string; alert?: string; sent?: boolean };
  shutdownTls(connection: NativeConnection): void;
  closeTls(connection: NativeConnection): void;

  readCertificate(bytes: Uint8Array): PeerCertificate;
}

export function opensslRoom(): OpensslRoom {
  return loadAddon() as OpensslRoom;
}
