/**
 * One tunnel's state: its TLS sessions, data keys and place in the data channel. In client and p2p mode there is one
 * `p2p` context; in server mode each Instance has one child, and the top context is no tunnel at all (see Top).
 *
 * Lifetimes (upstream c0/c1/c2): what survives a soft restart is held by the owner (PointToPoint, Multi); a Context is
 * level 2 and dies with every restart. Children never open or close the tun or the UDP socket: only owners ask for these.
 *
 * upstream: `struct context` (openvpn.h), `struct context_2`.
 */
import {
  type Crypto,
  type DataChannelCommand,
  type DropReason,
  type Endpoint,
  earlier,
  type KeyFailure,
  type KeyId,
  type KeyState,
  type LinkId,
  type Millis,
  type OutgoingPacket,
  type PeerCounters,
  type PeerRef,
  type PeerSettings,
  Session,
  type SessionSettings,
  splitControlMessages,
} from '@seikan/core';

import { DataKeys } from './data-keys.js';
import { KeyUsage } from './key-usage.js';
import type { Negotiated } from './negotiation.js';
import type { Time } from './output.js';

export type ContextMode = 'p2p' | 'child-udp' | 'child-tcp';

/** Who is told what happens in a tunnel: PointToPoint or Instance. */
export interface ContextOwner {
  command(command: DataChannelCommand): void;
  /** TLS is up and the chain passed the policy: call `admit` when nothing else speaks against it. */
  secured(key: KeyState, time: Time): void;
  /** The peer's strings are read: authenticate. */
  exchanged(key: KeyState, time: Time): void;
  active(key: KeyState, time: Time): void;
  message(key: KeyState, text: string, time: Time): void;
  failed(key: KeyState, failure: KeyFailure, time: Time): void;
  /** A newcomer has become the active session. */
  takenOver(key: KeyState, time: Time): void;
  /** We have begun to replace a key. */
  renegotiating(replaced: ReplacedKey): void;
}

/** How old a key has become and what it has carried, each beside what it may; limits of 0 are none. */
export interface ReplacedKey {
  readonly age: Millis;
  readonly bytes: number;
  readonly packets: number;
  readonly limits: Renegotiation;
}

export interface ContextSettings {
  readonly mode: ContextMode;
  readonly crypto: Crypto;
  readonly session: SessionSettings;
  readonly link: LinkId;
  readonly remote: Endpoint;
  readonly replayWindow: number;
  readonly replayTime: Millis;
  readonly renegotiation: Renegotiation;
  readonly counters: () => PeerCounters | undefined;
}

/** When a key is to be replaced; 0 is never. */
export interface Renegotiation {
  readonly after: Millis;
  readonly bytes: number;
  readonly packets: number;
}

const TOUCH_INTERVAL: Millis = 500;

/** As it is logged. */
export const STREAM_ERROR = 'Fatal TLS error (check_tls_errors_co), restarting';

/**
 * Whether a control packet that cannot be used ends a TCP connection: a stream loses, doubles and reorders nothing, so it is
 * the peer's fault. upstream: forward.c `check_tls_errors` (2.6).
 */
export function breaksStream(drop: DropReason): boolean {
  return drop !== 'duplicate' && drop !== 'outside-window' && drop !== 'busy';
}

export class Context {
  readonly mode: ContextMode;
  readonly session: Session;
  readonly #owner: ContextOwner;
  readonly #settings: ContextSettings;
  readonly #keys: DataKeys;
  readonly #usage: KeyUsage;
  #link: LinkId;
  #remote: Endpoint;
  #peer: PeerRef | undefined;
  #negotiated: Negotiated | undefined;
  /** Where a session that is not the active one yet calls from: with `float`, not where the peer is. */
  #newcomerAt: Endpoint | undefined;
  #draining = false;
  #touchedAt: Millis = 0;
  /** After a renegotiation that failed, the next one waits. */
  #renegotiateFrom: Millis = 0;

