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
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { comparePictures, Teardown } from '@seikan/testkit';
import { type Cell, cellName, formatCell, parseCells } from './cell.js';
import { generateCells } from './covering.js';
import { pictureOfHarness } from './leaks.js';
import { removeDeadNamespaces } from './network.js';
import { findPeer, type Implementation, implementations, type Peer } from './peers.js';
import { createPki } from './pki.js';
import { runCell } from './run-cell.js';

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

async function main(): Promise<number> {
  if (options.generate) {
    console.log('# The interop matrix, written by: node tests/interop/dist/main.js --generate');
    console.log('# client  server     proto wrap          cipher             event            when');
    for (const cell of generateCells()) console.log(formatCell(cell));
    return 0;
  }
  const cells = selectCells();
  if (options.list) {
    for (const cell of cells) console.log(formatCell(cell));
    return 0;
  }
  if (cells.length === 0) throw new Error(`no cell has: ${words.join(' ')}`);
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  return runCells(cells.map(standIn));
}

async function runCells(cells: readonly Cell[]): Promise<number> {
  const swept = await removeDeadNamespaces();
  if (swept > 0) console.log(`removed ${swept} namespaces of a run that was killed`);
  const peers = new Map<Implementation, Peer>();
  for (const implementation of new Set(cells.flatMap(({ client, server }) => [client, server]))) {
    const peer = await findPeer(implementation);
    console.log(`${implementation}: OpenVPN ${peer.version}`);
    peers.set(implementation, peer);
  }
  const teardown = new Teardown();
  const folder = mkdtempSync('/tmp/seikan-interop-');
  teardown.defer(() => rmSync(folder, { recursive: true, force: true }));
  const pki = await createPki(folder);
  const logs = join(root, '.cache/interop');
  rmSync(logs, { recursive: true, force: true });
  mkdirSync(logs, { recursive: true });

  const before = await pictureOfHarness();
  const started = performance.now();
  const count = { passed: 0, failed: 0 };
  let next = 0;
  const work = async (): Promise<void> => {
    for (let cell = cells[next++]; cell !== undefined; cell = cells[next++]) {
      const number = next;
      const [client, server] = [peers.get(cell.client), peers.get(cell.server)];
      if (client === undefined || server === undefined) throw new Error('a peer is missing');
      const begun = performance.now();
      const outcome = await runCell({ cell, client, server, pki, folder: join(logs, `${number}`) }).then(
        (note) => ({ word: 'ok', note }),
        (error: unknown) => ({ word: 'FAILED', note: error instanceof Error ? error.message : String(error) }),
      );
      count[outcome.word === 'ok' ? 'passed' : 'failed'] += 1;
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      const done = count.passed + count.failed;
      console.log(
        `[${done}/${cells.length}] ${outcome.word} ${cellName(cell)} (${seconds} s; ${number}) ${outcome.note}`,
      );
    }
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, work));
  try {
    comparePictures('harness', before, await pictureOfHarness());
    count.passed += 1;
  } catch (error) {
    console.log(`FAILED ${error instanceof Error ? error.message : String(error)}`);
    count.failed += 1;
  }
  await teardown.close();
  console.log(`${cells.length} cells in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  console.log(`${count.passed} passed, ${count.failed} failed`);
  return count.failed === 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    console.log(`${signal}: cleaning up`);
    void Teardown.closeAll().finally(() => process.exit(130));
  });

process.exitCode = await main().catch(async (error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  await Teardown.closeAll();
  return 1;
});
