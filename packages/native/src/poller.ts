/**
 * A descriptor watched on the event loop of this thread, level-triggered: the callback comes again in every turn while
 * the descriptor is ready, so it may stop after a bounded batch. Works in worker threads.
 */
import { loadAddon } from './addon.js';

declare const pollHandle: unique symbol;
type PollHandle = object & { readonly [pollHandle]: true };

interface PollAddon {
  pollOpen(fd: number, callback: WatchCallback): PollHandle;
  pollSetEvents(handle: PollHandle, readable: boolean, writable: boolean): void;
  pollKeepRunning(handle: PollHandle, on: boolean): void;
  pollClose(handle: PollHandle): void;
}

/** A descriptor in error is reported as ready for what was asked: the read or write that follows gives the errno. */
export type WatchCallback = (readable: boolean, writable: boolean) => void;

export interface WatchEvents {
  readonly readable?: boolean;
  readonly writable?: boolean;
}

/** What an exception of the callback does: what an exception of any Node callback does (`uncaughtException`). */
export class Watch {
  readonly #native = loadAddon() as PollAddon;
  readonly #handle: PollHandle;

  /** Borrows `fd`, which must be non-blocking. Throws EEXIST when this thread watches it already, EPERM for a plain file. */
  constructor(fd: number, events: WatchEvents, callback: WatchCallback) {
    this.#handle = this.#native.pollOpen(fd, callback);
    this.setEvents(events);
  }

  /** Neither readable nor writable pauses. */
  setEvents({ readable = false, writable = false }: WatchEvents): void {
    this.#native.pollSetEvents(this.#handle, readable, writable);
  }

  /** Whether the watch keeps the process running; it does from the start. */
  keepRunning(on: boolean): void {
    this.#native.pollKeepRunning(this.#handle, on);
  }

  /** No callback comes after this. Idempotent. Close the watch before its descriptor. */
  close(): void {
    this.#native.pollClose(this.#handle);
  }
}
