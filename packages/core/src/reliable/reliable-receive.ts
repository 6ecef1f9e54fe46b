/**
 * The receiving half of the reliability layer: messages leave in order and once, whatever the network did to them.
 *
 * Up to twelve wait for a missing one before them. Source: OpenVPN 2.6 `reliable.c` (`reliable_not_replay`,
 * `reliable_wont_break_sequentiality`, `reliable_get_entry_sequenced`).
 */
import type { MessageId } from '../wire/control-packet.js';
import type { ControlOpcode } from '../wire/opcode.js';

export interface ReceivedMessage {
  readonly messageId: MessageId;
  readonly opcode: ControlOpcode;
  /** The receiver's own. */
  readonly payload: Uint8Array;
}

export interface ReliableReceiveOptions {
  readonly buffer?: number;
  /** The first id to expect: 1 where the peer's reset was answered without state. */
  readonly startAt?: MessageId;
}

export class ReliableReceive {
  readonly #buffer: number;
  /** Those that wait, by their id. */
  readonly #waiting = new Map<MessageId, ReceivedMessage>();
  #expected: MessageId;

  constructor({ buffer = 12, startAt = 0 }: ReliableReceiveOptions = {}) {
    this.#buffer = buffer;
    this.#expected = startAt;
  }

  /** The id of the message that `next` waits for. */
  get expected(): MessageId {
    return this.#expected;
  }

  /**
   * Keeps a copy of the payload. `stored` and `duplicate` are to be acknowledged (the sender may have missed the
   * first acknowledgement), `outside` is not: it will come again when there is room.
   */
  accept(messageId: MessageId, opcode: ControlOpcode, payload: Uint8Array): 'stored' | 'duplicate' | 'outside' {
    if (messageId >= this.#expected + this.#buffer) return 'outside';
    if (messageId < this.#expected || this.#waiting.has(messageId)) return 'duplicate';
    this.#waiting.set(messageId, { messageId, opcode, payload: payload.slice() });
    return 'stored';
  }

  /** The next message in order, if it is here; drain it to `undefined`. */
  next(): ReceivedMessage | undefined {
    const message = this.#waiting.get(this.#expected);
    if (message === undefined) return undefined;
    this.#waiting.delete(this.#expected);
    this.#expected += 1;
    return message;
  }
}
