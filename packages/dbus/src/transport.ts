/**
 * Messages over a Unix socket: cut out of the stream with their descriptors, and queued when the socket is full.
 *
 * Descriptors arrive in order with the first byte of their message, so a queue of them keeps step with the stream. A
 * message longer than ours may be is passed over without being kept; its header is read so that it can be answered.
 */
import { type Descriptor, MOST_DESCRIPTORS, resultName, type UnixSocket, Watch, WOULD_BLOCK } from '@seikan/native';

import { type Frame, frameOf, type Parsed, parseMessage } from './message.js';
import { WireError } from './wire-error.js';

export interface TransportLimits {
  /** Longest message that is read or written, in bytes. */
  readonly message: number;
  /** Most bytes that wait to be written, before the connection counts as dead. */
  readonly queue: number;
}

export interface TransportEvents {
  /** The descriptors belong to the receiver. */
  message(parsed: Parsed, descriptors: Descriptor[]): void;
  /** The connection is over: an error, or undefined when the bus ended it. Comes once, not after `close`. */
  ended(error: Error | undefined): void;
}

interface Outgoing {
  readonly bytes: Uint8Array;
  sent: number;
  readonly descriptors: readonly Descriptor[];
}

const READ_SIZE = 65_536;
/** Reads in one turn of the event loop, so that a flood on the bus leaves time for the rest of the process. */
const READS_PER_TURN = 4;

export class Transport {
  readonly #socket: UnixSocket;
  readonly #limits: TransportLimits;
  readonly #events: TransportEvents;
  readonly #watch: Watch;
  readonly #chunk = new Uint8Array(READ_SIZE);
  readonly #descriptors: Descriptor[] = [];
  readonly #queue: Outgoing[] = [];
  #queued = 0;
  #waiters: (() => void)[] = [];
  #input: Uint8Array = new Uint8Array(0);
  /** How much of `#input` is filled. */
  #filled = 0;
  /** Bytes of a message that is passed over. */
  #skip = 0;
  #open = true;

  /** Takes over the socket. */
  constructor(socket: UnixSocket, limits: TransportLimits, events: TransportEvents) {
    this.#socket = socket;
    this.#limits = limits;
    this.#events = events;
    this.#watch = new Watch(socket.descriptor.fd, { readable: true }, (readable, writable) => {
      if (writable) this.#flush();
      if (readable) this.#read();
    });
  }

  get queuedBytes(): number {
    return this.#queued;
  }

  /** Sends bytes of one message and copies of the descriptors, which are closed when they are gone. */
  send(bytes: Uint8Array, descriptors: readonly Descriptor[]): void {
    if (!this.#open) {
      for (const descriptor of descriptors) descriptor.close();
      return;
    }
    this.#queue.push({ bytes, sent: 0, descriptors });
    this.#queued += bytes.length;
    if (this.#queue.length === 1) this.#flush();
    if (this.#queued > this.#limits.queue)
      this.#end(new Error(`${this.#queued} bytes wait for a bus that does not read`));
  }

  /** Resolves when nothing waits to be written, or never will be. */
  drained(): Promise<void> {
    if (this.#queue.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** Idempotent. What waits to be written is lost, its descriptors are closed. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch.close();
    this.#socket.close();
    for (const { descriptors } of this.#queue) for (const descriptor of descriptors) descriptor.close();
    for (const descriptor of this.#descriptors) descriptor.close();
    this.#queue.length = 0;
    this.#queued = 0;
    this.#wake();
  }

  #end(error: Error | undefined): void {
    if (!this.#open) return;
    this.close();
    this.#events.ended(error);
  }

  #flush(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const fds = next.sent === 0 ? next.descriptors.map(({ fd }) => fd) : [];
      const result = this.#socket.send(next.bytes, next.sent, next.bytes.length - next.sent, fds);
      if (result === WOULD_BLOCK) break;
      if (result < 0) return this.#end(new Error(`writing to the bus: ${resultName(result)}`));
      if (next.sent === 0) for (const descriptor of next.descriptors) descriptor.close();
      next.sent += result;
      this.#queued -= result;
      if (next.sent === next.bytes.length) this.#queue.shift();
    }
    this.#watch.setEvents({ readable: true, writable: this.#queue.length > 0 });
    if (this.#queue.length === 0) this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  #read(): void {
    for (let reads = 0; reads < READS_PER_TURN && this.#open; reads++) {
      const result = this.#socket.receive(this.#chunk, 0, READ_SIZE, this.#descriptors);
      if (result === WOULD_BLOCK) return;
      if (result === 0) return this.#end(undefined);
      if (result < 0) return this.#end(new Error(`reading from the bus: ${resultName(result)}`));
      this.#accept(this.#chunk.subarray(0, result));
    }
  }

  /** Borrows the bytes. */
  #accept(bytes: Uint8Array): void {
    const skipped = Math.min(this.#skip, bytes.length);
    this.#skip -= skipped;
    let input = this.#append(bytes.subarray(skipped));
    while (this.#open) {
      const frame = frameOf(input);
      if (frame === undefined) break;
      if (frame instanceof WireError) return this.#end(frame);
      const tooLong = frame.totalLength > this.#limits.message;
      if (tooLong && frame.headerLength > this.#limits.message)
        return this.#end(new WireError('too-large', 'a header'));
      const wanted = tooLong ? frame.headerLength : frame.totalLength;
      if (input.length < wanted) break;
      this.#deliver(input.subarray(0, wanted), frame, tooLong);
      const gone = Math.min(frame.totalLength, input.length);
      this.#skip = frame.totalLength - gone;
      input = input.subarray(gone);
    }
    this.#keep(input);
  }

  /** What was kept and `bytes` in one piece; the room grows twofold, so that long messages are not copied over and over. */
  #append(bytes: Uint8Array): Uint8Array {
    if (this.#filled === 0) return bytes;
    const length = this.#filled + bytes.length;
    if (length > this.#input.length) {
      const larger = new Uint8Array(Math.max(length, this.#input.length * 2));
      larger.set(this.#input.subarray(0, this.#filled));
      this.#input = larger;
    }
    this.#input.set(bytes, this.#filled);
    this.#filled = length;
    return this.#input.subarray(0, length);
  }

  #keep(rest: Uint8Array): void {
    if (rest.length === this.#filled && rest.buffer === this.#input.buffer) return;
    this.#input = rest.slice();
    this.#filled = rest.length;
  }

  #deliver(bytes: Uint8Array, frame: Frame, tooLong: boolean): void {
    const parsed = parseMessage(bytes, frame, tooLong ? 'skip' : 'read');
    // Without a header nobody knows whose the next descriptors are.
    if (parsed instanceof WireError) return this.#end(parsed);
    const { descriptorCount } = 'message' in parsed ? parsed.message : parsed;
    if (descriptorCount > this.#descriptors.length)
      return this.#end(new WireError('bad-descriptor', 'fewer came than announced'));
    const descriptors = this.#descriptors.splice(0, descriptorCount);
    if ('message' in parsed) this.#events.message(parsed, descriptors);
    else for (const descriptor of descriptors) descriptor.close();
  }
}

/** How many descriptors one read may bring: all that the kernel allows, or a generous sender would end the connection. */
export const RECEIVED_DESCRIPTORS: number = MOST_DESCRIPTORS;
