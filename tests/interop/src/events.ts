/**
 * What happens to a session in a cell, after it is up: one exercise for each event of the matrix. Each leaves the
 * session working; the common checks follow.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ping, pingAll } from '@seikan/testkit';
import type { Cell, EventName } from './cell.js';
import type { Session } from './session.js';

const up = /Initialization Sequence Completed/;

/** The lines that show a refusal, on the side that must print one. */
const refusals: Partial<Record<EventName, { readonly side: 'server' | 'client'; readonly line: RegExp }>> = {
  'refuse-revoked': { side: 'server', line: /VERIFY ERROR: .*certificate revoked/ },
  'refuse-expired': { side: 'server', line: /VERIFY ERROR: .*certificate has expired/ },
  'refuse-purpose': { side: 'server', line: /VERIFY (EKU )?ERROR|unsuitable certificate purpose/ },
  'refuse-password': { side: 'client', line: /AUTH_FAILED/ },
  'refuse-wrap-key': {
    side: 'server',
    line: /packet HMAC authentication failed|tls-crypt unwrap error|client key authentication error/,
  },
  'refuse-cipher': { side: 'client', line: /AUTH_FAILED.*cipher negotiation failed/ },
};

export const isRefusal = (event: EventName): boolean => event in refusals;

/** How many clients the event needs. */
export const clientsOf = (event: EventName): number => (event === 'clients-50' ? 50 : 1);

/** Waits for the refusal of a client that was just started, and sees that no tunnel comes up. */
export async function expectRefusal({ event }: Cell, session: Session): Promise<void> {
  const refusal = refusals[event];
  const client = session.clients[0];
  if (refusal === undefined || client === undefined) throw new Error(`${event} is no refusal`);
  const witness = refusal.side === 'server' ? session.server : client;
  await witness.waitFor(refusal.line, { timeout: 20_000 });
  const opened = await client.waitFor(up, { timeout: 1_500 }).then(
    () => true,
    () => false,
  );
  if (opened) throw new Error('the refused client came up');
}

export async function exercise(cell: Cell, session: Session): Promise<void> {
  const client = session.clients[0];
  if (client === undefined) throw new Error('no client');
  switch (cell.event) {
    case 'steady':
    case 'loss-10':
    case 'loss-30':
    case 'stub-v2':
    case 'migrate':
    case 'p2p':
    case 'static-key':
    case 'tap':
      return;
    case 'reneg-client':
    case 'reneg-server':
      return renegotiate(session);
    case 'token': {
      await renegotiate(session);
      const record = join(session.folder, 'asked');
      const asked = existsSync(record) ? readFileSync(record, 'utf8').trim().split('\n').length : 0;
      if (asked !== 1) throw new Error(`the script was asked ${asked} times; later logins should be by token`);
      return;
    }
    case 'restart-client': {
      const { code } = await client.stop();
      if (code !== 0) throw new Error(`client exited with ${code}`);
      session.startClient();
      return session.clientUp();
    }
    case 'kill-client':
      client.signal('SIGKILL');
      await client.exited;
      session.startClient();
      return session.clientUp();
    case 'restart-server':
    case 'kill-server': {
      if (cell.event === 'kill-server') {
        session.server.signal('SIGKILL');
        await session.server.exited;
      } else {
        const { code } = await session.server.stop();
        if (code !== 0) throw new Error(`server exited with ${code}`);
      }
      // only from here: a server that says goodbye takes a client back while it waits for its own end
      const from = client.lines.length;
      session.startServer();
      await session.serverReady();
      await client.waitFor(up, { timeout: 40_000, from });
      return;
    }
    case 'soft-restart': {
      const from = client.lines.length;
      client.signal('SIGUSR1');
      await client.waitFor(up, { timeout: 30_000, from });
      return;
    }
    case 'float': {
      // there and back; until the first packet from the new address has moved the peer, its side still sends to the old
      for (const address of ['second', 'first'] as const) {
        await session.network.float(address);
        await pingAll(await session.ends(), { count: 10, least: 8 });
      }
      return;
    }
    case 'fragment':
      return pingAll(await session.ends(), { size: 1400 });
    case 'clients-50': {
      const counts = session.clients.map(async (_, index) => {
        const [server, end] = await session.ends(index);
        return ping({ from: end.namespace, to: server.ipv4, count: 3 });
      });
      const lost = (await Promise.all(counts)).filter(({ received }) => received === 0).length;
      if (lost > 0) throw new Error(`${lost} of 50 clients have no tunnel`);
      return;
    }
    default:
      throw new Error(`${cell.event} has no exercise`);
  }
}

/**
 * A stream of pings while the key is renegotiated at least twice. Stock peers lose one now and then, when a side
 * sends under a key that the other is about to have.
 */
async function renegotiate(session: Session): Promise<void> {
  const ends = await session.ends();
  const count = 600;
  const streams = [
    [ends[0], ends[1].ipv4],
    [ends[1], ends[0].ipv6],
  ] as const;
  const answers = await Promise.all(
    streams.map(([from, to]) => ping({ from: from.namespace, to, count, interval: 0.02 })),
  );
  const lost = 2 * count - answers.reduce((sum, { received }) => sum + received, 0);
  if (lost > 3) throw new Error(`${lost} of ${2 * count} pings were lost while renegotiating`);
  const handshakes = session.server.lines.filter((line) => line.includes('Control Channel: TLSv')).length;
  if (handshakes < 3) throw new Error(`${handshakes} handshakes, expected the first and two renegotiations`);
}
