/**
 * Keeps this thread from sleeping for a moment in which something is about to come: waking a core that sleeps takes
 * longer than a whole call of a plugin. The event loop goes on turning, and each turn looks for a glance at most.
 *
 * It is no use where what is waited for takes longer, or needs the core on which we wait (a busy machine; with one core
 * never). So each moment in which nothing came is followed by 1, 3, 7, 7 … without a try, until something comes in time.
 */
import { availableParallelism } from 'node:os';

/** How long is looked for an answer, and by a plugin's thread for the next call, ms. A login's calls follow one another. */
export const answerSoon = 0.2;
export const callSoon = 0.1;
/** How long everything else is held up at most, in our thread and in a plugin's own, ms. */
export const ourGlance = 0.01;
export const pluginGlance = 0.05;

const mostSkipped = 7;

export interface Sleeper {
  /** Whether there was something. */
  look(): boolean;
  /** The moment is over. `false`: something has come in it, so one more turn. */
  sleep(): boolean;
}

export class Wakefulness {
  readonly #sleeper: Sleeper | undefined;
  readonly #glance: number;
  readonly #useful = availableParallelism() > 1;
  readonly #moments = new Tries();
  readonly #waits = new Tries();
  #until = 0;
  #turning = false;
  /** What remains of this turn's glance. */
  #left = 0;

  constructor(sleeper?: Sleeper, glance = ourGlance) {
    this.#sleeper = sleeper;
    this.#glance = glance;
  }

  /** Stays awake for so many ms from now. `false`: it sleeps as ever. */
  stay(ms: number): boolean {
    if (this.#turning) this.#moments.worthwhile();
    else {
      if (!this.#useful || !this.#moments.due()) return false;
      this.#turning = true;
      this.#left = this.#glance;
      setImmediate(this.#turn);
    }
    this.#until = performance.now() + ms;
    return true;
  }

  /** Looks at once, until `end` is called or the glance of this turn is over: a turn takes as long as a whole call. */
  wait(): void {
    if (!this.#turning || this.#left <= 0 || !this.#waits.due()) return;
    const whole = this.#left === this.#glance;
    while (this.#look() && this.#until > 0);
    if (this.#until === 0) this.#waits.worthwhile();
    else if (whole) this.#waits.inVain();
  }

  /** What was waited for has come. */
  end(): void {
    if (this.#turning) this.#moments.worthwhile();
    this.#until = 0;
  }

  readonly #turn = (): void => {
    this.#left = this.#glance;
    if (this.#look() || performance.now() < this.#until || this.#sleeper?.sleep() === false) {
      setImmediate(this.#turn);
      return;
    }
    this.#turning = false;
    if (this.#until > 0) this.#moments.inVain();
  };

  /** Until something has come, or the rest of the glance or the moment is over. */
  #look(): boolean {
    if (this.#sleeper === undefined) return false;
    const started = performance.now();
    const end = Math.min(this.#until, started + this.#left);
    let came = this.#sleeper.look();
    let now = performance.now();
    while (!came && now < end) {
      came = this.#sleeper.look();
      now = performance.now();
    }
    this.#left -= now - started;
    return came;
  }
}

/** Tries that are left out after those that were in vain. */
class Tries {
  #toSkip = 0;
  #skipped = 0;

  due(): boolean {
    if (this.#toSkip === 0) return true;
    this.#toSkip -= 1;
    return false;
  }

  worthwhile(): void {
    this.#skipped = 0;
  }

  inVain(): void {
    this.#toSkip = this.#skipped = Math.min(this.#skipped * 2 + 1, mostSkipped);
  }
}
