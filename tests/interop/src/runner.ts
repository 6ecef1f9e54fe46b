/**
 * Runs many cells, some at once, with a line for each; the harness's own descriptors and namespaces are compared at
 * the end. Logs stay in .cache/interop/NUMBER.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Counts, comparePictures, removeDeadNamespaces, Teardown } from '@seikan/testkit';
import { type Cell, cellName } from './cell.js';
import { pictureOfHarness } from './leaks.js';
import { namespacePrefix } from './network.js';
import { findPeer, type Implementation, type Peer } from './peers.js';
import { createPki, type Pki } from './pki.js';
import { runCell } from './run-cell.js';

const root = resolve(import.meta.dirname, '../../..');

export interface Outcome<C = Cell> {
  /** Absent for the check of the harness itself, which comes last. */
  readonly cell?: C;
  readonly ok: boolean;
  readonly note: string;
}

export interface Work<C> {
  readonly jobs: number;
  /**
   * A cell that fails runs once more, alone: real peers on a busy machine miss deadlines. One that fails twice has
   * failed; both runs are shown.
   */
  readonly again: boolean;
  /** Logs stay in this folder of .cache. */
  readonly name: string;
  readonly nameOf: (cell: C) => string;
  /** Resolves with what there is to say of a cell that passed; `folder` takes its logs. */
  readonly run: (cell: C, pki: Pki, folder: string) => Promise<string>;
}

export async function runCells(cells: readonly Cell[], jobs: number, again = false): Promise<Outcome[]> {
  const peers = new Map<Implementation, Peer>();
  for (const implementation of new Set(cells.flatMap(({ client, server }) => [client, server]))) {
    const peer = await findPeer(implementation);
    console.log(`${implementation}: OpenVPN ${peer.version}`);
    peers.set(implementation, peer);
  }
  const run = (cell: Cell, pki: Pki, folder: string): Promise<string> => {
    const [client, server] = [peers.get(cell.client), peers.get(cell.server)];
    if (client === undefined || server === undefined) throw new Error('a peer is missing');
    return runCell({ cell, client, server, pki, folder });
  };
  return runAll(cells, { jobs, again, name: 'interop', nameOf: cellName, run });
}

export async function runAll<C>(
  cells: readonly C[],
  { jobs, again, name, nameOf, run }: Work<C>,
): Promise<Outcome<C>[]> {
  const swept = await removeDeadNamespaces(namespacePrefix);
  if (swept > 0) console.log(`removed ${swept} namespaces of a run that was killed`);
  const teardown = new Teardown();
  const logs = join(root, '.cache', name);
  rmSync(logs, { recursive: true, force: true });
  mkdirSync(logs, { recursive: true });
  // not in /tmp, which others sweep
  const place = mkdtempSync(join(logs, 'pki-'));
  teardown.defer(() => rmSync(place, { recursive: true, force: true }));
  const pki = await createPki(place);

  const before = await pictureOfHarness();
  const started = performance.now();
  const outcomes: Outcome<C>[] = [];
  const runOne = (cell: C, folder: string): Promise<Outcome<C>> =>
    run(cell, pki, join(logs, folder)).then(
      (note) => ({ cell, ok: true, note }),
      (error: unknown) => ({ cell, ok: false, note: reasonOf(error) }),
    );
  let next = 0;
  const work = async (): Promise<void> => {
    for (let cell = cells[next++]; cell !== undefined; cell = cells[next++]) {
      const number = next;
      const begun = performance.now();
      const ran = await runOne(cell, `${number}`);
      outcomes.push(ran);
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      const word = ran.ok ? 'ok' : 'FAILED';
      console.log(`[${outcomes.length}/${cells.length}] ${word} ${nameOf(cell)} (${seconds} s; ${number}) ${ran.note}`);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  if (again) {
    for (const [index, { cell, ok }] of outcomes.entries()) {
      if (ok || cell === undefined) continue;
      const ran = await runOne(cell, `again-${index + 1}`);
      console.log(`again, alone: ${ran.ok ? 'ok' : 'FAILED'} ${nameOf(cell)} ${ran.note}`);
      outcomes[index] = ran;
    }
  }
  try {
    comparePictures('harness', before, await pictureOfHarness());
    outcomes.push({ ok: true, note: 'nothing left behind' });
  } catch (error) {
    console.log(`FAILED ${reasonOf(error)}`);
    outcomes.push({ ok: false, note: reasonOf(error) });
  }
  await teardown.close();
  console.log(`${cells.length} cells in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  return outcomes;
}

export function countOutcomes(outcomes: readonly Outcome<unknown>[]): Counts {
  const failed = outcomes.filter(({ ok }) => !ok).length;
  return { passed: outcomes.length - failed, failed };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
