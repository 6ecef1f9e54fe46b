/**
 * The unchanged OpenVPN 3 client of a Debian suite against our server:
 *
 *     node tests/openvpn3/dist/main.js [options] [WORD...]     runs CI's cells, or those whose line has every WORD
 *       --suite SUITE       trixie (openvpn3-client 24.1, the default) or sid (27.x)
 *       --all               all cells
 *       --stand-in IMPL     another server than ours, to see what it does: stock-2.6
 *       --netcfg WHOSE      whose netcfg service the client has: original (the default) or ours
 *       --jobs N            cells at once (default 4: most of a cell's time is waiting)
 *       --list              prints the cells and runs nothing
 *
 * The client's root tree is built at the first run (tools/stock-tree: some minutes) and kept. Logs stay in
 * .cache/openvpn3-SUITE/NUMBER. Ends with 'N passed, N failed'.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Counts, execute, needRoot, runTestProgram } from '@seikan/testkit';
import { findPeer, implementations } from '#interop/peers.js';
import { countOutcomes, runAll } from '#interop/runner.js';
import { house, type Implementation } from '#netcfg/tree.js';
import { type Cell, cellName, parseCells } from './cell.js';
import { runCell } from './run-cell.js';

const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    suite: { type: 'string', default: 'trixie' },
    all: { type: 'boolean', default: false },
    'stand-in': { type: 'string', default: 'ours' },
    netcfg: { type: 'string', default: 'original' },
    jobs: { type: 'string', default: '4' },
    list: { type: 'boolean', default: false },
  },
});

function selectCells(): Cell[] {
  const cells = parseCells(readFileSync(join(house, 'tests/openvpn3/cells.txt'), 'utf8'));
  const chosen = cells.filter((cell) => options.all || words.length > 0 || cell.ci);
  return chosen.filter((cell) => words.every((word) => cellName(cell).split(' ').includes(word)));
}

function choice<V extends string>(known: readonly V[], option: 'stand-in' | 'netcfg'): V {
  const found = known.find((one) => one === options[option]);
  if (found === undefined) throw new Error(`--${option}: ${options[option]} is none of ${known.join(', ')}`);
  return found;
}

async function main(): Promise<Counts | undefined> {
  const cells = selectCells();
  if (options.list) {
    for (const cell of cells) console.log(cellName(cell));
    return undefined;
  }
  if (cells.length === 0) throw new Error(`no cell has: ${words.join(' ')}`);
  needRoot();
  const { suite } = options;
  const netcfg = choice<Implementation>(['original', 'ours'], 'netcfg');
  const server = await findPeer(choice(implementations, 'stand-in'));
  const version = await execute([join(house, 'tools/stock-tree'), suite], { timeout: 1_200_000 });
  console.log(`openvpn3-client ${version.trim()} of ${suite}, server ${server.implementation} ${server.version}`);
  const outcomes = await runAll(cells, {
    jobs: Number(options.jobs),
    again: true,
    name: `openvpn3-${suite}`,
    nameOf: cellName,
    run: (cell, pki, folder) => runCell({ cell, suite, netcfg, server, pki, folder }),
  });
  return countOutcomes(outcomes);
}

await runTestProgram(main);
