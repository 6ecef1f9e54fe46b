/**
 * A TLS port without TLS, for the simulator: same shape, sizes and order of events as a real handshake, every byte decided
 * by a seed. It protects nothing; what it does detect is a stream that lost, doubled, moved or changed a byte.
 *
 *     record   kind(1)  length(2)  check(4)  payload(length)      check = FNV-1a over number of the record, kind, payload
 *     flight   size of the JSON(2)  JSON { nonce, chain }  filling
 *
 * Flights alternate, the client's first. A side is secured once it has sent and received all that are its own and the
 * other's; with the default three that is TLS 1.3's order: the client first, the server one flight later.
 */
import type {
  PeerCertificate,
  TlsConnection,
  TlsContext,
  TlsFailure,
  VerifyCertificate,
  VerifyError,
} from '@seikan/core';

import { SeededRandom } from './seeded-random.js';

export interface ScriptedTlsOptions {
  readonly role: 'client' | 'server';
  readonly seed: number;
  /** What we show the peer, the leaf first. */
  readonly chain?: readonly PeerCertificate[];
  /** Bytes of each flight, the same on both sides. Default: hello 300, server 1 800, client 1 800. */
  readonly flights?: readonly number[];
  /** Whether a peer that shows no certificate fails. Default `require`. */
  readonly verifyPeer?: 'require' | 'optional';
  /** OpenSSL's part of the verdict on one of the peer's certificates. Default: no error. */
  readonly judge?: (certificate: PeerCertificate) => VerifyError | undefined;
}

const Kind = { flight: 22, data: 23, alert: 21 } as const;
const HEADER_SIZE = 7;
const RECORD_LIMIT = 16_384;
const DEFAULT_FLIGHTS = [300, 1_800, 1_800] as const;

export class ScriptedTls implements TlsContext {
  readonly #options: ScriptedTlsOptions;
  readonly #random: SeededRandom;
  #open = true;

  constructor(options: ScriptedTlsOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
  }

