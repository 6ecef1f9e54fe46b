/** While a plugin stands still for ten seconds in one client's login, another client's pings go on as before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pluginKinds, Stall } from './stall.js';
import { compare, neighbours, quantile } from './stall-statistics.js';
import type { StockNetwork } from './stock.js';
import { withNetwork } from './with-network.js';

let network: StockNetwork;

const skip = withNetwork((made) => {
  network = made;
});

for (const kind of pluginKinds)
  test(`a ${kind} plugin that stands still holds up its client alone`, { skip }, async (context) => {
    const stall = await Stall.start(network, kind, 10_000);
    const before = await stall.ping(300, 0.02);
    const during = await stall.pingAsleep(300, 0.02, 'x');
    await stall.stop();
    assert.ok(during !== undefined, 'the pings took longer than the plugin slept');
    const [p50, p99] = [quantile(during.times, 0.5), quantile(during.times, 0.99)];
    context.diagnostic(
      `${kind}: p50 and p99 ${p50} and ${p99} ms, before ${quantile(before.times, 0.5)} and ${quantile(before.times, 0.99)}`,
    );
    assert.equal(during.lost, 0);
    // A machine that is busy with something else has long pings too; in a tunnel that waits most take seconds.
    assert.ok(p50 < 500 && p99 < 5_000, `${p50} and ${p99} ms`);
  });

test('a plugin that does hold up the tunnel shows in the measure', { skip }, async () => {
  const stall = await Stall.start(network, 'TypeScript', 2_000);
  const pairs: [readonly number[], readonly number[]][] = [];
  for (let round = 0; round < 4; round += 1) {
    const awake = await stall.ping(50, 0.02);
    const end = stall.injectStalls(300, 600);
    try {
      const asleep = await stall.pingAsleep(50, 0.02);
      if (asleep !== undefined) pairs.push([awake.times, asleep.times]);
    } finally {
      await end();
    }
  }
  await stall.stop();
  const { low } = compare(pairs);
  assert.ok(low > 1.1, `${low}: ${JSON.stringify(pairs)}`);
});

test('the measure tells a difference from chance, by the windows that lie beside each other', () => {
  // 1 000 pings of 1 to 2 ms in each, in every other pair twice as slow for both: the machine was busy.
  const window = (busy: number, added: number): number[] =>
    Array.from({ length: 1_000 }, (_, index) => busy * (1 + index / 1_000) + added);
  const pairs = (added: number): [number[], number[]][] =>
    Array.from({ length: 20 }, (_, index) => [window(1 + (index % 2), 0), window(1 + (index % 2), added)]);
  assert.deepEqual(compare(pairs(0)), { ratio: 1, low: 1, high: 1 });
  const slower = compare(pairs(1));
  assert.equal(slower.ratio.toFixed(2), '1.25');
  assert.ok(slower.low > 1.2 && slower.low <= slower.ratio && slower.ratio <= slower.high && slower.high < 1.6);
  assert.deepEqual(neighbours([[1], [2], [3], [4], [5]]), [
    [[1], [2]],
    [[3], [4]],
  ]);
  assert.equal(quantile([3, 1, 2], 0.5), 2);
});
