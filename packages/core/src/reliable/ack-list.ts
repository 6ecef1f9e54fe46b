/**
 * The message ids that are to be acknowledged. Room left in a packet repeats the latest ones, newest first,
 * so that one lost packet does not cost a resend. Source: OpenVPN 2.6 `reliable.c` (`reliable_ack_write`, `copy_acks_to_mru`).
 */
import { MAX_ACKS, type MessageId } from '../wire/control-packet.js';

export class AckList {
  readonly #pending: MessageId[] = [];
  /** The last eight that were sent, newest first. */
  readonly #recent: MessageId[] = [];

  /** Whether there is one that was not sent since it was last added. */
  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** Beyond eight it is dropped: the peer resends, and then there is room. */
  add(id: MessageId): void {
    if (this.#pending.length < MAX_ACKS && !this.#pending.includes(id)) this.#pending.push(id);
  }

  /** Up to `max` ids for a packet that is sent now: as many pending ones as fit, filled up with recent ones. */
  take(max: number): MessageId[] {
    for (const id of this.#pending.splice(0, max)) {
      const before = this.#recent.indexOf(id);
      if (before >= 0) this.#recent.splice(before, 1);
      this.#recent.unshift(id);
    }
    if (this.#recent.length > MAX_ACKS) this.#recent.length = MAX_ACKS;
    return this.#recent.slice(0, max);
  }
}