  open(verify: VerifyCertificate): TlsConnection {
    if (!this.#open) throw new Error('the TLS context is closed');
    const nonce = new Uint8Array(32);
    this.#random.fill(nonce);
    return new ScriptedConnection(this.#options, nonce, verify);
  }

  close(): void {
    this.#open = false;
  }
}

/** A certificate with every field filled: enough for policy, names and environment. Its bytes are not a certificate. */
export function fakeCertificate(name: string, fields: Partial<PeerCertificate> = {}): PeerCertificate {
  const random = new SeededRandom(fnv(new TextEncoder().encode(name)));
  const bytes = (length: number) => {
    const made = new Uint8Array(length);
    random.fill(made);
    return made;
  };
  return {
    depth: 0,
    der: bytes(64),
    subject: `CN=${name}`,
    issuer: 'CN=Fake CA',
    subjectFields: [{ name: 'CN', value: name }],
    serialDecimal: '4660',
    serialHex: '12:34',
    sha1: bytes(20),
    sha256: bytes(32),
    keyUsage: 0x80,
    extendedKeyUsage: undefined,
    subjectAltNames: [],
    notBefore: 0,
    notAfter: 4_102_444_800,
    keyDescription: '2048 bits RSA',
    signatureAlgorithm: 'RSA-SHA256',
    ...fields,
  };
}

class ScriptedConnection implements TlsConnection {
  readonly #options: ScriptedTlsOptions;
  readonly #flights: readonly number[];
  readonly #nonce: Uint8Array;
  readonly #verify: VerifyCertificate;
  #state: TlsConnection['state'] = 'handshaking';
  #failure: TlsFailure | undefined;
  #peerNonce: Uint8Array = new Uint8Array(0);
  #peerCertificate: PeerCertificate | undefined;
  #nextFlight = 0;
  #received: Uint8Array = new Uint8Array(0);
  #sending: Uint8Array = new Uint8Array(0);
  #recordsReceived = 0;
  #recordsSent = 0;
  #unread: Uint8Array[] = [];
  #open = true;

  constructor(options: ScriptedTlsOptions, nonce: Uint8Array, verify: VerifyCertificate) {
    this.#options = options;
    this.#flights = options.flights ?? DEFAULT_FLIGHTS;
    this.#nonce = nonce;
    this.#verify = verify;
  }

  get state(): TlsConnection['state'] {
    return this.#state;
  }

  get failure(): TlsFailure | undefined {
    return this.#failure;
  }

  get peerCertificate(): PeerCertificate | undefined {
    return this.#peerCertificate;
  }

  get pending(): number {
    return this.#sending.length;
  }

  start(): void {
    this.#mustBeOpen();
    if (this.#options.role === 'client') this.#sendOwnFlight();
  }

  receive(ciphertext: Uint8Array): void {
    this.#mustBeOpen();
    this.#received = joined(this.#received, ciphertext);
    while (this.#state === 'handshaking' || this.#state === 'secured') {
      const received = this.#received;
      if (received.length < HEADER_SIZE) return;
      const view = new DataView(received.buffer, received.byteOffset);
      const length = view.getUint16(1);
      if (length > RECORD_LIMIT) return this.#fail('record too long', 'record overflow');
      if (received.length < HEADER_SIZE + length) return;
      const payload = received.slice(HEADER_SIZE, HEADER_SIZE + length);
      const kind = received[0] ?? 0;
      if (check(this.#recordsReceived, kind, payload) !== view.getUint32(3))
        return this.#fail('record does not match its check', 'bad record mac');
      this.#recordsReceived += 1;
      this.#received = received.slice(HEADER_SIZE + length);
      this.#handleRecord(kind, payload);
    }
  }

  take(into: Uint8Array): number {
    this.#mustBeOpen();
    const taken = this.#sending.subarray(0, into.length);
    into.set(taken);
    this.#sending = this.#sending.slice(taken.length);
    return taken.length;
  }

  write(plaintext: Uint8Array): void {
    this.#mustBeSecured();
    if (plaintext.length === 0 || plaintext.length > RECORD_LIMIT)
      throw new RangeError('a TLS record holds 1 to 16384 bytes');
    this.#sendRecord(Kind.data, plaintext);
  }

  read(): Uint8Array | undefined {
    return this.#unread.shift();
  }

  exportKeyingMaterial(label: string, length: number): Uint8Array {
    // What was agreed on holds after the peer has closed, too.
    if (this.#state !== 'closed') this.#mustBeSecured();
    const [client, server] =
      this.#options.role === 'client' ? [this.#nonce, this.#peerNonce] : [this.#peerNonce, this.#nonce];
    const material = new Uint8Array(length);
    new SeededRandom(fnv(new TextEncoder().encode(label), fnv(server, fnv(client)))).fill(material);
    return material;
  }

  describe(): string {
    return 'ScriptedTLS, cipher none';
  }

  shutdown(): void {
    if (this.#state !== 'secured') return;
    this.#sendRecord(Kind.alert, new TextEncoder().encode('close notify'));
    this.#state = 'closed';
  }

  close(): void {
    this.#open = false;
    this.#unread = [];
  }

  #handleRecord(kind: number, payload: Uint8Array): void {
    switch (kind) {
      case Kind.flight:
        return this.#handleFlight(payload);
      case Kind.data:
        if (this.#state !== 'secured') return this.#fail('data before the handshake ended', 'unexpected message');
        this.#unread.push(payload);
        return;
      case Kind.alert:
        return this.#handleAlert(new TextDecoder().decode(payload));
      default:
        return this.#fail('unknown kind of record', 'unexpected message');
    }
  }

  #handleAlert(name: string): void {
    if (name === 'close notify') {
      this.#state = 'closed';
      return;
    }
    this.#state = 'failed';
    this.#failure = { reason: `alert ${name}`, alert: { direction: 'received', name } };
  }

  #handleFlight(payload: Uint8Array): void {
    const mine = this.#nextFlight % 2 === (this.#options.role === 'client' ? 0 : 1);
    if (mine || this.#nextFlight >= this.#flights.length)
      return this.#fail('a flight out of turn', 'unexpected message');
    const size = new DataView(payload.buffer, payload.byteOffset).getUint16(0);
    const { nonce, chain } = decodeFlight(payload.subarray(2, 2 + size));
    this.#peerNonce = nonce;
    // The client's hello shows no certificate yet.
    if (this.#nextFlight > 0 && this.#nextFlight < 3 && !this.#acceptChain(chain)) return;
    this.#nextFlight += 1;
    this.#sendOwnFlight();
  }

  #acceptChain(chain: readonly PeerCertificate[]): boolean {
    if (chain.length === 0 && this.#options.verifyPeer !== 'optional') {
      this.#fail('peer did not return a certificate', 'certificate required');
      return false;
    }
    this.#peerCertificate = chain[0];
    for (const certificate of chain.toReversed()) {
      const error = this.#options.judge?.(certificate);
      try {
        if (this.#verify(certificate, error) === 'accept') continue;
        this.#fail('certificate verify failed', 'certificate unknown');
      } catch (cause) {
        this.#fail('certificate verify failed', 'certificate unknown', { cause });
      }
      return false;
    }
    return true;
  }

  #sendOwnFlight(): void {
    const size = this.#flights[this.#nextFlight];
    if (size !== undefined) {
      const chain = this.#nextFlight === 0 ? [] : (this.#options.chain ?? []);
      this.#sendRecord(Kind.flight, encodeFlight(this.#nonce, chain, size));
      this.#nextFlight += 1;
    }
    if (this.#nextFlight >= this.#flights.length) this.#state = 'secured';
  }

  #sendRecord(kind: number, payload: Uint8Array): void {
    const record = new Uint8Array(HEADER_SIZE + payload.length);
    const view = new DataView(record.buffer);
    view.setUint8(0, kind);
    view.setUint16(1, payload.length);
    view.setUint32(3, check(this.#recordsSent, kind, payload));
    record.set(payload, HEADER_SIZE);
    this.#recordsSent += 1;
    this.#sending = joined(this.#sending, record);
  }

  #fail(reason: string, alert: string, thrown?: { cause: unknown }): void {
    this.#sendRecord(Kind.alert, new TextEncoder().encode(alert));
    this.#state = 'failed';
    this.#failure = { reason, alert: { direction: 'sent', name: alert }, ...thrown };
  }

  #mustBeOpen(): void {
    if (!this.#open) throw new Error('the TLS connection is closed');
  }

  #mustBeSecured(): void {
    this.#mustBeOpen();
    if (this.#state !== 'secured') throw new Error('the TLS connection is not secured');
  }
}

function encodeFlight(nonce: Uint8Array, chain: readonly PeerCertificate[], size: number): Uint8Array {
  const content = JSON.stringify({ nonce, chain: chain.map((certificate, depth) => ({ ...certificate, depth })) }, hex);
  const text = new TextEncoder().encode(content);
  const flight = new Uint8Array(Math.max(size, 2 + text.length));
  new DataView(flight.buffer).setUint16(0, text.length);
  flight.set(text, 2);
  return flight;
}

function decodeFlight(text: Uint8Array): { nonce: Uint8Array; chain: PeerCertificate[] } {
  return JSON.parse(new TextDecoder().decode(text), unhex) as { nonce: Uint8Array; chain: PeerCertificate[] };
}

const HEX_MARK = 'hex:';

function hex(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array
    ? HEX_MARK + Array.from(value, (b) => b.toString(16).padStart(2, '0')).join('')
    : value;
}

function unhex(_key: string, value: unknown): unknown {
  if (typeof value !== 'string' || !value.startsWith(HEX_MARK)) return value;
  return Uint8Array.from(value.slice(HEX_MARK.length).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function check(index: number, kind: number, payload: Uint8Array): number {
  return fnv(payload, fnv(Uint8Array.of(index >>> 8, index, kind)));
}

/** FNV-1a, 32 bits. */
function fnv(bytes: Uint8Array, seed = 0x811c_9dc5): number {
  let hash = seed;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hash >>> 0;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
