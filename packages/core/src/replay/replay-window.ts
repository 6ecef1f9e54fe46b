/**
 * Which packet ids of one key have been seen: a sliding window over ids that start at 1.
 *
 *   … floor … |<------------- size ------------->| highest
 *     dropped      a bit per id: seen or not         anything above moves the window
 *
 * Ids may go up to 2^53, so that the 48-bit counters of epoch packets need nothing else; the bit of an id is found
 * by its low bits in a ring (the scheme of RFC 6479: one spare word, words are cleared as the window passes).
 *
 * Source: OpenVPN 2.6 `packet_id.c` (`packet_id_test`, `packet_id_add`, `packet_id_reap`).
 */
import type { Millis } from '../bytes/millis.js';

export type ReplayVerdict = 'accepted' | 'replay' | 'too-old' | 'bad-packet-id';

export interface ReplayWindowOptions {
  /** How far behind the highest id a packet may come, in packets. */
  readonly size: number;
  /** How long after the highest id a packet below it may come; 0 is for ever. */
  readonly time: Millis;
}

/** Upstream's `replay-window 64 15`. */
export const defaultReplayWindow: ReplayWindowOptions = { size: 64, time: 15_000 };

/** The window's past is remembered in this many steps, so an id may live 1/8 of `time` too long. */
const STEPS = 8;

export class ReplayWindow {
  readonly #size: number;
  readonly #seen: Uint32Array;
  readonly #mask: number;
  #highest = 0;

  /** Ids up to here are too old whatever the bits say. */
  #floor = 0;
  readonly #stepTime: Millis;
  #stepEnd: Millis = 0;
  /** The highest id at the end of each of the last steps, oldest at `#step`. */
  readonly #highestAt = new Float64Array(STEPS);
  #step = 0;

  constructor({ size, time }: ReplayWindowOptions) {
    this.#size = size;
    let words = 2;
    while (words * 32 < size + 32) words *= 2;
    this.#seen = new Uint32Array(words);
    this.#mask = words - 1;
    this.#stepTime = time / STEPS;
  }

  /** The highest id accepted so far; 0 before the first. */
  get highest(): number {
    return this.#highest;
  }

  /** Judges an *authenticated* packet and remembers it when it is accepted. `now` never runs backwards. */
  accept(id: number, now: Millis): ReplayVerdict {
    if (id === 0) return 'bad-packet-id';
    if (this.#stepTime > 0 && now >= this.#stepEnd) this.#age(now);

    if (id > this.#highest) {
      const bitsPassed = (this.#highest & 31) + (id - this.#highest);
      if (bitsPassed > 31) this.#clear(Math.floor(bitsPassed / 32));
      this.#highest = id;
    } else if (this.#highest - id >= this.#size || id <= this.#floor) return 'too-old';

    const word = this.#wordOf(id);
    const bit = 1 << (id & 31);
    const seen = this.#seen[word] as number;
    if ((seen & bit) !== 0) return 'replay';
    this.#seen[word] = seen | bit;
    return 'accepted';
  }

  /** `>>>` keeps the low 32 bits of any safe integer, which is all that a ring of at most 2^12 words looks at. */
  #wordOf(id: number): number {
    return (id >>> 5) & this.#mask;
  }

  /** Clears the next words of the ring: their bits are those of ids long gone. */
  #clear(words: number): void {
    if (words > this.#mask) {
      this.#seen.fill(0);
      return;
    }
    const from = this.#wordOf(this.#highest);
    for (let i = 1; i <= words; i += 1) this.#seen[(from + i) & this.#mask] = 0;
  }

  #age(now: Millis): void {
    if (this.#stepEnd === 0) {
      this.#stepEnd = now + this.#stepTime;
      return;
    }
    const steps = Math.min(STEPS + 1, Math.floor((now - this.#stepEnd) / this.#stepTime) + 1);
    for (let i = 0; i < steps; i += 1) {
      this.#floor = this.#highestAt[this.#step] as number;
      this.#highestAt[this.#step] = this.#highest;
      this.#step = (this.#step + 1) % STEPS;
    }
    this.#stepEnd = now + this.#stepTime;
  }
}

/**
 * The window of the long form, where an id comes with the sender's wall-clock time: a later time starts a new window
 * (the sender restarted, or its counter went round), an earlier one is a replay.
 */
export class LongReplayWindow {
  readonly #options: ReplayWindowOptions;
  /** Of `#time`; none before the first id. */
  #window: ReplayWindow | undefined;
  #time = 0;

  constructor(options: ReplayWindowOptions) {
    this.#options = options;
  }

  /** Like `ReplayWindow.accept`; `time` is the sender's, in seconds. */
  accept(id: number, time: number, now: Millis): ReplayVerdict {
    if (id === 0) return 'bad-packet-id';
    if (time < this.#time) return 'replay';
    if (time > this.#time || this.#window === undefined) {
      this.#time = time;
      this.#window = new ReplayWindow(this.#options);
    }
    return this.#window.accept(id, now);
  }
}
