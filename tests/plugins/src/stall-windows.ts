/**
 * What a plugin that sleeps costs another client: windows of pings, one while it sleeps between two while it does not, so
 * that the difference of those two shows what a difference means. Part of bench/plugins.
 *     node stall-windows.js [ROUNDS [PINGS]]
 */
import { type Pings, pluginKinds, quantile, Stall } from './stall.js';
import { missing, StockNetwork } from './stock.js';

const [rounds = 5, count = 1_200] = process.argv.slice(2).map(Number);
/** Seconds: a window is shorter than the sleep. */
const interval = 0.005;

interface Round {
  readonly before: Pings;
  readonly asleep: Pings;
  readonly after: Pings;
}

function median(values: readonly number[]): number {
  return quantile({ times: values.toSorted((a, b) => a - b) }, 0.5);
}

function report(kind: string, measured: readonly Round[]): void {
  console.log(
    `\nwhile a ${kind} plugin sleeps 10 s in a login: another client's pings, ms, median of ${rounds} windows`,
  );
  console.log(`                      lost     p50     p90     p99   p99 of each window`);
  for (const [name, field] of [
    ['awake, before', 'before'],
    ['asleep', 'asleep'],
    ['awake, after', 'after'],
  ] as const) {
    const windows = measured.map((round) => round[field]);
    const cells = [0.5, 0.9, 0.99].map((share) => median(windows.map((pings) => quantile(pings, share))));
    const lost = windows.reduce((sum, pings) => sum + pings.lost, 0);
    const each = windows.map((pings) => quantile(pings, 0.99).toFixed(2)).join(' ');
    console.log(
      `${name.padEnd(20)} ${String(lost).padStart(5)} ${cells.map((ms) => ms.toFixed(3).padStart(7)).join(' ')}   ${each}`,
    );
  }
  const p99 = ({ before, asleep, after }: Round): { moved: number; noise: number } => {
    const awake = (quantile(before, 0.99) + quantile(after, 0.99)) / 2;
    return { moved: quantile(asleep, 0.99) / awake, noise: quantile(after, 0.99) / quantile(before, 0.99) };
  };
  const moved = measured.map((round) => p99(round).moved);
  const noise = measured.map((round) => p99(round).noise);
  const list = (ratios: readonly number[]): string => ratios.map((ratio) => ratio.toFixed(2)).join(' ');
  console.log(`p99 asleep / awake: ${median(moved).toFixed(3)} (${list(moved)})`);
  console.log(`p99 awake after / awake before, the noise: ${median(noise).toFixed(3)} (${list(noise)})`);
}

const skip = missing();
if (skip !== undefined) console.log(`\nnothing about a sleeping plugin: ${skip}`);
else {
  const network = new StockNetwork();
  try {
    for (const kind of pluginKinds) {
      const stall = await Stall.start(network, kind);
      await stall.ping(200, interval); // warms both ends up
      const measured: Round[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const before = await stall.ping(count, interval);
        const asleep = await stall.pingAsleep(count, interval);
        measured.push({ before, asleep, after: await stall.ping(count, interval) });
      }
      await stall.stop();
      report(kind, measured);
    }
  } finally {
    await network.close();
  }
}
