/** While a plugin stands still for ten seconds in one client's login, another client's pings go on as before. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildPlugin } from '@seikan/plugin-host';
import { missing, ours, StockNetwork, until, type Watched } from './stock.js';

const skip = missing() ?? false;
const sleepy = fileURLToPath(new URL('../src/sleepy.ts', import.meta.url));
let network: StockNetwork;
let library: string;

before(async () => {
  if (skip !== false) return;
  network = new StockNetwork();
  library = join(network.folder, 'sleepy.so');
  await buildPlugin(sleepy, { output: library });
});

afterEach(async () => {
  if (skip === false) await network.stopAll();
});

after(async () => {
  if (skip === false) await network.close();
});

interface Pings {
  readonly lost: number;
  readonly p50: number;
  readonly p99: number;
}

/** 350 pings in seven seconds. */
function startPinging(): Watched {
  return network.besideClients('ping', '-i', '0.02', '-c', '350', '10.8.0.1');
}

async function pings(ping: Watched): Promise<Pings> {
  await until(() => ping.ended, 'the pings are over', 60_000);
  const times = ping
    .lines(/ time=/)
    .map((line) => Number(/time=([\d.]+)/.exec(line)?.[1]))
    .toSorted((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN;
  return { lost: 350 - times.length, p50: at(0.5), p99: at(0.99) };
}

for (const kind of ['TypeScript', 'compiled'] as const)
  test(`a ${kind} plugin that stands still holds up its client alone`, { skip }, async (context) => {
    const plugin = kind === 'compiled' ? library : sleepy;
    const server = await network.server([`plugin ${plugin}`, 'duplicate-cn'], ours);
    const { client } = await network.client('ada', 'x');
    const before = await pings(startPinging());
    const slow = network.startClient('slow', 'x', ['dev tun9']);
    await slow.line(/VERIFY OK: depth=0/);
    const during = await pings(startPinging());
    await slow.line(/Initialization Sequence Completed/);
    context.diagnostic(`${kind}: before ${JSON.stringify(before)}, while it stands still ${JSON.stringify(during)}`);
    for (const each of [slow, client, server]) await each.stop();
    assert.equal(during.lost, 0);
    // A machine that is busy with something else has long pings too; in a tunnel that waits most take seconds.
    assert.ok(during.p50 < 500 && during.p99 < 5_000, `${during.p50} and ${during.p99} ms`);
  });
