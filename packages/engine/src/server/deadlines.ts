/**
 * When each of many machines has to be looked at again: a binary heap over small numbers (peer indices), which knows
 * where each of them stands, so that a deadline can be moved or taken back.
 */
import type { Millis } from '@seikan/core';

export class Deadlines {
  /** Indices; the parent of place i is at (i - 1) >> 1, and its time is never later. */
  readonly #heap: number[] = [];
  /** By index: its place in the heap, or -1. */
  readonly #places: number[] = [];
  /** By index. */
  readonly #times: Millis[] = [];

  /** `undefined` takes it back. */
  set(index: number, time: Millis | undefined): void {
    const place = this.#places[index] ?? -1;
    if (time === undefined) {
      if (place >= 0) this.#remove(index, place);
      return;
    }
    this.#times[index] = time;
    if (place >= 0) this.#settle(index, place);
    else this.#settle(index, this.#heap.length);
  }

  get earliest(): Millis | undefined {
    const [first] = this.#heap;
    return first === undefined ? undefined : this.#times[first];
  }

  /** Takes out whichever are due, the earliest first. */
  takeDue(now: Millis): number[] {
    const due: number[] = [];
    for (let first = this.#heap[0]; first !== undefined && this.#timeOf(first) <= now; first = this.#heap[0]) {
      due.push(first);
      this.#remove(first, 0);
    }
    return due;
  }

  #remove(index: number, place: number): void {
    this.#places[index] = -1;
    const last = this.#heap.pop();
    if (last !== undefined && last !== index) this.#settle(last, place);
  }

  /** Puts an index where `place` is free, or further up or down if its time says so. */
  #settle(index: number, place: number): void {
    const time = this.#timeOf(index);
    let free = place;
    while (free > 0) {
      const parent = this.#heap[(free - 1) >> 1] as number;
      if (this.#timeOf(parent) <= time) break;
      this.#put(parent, free);
      free = (free - 1) >> 1;
    }
    for (;;) {
      const left = this.#heap[2 * free + 1];
      const right = this.#heap[2 * free + 2];
      if (left === undefined) break;
      const onRight = right !== undefined && this.#timeOf(right) < this.#timeOf(left);
      const child = onRight ? right : left;
      if (time <= this.#timeOf(child)) break;
      this.#put(child, free);
      free = 2 * free + (onRight ? 2 : 1);
    }
    this.#put(index, free);
  }

  #put(index: number, place: number): void {
    this.#heap[place] = index;
    this.#places[index] = place;
  }

  #timeOf(index: number): Millis {
    return this.#times[index] as Millis;
  }
}
