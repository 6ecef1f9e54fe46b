/**
 * The interop matrix's command:
 *
 *     node tests/interop/dist/main.js [options] [WORD...]     runs CI's cells, or those whose line has every WORD
 *       --all               the whole covering array, not only CI's part
 *       --stand-in IMPL     IMPL plays where a cell says 'ours' (proves the harness: --stand-in stock-2.6)
 *       --jobs N            cells at once (default 4: most of a cell's time is waiting)
 *       --list              prints the cells and runs nothing
 *       --generate          prints a new cells.txt
 *
 * Logs stay in .cache/interop/NUMBER. Ends with 'N passed, N failed'.
 */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Counts, needRoot, runTestProgram } from '@seikan/testkit';
import { type Cell, cellName, formatCell, parseCells } from './cell.js';
import { generateCells } from './covering.js';
import { type Implementation, implementations } from './peers.js';
import { countOutcomes, runCells } from './runner.js';

const root = resolve(import.meta.dirname, '../../..');
const { values: options, positionals: words } = parseArgs({
  allowPositionals: true,
  options: {
    all: { type: 'boolean', default: false },
    'stand-in': { type: 'string', default: 'ours' },
    jobs: { type: 'string', default: '4' },
    list: { type: 'boolean', default: false },
    generate: { type: 'boolean', default: false },
  },
});

function selectCells(): Cell[] {
  const cells = parseCells(readFileSync(join(root, 'tests/interop/cells.txt'), 'utf8'));
  const chosen = cells.filter((cell) => options.all || words.length > 0 || cell.ci);
  return chosen.filter((cell) => words.every((word) => ` ${cellName(cell)} `.includes(` ${word} `)));
}

function standIn(cell: Cell): Cell {
  const name = options['stand-in'];
  const other = implementations.find((one) => one === name);
  if (other === undefined) throw new Error(`--stand-in: ${name} is none of ${implementations.join(', ')}`);
  const play = (who: Implementation): Implementation => (who === 'ours' ? other : who);
  return { ...cell, client: play(cell.client), server: play(cell.server) };
}

async function main(): Promise<Counts | undefined> {
  if (options.generate) {
    console.log('# The interop matrix, written by: node tests/interop/dist/main.js --generate');
    console.log('# client  server     proto wrap          cipher             event            when');
    for (const cell of generateCells()) console.log(formatCell(cell));
    return undefined;
  }
  const cells = selectCells();
  if (options.list) {
    for (const cell of cells) console.log(formatCell(cell));
    return undefined;
  }
  if (cells.length === 0) throw new Error(`no cell has: ${words.join(' ')}`);
  needRoot();
  return countOutcomes(await runCells(cells.map(standIn), Number(options.jobs), true));
}

await runTestProgram(main);
