/** How long plugins take: counts and durations per plugin and event, in the shape that a metrics endpoint wants. */
import type { PluginEventName } from '@seikan/plugin-sdk';

/** Upper bounds of the duration buckets, ms. */
export const durationBounds = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000,
] as const;

export type CallResult = 'success' | 'failure' | 'deferred' | 'none';

export interface CallStat {
  readonly plugin: string;
  readonly event: PluginEventName;
  readonly results: Readonly<Record<CallResult, number>>;
  readonly totalMs: number;
  readonly maxMs: number;
  /** Calls per bucket, the last for what is longer than the last bound. */
  readonly buckets: readonly number[];
}

interface Entry {
  plugin: string;
  event: PluginEventName;
  results: Record<CallResult, number>;
  totalMs: number;
  maxMs: number;
  buckets: number[];
}

export class CallStats {
  readonly #entries = new Map<string, Entry>();

  add(plugin: string, event: PluginEventName, result: CallResult, ms: number): void {
    const key = `${event} ${plugin}`;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = {
        plugin,
        event,
        results: { success: 0, failure: 0, deferred: 0, none: 0 },
        totalMs: 0,
        maxMs: 0,
        buckets: Array.from({ length: durationBounds.length + 1 }, () => 0),
      };
      this.#entries.set(key, entry);
    }
    entry.results[result] += 1;
    entry.totalMs += ms;
    entry.maxMs = Math.max(entry.maxMs, ms);
    const bound = durationBounds.findIndex((upper) => ms <= upper);
    const bucket = bound < 0 ? durationBounds.length : bound;
    entry.buckets[bucket] = (entry.buckets[bucket] ?? 0) + 1;
  }

  /** One line per plugin and event, for people. */
  describe(): string[] {
    return [...this.#entries.values()].map(({ plugin, event, results, totalMs, maxMs }) => {
      const calls = results.success + results.failure + results.deferred + results.none;
      const others = (['failure', 'deferred', 'none'] as const)
        .filter((result) => results[result] > 0)
        .map((result) => `, ${results[result]} ${result === 'none' ? 'without a verdict' : result}`);
      return `PLUGIN ${plugin}: ${event}: ${calls} calls${others.join('')}, ${(totalMs / calls).toFixed(2)} ms on average, ${maxMs.toFixed(2)} ms at most`;
    });
  }

  list(): CallStat[] {
    return structuredClone([...this.#entries.values()]);
  }
}
