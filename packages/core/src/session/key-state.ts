/**
 * One key negotiation: a reliable channel, a TLS handshake over it, and one key method 2 message each way.
 *
 *   initial ─▶ preStart ─▶ start ─▶ sentKey ─▶ gotKey ─▶ active ─▶ generated        client
 *                                └▶ gotKey ─▶ sentKey ─┘                            server
 *   any state ─▶ failed
 *
 * upstream: `struct key_state`, states S_INITIAL … S_GENERATED_KEYS (ssl_common.h, 2.6). S_PRE_START_SKIP is
 * the constructor option `afterCookie`; S_UNDEF is the absence of the object.
 */
import { earlier, type Millis } from '../bytes/millis.js';
import {
  encodeKeyMethod2,
  type KeyMethod2,
  makeKeySource,
  parseKeyMethod2,
  type ReceivedKeyMethod2,
  wipeKeySource,
} from '../keys/key-method-2.js';
import { AckList } from '../reliable/ack-list.js';
import { ReliableReceive } from '../reliable/reliable-receive.js';
import { ReliableSend } from '../reliable/reliable-send.js';
import type { PeerCertificate, TlsConnection, TlsFailure } from '../tls/tls.js';
import type { ControlPacket } from '../wire/control-packet.js';
import type { DropReason } from '../wire/drop-reason.js';
import { type ControlOpcode, type KeyId, Opcode } from '../wire/opcode.js';
import type { SessionId } from '../wire/session-id.js';
import type { SessionSettings } from './session-settings.js';

export type KeyStateName = 'initial' | 'preStart' | 'start' | 'sentKey' | 'gotKey' | 'active' | 'generated' | 'failed';

/** Whether the engine has let this peer in under this key. `generated` needs `granted`. */
export type KeyAuthentication = 'unasked' | 'deferred' | 'granted' | 'refused';

/** Why a negotiation ended, by who is at fault. */
export interface KeyFailure {
  readonly fault: 'timeout' | 'peer-misbehaved' | 'peer-incompatible' | 'auth-failed' | 'local';
  readonly reason: string;
  /** What TLS itself said, where it was TLS that failed. */
  readonly tls?: TlsFailure;
}

export type KeyEvent =
  /** TLS is up and the certificates have passed `verify`; nothing of the peer is read until `admit` is called. */
  | { readonly event: 'secured'; readonly key: KeyState }
  /** The peer's key method 2 message was read: authenticate it. A server's answer is already on its way. */
  | { readonly event: 'exchange'; readonly key: KeyState }
  /** Both messages are exchanged and ours is acknowledged: control messages may be sent. */
  | { readonly event: 'active'; readonly key: KeyState }
  /** Plaintext after the exchange: control messages, one or more, NUL-separated. */
  | { readonly event: 'message'; readonly key: KeyState; readonly plaintext: Uint8Array }
  | { readonly event: 'failed'; readonly key: KeyState; readonly failure: KeyFailure };

export interface KeyStateOptions {
  readonly keyId: KeyId;
  readonly initialOpcode: ControlOpcode;
  readonly peerSessionId: SessionId | undefined;
  /** Both resets have already been exchanged without state (the cookie came back): message ids start at 1. */
  readonly afterCookie: boolean;
  /** Bytes that the wrap adds to each of this key's packets. */
  readonly wrapOverhead: number;
}

/** One TLS record's plaintext; upstream's read buffer. A longer key method 2 message is refused. */
const MESSAGE_SIZE = 16_384;

export class KeyState {
  readonly keyId: KeyId;
  readonly connection: TlsConnection;
  readonly createdAt: Millis;
  readonly send: ReliableSend;
  readonly receive: ReliableReceive;
  readonly acks = new AckList();
  /** When the data keys of this state were made and it became usable; set by the owner through `generated`. */
  establishedAt: Millis | undefined;
  /** The end of negotiation while it lasts. */
  readonly deadline: Millis;
  /** When the key is given up: set by the first renegotiation that is to replace it, whether that succeeds or not. */
  retiresAt: Millis | undefined;
  authentication: KeyAuthentication = 'unasked';
  /** The wrapped client key must follow the next packet (CONTROL_WKC_V1). */
  resendClientKey = false;

  readonly #settings: SessionSettings;
  readonly #payloadSize: number;
  readonly #events: (event: KeyEvent) => void;
  #state: KeyStateName = 'initial';
  #peerSessionId: SessionId | undefined;
  #initialOpcode: ControlOpcode;
  readonly #chain: PeerCertificate[] = [];
  #admitted = false;
  #announcedSecured = false;
  #localHello: KeyMethod2 | undefined;
  #peerHello: ReceivedKeyMethod2 | undefined;

