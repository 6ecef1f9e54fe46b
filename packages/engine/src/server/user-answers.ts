/**
 * What a client's user has answered to a question (CR_RESPONSE), put to a script or plugin one after another: a client
 * that sends many while one is looked at must not start as many programs. Of those that wait the last one counts.
 * upstream: push.c `receive_cr_response` (2.6), which stands still meanwhile.
 */
import type { Time } from '../output.js';

export class UserAnswers {
  readonly #judge: (answer: string, done: (time: Time) => void) => void;
  #waiting: string | undefined;
  #busy = false;

  constructor(judge: (answer: string, done: (time: Time) => void) => void) {
    this.#judge = judge;
  }

  /** `answer`: what follows `CR_RESPONSE,`. */
  take(answer: string): void {
    if (this.#busy) {
      this.#waiting = answer;
      return;
    }
    this.#busy = true;
    this.#judge(answer, () => {
      this.#busy = false;
      const next = this.#waiting;
      this.#waiting = undefined;
      if (next !== undefined) this.take(next);
    });
  }
}
