/** The life of a StockNetwork around the tests of a file. */
import { after, afterEach, before } from 'node:test';
import { missing, StockNetwork } from './stock.js';

/**
 * Makes one before the file's first test, which `setUp` takes; what a test has started is ended after it, also where it
 * failed half way. Returns why the tests have to be skipped; `also` is one more reason.
 */
export function withNetwork(
  setUp: (network: StockNetwork) => void | Promise<void>,
  also: string | false = false,
): string | false {
  const skip = missing() ?? also;
  if (skip !== false) return skip;
  let network: StockNetwork;
  before(async () => {
    network = new StockNetwork();
    await setUp(network);
  });
  afterEach(async () => network.stopAll());
  after(async () => network.close());
  return false;
}
