/** Runs one cell: session, event, pings both ways over both families, a bulk transfer, logs, leaks. */
import { bulk, pingAll, Teardown } from '@seikan/testkit';
import type { Cell } from './cell.js';
import { clientsOf, exercise, expectRefusal, isRefusal } from './events.js';
import { checkNegotiated, unexpectedLines } from './log-check.js';
import { Session, type SessionOptions } from './session.js';

export type CellOptions = Omit<SessionOptions, 'teardown'>;

/** Resolves with what there is to say about a cell that passed; rejects with the reason when it fails. */
export async function runCell(options: CellOptions): Promise<string> {
  const teardown = new Teardown();
  const session = await Session.open({ ...options, teardown }, clientsOf(options.cell.event)).catch(
    async (error: unknown) => {
      await teardown.close();
      throw error;
    },
  );
  try {
    return await runSession(options.cell, session, teardown);
  } finally {
    await teardown.close();
    session.saveLogs();
  }
}

async function runSession(cell: Cell, session: Session, teardown: Teardown): Promise<string> {
  await session.serverReady();
  const loss = Number(/^loss-(\d+)$/.exec(cell.event)?.[1] ?? 0);
  if (loss > 0) await session.network.loss(loss);
  const started = performance.now();
  for (const index of session.network.clients.keys()) session.startClient(index);
  let note: string;
  if (isRefusal(cell.event)) {
    await expectRefusal(cell, session);
    note = 'refused';
  } else {
    // at 30 % a handshake may use up its hand-window and start again
    const timeout = loss > 0 ? 180_000 : session.clients.length > 1 ? 90_000 : 30_000;
    await Promise.all(session.clients.map((_, index) => session.clientUp(index, timeout)));
    const connected = performance.now() - started;
    await exercise(cell, session);
    const ends = await session.ends();
    if (loss > 0) await pingAll(ends, { count: 40, least: loss > 20 ? 8 : 22 });
    else await pingAll(ends);
    const bytes = loss > 0 ? 4_000 : 2_000_000;
    const rate = await bulk(ends, { bytes, timeout: loss > 0 ? 180_000 : 60_000, teardown });
    note = `connected in ${connected.toFixed(0)} ms, ${(rate / 1e6).toFixed(1)} MB/s`;
  }
  await session.close();
  if (!isRefusal(cell.event))
    checkNegotiated(cell, { server: session.logs.server.flat(), client: session.logs.client.flat() });
  const problems = Object.entries(session.logs).flatMap(([side, starts]) => unexpectedLines(cell, side, starts.flat()));
  if (problems.length > 0)
    throw new Error(
      `unexpected lines in the logs:\n${problems.map(({ side, line }) => `  ${side}: ${line}`).join('\n')}`,
    );
  return note;
}
