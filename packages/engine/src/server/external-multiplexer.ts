/**
 * Control packets to their instances, by real address. A packet from an unknown address gets no state: a hard reset is
 * answered with a session id that is a MAC over the address (a cookie), and only a packet that returns it makes an
 * instance. Data packets never come here: the data channel finds their peers itself.
 *
 *   known address ─▶ instance        unknown: hard reset ─▶ stateless answer        unknown: cookie ─▶ new instance
 *
 * upstream: mudp.c `multi_get_create_instance_udp`, `do_pre_decrypt_check`; ssl_pkt.c (2.6).
 */
import {
  type AcceptedPacket,
  type ControlProtection,
  type DropReason,
  type Endpoint,
  encodeEarlyNegotiation,
  formatEndpoint,
  type LinkId,
  type Millis,
  Opcode,
  opcodeOf,
  type SessionCookie,
  type SessionId,
} from '@seikan/core';

import type { Time } from '../output.js';

/** What an unknown address has earned. */
export type FirstPacketVerdict =
  | { readonly verdict: 'drop'; readonly reason: DropReason | 'rate-limited' }
  | { readonly verdict: 'reply'; readonly bytes: Uint8Array }
  /** `cookie`: both resets are done. Without: this is the reset itself (TCP, or a client that cannot return its key). */
  | {
      readonly verdict: 'create';
      readonly cookie: SessionId | undefined;
      readonly protection: ControlProtection;
      readonly accepted: AcceptedPacket;
    };

/** So many in so many seconds: `connect-freq-initial` (unanswered replies to strangers) and `connect-freq` (new sessions). */
export class RateLimit {
  readonly #count: number;
  readonly #span: Millis;
  #windowStart: Millis = 0;
  #used = 0;
  #refused = false;

  constructor({ count, seconds }: { readonly count: number; readonly seconds: number }) {
    this.#count = count;
    this.#span = seconds * 1000;
  }

  /** Whether nobody has been refused in this span yet; from now on somebody has. */
  firstRefusal(): boolean {
    const first = !this.#refused;
    this.#refused = true;
    return first;
  }

  take(now: Millis): boolean {
    if (now - this.#windowStart >= this.#span) {
      this.#windowStart = now;
      this.#used = 0;
      this.#refused = false;
    }
    if (this.#used >= this.#count) return false;
    this.#used += 1;
    return true;
  }

  /** A handshake that went through was no reflection. */
  giveBack(): void {
    if (this.#used > 0) this.#used -= 1;
  }
}

export interface ExternalMultiplexerSettings {
  readonly cookies: SessionCookie;
  /** Made anew for each first packet: a session's wrap and a client's key live in it. */
  readonly protection: () => ControlProtection;
  readonly limit: RateLimit;
  /** `tls-crypt-v2 … force-cookie`: clients that cannot send their key again are refused. */
  readonly forceCookie: boolean;
}

export class ExternalMultiplexer<Instance> {
  readonly #settings: ExternalMultiplexerSettings;
  readonly #byAddress = new Map<string, Instance>();

  constructor(settings: ExternalMultiplexerSettings) {
    this.#settings = settings;
  }

  get size(): number {
    return this.#byAddress.size;
  }

  find(link: LinkId, from: Endpoint): Instance | undefined {
    return this.#byAddress.get(addressKey(link, from));
  }

  add(link: LinkId, at: Endpoint, instance: Instance): void {
    this.#byAddress.set(addressKey(link, at), instance);
  }

  /** Only where the address still is this instance's: a newer one may have taken it. */
  remove(link: LinkId, at: Endpoint, instance: Instance): void {
    const key = addressKey(link, at);
    if (this.#byAddress.get(key) === instance) this.#byAddress.delete(key);
  }

  /** Judges a control packet from an address that has no instance. TCP needs no cookie: the connection proves the address. */
  judge(bytes: Uint8Array, from: Endpoint, transport: 'udp' | 'tcp', { now, wallClock }: Time): FirstPacketVerdict {
    const { cookies, limit, forceCookie } = this.#settings;
    const opcode = opcodeOf(bytes[0] ?? 0);
    const isReset = opcode === Opcode.hardResetClientV2 || opcode === Opcode.hardResetClientV3;
    const isReply = opcode === Opcode.controlV1 || opcode === Opcode.ackV1 || opcode === Opcode.controlWkcV1;
    if (!isReset && !(isReply && transport === 'udp')) return { verdict: 'drop', reason: 'bad-opcode' };

    const protection = this.#settings.protection();
    const accepted = protection.accept(bytes, wallClock, isReset ? {} : { sentPacketIds: 1 });
    if (typeof accepted === 'string') return { verdict: 'drop', reason: accepted };
    const { packet } = accepted;
    const create = (cookie: SessionId | undefined): FirstPacketVerdict => ({
      verdict: 'create',
      cookie,
      protection,
      accepted,
    });

    if (isReset) {
      if (packet.keyId !== 0 || packet.messageId !== 0) return { verdict: 'drop', reason: 'wrong-message-id' };
      if (transport === 'tcp') return create(undefined);
      if (!limit.take(now)) return { verdict: 'drop', reason: 'rate-limited' };
      const needsKeyAgain = opcode === Opcode.hardResetClientV3;
      if (needsKeyAgain && !accepted.earlyNegotiation) {
        return forceCookie ? { verdict: 'drop', reason: 'bad-client-key' } : create(undefined);
      }
      const cookie = cookies.give(from, packet.sessionId, wallClock);
      const reply = accepted.wrap.wrap(
        {
          opcode: Opcode.hardResetServerV2,
          keyId: 0,
          sessionId: cookie,
          acks: [0],
          peerSessionId: packet.sessionId,
          messageId: 0,
          payload: needsKeyAgain ? encodeEarlyNegotiation({ resendWrappedKey: true }) : new Uint8Array(0),
        },
        wallClock,
      );
      accepted.wrap.wipe();
      accepted.clientKey?.key.fill(0);
      return { verdict: 'reply', bytes: reply };
    }

    const cookie = packet.peerSessionId;
    // Only the first two messages, either way, can belong to a handshake that has no instance yet; what comes late from a
    // session that is over begins no other.
    const early = (packet.messageId ?? 0) <= 1 && packet.acks.every((id) => id <= 1);
    if (cookie === undefined || !early || !cookies.check(from, packet.sessionId, cookie, wallClock)) {
      accepted.wrap.wipe();
      accepted.clientKey?.key.fill(0);
      return { verdict: 'drop', reason: 'bad-cookie' };
    }
    limit.giveBack();
    return create(cookie.slice());
  }
}

function addressKey(link: LinkId, at: Endpoint): string {
  return `${link}|${formatEndpoint(at)}`;
}
