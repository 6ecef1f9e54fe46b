import type { SeededRandom } from '@seikan/testkit';

/** Values at which parsers tend to err: ends of ranges, counts just over a limit, lengths of nothing. */
const BYTES = [0x00, 0x01, 0x02, 0x08, 0x09, 0x0a, 0x0d, 0x20, 0x2c, 0x3d, 0x7f, 0x80, 0xfe, 0xff];
const NUMBERS = [0, 1, 2, 7, 8, 255, 256, 511, 512, 513, 0x7fff, 0x8000, 0xffff];
const MAX_SIZE = 20_000;

/** Makes new inputs of old ones: a few small damages each. */
export class Mutator {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  mutate(input: Uint8Array, other: Uint8Array): Uint8Array {
    let bytes: Uint8Array = input.slice();
    for (let damages = 1 + this.#random.below(5); damages > 0; damages -= 1) bytes = this.#damage(bytes, other);
    return bytes.subarray(0, MAX_SIZE);
  }

  #damage(bytes: Uint8Array, other: Uint8Array): Uint8Array {
    const random = this.#random;
    const at = random.below(bytes.length + 1);
    const length = 1 + random.below(random.chance(0.8) ? 8 : bytes.length + 1);
    switch (random.below(9)) {
      case 0: {
        const flipped = bytes.slice();
        if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
        return flipped;
      }
      case 1:
        return overwrite(bytes, at, [this.#pick(BYTES)]);
      case 2: {
        const number = this.#pick(NUMBERS) + random.below(3) - 1;
        return overwrite(bytes, at, [(number >>> 8) & 0xff, number & 0xff]);
      }
      case 3:
        return bytes.slice(0, at);
      case 4:
        return join(bytes.subarray(0, at), bytes.subarray(at + length));
      case 5:
        return join(bytes.subarray(0, at + length), bytes.subarray(at));
      case 6: {
        const noise = new Uint8Array(length);
        random.fill(noise);
        return join(bytes.subarray(0, at), noise, bytes.subarray(at));
      }
      case 7: {
        const from = random.below(other.length + 1);
        return join(bytes.subarray(0, at), other.subarray(from, from + length * 8), bytes.subarray(at));
      }
      default:
        return join(bytes.subarray(0, at), other.subarray(Math.min(at, other.length)));
    }
  }

  #pick(values: readonly number[]): number {
    return values[this.#random.below(values.length)] ?? 0;
  }
}

function overwrite(bytes: Uint8Array, at: number, values: readonly number[]): Uint8Array {
  const changed = bytes.slice();
  for (const [i, value] of values.entries()) if (at + i < changed.length) changed[at + i] = value;
  return changed;
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
