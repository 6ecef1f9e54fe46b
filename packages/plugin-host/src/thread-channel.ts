/**
 * What is said between our thread and a plugin's: values that JSON can say, in order, by the faster way that is open.
 *
 *     one end ──▶ slot, in shared memory   while the other end is awake and the slot is empty
 *             ──▶ port                     otherwise: its thread is woken
 *
 *     slot: u32 state │ u32 length │ u32 after │ JSON as UTF-8
 *           asleep ──stayAwake──▶ awake ──send──▶ full ──take──▶ awake ──▶ asleep
 *
 * `after` counts what was sent through the port before, so that the two ways together keep the order. What was taken is
 * wiped: it may have been a password.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Transferable } from 'node:worker_threads';
import { Wakefulness } from './wakefulness.js';

/** One end before it is used: it can be handed to a thread, with `transfer`. */
export interface ChannelEnd {
  readonly port: MessagePort;
  readonly inbox: SharedArrayBuffer;
  readonly outbox: SharedArrayBuffer;
}

const headBytes = 12;
const slotBytes = 65_536;
const asleep = 0;
const awake = 1;
const full = 2;

export function createChannel(): { ours: ChannelEnd; theirs: ChannelEnd; transfer: Transferable[] } {
  const { port1, port2 } = new MessageChannel();
  const [there, back] = [new SharedArrayBuffer(slotBytes), new SharedArrayBuffer(slotBytes)];
  return {
    ours: { port: port1, inbox: back, outbox: there },
    theirs: { port: port2, inbox: there, outbox: back },
    transfer: [port2],
  };
}

export class ThreadChannel<Incoming, Outgoing> {
  readonly #port: MessagePort;
  readonly #inbox: Slot;
  readonly #outbox: Slot;
  readonly #handle: (message: Incoming) => void;
  readonly #wakefulness = new Wakefulness({ look: () => this.#take(), sleep: () => this.#inbox.sleep() });
  /** Messages through the port. */
  #sent = 0;
  #received = 0;

  /** `handle` is called with each message, from the event loop. */
  constructor({ port, inbox, outbox }: ChannelEnd, handle: (message: Incoming) => void) {
    this.#port = port;
    this.#inbox = new Slot(inbox);
    this.#outbox = new Slot(outbox);
    this.#handle = handle;
    port.on('message', (message: Incoming) => {
      if (this.#inbox.full && this.#inbox.after <= this.#received) this.#take();
      this.#receive(message);
    });
  }

  send(message: Outgoing): void {
    if (this.#outbox.awake && this.#outbox.put(JSON.stringify(message), this.#sent)) return;
    this.#sent += 1;
    this.#port.postMessage(message, []);
  }

  /** Takes messages from shared memory for so many ms, without sleep. */
  stayAwake(ms: number): void {
    if (this.#wakefulness.stay(ms)) this.#inbox.wake();
  }

  /** What was waited for has come. */
  end(): void {
    this.#wakefulness.end();
  }

  /** Handles all that has come: the other end is gone, and said something before. */
  drain(): void {
    this.#take();
    while (this.#receiveNext());
  }

  close(): void {
    this.end();
    this.#port.close();
  }

  #take(): boolean {
    if (!this.#inbox.full) return false;
    while (this.#received < this.#inbox.after && this.#receiveNext());
    this.#handle(JSON.parse(this.#inbox.take()) as Incoming);
    return true;
  }

  #receiveNext(): boolean {
    const next = receiveMessageOnPort(this.#port);
    if (next !== undefined) this.#receive(next.message as Incoming);
    return next !== undefined;
  }

  #receive(message: Incoming): void {
    this.#received += 1;
    this.#handle(message);
  }
}

class Slot {
  readonly #head: Int32Array;
  readonly #bytes: Buffer;

  constructor(memory: SharedArrayBuffer) {
    this.#head = new Int32Array(memory, 0, headBytes / 4);
    this.#bytes = Buffer.from(memory, headBytes);
  }

  get awake(): boolean {
    return Atomics.load(this.#head, 0) === awake;
  }

  get full(): boolean {
    return Atomics.load(this.#head, 0) === full;
  }

  get after(): number {
    return this.#head[2] ?? 0;
  }

  /** `false`: it is too long, or the reader has gone to sleep meanwhile. */
  put(text: string, after: number): boolean {
    if (text.length * 3 > this.#bytes.length) return false;
    const length = this.#bytes.write(text);
    this.#head[1] = length;
    this.#head[2] = after;
    if (Atomics.compareExchange(this.#head, 0, awake, full) === awake) return true;
    this.#bytes.fill(0, 0, length);
    return false;
  }

  take(): string {
    const length = this.#head[1] ?? 0;
    const text = this.#bytes.toString('utf8', 0, length);
    this.#bytes.fill(0, 0, length);
    Atomics.store(this.#head, 0, awake);
    return text;
  }

  wake(): void {
    Atomics.compareExchange(this.#head, 0, asleep, awake);
  }

  sleep(): boolean {
    return Atomics.compareExchange(this.#head, 0, awake, asleep) !== full;
  }
}
