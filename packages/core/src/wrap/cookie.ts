/**
 * The server's session id as a cookie, so that a first packet costs no memory: it is a MAC over who asks and when,
 * and only a client that receives it at that address can acknowledge it.
 *
 *   session id = first 8 bytes of HMAC-SHA256(secret, slot 8, client's session id 8, "address:port")
 *
 * The MAC is our own affair, nobody else computes it. Source of the scheme: OpenVPN 2.6 `ssl_pkt.c`
 * (`calculate_session_id_hmac`, `check_session_id_hmac`).
 */
import { writeUint64 } from '../bytes/big-endian.js';
import { type Endpoint, formatEndpoint } from '../bytes/endpoint.js';
import type { UnixSeconds } from '../bytes/millis.js';
import { encodeText } from '../bytes/text.js';
import type { Crypto } from '../crypto/crypto.js';
import { SESSION_ID_SIZE, type SessionId } from '../wire/session-id.js';

/** A cookie is good in its slot and in the two after it. */
const SLOTS = 3;

export interface SessionCookieOptions {
  readonly crypto: Crypto;
  /** 32 random bytes, new at every start. Copied. */
  readonly secret: Uint8Array;
  /** `hand-window` in seconds: a slot is half of it. */
  readonly handWindow: number;
}

export class SessionCookie {
  readonly #crypto: Crypto;
  readonly #secret: Uint8Array;
  readonly #slotSeconds: number;

  constructor({ crypto, secret, handWindow }: SessionCookieOptions) {
    this.#crypto = crypto;
    this.#secret = secret.slice();
    this.#slotSeconds = Math.floor((handWindow + 1) / 2);
  }

  /** The session id under which the server answers this client now. */
  give(client: Endpoint, clientSessionId: SessionId, now: UnixSeconds): SessionId {
    return this.#mac(client, clientSessionId, this.#slot(now));
  }

  /** Whether `returned` is what this client was given lately. */
  check(client: Endpoint, clientSessionId: SessionId, returned: SessionId, now: UnixSeconds): boolean {
    const slot = this.#slot(now);
    for (let back = 0; back < SLOTS; back += 1) {
      if (this.#crypto.equal(this.#mac(client, clientSessionId, slot - back), returned)) return true;
    }
    return false;
  }

  wipe(): void {
    this.#secret.fill(0);
  }

  #slot(now: UnixSeconds): number {
    return Math.floor(now / this.#slotSeconds);
  }

  #mac(client: Endpoint, clientSessionId: SessionId, slot: number): SessionId {
    const head = new Uint8Array(8 + SESSION_ID_SIZE);
    writeUint64(head, 0, slot);
    head.set(clientSessionId, 8);
    return this.#crypto
      .hmac('SHA256', this.#secret, head, encodeText(formatEndpoint(client)))
      .slice(0, SESSION_ID_SIZE);
  }
}
