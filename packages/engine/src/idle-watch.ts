/**
 * `inactive seconds [bytes]`: whether the tunnel has carried at most so many bytes in the last so many seconds. Pings do
 * not count: the data channel's tun counters exclude them. It looks once per span, so an end comes up to one span late.
 */
import type { Millis, PeerCounters } from '@seikan/core';

export class IdleWatch {
  readonly #span: Millis;
  readonly #bytes: number;
  #nextLook: Millis;
  #seen = 0;

  constructor({ span, bytes }: { readonly span: Millis; readonly bytes: number }, now: Millis) {
    this.#span = span;
    this.#bytes = bytes;
    this.#nextLook = now + span;
  }

  get nextLook(): Millis {
    return this.#nextLook;
  }

  isOver(counters: PeerCounters | undefined, now: Millis): boolean {
    if (now < this.#nextLook) return false;
    this.#nextLook = now + this.#span;
    if (counters === undefined) return false;
    const carried = counters.tunRead + counters.tunWritten;
    const idle = carried - this.#seen <= this.#bytes;
    this.#seen = carried;
    return idle;
  }
}
