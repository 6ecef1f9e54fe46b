/**
 * All TLS sessions with one peer: `active`, `initial` (a newcomer that takes over once it is authenticated) and
 * `lameDuck` (the session that was taken over, kept for its data keys).
 *
 *   hard reset from the peer ─▶ initial ──granted──▶ active ──taken over──▶ lameDuck ──transition window──▶ gone
 *
 * Driven one way: `handle…` mutates, `poll` is drained, then wait for the next input or `nextTimeout`.
 * upstream: `struct tls_multi` with TM_ACTIVE, TM_INITIAL, TM_LAME_DUCK; `tls_pre_decrypt`, `tls_multi_process` (ssl.c, 2.6).
 */
import { earlier, type Millis, type UnixSeconds } from '../bytes/millis.js';
import { encodeControlMessage } from '../wire/control-message.js';
import { type ControlPacket, parseControlHeader } from '../wire/control-packet.js';
import type { DropReason } from '../wire/drop-reason.js';
import { parseEarlyNegotiation } from '../wire/early-negotiation.js';
import { Opcode } from '../wire/opcode.js';
import { randomSessionId, type SessionId, sameSessionId } from '../wire/session-id.js';
import type { ClientKeyMetadata } from '../wrap/tls-crypt-v2.js';
import type { KeyEvent, KeyState } from './key-state.js';
import type { AcceptedPacket, SessionSettings } from './session-settings.js';
import { isOver, TlsSession } from './tls-session.js';

/** A control packet for the peer; the receiver owns the bytes. A newcomer may be at another address than the peer. */
export interface OutgoingPacket {
  readonly bytes: Uint8Array;
  readonly toNewcomer: boolean;
}

export type SessionOutput =
  | ({ readonly output: 'transmit' } & OutgoingPacket)
  | (KeyEvent & { readonly output: 'key' })
  /** An authenticated newcomer has taken the place of the active session: push again. */
  | { readonly output: 'taken-over'; readonly key: KeyState };

const EMPTY = new Uint8Array(0);

export class Session {
  readonly #settings: SessionSettings;
  readonly #queue: SessionOutput[] = [];
  #active: TlsSession | undefined;
  #initial: TlsSession | undefined;
  #lameDuck: TlsSession | undefined;

  constructor(settings: SessionSettings) {
    this.#settings = settings;
  }

  get active(): TlsSession | undefined {
    return this.#active;
  }

  /** The keys that data may arrive under, newest first. */
  get keys(): readonly KeyState[] {
    const keys = [this.#active?.primary, this.#active?.lameDuck, this.#lameDuck?.primary, this.#lameDuck?.lameDuck];
    return keys.filter((key) => key !== undefined);
  }

  /** The beginning of whoever calls, a client or a p2p server that knows its peer: sends the hard reset. */
  start(now: Millis): void {
    this.#active = this.#openSession(now);
    this.#settle(now);
  }

  /** A server's beginning: `accepted` is the client's hard reset, unwrapped. */
  startFromReset(accepted: AcceptedPacket, now: Millis): DropReason | undefined {
    this.#active = this.#answerReset(accepted, now);
    const drop = this.#active.handlePacket(accepted.packet, now);
    this.#settle(now);
    return drop;
  }

  /** A server's beginning when the cookie came back: both resets have been exchanged, `accepted` is what followed. */
  startFromCookie(cookie: SessionId, accepted: AcceptedPacket, now: Millis): DropReason | undefined {
    this.#active = new TlsSession(
      this.#settings,
      {
        sessionId: cookie,
        peerSessionId: accepted.packet.sessionId.slice(),
        wrap: accepted.wrap,
        initialOpcode: Opcode.hardResetServerV2,
        afterCookie: true,
        clientKey: accepted.clientKey,
      },
      this.#emitKey,
      now,
    );
    const drop = this.#active.handlePacket(accepted.packet, now);
    this.#settle(now);
    return drop;
  }

