/** Random bytes for many small needs: a call of node:crypto takes microseconds, however few are asked for. */
import { randomFillSync } from 'node:crypto';

const SIZE = 1_024;

export class RandomPool {
  readonly #pool = new Uint8Array(SIZE);
  /** The first so many bytes have not been given to anybody. */
  #left = 0;

  /** Bytes that were given are wiped here. */
  readonly fill = (into: Uint8Array): void => {
    const { length } = into;
    if (length > SIZE) {
      randomFillSync(into);
      return;
    }
    if (this.#left < length) {
      randomFillSync(this.#pool);
      this.#left = SIZE;
    }
    const from = this.#left - length;
    into.set(this.#pool.subarray(from, this.#left));
    this.#pool.fill(0, from, this.#left);
    this.#left = from;
  };
}
