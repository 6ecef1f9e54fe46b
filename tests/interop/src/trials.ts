/**
 * Compares how often a session comes up and carries traffic over a lossy link with what stock peers reach between
 * themselves, in the same run: for each loss, N trials of stock with stock, of our client and of our server.
 *
 *     node tests/interop/dist/trials.js [TRIALS]      (20)
 *
 * Ends with 'N passed, N failed': one comparison for each loss and role, passed when ours succeeded at least as often.
 */
import { type Counts, runTestProgram } from '@seikan/testkit';
import type { Cell, EventName } from './cell.js';
import type { Implementation } from './peers.js';
import { type Outcome, runCells } from './runner.js';

const trials = Number(process.argv[2] ?? 20);
const losses = ['loss-10', 'loss-30'] as const satisfies readonly EventName[];
const pairs: readonly (readonly [client: Implementation, server: Implementation])[] = [
  ['stock-2.6', 'stock-2.6'],
  ['ours', 'stock-2.6'],
  ['stock-2.6', 'ours'],
];

function cellOf(event: EventName, [client, server]: readonly [Implementation, Implementation]): Cell {
  return { client, server, proto: 'udp4', wrap: 'tls-crypt', cipher: 'AES-256-GCM', event, ci: false };
}

function successes(outcomes: readonly Outcome[], event: EventName, [client, server]: (typeof pairs)[number]): number {
  return outcomes.filter(
    ({ cell, ok }) => ok && cell?.event === event && cell.client === client && cell.server === server,
  ).length;
}

async function main(): Promise<Counts> {
  // the pairs take turns, so that a busy minute of the machine falls on all alike
  const cells = Array.from({ length: trials }, () => pairs.flatMap((pair) => losses.map((loss) => cellOf(loss, pair))));
  const outcomes = await runCells(cells.flat(), 8);
  const [stock, ...ours] = pairs;
  if (stock === undefined) throw new Error('no baseline');
  let passed = 0;
  let failed = outcomes.filter(({ cell, ok }) => cell === undefined && !ok).length;
  for (const loss of losses) {
    const baseline = successes(outcomes, loss, stock);
    for (const pair of ours) {
      const reached = successes(outcomes, loss, pair);
      const enough = reached >= baseline;
      if (enough) passed += 1;
      else failed += 1;
      const text = `${loss}, ${pair.join(' to ')}: ${reached} of ${trials}, stock with stock ${baseline}`;
      console.log(`${enough ? 'ok' : 'FAILED'} ${text}`);
    }
  }
  return { passed, failed };
}

await runTestProgram(main);