  /** Takes a control packet from the peer's address. The bytes are borrowed. */
  handlePacket(bytes: Uint8Array, now: Millis, wallClock: UnixSeconds): DropReason | undefined {
    const header = parseControlHeader(bytes);
    if (typeof header === 'string') return header;
    const { opcode, keyId, sessionId } = header;
    const fromClient = opcode === Opcode.hardResetClientV2 || opcode === Opcode.hardResetClientV3;
    const fromServer = opcode === Opcode.hardResetServerV2;
    if (fromClient || fromServer) {
      if (keyId !== 0) return 'wrong-key-id';
      if (fromClient !== (this.#settings.role === 'server')) return 'wrong-state';
    }

    const session = this.#sessionOf(sessionId);
    let drop: DropReason | undefined;
    if (session !== undefined) drop = this.#handleKnown(session, bytes, now, wallClock);
    else if (fromClient) drop = this.#handleNewcomer(bytes, now, wallClock);
    else if (fromServer) drop = this.#handleServerReset(bytes, now, wallClock);
    else drop = 'unknown-session';
    if (drop !== undefined && drop !== 'duplicate') return drop;
    this.#settle(now);
    return drop;
  }

  handleTimeout(now: Millis): void {
    this.#settle(now);
  }

  /** The engine accepts the peer's chain: what it says under this key is read from now on. */
  admit(key: KeyState, now: Millis): void {
    key.admit();
    this.#settle(now);
  }

  /** The engine lets the peer in under this key; a newcomer takes over. */
  grant(key: KeyState, now: Millis): void {
    key.authentication = 'granted';
    if (this.#initial?.primary === key) {
      this.#lameDuck?.close();
      this.#lameDuck = this.#active;
      if (this.#lameDuck !== undefined) this.#lameDuck.primary.retiresAt ??= now + this.#settings.tranWindow;
      this.#active = this.#initial;
      this.#initial = undefined;
      // Before whatever else this key has to say.
      this.#queue.unshift({ output: 'taken-over', key });
    }
    this.#settle(now);
  }

  /** Writes one control message under the active key; false when there is none yet, or the peer has closed its TLS. The text gets its NUL here. */
  sendMessage(text: string, now: Millis): boolean {
    return this.sendMessageUnder(this.#active?.primary, text, now);
  }

  /** The same under a given key: a newcomer that is refused is told so under its own. */
  sendMessageUnder(key: KeyState | undefined, text: string, now: Millis): boolean {
    if (key === undefined || !key.canWrite) return false;
    key.writeMessage(encodeControlMessage(text));
    this.#settle(now);
    return true;
  }

  renegotiate(now: Millis): boolean {
    const started = this.#active?.renegotiate(now) ?? false;
    this.#settle(now);
    return started;
  }

  /** Ends the newcomer whose negotiation failed; the active session is not touched. */
  dropInitial(): void {
    this.#initial?.close();
    this.#initial = undefined;
  }

  isInitial(key: KeyState): boolean {
    return this.#initial?.primary === key;
  }

  /** tls-crypt-v2 as server: what the key of the client that negotiates here was issued with. */
  clientMetadataOf(key: KeyState): ClientKeyMetadata | undefined {
    return [this.#active, this.#initial].find((session) => session?.primary === key)?.clientKey?.metadata;
  }

  poll(now: Millis, wallClock: UnixSeconds): SessionOutput | undefined {
    const event = this.#queue.shift();
    if (event !== undefined) return event;
    const packet = this.pollPacket(now, wallClock);
    return packet === undefined ? undefined : { output: 'transmit', ...packet };
  }

  /** The next packet alone, before whatever else `poll` has to say: for the last word to a peer. */
  pollPacket(now: Millis, wallClock: UnixSeconds): OutgoingPacket | undefined {
    const forActive = this.#active?.poll(now, wallClock);
    if (forActive !== undefined) return { bytes: forActive, toNewcomer: false };
    const forNewcomer = this.#initial?.poll(now, wallClock);
    if (forNewcomer !== undefined) return { bytes: forNewcomer, toNewcomer: true };
    const forOld = this.#lameDuck?.poll(now, wallClock);
    return forOld === undefined ? undefined : { bytes: forOld, toNewcomer: false };
  }

  /** Whether a packet that was just taken is of the newcomer's session. */
  isFromNewcomer(bytes: Uint8Array): boolean {
    if (this.#initial === undefined) return false;
    const header = parseControlHeader(bytes);
    return typeof header !== 'string' && isWith(this.#initial, header.sessionId);
  }

  nextTimeout(): Millis | undefined {
    const next = earlier(this.#active?.nextTimeout(), this.#initial?.nextTimeout());
    const old = this.#lameDuck;
    return old === undefined ? next : earlier(next, earlier(old.primary.retiresAt, old.nextTimeout()));
  }

  close(): void {
    for (const session of [this.#active, this.#initial, this.#lameDuck]) session?.close();
    this.#active = undefined;
    this.#initial = undefined;
    this.#lameDuck = undefined;
    this.#queue.length = 0;
  }

  readonly #emitKey = (event: KeyEvent): void => {
    this.#queue.push({ output: 'key', ...event });
  };

  #settle(now: Millis): void {
    if (isOver(this.#lameDuck?.primary, now)) {
      this.#lameDuck?.close();
      this.#lameDuck = undefined;
    }
    this.#active?.advance(now);
    this.#initial?.advance(now);
  }

  #handleKnown(session: TlsSession, bytes: Uint8Array, now: Millis, wallClock: UnixSeconds): DropReason | undefined {
    const bare = this.#settings.protection.withoutClientKey(bytes);
    const packet = typeof bare === 'string' ? bare : session.unwrap(bare, wallClock);
    return typeof packet === 'string' ? packet : session.handlePacket(packet, now);
  }

  /** The first answer to our hard reset. From a server whose renegotiation has failed it opens a new session beside the active one. */
  #handleServerReset(bytes: Uint8Array, now: Millis, wallClock: UnixSeconds): DropReason | undefined {
    if (this.#active === undefined) return 'unknown-session';
    if (this.#active.peerSessionId === undefined) return this.#meet(this.#active, bytes, now, wallClock);
    if (this.#settings.singleSession) return 'single-session';
    if (this.#isNewcomerBusy(now)) return 'busy';
    this.dropInitial();
    const session = this.#openSession(now);
    const drop = this.#meet(session, bytes, now, wallClock);
    if (drop === undefined) this.#initial = session;
    else session.close();
    return drop;
  }

  /**
   * The peer's hard reset names its side of a session that we have called for; a server's may ask for the wrapped client
   * key again. What it has missed of ours goes out at once.
   */
  #meet(session: TlsSession, bytes: Uint8Array, now: Millis, wallClock: UnixSeconds): DropReason | undefined {
    const packet = session.unwrap(bytes, wallClock);
    if (typeof packet === 'string') return packet;
    if (packet.messageId !== 0) return 'wrong-message-id';
    const early = parseEarlyNegotiation(packet.payload);
    if (typeof early === 'string') return early;
    session.primary.resendClientKey =
      early.resendWrappedKey && this.#settings.protection.wrappedClientKey !== undefined;
    const drop = session.handlePacket(packet, now);
    session.primary.send.rescheduleAll(now);
    return drop;
  }

  #handleNewcomer(bytes: Uint8Array, now: Millis, wallClock: UnixSeconds): DropReason | undefined {
    if (this.#active !== undefined && this.#active.peerSessionId === undefined)
      return this.#meet(this.#active, bytes, now, wallClock);
    if (this.#settings.singleSession && this.#active !== undefined) return 'single-session';
    const accepted = this.#settings.protection.accept(bytes, wallClock);
    if (typeof accepted === 'string') return accepted;
    if (accepted.packet.messageId !== 0) return 'wrong-message-id';
    if (this.#isNewcomerBusy(now)) return 'busy';
    this.dropInitial();
    const session = this.#answerReset(accepted, now);
    if (this.#active === undefined) this.#active = session;
    else this.#initial = session;
    return session.handlePacket(accepted.packet, now);
  }

  /**
   * One newcomer at a time, from its TLS on until it is decided on: an attacker who knows the wrap key must not pile them
   * up (upstream keeps one too), nor a client that has a certificate the programs that look at its logins.
   */
  #isNewcomerBusy(now: Millis): boolean {
    const key = this.#initial?.primary;
    return key !== undefined && key.connection.state !== 'handshaking' && key.state !== 'failed' && now < key.deadline;
  }

  /** A session of our own making, its hard reset on the way. */
  #openSession(now: Millis): TlsSession {
    const { protection, role } = this.#settings;
    const wrapped = protection.wrappedClientKey !== undefined;
    const opcode =
      role === 'server' ? Opcode.hardResetServerV2 : wrapped ? Opcode.hardResetClientV3 : Opcode.hardResetClientV2;
    const session = this.#createSession({ wrap: protection.open() }, opcode, now);
    session.open(EMPTY, now);
    return session;
  }

  #answerReset(accepted: AcceptedPacket, now: Millis): TlsSession {
    const session = this.#createSession(accepted, Opcode.hardResetServerV2, now);
    // With state there is no need to see the client's wrapped key again.
    session.open(EMPTY, now);
    return session;
  }

  #createSession(
    { wrap, packet, clientKey }: Pick<AcceptedPacket, 'wrap'> & Partial<AcceptedPacket>,
    initialOpcode: ControlPacket['opcode'],
    now: Millis,
  ): TlsSession {
    return new TlsSession(
      this.#settings,
      {
        sessionId: randomSessionId(this.#settings.random),
        peerSessionId: packet?.sessionId.slice(),
        wrap,
        initialOpcode,
        afterCookie: false,
        clientKey,
      },
      this.#emitKey,
      now,
    );
  }

  #sessionOf(peerSessionId: SessionId): TlsSession | undefined {
    if (isWith(this.#active, peerSessionId)) return this.#active;
    if (isWith(this.#initial, peerSessionId)) return this.#initial;
    return isWith(this.#lameDuck, peerSessionId) ? this.#lameDuck : undefined;
  }
}

function isWith(session: TlsSession | undefined, peer: SessionId): boolean {
  return session?.peerSessionId !== undefined && sameSessionId(session.peerSessionId, peer);
}
