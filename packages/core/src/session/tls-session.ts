/**
 * One TLS session with a peer: a session id at each end, the wrap of its control packets, and two key states,
 * `primary` and `lameDuck` (the key that a renegotiation has replaced and that stays usable for the transition window).
 *
 * upstream: `struct tls_session` (ssl_common.h, 2.6), `tls_process`, `key_state_soft_reset`.
 */
import { earlier, type Millis, type UnixSeconds } from '../bytes/millis.js';
import type { ControlPacket } from '../wire/control-packet.js';
import type { DropReason } from '../wire/drop-reason.js';
import { type ControlOpcode, type KeyId, keyIdOf, Opcode } from '../wire/opcode.js';
import { type SessionId, sameSessionId } from '../wire/session-id.js';
import type { ControlWrap } from '../wrap/control-wrap.js';
import { type KeyEvent, KeyState } from './key-state.js';
import type { AcceptedClientKey, SessionSettings } from './session-settings.js';

/** Acknowledgements in a packet with payload, and in one without. */
const ACKS_PIGGYBACKED = 4;
const ACKS_ALONE = 8;
/** SoftEther drops packets with more; a peer that agrees on keys of their own for renegotiations is none. upstream: `write_control_auth` (2.6). */
const ACKS_FOR_SOFTETHER = 4;

export interface TlsSessionOptions {
  /** Ours; chosen at random, or the cookie that the peer has returned. */
  readonly sessionId: SessionId;
  readonly peerSessionId: SessionId | undefined;
  readonly wrap: ControlWrap;
  readonly initialOpcode: ControlOpcode;
  readonly afterCookie: boolean;
  /** Wiped with the session. */
  readonly clientKey?: AcceptedClientKey | undefined;
}

export class TlsSession {
  readonly sessionId: SessionId;
  /** tls-crypt-v2 as server. */
  readonly clientKey: AcceptedClientKey | undefined;
  readonly #settings: SessionSettings;
  readonly #events: (event: KeyEvent) => void;
  readonly #wrap: ControlWrap;
  #renegotiationWrap: ControlWrap | undefined;
  /** Makes the wrap above from keys of TLS, once it is needed. */
  #makeRenegotiationWrap: (() => ControlWrap) | undefined;
  #primary: KeyState;
  #lameDuck: KeyState | undefined;

