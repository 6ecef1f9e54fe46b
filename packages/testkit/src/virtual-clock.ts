import type { Millis, UnixSeconds } from '@seikan/core';
import type { Clock } from '@seikan/dataplane';

interface Alarm {
  readonly at: Millis;
  readonly ring: () => void;
}

/** A clock that stands still until it is moved; alarms ring in order, at their own time. */
export class VirtualClock implements Clock {
  #now: Millis;
  readonly #alarms = new Set<Alarm>();

  constructor(start: Millis = 1_000) {
    this.#now = start;
  }

  now(): Millis {
    return this.#now;
  }

  unixTime(): UnixSeconds {
    return 1_800_000_000 + Math.floor(this.#now / 1_000);
  }

  alarm(delay: Millis, ring: () => void): () => void {
    const alarm: Alarm = { at: this.#now + Math.max(0, delay), ring };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** When the next alarm rings; Infinity for never. */
  get next(): Millis {
    let next = Number.POSITIVE_INFINITY;
    for (const { at } of this.#alarms) next = Math.min(next, at);
    return next;
  }

  advance(span: Millis): void {
    const end = this.#now + span;
    for (;;) {
      const at = this.next;
      if (at > end) break;
      this.#now = Math.max(this.#now, at);
      for (const alarm of this.#alarms) {
        if (alarm.at > at) continue;
        this.#alarms.delete(alarm);
        alarm.ring();
        break;
      }
    }
    this.#now = end;
  }
}
