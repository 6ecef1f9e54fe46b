/**
 * Keeps this thread's event loop turning without sleep for a moment in which something is about to come: waking a core
 * that sleeps takes longer than a whole call of a plugin. Every turn does all else that the loop has to do.
 *
 * It is no use where what is waited for takes longer, or needs the core on which we wait (a busy machine; with one core
 * never). So each moment in which nothing came is followed by 1, 3, 7 … 63 without a try, until something comes in time.
 */
import { availableParallelism } from 'node:os';

/** How long is looked for an answer, and by a plugin's thread for the next call, ms. A login's calls follow one another. */
export const answerSoon = 0.2;
export const callSoon = 0.1;

export interface Sleeper {
  /** Whether there was something. */
  look(): boolean;
  /** The moment is over. `false`: something has come in it, so one more turn. */
  sleep(): boolean;
}

/** How long a turn looks before the event loop does what else there is, ms. */
const glance = 0.01;
const mostSkipped = 63;

export class Wakefulness {
  readonly #sleeper: Sleeper | undefined;
  readonly #useful = availableParallelism() > 1;
  #until = 0;
  #turning = false;
  /** Tries to leave out, and how many it were after the last vain one. */
  #skips = 0;
  #skipped = 0;

  constructor(sleeper?: Sleeper) {
    this.#sleeper = sleeper;
  }

  /** Stays awake for so many ms from now. `false`: it sleeps as ever. */
  stay(ms: number): boolean {
    if (this.#turning) this.#skipped = 0;
    else {
      if (!this.#useful) return false;
      if (this.#skips > 0) {
        this.#skips -= 1;
        return false;
      }
      this.#turning = true;
      setImmediate(this.#turn);
    }
    this.#until = performance.now() + ms;
    return true;
  }

  /** What was waited for has come. */
  end(): void {
    if (this.#turning) this.#skipped = 0;
    this.#until = 0;
  }

  readonly #turn = (): void => {
    const now = performance.now();
    const end = Math.min(this.#until, now + glance);
    while (this.#sleeper?.look() === false && performance.now() < end);
    if (now < this.#until || this.#sleeper?.sleep() === false) {
      setImmediate(this.#turn);
      return;
    }
    this.#turning = false;
    if (this.#until > 0) this.#skips = this.#skipped = Math.min(this.#skipped * 2 + 1, mostSkipped);
  };
}