  constructor(settings: ContextSettings, owner: ContextOwner) {
    this.mode = settings.mode;
    this.#settings = settings;
    this.#owner = owner;
    this.#link = settings.link;
    this.#remote = settings.remote;
    const { handWindow, role } = settings.session;
    const { after } = settings.renegotiation;
    this.session = new Session(settings.session);
    this.#usage = new KeyUsage(settings.renegotiation, settings.counters);
    this.#keys = new DataKeys(
      {
        crypto: settings.crypto,
        role,
        replayWindow: settings.replayWindow,
        replayTime: settings.replayTime,
        switchDelay: after === 0 ? handWindow : Math.min(handWindow, after / 2),
      },
      (command) => owner.command(command),
    );
  }

  get link(): LinkId {
    return this.#link;
  }

  get remote(): Endpoint {
    return this.#remote;
  }

  get peer(): PeerRef | undefined {
    return this.#peer;
  }

  get negotiated(): Negotiated | undefined {
    return this.#negotiated;
  }

  /** The key that packets are sealed under; its negotiation tells the TLS parameters. */
  get sendingKey(): KeyState | undefined {
    return this.#keys.sending;
  }

  start(time: Time): void {
    this.session.start(time.now);
    this.#drain(time);
  }

  /** A control packet from the peer, or from whoever may become it. The bytes are borrowed. */
  handleControl(bytes: Uint8Array, from: Endpoint, time: Time): DropReason | undefined {
    const drop = this.session.handlePacket(bytes, time.now, time.wallClock);
    if (drop === undefined) this.#touch(time.now);
    if (drop === undefined && this.session.isFromNewcomer(bytes)) this.#newcomerAt = from;
    this.#drain(time);
    return drop;
  }

  /** Runs what `first` does to a fresh session (a server's beginning) and sends what comes of it. */
  begin(first: (session: Session) => DropReason | undefined, time: Time): DropReason | undefined {
    const drop = first(this.session);
    this.#drain(time);
    return drop;
  }

  admit(key: KeyState, time: Time): void {
    this.session.admit(key, time.now);
    this.#drain(time);
  }

  /** Lets the peer know that it is refused, before the key or all of the session is closed. */
  dismiss(key: KeyState, time: Time): void {
    key.dismiss(time.now);
    this.flush(time);
  }

  /** Sends what is due, acknowledgements too, before the session is closed. */
  flush({ now, wallClock }: Time): void {
    for (;;) {
      const packet = this.session.pollPacket(now, wallClock);
      if (packet === undefined) return;
      this.#transmit(packet);
    }
  }

  grant(key: KeyState, time: Time): void {
    this.session.grant(key, time.now);
    this.#drain(time);
  }

  send(text: string, time: Time): boolean {
    return this.sendUnder(this.session.active?.primary, text, time);
  }

  sendUnder(key: KeyState | undefined, text: string, time: Time): boolean {
    const sent = this.session.sendMessageUnder(key, text, time.now);
    this.#drain(time);
    return sent;
  }

  /** Puts the peer into the data channel. `negotiated` holds for all keys from here on. */
  openPeer(peer: PeerRef, settings: PeerSettings, negotiated: Negotiated): void {
    this.#peer = peer;
    this.#negotiated = negotiated;
    this.#owner.command({ verb: 'newPeer', peer, settings });
    const primary = this.session.active?.primary;
    if (negotiated.dynamicTlsCrypt && primary !== undefined) this.#useDynamicTlsCrypt(primary);
  }

  /** Makes the data keys of a negotiation that is active and granted. */
  installKey(key: KeyState, time: Time): void {
    const session = this.session.active;
    if (this.#peer === undefined || this.#negotiated === undefined || session === undefined) return;
    this.#keys.install(this.#peer, key, session.sessionId, this.#negotiated, time.now);
    this.#usage.restart(time.now);
  }

  hasKey(key: KeyState): boolean {
    return this.#keys.has(key);
  }

  #transmit({ bytes, toNewcomer }: OutgoingPacket): void {
    const to = toNewcomer ? (this.#newcomerAt ?? this.#remote) : this.#remote;
    this.#owner.command({ verb: 'sendControl', link: this.#link, to, bytes });
  }

  /** A newcomer is the active session: old keys go, renegotiations take their wrap from the new one. */
  #renew(key: KeyState): void {
    if (this.#newcomerAt !== undefined) this.#remote = this.#newcomerAt;
    this.#newcomerAt = undefined;
    if (this.#peer !== undefined) this.#keys.reset(this.#peer);
    if (this.#negotiated?.dynamicTlsCrypt === true) this.#useDynamicTlsCrypt(key);
  }

  keyConfirmed(keyId: KeyId, time: Time): void {
    this.#keys.confirmed(keyId, time.now);
    this.#drain(time);
  }

  /**
   * A renegotiation has failed: the old key goes on until its end, and another attempt is made. False: there is no old
   * key, or this is not the negotiation that was to replace it.
   */
  keepOldKey(key: KeyState, time: Time): boolean {
    if (this.session.active?.primary !== key || !this.session.active.restore()) return false;
    this.#renegotiateFrom = time.now + this.#settings.session.handWindow;
    return true;
  }

  renegotiate(time: Time): boolean {
    if (time.now < this.#renegotiateFrom) return false;
    const { establishedAt = time.now } = this.session.active?.primary ?? {};
    const started = this.session.renegotiate(time.now);
    const limits = this.#settings.renegotiation;
    if (started) this.#owner.renegotiating({ age: time.now - establishedAt, ...this.#usage.carried, limits });
    this.#drain(time);
    return started;
  }

  /** The data channel has moved the peer. */
  moveTo(link: LinkId, remote: Endpoint): void {
    this.#link = link;
    this.#remote = remote;
  }

  handleTimeout(time: Time): void {
    const primary = this.session.active?.primary;
    const { after } = this.#settings.renegotiation;
    if (primary?.state === 'generated') {
      const isOld = after > 0 && time.now >= (primary.establishedAt ?? 0) + after;
      // The end of a restored key is near whatever it was to be replaced for.
      if (isOld || primary.retiresAt !== undefined || this.#usage.isOver(time.now)) this.renegotiate(time);
    }
    this.session.handleTimeout(time.now);
    this.#drain(time);
  }

  nextTimeout(): Millis | undefined {
    const primary = this.session.active?.primary;
    const { after } = this.#settings.renegotiation;
    const next = earlier(this.session.nextTimeout(), this.#keys.nextTimeout());
    if (primary?.state !== 'generated') return next;
    const oldAt = after > 0 ? (primary.establishedAt ?? 0) + after : undefined;
    const renegotiateAt = earlier(
      primary.retiresAt === undefined ? oldAt : this.#renegotiateFrom,
      this.#usage.nextTimeout(),
    );
    return renegotiateAt === undefined ? next : earlier(next, Math.max(renegotiateAt, this.#renegotiateFrom));
  }

  /** Takes the peer out of the data channel and frees every key. */
  close(): void {
    if (this.#peer !== undefined) this.#owner.command({ verb: 'delPeer', peer: this.#peer });
    this.#peer = undefined;
    this.#keys.clear();
    this.session.close();
  }

  #useDynamicTlsCrypt(key: KeyState): void {
    const { protection } = this.#settings.session;
    const { active } = this.session;
    active?.useRenegotiationWrap(() => protection.renegotiationWrap(key.connection, active.clientKey));
  }

  /** The peer is there: that is told often enough for time-outs of seconds. */
  #touch(now: Millis): void {
    if (this.#peer === undefined || now < this.#touchedAt + TOUCH_INTERVAL) return;
    this.#touchedAt = now;
    this.#owner.command({ verb: 'touchPeer', peer: this.#peer });
  }

  /** Handlers of events may act on the session again; the outermost call sends everything, in order. */
  #drain(time: Time): void {
    if (this.#draining) return;
    this.#draining = true;
    for (;;) {
      const output = this.session.poll(time.now, time.wallClock);
      if (output === undefined) break;
      switch (output.output) {
        case 'transmit':
          this.#transmit(output);
          break;
        case 'taken-over':
          this.#renew(output.key);
          this.#owner.takenOver(output.key, time);
          break;
        case 'key':
          this.#dispatch(output, time);
          break;
        default:
          output satisfies never;
      }
    }
    if (this.#peer !== undefined) this.#keys.update(this.#peer, this.session.keys, time.now);
    this.#draining = false;
  }

  #dispatch(output: Extract<ReturnType<Session['poll']>, { output: 'key' }>, time: Time): void {
    const { key } = output;
    switch (output.event) {
      case 'secured':
        return this.#owner.secured(key, time);
      case 'exchange':
        return this.#owner.exchanged(key, time);
      case 'active':
        return this.#owner.active(key, time);
      case 'failed':
        return this.#owner.failed(key, output.failure, time);
      case 'message':
        for (const text of splitControlMessages(output.plaintext).messages) this.#owner.message(key, text, time);
        return undefined;
      default:
        return output satisfies never;
    }
  }
}

/** The earliest of several deadlines, some of which may not be set. */
export function earliest(...times: readonly (Millis | undefined)[]): Millis | undefined {
  return times.reduce(earlier, undefined);
}
