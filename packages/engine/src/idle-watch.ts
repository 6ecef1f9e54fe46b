/**
 * `inactive seconds [bytes]`: whether it is so many seconds ago that the tunnel had carried so many bytes (any, without a
 * number) since it had last. Pings do not count: the data channel's tun counters exclude them.
 * upstream: forward.h `register_activity` (2.6), which looks at each packet. This looks often enough to be late by at most
 * a tenth of the time, or ten seconds.
 */
import type { Millis, PeerCounters } from '@seikan/core';

export class IdleWatch {
  readonly #span: Millis;
  readonly #bytes: number;
  readonly #interval: Millis;
  #nextLook: Millis;
  #since: Millis;
  #seen = 0;

  constructor({ span, bytes }: { readonly span: Millis; readonly bytes: number }, now: Millis) {
    this.#span = span;
    this.#bytes = Math.max(1, bytes);
    this.#interval = Math.min(Math.max(span / 10, 1_000), 10_000);
    this.#since = now;
    this.#nextLook = now + this.#interval;
  }

  get nextLook(): Millis {
    return this.#nextLook;
  }

  isOver(counters: PeerCounters | undefined, now: Millis): boolean {
    if (now < this.#nextLook) return false;
    if (counters !== undefined) {
      const carried = counters.tunRead + counters.tunWritten;
      if (carried - this.#seen >= this.#bytes) {
        this.#seen = carried;
        this.#since = now;
      }
    }
    this.#nextLook = Math.min(now + this.#interval, this.#since + this.#span);
    if (this.#nextLook > now) return false;
    this.#nextLook = now + this.#interval;
    return counters !== undefined;
  }
}