  constructor(settings: SessionSettings, options: KeyStateOptions, events: (event: KeyEvent) => void, now: Millis) {
    this.#settings = settings;
    this.#payloadSize = Math.max(LEAST_PAYLOAD, settings.controlSize - PACKET_OVERHEAD - options.wrapOverhead);
    this.#events = events;
    this.keyId = options.keyId;
    this.#initialOpcode = options.initialOpcode;
    this.#peerSessionId = options.peerSessionId;
    this.createdAt = now;
    this.deadline = now + settings.handWindow;
    const startAt = options.afterCookie ? 1 : 0;
    this.send = new ReliableSend({ tlsTimeout: settings.tlsTimeout, startAt });
    this.receive = new ReliableReceive({ startAt });
    this.connection = settings.tls.open((certificate, error) => {
      this.#chain.push(certificate);
      return settings.verify(this, certificate, error);
    });
    if (options.afterCookie) this.#enter('start');
  }

  /** The certificates that the peer has shown, in the order in which they were verified: from the root down. */
  get chain(): readonly PeerCertificate[] {
    return this.#chain;
  }

  get state(): KeyStateName {
    return this.#state;
  }

  get peerSessionId(): SessionId | undefined {
    return this.#peerSessionId;
  }

  /** Our key method 2 message once it is sent: the key sources of the PRF are in it. */
  get localHello(): KeyMethod2 | undefined {
    return this.#localHello;
  }

  get peerHello(): ReceivedKeyMethod2 | undefined {
    return this.#peerHello;
  }

  /** A peer that has closed its TLS connection is told nothing more, and stays as long as its key. */
  get canWrite(): boolean {
    return this.isActive && this.connection.state === 'secured';
  }

  /** Control messages can be exchanged. */
  get isActive(): boolean {
    return this.#state === 'active' || this.#state === 'generated';
  }

  /** Negotiating: neither usable nor failed. */
  get isNegotiating(): boolean {
    return !this.isActive && this.#state !== 'failed';
  }

