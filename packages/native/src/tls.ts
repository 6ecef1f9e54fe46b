/**
 * The TLS port of core over the OpenSSL inside the node binary (c/tls-context.c, c/tls-connection.c).
 * Settings and defaults follow OpenVPN 2.6.14 (`ssl_openssl.c`, `options.c`).
 */
import type { PeerCertificate, TlsConnection, TlsContext, TlsFailure, VerifyCertificate } from '@seikan/core';

import {
  type NativeCipher,
  type NativeConnection,
  type NativeContext,
  type NativeVerify,
  type OpensslRoom,
  opensslRoom,
  type Standing,
} from './openssl-room.js';
import { toOpensslCipherList, toOpensslGroups } from './tls-names.js';

export type TlsVersion = '1.0' | '1.1' | '1.2' | '1.3';

/** All material is text or bytes that were read before: inline blocks and files are the same here. */
export interface TlsOptions {
  readonly role: 'client' | 'server';
  /** PEM, one or more. */
  readonly ca?: string | undefined;
  /** A directory of hashed certificates and CRLs (`capath`). It turns CRL checks on, as upstream does. */
  readonly caPath?: string | undefined;
  /** PEM: our certificate first, then its chain. */
  readonly cert?: string | undefined;
  readonly extraCerts?: string | undefined;
  readonly key?: string | undefined;
  /** DER; its authorities are trusted only without `ca` and `caPath`. */
  readonly pkcs12?: Uint8Array | undefined;
  /** For the encrypted key or the pkcs12 archive. A JavaScript string cannot be wiped: drop it after the call. */
  readonly passphrase?: string | undefined;
  /** PEM, one CRL or more; with it every certificate of a chain is checked. */
  readonly crl?: string | undefined;
  /** Servers only (`verify-client-cert`); a client always verifies. Default `require`. */
  readonly verifyPeer?: 'require' | 'optional' | 'none' | undefined;
  /** Default 1.2. */
  readonly versionMin?: TlsVersion | undefined;
  readonly versionMax?: TlsVersion | undefined;
  /** `tls-cipher`: OpenSSL's or IANA names (with `-` or `_`), for TLS 1.2 and older. */
  readonly cipherList?: string | undefined;
  /** `tls-ciphersuites`, for TLS 1.3. */
  readonly cipherSuites?: string | undefined;
  readonly groups?: string | undefined;
  readonly certProfile?: 'insecure' | 'legacy' | 'preferred' | 'suiteb' | undefined;
  /** PEM; without it only elliptic curves and TLS 1.3 groups are offered (`dh none`). */
  readonly dh?: string | undefined;
}

/** What could not be used. The message says why in OpenSSL's words. */
export type TlsSetupFault =
  | 'ca'
  | 'capath'
  | 'cert'
  | 'extra-certs'
  | 'key'
  | 'key-mismatch'
  | 'passphrase-needed'
  | 'passphrase-wrong'
  | 'pkcs12'
  | 'crl'
  | 'version'
  | 'cipherList'
  | 'cipherSuites'
  | 'groups'
  | 'dh'
  | 'provider'
  | 'memory';

export class TlsSetupError extends Error {
  override readonly name = 'TlsSetupError';
  readonly fault: TlsSetupFault;

