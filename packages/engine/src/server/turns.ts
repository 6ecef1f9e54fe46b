/**
 * Whoever has to be told of things in their order: work that shares a key is begun when the work before it has ended, all
 * else goes on side by side. Pure.
 *
 *     client 3: learn-address add 10.8.0.2 ─▶ client-disconnect, learn-address delete 10.8.0.2
 *     client 4:                               waits, for the address ─▶ learn-address add 10.8.0.2
 */
import type { Time } from '../output.js';

/** To be called once, when the work has ended. */
export type EndTurn = (time: Time) => void;

interface Turn {
  readonly keys: readonly string[];
  readonly start: (time: Time, end: EndTurn) => void;
  /** How many lines it is not at the head of. */
  behind: number;
}

export class Turns {
  readonly #lines = new Map<string, Turn[]>();

  /** Starts, now or later, when nothing that was there before has one of these `keys` any more. */
  take(keys: readonly string[], time: Time, start: Turn['start']): void {
    const turn: Turn = { keys: [...new Set(keys)], start, behind: 0 };
    for (const key of turn.keys) {
      const line = this.#lines.get(key);
      if (line === undefined) this.#lines.set(key, [turn]);
      else {
        line.push(turn);
        turn.behind += 1;
      }
    }
    if (turn.behind === 0) this.#start(turn, time);
  }

  #start(turn: Turn, time: Time): void {
    let ended = false;
    turn.start(time, (at) => {
      if (ended) return;
      ended = true;
      this.#end(turn, at);
    });
  }

  #end(turn: Turn, time: Time): void {
    const next: Turn[] = [];
    for (const key of turn.keys) {
      const line = this.#lines.get(key);
      line?.shift();
      const [head] = line ?? [];
      if (head === undefined) this.#lines.delete(key);
      else {
        head.behind -= 1;
        if (head.behind === 0) next.push(head);
      }
    }
    for (const head of next) this.#start(head, time);
  }
}
