/**
 * The TLS port: what the control channel needs of a TLS library, synchronous and without I/O.
 * Ciphertext goes in and out as bytes; verification is asked inside the handshake, certificate by certificate,
 * so that a refusal becomes a TLS alert and nothing of a refused peer is ever read.
 *
 * `native` implements it over OpenSSL's memory BIOs, `testkit` by a scripted exchange.
 */
export interface TlsContext {
  /** A new connection in the role that the context was made for. `verify` is called only from within `receive`. */
  open(verify: VerifyCertificate): TlsConnection;
  close(): void;
}

export interface TlsConnection {
  /** `handshaking` → `secured` → `closed`; `failed` from any of them, for good. */
  readonly state: 'handshaking' | 'secured' | 'closed' | 'failed';
  /** Why the connection failed: OpenSSL's reason text, and the alert that was sent or received, if any. */
  readonly failure: TlsFailure | undefined;
  /** Starts the handshake as client: the first ciphertext can be taken afterwards. A server does nothing here. */
  start(): void;
  /** Takes ciphertext from the peer. Never throws: a fatal error shows as `state`, and its alert can still be taken. */
  receive(ciphertext: Uint8Array): void;
  /** How many bytes of ciphertext wait to be sent. */
  readonly pending: number;
  /** Moves up to `into.length` bytes of waiting ciphertext into `into` and says how many. */
  take(into: Uint8Array): number;
  /**
   * Writes `plaintext` as exactly one TLS record (stock 2.x peers read one record as one message).
   * Only when `secured`. At most 16 384 bytes.
   */
  write(plaintext: Uint8Array): void;
  /** The next decrypted record as bytes that the caller owns, or `undefined` when there is none. */
  read(): Uint8Array | undefined;
  /** RFC 5705 without context. Only when `secured`. */
  exportKeyingMaterial(label: string, length: number): Uint8Array;
  /** The peer's leaf certificate, if it sent one. */
  readonly peerCertificate: PeerCertificate | undefined;
  /** What was agreed, for the log: `TLSv1.3, cipher TLSv1.3 TLS_AES_256_GCM_SHA384, peer certificate: 2048 bits RSA, ...`. */
  describe(): string;
  /** Queues close_notify where that is still possible. */
  shutdown(): void;
  /** Frees the library's memory; every later call is an error of the caller. Idempotent. */
  close(): void;
}

export interface TlsFailure {
  readonly reason: string;
  readonly alert?: { readonly direction: 'sent' | 'received'; readonly name: string } | undefined;
  /** What `verify` threw: that counts as a refusal, and nothing is thrown out of `receive`. */
  readonly cause?: unknown;
}

/**
 * Called once per certificate, from the root (highest depth) to the leaf (0), with the worst error of that certificate:
 * revocation (23) before all others, a missing CRL (3) after them. There is no second call: whoever tolerates an error
 * judges the certificate itself (names, usages, scripts) in the same call.
 */
export type VerifyCertificate = (certificate: PeerCertificate, error: VerifyError | undefined) => 'accept' | 'reject';

/** OpenSSL's verdict on one certificate, by its X509_V_ERR number and text. */
export interface VerifyError {
  readonly code: number;
  readonly text: string;
}

/** One certificate of the peer's chain, read by the TLS library so that names come out as scripts expect them. */
export interface PeerCertificate {
  /** 0 is the peer's own. */
  readonly depth: number;
  readonly der: Uint8Array;
  /** All fields as `C=.., O=.., CN=..` in the certificate's order, characters not yet remapped (upstream `x509_get_subject`). */
  readonly subject: string;
  readonly issuer: string;
  /** Every subject field in order, by OpenSSL short name (`CN`, `OU`, `emailAddress`); a name may occur several times. */
  readonly subjectFields: readonly { readonly name: string; readonly value: string }[];
  readonly serialDecimal: string;
  /** Bytes as lower-case hex with colons: `0a:1b`. */
  readonly serialHex: string;
  readonly sha1: Uint8Array;
  readonly sha256: Uint8Array;
  /** Bit mask as OpenSSL's X509_get_key_usage gives it (digitalSignature 0x80 ...); `undefined` without the extension. */
  readonly keyUsage: number | undefined;
  /** OIDs in dotted form; `undefined` without the extension. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly subjectAltNames: readonly { readonly type: 'dns' | 'email' | 'uri' | 'ip'; readonly value: string }[];
  readonly notBefore: number;
  readonly notAfter: number;
  /** For the log: `2048 bits RSA`, `256 bits ECprime256v1`. */
  readonly keyDescription: string;
  readonly signatureAlgorithm: string;
}
