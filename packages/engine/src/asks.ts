/** The questions that are open: each has one answer, and whoever asked can take them all back. */
import type { AskId, AskMap, AskName, EngineOutput, Time } from './output.js';

export class Asks {
  readonly #emit: (output: EngineOutput) => void;
  readonly #open = new Map<AskId, (answer: never, time: Time) => void>();
  readonly #ids: { next: AskId };

  /** `ids` is shared by all tables of one engine, so that an id names one question. */
  constructor(emit: (output: EngineOutput) => void, ids: { next: AskId }) {
    this.#emit = emit;
    this.#ids = ids;
  }

  ask<Name extends AskName>(
    name: Name,
    ask: AskMap[Name]['ask'],
    then: (answer: AskMap[Name]['answer'], time: Time) => void,
  ): AskId {
    const id = this.#ids.next++;
    this.#open.set(id, then);
    this.#emit({ output: 'ask', id, ask: name, ...ask } as EngineOutput);
    return id;
  }

  /** False: the question is not (or no more) open here. An event's interim verdict keeps it open. */
  handleAnswer(id: AskId, answer: unknown, interim: boolean, time: Time): boolean {
    const then = this.#open.get(id);
    if (then === undefined) return false;
    if (!interim) this.#open.delete(id);
    then(answer as never, time);
    return true;
  }

  cancelAll(): void {
    for (const id of this.#open.keys()) this.#emit({ output: 'cancel', id });
    this.#open.clear();
  }
}
