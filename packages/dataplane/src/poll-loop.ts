/**
 * The loop of a thread that blocks in the kernel until a descriptor is ready, a deadline has come, or another thread
 * raises a `Wake` that is watched here. Its own event loop does not run meanwhile.
 */
import type { Millis, UnixSeconds } from '@seikan/core';
import { NOT_RECEIVED, PollSet, READABLE, type WatchCallback, type WatchEvents, WRITABLE } from '@seikan/native';

import type { Clock } from './ports.js';
import type { DescriptorWatch, Readiness, TableReader } from './readiness.js';

/** Descriptors served in one turn; the others come with the next. */
const ROOM = 64;
const LONGEST_WAIT: Millis = 2 ** 31 - 1;
/** Where the first descriptor stands in what the set says. */
const FIRST = 2;

export interface PollLoopOptions {
  /** Instead of the monotonic clock, for tests. */
  readonly now?: (() => Millis) | undefined;
  /** Where the watched descriptors are written down for whoever must close them when the thread dies; 0 is a free cell. */
  readonly descriptors: Int32Array;
}

interface Alarm {
  readonly at: Millis;
  readonly ring: () => void;
}

export class PollLoop implements Readiness, Clock {
  readonly #set = new PollSet(ROOM);
  readonly #watches = new Map<number, PollWatch>();
  readonly #alarms = new Set<Alarm>();
  readonly #options: PollLoopOptions;
  #turn = 0;
  #now: Millis;
  /** When the next alarm is due. */
  #nextAt = Number.POSITIVE_INFINITY;

  constructor(options: PollLoopOptions) {
    this.#options = options;
    // Nothing is watched yet.
    this.#now = this.#wait(0);
  }

  watch(fd: number, callback: WatchCallback, reader?: TableReader): DescriptorWatch {
    this.#note(0, fd);
    this.#set.receive(fd, reader?.source);
    return this.#newWatch(fd, callback, reader?.take);
  }

  /** Watches for reading what somebody else closes. */
  lend(fd: number, callback: () => void): DescriptorWatch {
    const watch = this.#newWatch(fd, callback);
    watch.setEvents({ readable: true });
    return watch;
  }

  /** When this turn began: one time for all that happens in it. */
  now(): Millis {
    return this.#now;
  }

  unixTime(): UnixSeconds {
    return Math.floor(Date.now() / 1_000);
  }

  alarm(delay: Millis, ring: () => void): () => void {
    const alarm: Alarm = { at: this.now() + delay, ring };
    this.#alarms.add(alarm);
    this.#nextAt = Math.min(this.#nextAt, alarm.at);
    return () => this.#drop(alarm);
  }

  /** Waits, then serves what is ready and due. */
  turn(): void {
    this.#turn += 1;
    this.#now = this.#wait(this.#delay());
    const { ready } = this.#set;
    const received = ready[1] as number;
    const end = FIRST + 2 * (ready[0] as number);
    for (let i = FIRST; i < end; i += 2) {
      const watch = this.#watches.get(ready[i] as number);
      const state = ready[i + 1] as number;
      // What was opened in this turn may have the number of what was closed in it; its own news comes with the next.
      if (watch === undefined || watch.turn === this.#turn) continue;
      const readable = (state & READABLE) !== 0;
      const writable = (state & WRITABLE) !== 0;
      if (i > FIRST || received === NOT_RECEIVED) watch.callback(readable, writable);
      else {
        if (writable) watch.callback(false, true);
        watch.take?.(received);
      }
    }
    this.#ring();
  }

  close(): void {
    this.#set.close();
  }

  #newWatch(fd: number, callback: WatchCallback, take?: TableReader['take']): DescriptorWatch {
    const forget = (): void => {
      this.#watches.delete(fd);
      this.#set.receive(fd, undefined);
      this.#note(fd, 0);
    };
    const watch = new PollWatch(fd, { set: this.#set, callback, take, turn: this.#turn, forget });
    this.#watches.set(fd, watch);
    return watch;
  }

  #wait(milliseconds: Millis): Millis {
    const time = this.#set.wait(milliseconds);
    const { now } = this.#options;
    return now === undefined ? time : now();
  }

  /** Writes `fd` over the first cell that holds `instead`. */
  #note(instead: number, fd: number): void {
    const { descriptors } = this.#options;
    const cell = descriptors.indexOf(instead);
    if (cell >= 0) descriptors[cell] = fd;
  }

  #drop(alarm: Alarm): void {
    this.#alarms.delete(alarm);
    this.#nextAt = Number.POSITIVE_INFINITY;
    for (const { at } of this.#alarms) this.#nextAt = Math.min(this.#nextAt, at);
  }

  /** From the beginning of the turn: an alarm may be late by what the turn takes, and no clock is asked for it. */
  #delay(): Millis {
    if (this.#nextAt === Number.POSITIVE_INFINITY) return -1;
    return Math.min(LONGEST_WAIT, Math.max(0, Math.ceil(this.#nextAt - this.#now)));
  }

  #ring(): void {
    if (this.#nextAt > this.#now) return;
    for (const alarm of this.#alarms) {
      if (alarm.at > this.#now) continue;
      this.#drop(alarm);
      alarm.ring();
    }
  }
}

interface PollWatchOptions {
  readonly set: PollSet;
  readonly callback: WatchCallback;
  readonly take: TableReader['take'] | undefined;
  readonly turn: number;
  readonly forget: () => void;
}

class PollWatch implements DescriptorWatch {
  readonly callback: WatchCallback;
  readonly take: TableReader['take'] | undefined;
  /** The turn in which it was opened. */
  readonly turn: number;
  readonly #fd: number;
  readonly #options: PollWatchOptions;
  #watched = false;

  constructor(fd: number, options: PollWatchOptions) {
    this.#fd = fd;
    this.#options = options;
    this.callback = options.callback;
    this.take = options.take;
    this.turn = options.turn;
  }

  setEvents(events: WatchEvents): void {
    if (events.readable === true || events.writable === true) {
      this.#options.set.watch(this.#fd, events);
      this.#watched = true;
    } else this.#pause();
  }

  close(): void {
    this.#pause();
    this.#options.forget();
  }

  /** The kernel reports hang-ups also where nothing is waited for. */
  #pause(): void {
    if (this.#watched) this.#options.set.forget(this.#fd);
    this.#watched = false;
  }
}