  constructor(fault: TlsSetupFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

export interface OpensslContext extends TlsContext {
  /** What we show the peer, for warnings about its end. */
  readonly certificate: PeerCertificate | undefined;
  /** Replaces the revocation lists for every verification from now on. When it throws, the old ones stay. */
  setCrl(pem: string | undefined): void;
}

const WIRE_VERSION = { '1.0': 0x0301, '1.1': 0x0302, '1.2': 0x0303, '1.3': 0x0304 } as const;
const VERIFY_MODE = { none: 0, optional: 1, require: 3 } as const;
const SECURITY_LEVEL = { insecure: 0, legacy: 1, preferred: 2, suiteb: 1 } as const;

/** OpenSSL's default list without weak ciphers, without static keys, and without what this protocol has no use for. */
const STRONG = 'DEFAULT:!EXP:!LOW:!MEDIUM:!kDH:!kECDH:!kRSA:!DSS:!PSK:!SRP';
const DEFAULT_CIPHERS = { insecure: STRONG, legacy: STRONG, preferred: STRONG, suiteb: 'SUITEB128' } as const;

/** Throws a `TlsSetupError` that names what could not be used. */
export function createTlsContext(options: TlsOptions): OpensslContext {
  return new Context(opensslRoom(), options);
}

/**
 * Loads an OpenSSL provider for the whole process, for good: `legacy` is inside node, others are modules in its folder.
 * Throws a `TlsSetupError`.
 */
export function loadProvider(name: string): void {
  try {
    opensslRoom().loadProvider(name);
  } catch (error) {
    throw new TlsSetupError('provider', error instanceof Error ? error.message : String(error));
  }
}

/** Throws a `TlsSetupError` (`key-mismatch`, `passphrase-needed`, …) when this key is not the certificate's. */
export function checkKeyPair(pair: Pick<TlsOptions, 'cert' | 'key' | 'passphrase'>): void {
  createTlsContext({ role: 'client', certProfile: 'insecure', ...pair }).close();
}

/** The suites that a context with these options could agree on, in its order. */
export function listTlsCiphers(options: Omit<TlsOptions, 'role'>): NativeCipher[] {
  const openssl = opensslRoom();
  const native = createNativeContext(openssl, { role: 'server', ...options });
  const ciphers = openssl.listTlsCiphers(native);
  openssl.closeTlsContext(native);
  return ciphers;
}

class Context implements OpensslContext {
  readonly #openssl: OpensslRoom;
  readonly #native: NativeContext;
  readonly #server: boolean;

  constructor(openssl: OpensslRoom, options: TlsOptions) {
    this.#openssl = openssl;
    this.#server = options.role === 'server';
    this.#native = createNativeContext(openssl, options);
  }

  get certificate(): PeerCertificate | undefined {
    return this.#openssl.tlsOwnCertificate(this.#native);
  }

  open(verify: VerifyCertificate): TlsConnection {
    return new Connection(this.#openssl, this.#openssl.openTls(this.#native, this.#server), verify);
  }

  setCrl(pem: string | undefined): void {
    setup(() => this.#openssl.setTlsCrl(this.#native, pem));
  }

  close(): void {
    this.#openssl.closeTlsContext(this.#native);
  }
}

const STATES = ['handshaking', 'secured', 'closed', 'failed'] as const;

class Connection implements TlsConnection {
  readonly #openssl: OpensslRoom;
  readonly #native: NativeConnection;
  readonly #verify: NativeVerify;
  #state: TlsConnection['state'] = 'handshaking';
  #pending = 0;
  #failure: TlsFailure | undefined;
  /** What `verify` threw. */
  #thrown: { readonly cause: unknown } | undefined;
  readonly #unread: Uint8Array[] = [];
  #open = true;

  constructor(openssl: OpensslRoom, native: NativeConnection, verify: VerifyCertificate) {
    this.#openssl = openssl;
    this.#native = native;
    this.#verify = (certificate, code, text) => {
      try {
        const error = code === undefined || text === undefined ? undefined : { code, text };
        return verify(certificate, error) === 'accept';
      } catch (cause) {
        this.#thrown = { cause };
        return false;
      }
    };
  }

  get state(): TlsConnection['state'] {
    return this.#state;
  }

  get failure(): TlsFailure | undefined {
    return this.#failure;
  }

  start(): void {
    this.#settle(this.#openssl.startTls(this.#native));
  }

  receive(ciphertext: Uint8Array): void {
    this.#settle(this.#openssl.receiveTls(this.#native, ciphertext, this.#verify, this.#unread));
  }

  get pending(): number {
    return this.#pending;
  }

  take(into: Uint8Array): number {
    const taken = this.#openssl.takeTls(this.#native, into);
    this.#pending -= taken;
    return taken;
  }

  write(plaintext: Uint8Array): void {
    this.#settle(this.#openssl.writeTls(this.#native, plaintext));
  }

  read(): Uint8Array | undefined {
    return this.#unread.shift();
  }

  exportKeyingMaterial(label: string, length: number): Uint8Array {
    return this.#openssl.exportTlsKeyingMaterial(this.#native, label, length);
  }

  get peerCertificate(): PeerCertificate | undefined {
    return this.#openssl.tlsPeerCertificate(this.#native);
  }

  describe(): string {
    return this.#openssl.describeTls(this.#native);
  }

  shutdown(): void {
    this.#settle(this.#openssl.shutdownTls(this.#native));
  }

  close(): void {
    this.#open = false;
    this.#pending = 0;
    for (const record of this.#unread.splice(0)) record.fill(0);
    this.#openssl.closeTls(this.#native);
  }

  #settle(standing: Standing | undefined): void {
    if (!this.#open || standing === undefined) return;
    this.#state = STATES[(standing & 3) as 0 | 1 | 2 | 3];
    this.#pending = standing >>> 2;
    if (this.#state !== 'failed' || this.#failure !== undefined) return;
    const { reason, alert, sent } = this.#openssl.tlsFailure(this.#native);
    this.#failure = {
      reason,
      ...(alert === undefined ? {} : { alert: { direction: sent === true ? 'sent' : 'received', name: alert } }),
      ...this.#thrown,
    };
  }
}

function createNativeContext(openssl: OpensslRoom, options: TlsOptions): NativeContext {
  const { role, pkcs12, cipherList, certProfile, groups } = options;
  const server = role === 'server';
  return setup(() =>
    openssl.createTlsContext({
      server: server ? 1 : 0,
      verifyMode: VERIFY_MODE[server ? (options.verifyPeer ?? 'require') : 'optional'],
      securityLevel: SECURITY_LEVEL[certProfile ?? 'legacy'],
      versionMin: WIRE_VERSION[options.versionMin ?? '1.2'],
      versionMax: options.versionMax === undefined ? 0 : WIRE_VERSION[options.versionMax],
      cipherList: cipherList === undefined ? DEFAULT_CIPHERS[certProfile ?? 'legacy'] : toOpensslCipherList(cipherList),
      cipherSuites: options.cipherSuites?.replaceAll('-', '_'),
      groups: groups === undefined ? undefined : toOpensslGroups(groups),
      dh: options.dh,
      ca: options.ca,
      caPath: options.caPath,
      crl: options.crl,
      cert: options.cert,
      extraCerts: options.extraCerts,
      key: options.key,
      passphrase: options.passphrase,
      ...(pkcs12 === undefined ? {} : { pkcs12 }),
    }),
  );
}

/** Runs one call of the C side, whose errors carry the fault as `code`. */
function setup<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof Error && 'code' in error) throw new TlsSetupError(error.code as TlsSetupFault, error.message);
    throw error;
  }
}
