/** While a plugin stands still for ten seconds in one client's login, another client's pings go on as before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pluginKinds, quantile, Stall } from './stall.js';
import type { StockNetwork } from './stock.js';
import { withNetwork } from './with-network.js';

let network: StockNetwork;

const skip = withNetwork((made) => {
  network = made;
});

for (const kind of pluginKinds)
  test(`a ${kind} plugin that stands still holds up its client alone`, { skip }, async (context) => {
    const stall = await Stall.start(network, kind);
    const before = await stall.ping(300, 0.02);
    const during = await stall.pingAsleep(300, 0.02);
    await stall.stop();
    const [p50, p99] = [quantile(during, 0.5), quantile(during, 0.99)];
    context.diagnostic(
      `${kind}: p50 and p99 ${p50} and ${p99} ms, before ${quantile(before, 0.5)} and ${quantile(before, 0.99)}`,
    );
    assert.equal(during.lost, 0);
    // A machine that is busy with something else has long pings too; in a tunnel that waits most take seconds.
    assert.ok(p50 < 500 && p99 < 5_000, `${p50} and ${p99} ms`);
  });
