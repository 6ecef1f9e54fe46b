/**
 * What is said between our thread and a plugin's: values that JSON can say, in order, by the faster way that is open.
 *
 *     one end ──▶ slot, in shared memory   while the other end is awake and the slot is empty
 *             ──▶ port                     otherwise: its thread is woken
 *
 * Each message in a slot says how many were sent through the port before it, so that the two ways together keep the order.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, type Transferable } from 'node:worker_threads';
import { MemorySlot, type WordForm } from './memory-slot.js';
import { Wakefulness } from './wakefulness.js';

/** One end before it is used: it can be handed to a thread, with `transfer`. */
export interface ChannelEnd {
  readonly port: MessagePort;
  readonly inbox: SharedArrayBuffer;
  readonly outbox: SharedArrayBuffer;
}

export interface ChannelSettings<Incoming, Outgoing> {
  /** How messages lie in memory that are not to take the way over JSON. */
  readonly incoming?: WordForm<Incoming>;
  readonly outgoing?: WordForm<Outgoing>;
  /** How long everything else in this thread may be held up, ms. */
  readonly glance?: number;
}

const slotBytes = 65_536;

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
  readonly #inbox: MemorySlot<Incoming>;
  readonly #outbox: MemorySlot<Outgoing>;
  readonly #handle: (message: Incoming) => void;
  readonly #wakefulness: Wakefulness;
  /** Messages through the port. */
  #sent = 0;
  #received = 0;

  /** `handle` is called with each message, from the event loop or from `wait`. */
  constructor(
    { port, inbox, outbox }: ChannelEnd,
    handle: (message: Incoming) => void,
    { incoming, outgoing, glance }: ChannelSettings<Incoming, Outgoing> = {},
  ) {
    this.#port = port;
    this.#inbox = new MemorySlot(inbox, incoming);
    this.#outbox = new MemorySlot(outbox, outgoing);
    this.#handle = handle;
    this.#wakefulness = new Wakefulness({ look: () => this.#take(), sleep: () => this.#inbox.sleep() }, glance);
    port.on('message', (message: Incoming) => {
      if (this.#inbox.full && this.#inbox.after <= this.#received) this.#take();
      this.#receive(message);
    });
  }

  /** Whether the other end is awake to hear it now. */
  send(message: Outgoing): boolean {
    if (this.#outbox.awake && this.#outbox.put(message, this.#sent)) return true;
    this.#sent += 1;
    this.#port.postMessage(message, []);
    return false;
  }

  /** Takes messages from shared memory for so many ms, without sleep. */
  stayAwake(ms: number): void {
    if (this.#wakefulness.stay(ms)) this.#inbox.wake();
  }

  /** Handles what comes until `end` is called, for a glance at most; `stayAwake` comes before. */
  wait(): void {
    this.#wakefulness.wait();
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
    this.#handle(this.#inbox.take());
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