  constructor(settings: SessionSettings, options: TlsSessionOptions, events: (event: KeyEvent) => void, now: Millis) {
    const { initialOpcode, peerSessionId, afterCookie } = options;
    this.#settings = settings;
    this.#events = events;
    this.#wrap = options.wrap;
    this.sessionId = options.sessionId;
    this.clientKey = options.clientKey;
    this.#primary = new KeyState(
      settings,
      { keyId: 0, initialOpcode, peerSessionId, afterCookie, wrapOverhead: options.wrap.overhead },
      events,
      now,
    );
  }

  get primary(): KeyState {
    return this.#primary;
  }

  get lameDuck(): KeyState | undefined {
    return this.#lameDuck;
  }

  get peerSessionId(): SessionId | undefined {
    return this.#primary.peerSessionId;
  }

  /** Sends the reset of the first key. */
  open(payload: Uint8Array, now: Millis): void {
    this.#primary.open(payload, now);
  }

  /** Renegotiations are wrapped with keys of their own from now on (dynamic tls-crypt); the first of them makes them. */
  useRenegotiationWrap(make: () => ControlWrap): void {
    this.#renegotiationWrap?.wipe();
    this.#renegotiationWrap = undefined;
    this.#makeRenegotiationWrap = make;
  }

  /** Unwraps a packet of this session; `bytes` starts with the opcode. */
  unwrap(bytes: Uint8Array, now: UnixSeconds): ControlPacket | DropReason {
    return this.#wrapOf(keyIdOf(bytes[0] ?? 0)).unwrap(bytes, now);
  }

  /** Takes an unwrapped packet whose session id is the peer's of this session. */
  handlePacket(packet: ControlPacket, now: Millis): DropReason | undefined {
    if (packet.peerSessionId !== undefined && !sameSessionId(packet.peerSessionId, this.sessionId))
      return 'wrong-session-id';
    if (
      packet.opcode === Opcode.softResetV1 &&
      packet.keyId !== this.#primary.keyId &&
      packet.keyId !== this.#lameDuck?.keyId
    ) {
      // A reset for a key that is not the next one is old news; one before data keys exist is answered by nobody (6.5).
      if (packet.keyId !== nextKeyId(this.#primary.keyId) || this.#primary.state !== 'generated') return 'wrong-state';
      this.#softReset(now);
    }
    const key = this.#keyOf(packet.keyId);
    if (key === undefined) return 'wrong-key-id';
    if (key.peerSessionId === undefined) key.meet(packet.sessionId);
    return key.handlePacket(packet, now);
  }

  /** Starts a renegotiation from this side. False: one is running, or the first key is not done. */
  renegotiate(now: Millis): boolean {
    if (this.#primary.state !== 'generated') return false;
    this.#softReset(now);
    return true;
  }

  /**
   * The renegotiation has failed: the key before it stays, to the end that it was given then. False: there is none.
   * upstream: `tls_multi_process` moves the session to TM_LAME_DUCK and begins another (2.6).
   */
  restore(): boolean {
    const old = this.#lameDuck;
    if (old?.state !== 'generated') return false;
    this.#primary.close();
    this.#primary = old;
    this.#lameDuck = undefined;
    return true;
  }

  /** Runs the machine of both keys and drops those whose time is over. */
  advance(now: Millis): void {
    if (isOver(this.#lameDuck, now)) this.dropLameDuck();
    // A restored key that nothing has replaced in time.
    if (isOver(this.#primary, now))
      this.#primary.fail({ fault: 'timeout', reason: 'the last key has come to its end' });
    const old = this.#lameDuck;
    this.#advanceKey(this.#primary, now);
    if (old !== undefined) this.#advanceKey(old, now);
  }

  /** The next packet that is due, wrapped; call until it gives `undefined`. */
  poll(now: Millis, wallClock: UnixSeconds): Uint8Array | undefined {
    const packet = this.#nextPacket(this.#primary, now) ?? this.#nextPacket(this.#lameDuck, now);
    return packet === undefined ? undefined : this.#encode(packet, wallClock);
  }

  nextTimeout(): Millis | undefined {
    const next = this.#primary.nextTimeout();
    const old = this.#lameDuck;
    return old === undefined ? next : earlier(next, earlier(old.retiresAt, old.nextTimeout()));
  }

  dropLameDuck(): void {
    this.#lameDuck?.close();
    this.#lameDuck = undefined;
  }

  close(): void {
    this.#primary.close();
    this.dropLameDuck();
    this.#wrap.wipe();
    this.#renegotiationWrap?.wipe();
    this.clientKey?.key.fill(0);
  }

  #softReset(now: Millis): void {
    const old = this.#primary;
    this.dropLameDuck();
    old.retiresAt ??= now + this.#settings.tranWindow;
    this.#lameDuck = old;
    const keyId = nextKeyId(old.keyId);
    this.#primary = new KeyState(
      this.#settings,
      {
        keyId,
        initialOpcode: Opcode.softResetV1,
        peerSessionId: old.peerSessionId,
        afterCookie: false,
        wrapOverhead: this.#wrapOf(keyId).overhead,
      },
      this.#events,
      now,
    );
    this.#primary.open(new Uint8Array(0), now);
  }

  #keyOf(keyId: KeyId): KeyState | undefined {
    if (keyId === this.#primary.keyId) return this.#primary;
    return keyId === this.#lameDuck?.keyId ? this.#lameDuck : undefined;
  }

  #wrapOf(keyId: KeyId): ControlWrap {
    if (keyId === 0 || this.#makeRenegotiationWrap === undefined) return this.#wrap;
    this.#renegotiationWrap ??= this.#makeRenegotiationWrap();
    return this.#renegotiationWrap;
  }

  #advanceKey(key: KeyState, now: Millis): void {
    if (key.isNegotiating && now >= key.deadline) {
      const seconds = Math.round(this.#settings.handWindow / 1000);
      key.fail({
        fault: 'timeout',
        reason: `TLS key negotiation failed to occur within ${seconds} seconds (check your network connectivity)`,
      });
    }
    key.advance(now);
  }

  #nextPacket(key: KeyState | undefined, now: Millis): ControlPacket | undefined {
    if (key === undefined || key.state === 'initial') return undefined;
    const { sessionId } = this;
    const due = key.send.due(now);
    if (due !== undefined) {
      const acks = key.peerSessionId === undefined ? [] : key.acks.take(ACKS_PIGGYBACKED);
      const { opcode, messageId, payload } = due;
      return {
        opcode,
        messageId,
        payload,
        keyId: key.keyId,
        sessionId,
        acks,
        peerSessionId: acks.length > 0 ? key.peerSessionId : undefined,
      };
    }
    if (!key.acks.hasPending || key.peerSessionId === undefined) return undefined;
    return {
      opcode: Opcode.ackV1,
      keyId: key.keyId,
      sessionId,
      acks: key.acks.take(this.#maySpeakToSoftEther ? ACKS_FOR_SOFTETHER : ACKS_ALONE),
      peerSessionId: key.peerSessionId,
      messageId: undefined,
      payload: new Uint8Array(0),
    };
  }

  get #maySpeakToSoftEther(): boolean {
    return this.#settings.role === 'client' && this.#wrap.kind === 'none' && this.#makeRenegotiationWrap === undefined;
  }

  #encode(packet: ControlPacket, wallClock: UnixSeconds): Uint8Array {
    const wrapped = this.#wrapOf(packet.keyId).wrap(packet, wallClock);
    const clientKey = this.#settings.protection.wrappedClientKey;
    if (
      clientKey === undefined ||
      (packet.opcode !== Opcode.hardResetClientV3 && packet.opcode !== Opcode.controlWkcV1)
    )
      return wrapped;
    const whole = new Uint8Array(wrapped.length + clientKey.length);
    whole.set(wrapped);
    whole.set(clientKey, wrapped.length);
    return whole;
  }
}

export function isOver(key: KeyState | undefined, now: Millis): boolean {
  return key?.retiresAt !== undefined && now >= key.retiresAt;
}

/** 0 is only for the first key of a session; then 1 to 7 in turn. */
export function nextKeyId(keyId: KeyId): KeyId {
  return (keyId % 7) + 1;
}