  /** Queues the reset that opens this negotiation. `payload` is empty but for early negotiation. */
  open(payload: Uint8Array, now: Millis): void {
    this.send.queue(this.#initialOpcode, payload, now);
    this.#enter('preStart');
  }

  /** A reset of the peer named its session. */
  meet(peerSessionId: SessionId): void {
    this.#peerSessionId = peerSessionId.slice();
  }

  /** Takes a packet that passed unwrapping and belongs to this key. */
  handlePacket(packet: ControlPacket, now: Millis): DropReason | undefined {
    if (this.#state === 'failed') return 'wrong-state';
    if (packet.acks.length > 0) this.send.acknowledge(packet.acks, now);
    if (packet.messageId === undefined) return undefined;
    const accepted = this.receive.accept(packet.messageId, packet.opcode, packet.payload);
    if (accepted === 'outside') return 'outside-window';
    this.acks.add(packet.messageId);
    return accepted === 'duplicate' ? 'duplicate' : undefined;
  }

  /** Moves the negotiation on as far as what has arrived allows. */
  advance(now: Millis): void {
    if (this.#state === 'failed' || this.#state === 'initial') return;
    // Until the chain is accepted there is room for what the window holds: what comes beyond it is not acknowledged.
    const mayRead = this.#admitted || !this.#announcedSecured;
    for (let packet = mayRead ? this.receive.next() : undefined; packet !== undefined; packet = this.receive.next()) {
      if (packet.opcode === Opcode.controlV1 || packet.opcode === Opcode.controlWkcV1)
        this.connection.receive(packet.payload);
    }
    if (this.#state === 'preStart' && this.#peerSessionId !== undefined && this.send.outstanding === 0) {
      this.#enter('start');
      if (this.#settings.role === 'client') this.connection.start();
    }
    this.#advanceTls();
    this.#advanceExchange();
    this.#readMessages();
    this.#queueCiphertext(now);
    if (this.#isExchanged && this.send.outstanding === 0 && this.connection.pending === 0 && !this.isActive) {
      this.#enter('active');
      this.#events({ event: 'active', key: this });
    }
  }

  /** The engine's word that the peer's chain is accepted: from now on its messages are read. */
  admit(): void {
    this.#admitted = true;
  }

  /** Writes one control message, NUL included, as one TLS record. Only when `canWrite`. */
  writeMessage(plaintext: Uint8Array): void {
    this.connection.write(plaintext);
  }

  /** The owner has made the data keys. */
  generated(now: Millis): void {
    this.establishedAt = now;
    this.#enter('generated');
  }

  fail(failure: KeyFailure): void {
    if (this.#state === 'failed') return;
    this.#enter('failed');
    this.#events({ event: 'failed', key: this, failure });
  }

  /** The peer is refused although TLS is up: a fatal alert tells it, as one from within the handshake would. */
  dismiss(now: Millis): void {
    if (this.connection.state === 'secured') this.connection.receive(BROKEN_RECORD);
    this.#queueCiphertext(now);
  }

  nextTimeout(): Millis | undefined {
    if (this.#state === 'failed') return undefined;
    return earlier(this.send.nextTimeout(), this.isNegotiating ? this.deadline : this.retiresAt);
  }

  /** Frees the TLS connection and wipes what keys were made from; nothing is told of it. Idempotent. */
  close(): void {
    this.#enter('failed');
    this.connection.close();
    this.send.clear();
    for (const hello of [this.#localHello, this.#peerHello]) if (hello !== undefined) wipeKeySource(hello.source);
    this.#localHello = undefined;
    this.#peerHello = undefined;
  }

  get #isExchanged(): boolean {
    return this.#state === (this.#settings.role === 'client' ? 'gotKey' : 'sentKey');
  }

  #enter(next: KeyStateName): void {
    this.#state = next;
  }

  #advanceTls(): void {
    const { connection } = this;
    if (connection.state === 'failed') {
      const tls = connection.failure ?? { reason: 'unknown' };
      this.fail({ fault: 'peer-misbehaved', reason: 'TLS object -> incoming plaintext read error', tls });
    } else if (connection.state === 'secured' && !this.#announcedSecured) {
      this.#announcedSecured = true;
      this.#events({ event: 'secured', key: this });
    }
  }

  #advanceExchange(): void {
    if (!this.#admitted || this.connection.state !== 'secured') return;
    const { role } = this.#settings;
    if (this.#state === 'start' && role === 'client') {
      this.#writeHello();
      this.#enter('sentKey');
    }
    if ((this.#state === 'sentKey' && role === 'client') || (this.#state === 'start' && role === 'server')) {
      const record = this.connection.read();
      if (record === undefined) return;
      const hello =
        record.length > MESSAGE_SIZE ? 'oversized' : parseKeyMethod2(record, role === 'client' ? 'server' : 'client');
      record.fill(0);
      if (typeof hello === 'string') {
        this.fail({ fault: 'peer-misbehaved', reason: `key method 2 message: ${hello}` });
        return;
      }
      this.#peerHello = hello;
      this.#enter('gotKey');
      if (role === 'server') {
        this.#writeHello();
        this.#enter('sentKey');
      }
      this.#events({ event: 'exchange', key: this });
    }
  }

  #writeHello(): void {
    const { role, random } = this.#settings;
    const { options, username, password, peerInfo } = this.#settings.hello(this, this.#peerHello);
    this.#localHello = { source: makeKeySource(role, random), options, username, password, peerInfo };
    const encoded = encodeKeyMethod2(this.#localHello);
    this.connection.write(encoded);
    encoded.fill(0);
  }

  #readMessages(): void {
    if (!this.isActive && !this.#isExchanged) return;
    for (let record = this.connection.read(); record !== undefined; record = this.connection.read()) {
      this.#events({ event: 'message', key: this, plaintext: record });
    }
  }

  #queueCiphertext(now: Millis): void {
    while (this.connection.pending > 0 && this.send.canQueue) {
      const wrapped = this.resendClientKey ? (this.#settings.protection.wrappedClientKey?.length ?? 0) : 0;
      const chunk = new Uint8Array(Math.min(this.connection.pending, Math.max(0, this.#payloadSize - wrapped)));
      this.connection.take(chunk);
      this.send.queue(wrapped > 0 ? Opcode.controlWkcV1 : Opcode.controlV1, chunk, now);
      this.resendClientKey = false;
    }
  }
}

/** A TLS record (handshake, 784 bytes) that no peer can have sent: a connection that receives it fails with an alert. */
const BROKEN_RECORD = new Uint8Array(5 + 0x0310);
BROKEN_RECORD.set([0x16, 0x03, 0x03, 0x03, 0x10]);

/** opcode 1, session id 8, ack count 1, four acks of 4, peer session id 8, message id 4. */
const PACKET_OVERHEAD = 1 + 8 + 1 + 16 + 8 + 4;

/** Of TLS in a packet, when `max-packet-size` leaves no room for it; a wrapped client key may go alone. As upstream has it. */
const LEAST_PAYLOAD = 16;
