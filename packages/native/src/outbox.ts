/**
 * Sealed datagrams on their way to a UDP socket, packed so that one system call sends many and the kernel cuts what
 * goes to one address: a message is a run of datagrams of equal size, the last one shorter or equal (UDP_SEGMENT).
 *
 *   slab     |== datagram ==|== datagram ==|= shorter =|== datagram ==|...
 *            |<------------- message 0 --------------->|<- message 1 ->
 *   columns  | offsets[n] | lengths[n] | segmentSizes[n] | addresses[n] | state |     (c/outbox.h)
 *
 * Sealing appends to it, `UdpSocket.sendOutbox` sends it, `clear()` begins anew. Two of them give priority: what was
 * sealed into the one that is sent first goes out first.
 */
export interface OutboxShape {
  /** Size of the slab, at least OUTBOX_LEAST, so that any superpacket fits into an empty one. */
  readonly bytes: number;
  /** The most messages, at least 2048: without segmentation each datagram is one. */
  readonly messages?: number;
}

/** 2048 segments of the smallest size, with the largest headers. */
export const OUTBOX_LEAST = 1 << 20;
const LEAST_MESSAGES = 2_048;
const COLUMNS = 4;
const State = {
  MESSAGES: 0,
  BYTES: 1,
  DATAGRAMS: 2,
  MOST_SEGMENTS: 3,
  LARGEST_SEGMENT: 4,
  FALLBACKS: 5,
  LOST: 6,
  SENT: 7,
  ERROR: 8,
} as const;
const STATE = 16;
/** Datagrams in one message: what Linux takes since 6.9 (64 before; sendOutbox finds out). */
const MOST_SEGMENTS = 128;
const UNLIMITED = 0xffff;

export class Outbox {
  readonly slab: Uint8Array<ArrayBuffer>;
  /** What the native calls take: every column and the state. */
  readonly columns: Uint32Array<ArrayBuffer>;
  /** As of a PacketTable. */
  readonly slabMemory: ArrayBuffer;
  readonly columnMemory: ArrayBuffer;
  readonly offsets: Uint32Array<ArrayBuffer>;
  readonly lengths: Uint32Array<ArrayBuffer>;
  /** Size of each datagram of a message but the last. */
  readonly segmentSizes: Uint32Array<ArrayBuffer>;
  /** Record of the AddressTable that a message goes to. */
  readonly addresses: Uint32Array<ArrayBuffer>;
  readonly #state: Uint32Array<ArrayBuffer>;

  constructor({ bytes, messages = LEAST_MESSAGES }: OutboxShape) {
    if (bytes < OUTBOX_LEAST || messages < LEAST_MESSAGES) throw new RangeError('an outbox smaller than a superpacket');
    this.slab = new Uint8Array(bytes);
    this.columns = new Uint32Array(messages * COLUMNS + STATE);
    this.slabMemory = this.slab.buffer;
    this.columnMemory = this.columns.buffer;
    this.offsets = this.columns.subarray(0, messages);
    this.lengths = this.columns.subarray(messages, 2 * messages);
    this.segmentSizes = this.columns.subarray(2 * messages, 3 * messages);
    this.addresses = this.columns.subarray(3 * messages, 4 * messages);
    this.#state = this.columns.subarray(4 * messages);
    this.mostSegments = MOST_SEGMENTS;
    this.largestSegment = UNLIMITED;
  }

  /** How many messages wait. */
  get messages(): number {
    return this.#state[State.MESSAGES] ?? 0;
  }

  /** How many bytes of the slab they take. */
  get bytes(): number {
    return this.#state[State.BYTES] ?? 0;
  }

  /** How many datagrams they are. */
  get datagrams(): number {
    return this.#state[State.DATAGRAMS] ?? 0;
  }

  /** How many datagrams message `i` is. */
  datagramsOf(i: number): number {
    return Math.ceil((this.lengths[i] ?? 0) / Math.max(1, this.segmentSizes[i] ?? 0));
  }

  /**
   * The most datagrams that are packed into one message; 1 where the socket has no UDP_SEGMENT (`UdpSocket.segmentation`).
   * sendOutbox lowers it to what the kernel takes.
   */
  get mostSegments(): number {
    return this.#state[State.MOST_SEGMENTS] ?? 1;
  }

  set mostSegments(most: number) {
    this.#state[State.MOST_SEGMENTS] = most;
  }

  /**
   * Datagrams longer than this go alone, so that IP may fragment them. sendOutbox lowers it when the route's MTU
   * refuses a message; a path may grow again, so raise it to 65535 from time to time.
   */
  get largestSegment(): number {
    return this.#state[State.LARGEST_SEGMENT] ?? UNLIMITED;
  }

  set largestSegment(bytes: number) {
    this.#state[State.LARGEST_SEGMENT] = bytes;
  }

  /** Messages that the kernel would not cut, sent datagram by datagram, since the outbox was made. */
  get fallbacks(): number {
    return this.#state[State.FALLBACKS] ?? 0;
  }

  /** Messages from the first on that were sent: by `KeyRing.sealAndSend`, and as its owner counts on. */
  get sent(): number {
    return this.#state[State.SENT] ?? 0;
  }

  set sent(messages: number) {
    this.#state[State.SENT] = messages;
  }

  /** The negative errno with which `KeyRing.sealAndSend` could not send the message behind those, since the last call; or 0. */
  takeError(): number {
    const error = this.#state[State.ERROR] ?? 0;
    this.#state[State.ERROR] = 0;
    return 0 - error;
  }

  /** Datagrams of such messages that did not go out, since the last call. */
  takeLost(): number {
    const lost = this.#state[State.LOST] ?? 0;
    this.#state[State.LOST] = 0;
    return lost;
  }

  /** Empties it: after its messages were sent, or given up. */
  clear(): void {
    this.#state[State.MESSAGES] = 0;
    this.#state[State.BYTES] = 0;
    this.#state[State.DATAGRAMS] = 0;
    this.#state[State.SENT] = 0;
  }
}
