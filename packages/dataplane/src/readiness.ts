/**
 * Who says that a descriptor is ready: the event loop of a thread that has other things to do, or the poll set of a
 * thread that does nothing else (poll-loop.ts). Level-triggered: the callback comes again while it is ready.
 */
import { type TableSource, Watch, type WatchCallback, type WatchEvents } from '@seikan/native';

export interface DescriptorWatch {
  /** Neither readable nor writable pauses. */
  setEvents(events: WatchEvents): void;
  /** No callback comes after this. To be closed before its descriptor. */
  close(): void;
}

/** What may be read before anybody is told that the descriptor is ready. */
export interface TableReader {
  readonly source: TableSource;
  /** Instead of a callback that says it is readable: what reading `source` gave. */
  readonly take: (result: number) => void;
}

export interface Readiness {
  /** Borrows `fd`, which is non-blocking and watched once. Nothing is waited for before `setEvents`. */
  watch(fd: number, callback: WatchCallback, reader?: TableReader): DescriptorWatch;
}

/** The event loop of the calling thread. */
export const eventLoop: Readiness = { watch: (fd, callback) => new Watch(fd, {}, callback) };
