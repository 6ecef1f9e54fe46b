/** The questions that are open: each has one answer, and whoever asked can take them all back. */
import type { AskId, AskMap, AskName, EngineOutput, Time } from './output.js';

/** The numbers of all questions of one engine, and in whose table each of them is. */
export class AskBook {
  readonly #holders = new Map<AskId, Asks>();
  #next: AskId = 1;

  enter(holder: Asks): AskId {
    const id = this.#next;
    this.#next += 1;
    this.#holders.set(id, holder);
    return id;
  }

  strike(id: AskId): void {
    this.#holders.delete(id);
  }

  /** False: the question is not (or no more) open. */
  handleAnswer(id: AskId, answer: unknown, interim: boolean, time: Time): boolean {
    return this.#holders.get(id)?.handleAnswer(id, answer, interim, time) ?? false;
  }
}

export class Asks {
  readonly #emit: (output: EngineOutput) => void;
  readonly #open = new Map<AskId, (answer: never, time: Time) => void>();
  readonly #book: AskBook;
  readonly #around: (answer: (time: Time) => void, time: Time) => void;

  /** `around` hands each answer on. */
  constructor(
    emit: (output: EngineOutput) => void,
    book: AskBook,
    around: (answer: (time: Time) => void, time: Time) => void = (answer, time) => answer(time),
  ) {
    this.#emit = emit;
    this.#book = book;
    this.#around = around;
  }

  ask<Name extends AskName>(
    name: Name,
    ask: AskMap[Name]['ask'],
    then: (answer: AskMap[Name]['answer'], time: Time) => void,
  ): AskId {
    const id = this.#book.enter(this);
    this.#open.set(id, then);
    this.#emit({ output: 'ask', id, ask: name, ...ask } as EngineOutput);
    return id;
  }

  /** False: the question is not (or no more) open here. An event's interim verdict keeps it open. */
  handleAnswer(id: AskId, answer: unknown, interim: boolean, time: Time): boolean {
    const then = this.#open.get(id);
    if (then === undefined) return false;
    if (!interim) this.#close(id);
    this.#around((at) => then(answer as never, at), time);
    return true;
  }

  cancelAll(): void {
    for (const id of this.#open.keys()) {
      this.#emit({ output: 'cancel', id });
      this.#close(id);
    }
  }

  #close(id: AskId): void {
    this.#open.delete(id);
    this.#book.strike(id);
  }
}
