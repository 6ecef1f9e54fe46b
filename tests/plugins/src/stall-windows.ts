/**
 * What a plugin that sleeps costs another client. Windows of pings, with and without a sleeping plugin, alternate many
 * times, so that what else goes on in the machine is in both. Part of bench/plugins; takes four minutes.
 *     node stall-windows.js [ROUNDS [SECONDS [fault]]]       SECONDS of pings in a window
 * With `fault` the daemon is stopped for 3 ms every 100 ms while the plugin sleeps: that has to show.
 */
import { type Pings, pluginKinds, Stall } from './stall.js';
import { compare, neighbours, quantile, type Ratio, type Window } from './stall-statistics.js';
import { missing, StockNetwork } from './stock.js';

const [rounds = 25, seconds = 1] = process.argv.slice(2, 4).map(Number);
const fault = process.argv[4] === 'fault';
/** Seconds. */
const interval = 0.001;
const count = seconds / interval;
/** How much may be added to a p99. */
const aim = 1.1;

interface Round {
  readonly awake: Pings;
  readonly asleep: Pings;
}

async function measure(stall: Stall): Promise<Round[]> {
  const measured: Round[] = [];
  const asleep = async (): Promise<Pings | undefined> => {
    const end = fault ? stall.injectStalls(3, 100) : undefined;
    try {
      return await stall.pingAsleep(count, interval);
    } finally {
      await end?.();
    }
  };
  for (let round = 0; round < 3; round += 1) await asleep(); // warms both ends up
  for (let round = 0; round < rounds; round += 1) {
    // Each kind comes first as often as the other.
    const first = round % 2 === 0 ? await asleep() : undefined;
    const awake = await stall.ping(count, interval);
    const pings = first ?? (await asleep());
    if (pings !== undefined) measured.push({ awake, asleep: pings });
  }
  return measured;
}

function report(kind: string, measured: readonly Round[]): void {
  console.log(
    `\nwhile a ${kind} plugin sleeps: another client's pings, ms, ${measured.length} times ${seconds} s of each kind`,
  );
  console.log(`              lost     p50     p90     p99   p99 of each window`);
  const windows = { awake: measured.map(({ awake }) => awake), asleep: measured.map(({ asleep }) => asleep) };
  for (const [name, pings] of Object.entries(windows)) {
    const all = pings.flatMap(({ times }) => times);
    const cells = [0.5, 0.9, 0.99].map((share) => quantile(all, share).toFixed(3).padStart(7)).join(' ');
    const lost = pings.reduce((sum, each) => sum + each.lost, 0);
    const each = pings.map(({ times }) => quantile(times, 0.99).toFixed(2)).join(' ');
    console.log(`${name.padEnd(12)} ${String(lost).padStart(5)} ${cells}   ${each}`);
  }
  const moved = compare(measured.map(({ awake, asleep }): [Window, Window] => [awake.times, asleep.times]));
  const noise = compare(neighbours(windows.awake.map(({ times }) => times)));
  const say = ({ ratio, low, high }: Ratio): string =>
    `${ratio.toFixed(3)}, nine of ten drawn anew ${low.toFixed(3)} to ${high.toFixed(3)}`;
  console.log(`p99 asleep / awake: ${say(moved)}: ${verdict(moved)}`);
  console.log(`p99 awake / awake, what chance does: ${say(noise)}`);
}

function verdict({ low, high }: Ratio): string {
  if (high <= aim) return 'it moves by at most 10 %';
  return low > aim ? 'IT MOVES BY MORE THAN 10 %' : 'too much else goes on in this machine to tell';
}

const skip = missing();
if (skip !== undefined) console.log(`\nnothing about a sleeping plugin: ${skip}`);
else {
  const network = new StockNetwork();
  try {
    for (const kind of pluginKinds) {
      const stall = await Stall.start(network, kind, 500 + seconds * 1_200);
      report(kind, await measure(stall));
      await stall.stop();
    }
  } finally {
    await network.close();
  }
}
