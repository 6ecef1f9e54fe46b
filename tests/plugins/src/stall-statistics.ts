/**
 * Whether pings are slower in one kind of windows than in the other, and what chance alone does to that.
 *
 * Windows come in pairs that lie beside each other in time. A kind's p99 is that of all its pings. What chance does to
 * the ratio is seen by drawing pairs anew, with replacement (a bootstrap over windows, as the pings of one window belong
 * together), and by comparing windows of one kind with each other.
 */
import { SeededRandom } from '@seikan/testkit';

/** Round trips of one window, ms. */
export type Window = readonly number[];

export interface Ratio {
  readonly ratio: number;
  /** Nine of ten ratios of pairs drawn anew lie between them. */
  readonly low: number;
  readonly high: number;
}

const draws = 200;

/** The p99 of the second windows of all pairs beside that of the first. */
export function compare(pairs: readonly (readonly [Window, Window])[], seed = 1): Ratio {
  const random = new SeededRandom(seed);
  const ratios = Array.from({ length: draws }, () =>
    ratioOf(pairs.map(() => pairs[random.below(pairs.length)] ?? [[], []])),
  );
  ratios.sort((a, b) => a - b);
  return { ratio: ratioOf(pairs), low: ratios[draws * 0.05] ?? 0, high: ratios[draws * 0.95 - 1] ?? 0 };
}

/** Neighbours as pairs: what differs between them is chance. */
export function neighbours(windows: readonly Window[]): [Window, Window][] {
  const pairs: [Window, Window][] = [];
  for (let at = 0; at + 1 < windows.length; at += 2) {
    const pair: [Window, Window] = [windows[at] ?? [], windows[at + 1] ?? []];
    pairs.push(pair);
  }
  return pairs;
}

export function quantile(times: Window, share: number): number {
  const sorted = Float64Array.from(times).toSorted();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function ratioOf(pairs: readonly (readonly [Window, Window])[]): number {
  const [first, second] = [pairs.flatMap(([window]) => window), pairs.flatMap(([, window]) => window)];
  return quantile(second, 0.99) / quantile(first, 0.99);
}
