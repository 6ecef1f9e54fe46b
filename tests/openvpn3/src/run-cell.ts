/** Runs one cell: session, event, pings both ways over both families, a bulk transfer, counters, logs, what is left. */
import { bulk, pingAll, Teardown } from '@seikan/testkit';
import { loggedCiphers, suspiciousLines } from '#interop/log-check.js';
import { eventually } from '#netcfg/eventually.js';
import { type Cell, isAead, overUdp } from './cell.js';
import { events, type Refusal } from './events.js';
import { expectedInClients, expectedInServer } from './expected-lines.js';
import { Session, type SessionOptions } from './session.js';

const BULK = 1_000_000;
/** Bytes before each packet over TCP, which OpenVPN 2 does not count. */
const LENGTH_PREFIX = 2;

/** Resolves with what there is to say about a cell that passed; rejects with the reason when it fails. */
export async function runCell(options: Omit<SessionOptions, 'teardown'>): Promise<string> {
  const teardown = new Teardown();
  const session = await Session.open({ ...options, teardown }).catch(async (error: unknown) => {
    await teardown.close();
    throw error;
  });
  try {
    return await runSession({ ...options, teardown }, session);
  } finally {
    await teardown.close();
    session.saveLogs();
  }
}

async function runSession({ cell, suite, server, teardown }: SessionOptions, session: Session): Promise<string> {
  const event = events[cell.event];
  const started = performance.now();
  let note: string;
  if (event.refused !== undefined) {
    note = await expectRefusal(session, event.refused, event.login);
  } else {
    await Promise.all(session.clients.map((client) => client.start(event.login)));
    note = `connected in ${(performance.now() - started).toFixed(0)} ms`;
    await event.exercise?.(session);
    if (event.ends !== true) {
      const ends = await Promise.all(session.clients.map((_, index) => session.ends(index)));
      // On a busy machine one is lost now and then, also between stock peers.
      for (const both of ends) await pingAll(both, { count: 5, least: 4 });
      // Before the bulk: a socket drops what it has no room for.
      if (event.reconnects !== true) note += `, ${await countersAgree(session, overUdp(cell) ? 0 : LENGTH_PREFIX)}`;
      for (const both of ends) {
        const rate = await bulk(both, { bytes: BULK, timeout: 60_000, teardown });
        note += `, ${(rate / 1e6).toFixed(1)} MB/s`;
      }
      checkNegotiated(cell, session, suite === 'sid' && server.implementation !== 'stock-2.6');
      await Promise.all(session.clients.map((client) => client.manage('disconnect')));
    }
  }
  await session.close();
  const problems = [
    ...suspiciousLines(session.serverLines, expectedInServer(cell)).map((line) => `server: ${line}`),
    ...session.clients.flatMap(({ sessionLines }) =>
      suspiciousLines(sessionLines, expectedInClients(cell)).map((line) => `client: ${line}`),
    ),
  ];
  if (problems.length > 0) throw new Error(`unexpected lines in the logs:\n  ${problems.join('\n  ')}`);
  return note;
}

async function expectRefusal(
  session: Session,
  { told = /./, clientSays, serverSays }: Refusal,
  login?: readonly string[],
): Promise<string> {
  const said = await session.client.start(login).then(
    () => 'the client is connected',
    (error: unknown) => String(error),
  );
  if (!told.test(said)) throw new Error(`expected ${told}, the user was told: ${said}`);
  if (clientSays !== undefined) await session.said(session.client, clientSays);
  if (serverSays !== undefined) await session.server.waitFor(serverSays, { timeout: 10_000 });
  await eventually('no session is left', async () => !(await session.client.isConnected()));
  return said.replace(/^.*\n?.*office: /, '').trim();
}

/** Bytes of a client: its first packet and the answer to it, which the server sends before it remembers anybody. */
const UNCOUNTED = 1_000;

async function countersAgree(session: Session, prefix: number): Promise<string> {
  let last = '';
  await eventually('both sides count the same', async () => {
    const theirs = await Promise.all(session.clients.map((client) => client.traffic(prefix)));
    const ours = session.status();
    const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
    const lost = [
      sum(theirs.map(({ sent }) => sent)) - sum(ours.map(({ received }) => received)),
      sum(ours.map(({ sent }) => sent)) - sum(theirs.map(({ received }) => received)),
    ];
    last = `counters differ by ${lost.join(' and ')}`;
    return lost.every((bytes) => Math.abs(bytes) <= UNCOUNTED * session.clients.length);
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${last}`);
  });
  return last;
}

/** The cell's TLS version, cipher and data format, as both logs tell them. */
function checkNegotiated(cell: Cell, session: Session, offersEpoch: boolean): void {
  const server = session.serverLines;
  const wrong = (what: string): never => {
    throw new Error(`${what}; see the logs`);
  };
  if (!server.some((line) => line.includes(`Control Channel: TLSv${cell.tls},`))) wrong(`no TLS ${cell.tls}`);
  const ciphers = loggedCiphers(server);
  if (ciphers.length === 0 || ciphers.some((cipher) => cipher !== cell.cipher))
    wrong(`the server's ciphers: ${ciphers.join(' ')}`);
  for (const { lines } of session.clients) {
    if (!lines.some((line) => new RegExp(`^ +(data channel: )?cipher:? ${cell.cipher}`).test(line)))
      wrong('the client uses another cipher');
    const epoch = lines.some((line) => line.includes(`cipher ${cell.cipher}, peer-id`) && line.includes('aead-epoch'));
    if (epoch !== (offersEpoch && isAead(cell))) wrong(epoch ? 'epoch data' : 'no epoch data');
  }
}
