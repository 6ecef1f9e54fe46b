/** When what has ended is started again: at once, then after 1, 2, 4 … 60 s; a minute without an end forgives all. */
const longestRest = 60_000;
const healthy = 60_000;

export class BackOff {
  #startedAt = 0;
  #rest = 0;

  started(now: number): void {
    this.#startedAt = now;
  }

  /** It has ended: how long it rests, ms. */
  ended(now: number): number {
    if (now - this.#startedAt > healthy) this.#rest = 0;
    const rest = this.#rest;
    this.#rest = rest === 0 ? 1_000 : Math.min(rest * 2, longestRest);
    return rest;
  }
}
