/**
 * What a worker thread blocks on: descriptors (epoll) and a wake-up that other threads raise (eventfd).
 * While wait() blocks, the thread's event loop does not run: messages are fetched with receiveMessageOnPort.
 */
import { loadAddon } from './addon.js';
import { Descriptor } from './descriptor.js';

interface PollSetAddon {
  pollSetCreate(): number;
  pollSetWatch(set: number, fd: number, readable: boolean, writable: boolean): void;
  pollSetForget(set: number, fd: number): void;
  pollSetWait(set: number, ready: Int32Array, milliseconds: number): number;
  wakeCreate(): number;
  wakeRaise(fd: number): void;
  wakeClear(fd: number): void;
}

/** Bits of a ready descriptor's state; an error or hang-up sets both. */
export const READABLE = 1;
export const WRITABLE = 2;

export class PollSet {
  readonly #native = loadAddon() as PollSetAddon;
  readonly #set: Descriptor;
  /** After wait(): how many descriptors are ready, then of each its number and its state. */
  readonly ready: Int32Array<ArrayBuffer>;

  /** `room`: the most descriptors that one wait() reports, up to 64; the others come with the next. */
  constructor(room: number) {
    this.ready = new Int32Array(1 + 2 * room);
    this.#set = new Descriptor(this.#native.pollSetCreate(), 'poll set');
  }

  /** Adds a borrowed descriptor, or changes what it waits for. Closing the descriptor takes it out. */
  watch(fd: number, { readable = false, writable = false }: { readable?: boolean; writable?: boolean }): void {
    this.#native.pollSetWatch(this.#set.fd, fd, readable, writable);
  }

  forget(fd: number): void {
    this.#native.pollSetForget(this.#set.fd, fd);
  }

  /**
   * Blocks the thread until something is ready or `milliseconds` are over; -1 is for ever. Returns the time then, in
   * milliseconds of the monotonic clock: `performance.now()` is a large part of a turn that finds the processor's caches cold.
   */
  wait(milliseconds: number): number {
    return this.#native.pollSetWait(this.#set.fd, this.ready, milliseconds);
  }

  close(): void {
    this.#set.close();
  }
}

/** A flag that one thread raises to wake another. Its `fd` may be posted to any thread of this process. */
export class Wake {
  readonly #native = loadAddon() as PollSetAddon;
  readonly descriptor: Descriptor;

  /** Without `fd` a new one; with it, another thread's, which must outlive this. */
  constructor(fd?: number) {
    this.descriptor = new Descriptor(fd ?? this.#native.wakeCreate(), 'wake-up');
  }

  /** From any thread: its descriptor is readable until clear(). */
  raise(): void {
    this.#native.wakeRaise(this.descriptor.fd);
  }

  clear(): void {
    this.#native.wakeClear(this.descriptor.fd);
  }

  close(): void {
    this.descriptor.close();
  }
}
