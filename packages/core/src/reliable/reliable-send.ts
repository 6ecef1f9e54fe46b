/**
 * The sending half of the reliability layer: messages in a window of six, resent until they are acknowledged.
 *
 *   queue ──▶ waiting ──due()──▶ in flight ──due() after the time-out, twice as long up to four times──▶ in flight …
 *                                    └── acknowledge(id) ──▶ gone
 *
 * A message is also due again as soon as three messages after it have been acknowledged.
 * Ids have no gaps, and none is given that lies a window or more after the oldest unacknowledged one.
 *
 * Source: OpenVPN 2.6 `reliable.c` (`reliable_send`, `reliable_send_purge`, `reliable_schedule_now`).
 */
import { earlier, type Millis } from '../bytes/millis.js';
import type { MessageId } from '../wire/control-packet.js';
import type { ControlOpcode } from '../wire/opcode.js';

export interface ReliableSendOptions {
  /** `tls-timeout`: the wait before the first resend. */
  readonly tlsTimeout?: Millis;
  readonly window?: number;
  /** The first id to give: 1 where the stateless answer to a client counts as message 0. */
  readonly startAt?: MessageId;
}

/** A message as it is to be put into a packet; the payload is lent until the next call. */
export interface QueuedMessage {
  readonly messageId: MessageId;
  readonly opcode: ControlOpcode;
  readonly payload: Uint8Array;
  /** How often it has been sent before: 0 the first time. */
  readonly resends: number;
}

interface Entry {
  readonly messageId: MessageId;
  readonly opcode: ControlOpcode;
  readonly payload: Uint8Array;
  resends: number;
  next: Millis;
  timeout: Millis;
  /** Acknowledgements seen for later messages since it was last sent. */
  overtaken: number;
}

const OVERTAKEN_LIMIT = 3;
/** Differs from OpenVPN 2.x, which doubles without end and so has five tries within the hand-window; this makes nine. */
const BACKOFF_LIMIT = 4;

export class ReliableSend {
  readonly #tlsTimeout: Millis;
  readonly #window: number;
  /** Unacknowledged, in the order of their ids. */
  #entries: Entry[] = [];
  #nextId: MessageId;

  constructor({ tlsTimeout = 2_000, window = 6, startAt = 0 }: ReliableSendOptions = {}) {
    this.#tlsTimeout = tlsTimeout;
    this.#window = window;
    this.#nextId = startAt;
  }

  /** How many messages are not acknowledged yet. */
  get outstanding(): number {
    return this.#entries.length;
  }

  get canQueue(): boolean {
    const oldest = this.#entries[0];
    return oldest === undefined || this.#nextId - oldest.messageId < this.#window;
  }

  /** Takes a copy of the payload; it is due at once. Only when `canQueue`. */
  queue(opcode: ControlOpcode, payload: Uint8Array, now: Millis): MessageId {
    if (!this.canQueue) throw new RangeError('the send window is full');
    const messageId = this.#nextId;
    this.#nextId += 1;
    this.#entries.push({
      messageId,
      opcode,
      payload: payload.slice(),
      resends: 0,
      next: now,
      timeout: this.#tlsTimeout,
      overtaken: 0,
    });
    return messageId;
  }

  /** Takes the peer's acknowledgements; ids that are not outstanding only count as a sign for the messages before them. */
  acknowledge(ids: readonly MessageId[], now: Millis): void {
    // A peer repeats what it has acknowledged before.
    if (this.#entries.length === 0) return;
    for (const id of ids) {
      const at = this.#entries.findIndex(({ messageId }) => messageId === id);
      if (at >= 0) this.#entries.splice(at, 1);
      for (const entry of this.#entries) {
        if (entry.messageId > id) break;
        entry.overtaken += 1;
        if (entry.overtaken >= OVERTAKEN_LIMIT) entry.next = Math.min(entry.next, now);
      }
    }
  }

  /** The lowest message that is to be sent now, which thereby counts as sent; drain it to `undefined`. */
  due(now: Millis): QueuedMessage | undefined {
    const entry = this.#entries.find(({ next }) => next <= now);
    if (entry === undefined) return undefined;
    const { messageId, opcode, payload, resends } = entry;
    entry.resends += 1;
    entry.next = now + entry.timeout;
    entry.timeout = Math.min(entry.timeout * 2, this.#tlsTimeout * BACKOFF_LIMIT);
    entry.overtaken = 0;
    return { messageId, opcode, payload, resends };
  }

  /** Everything outstanding is due now, with a fresh time-out: the peer has shown that it is there. */
  rescheduleAll(now: Millis): void {
    for (const entry of this.#entries) {
      entry.next = now;
      entry.timeout = this.#tlsTimeout;
    }
  }

  /** The point in time when `due` has to be asked again; `undefined` when nothing is outstanding. */
  nextTimeout(): Millis | undefined {
    let next: Millis | undefined;
    for (const entry of this.#entries) next = earlier(next, entry.next);
    return next;
  }

  /** Forgets and wipes what is outstanding. */
  clear(): void {
    for (const { payload } of this.#entries) payload.fill(0);
    this.#entries = [];
  }
}
