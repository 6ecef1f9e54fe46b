/** What is done with a session that is up. Each leaves it working, unless it says otherwise. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ping, pingAll } from '@seikan/testkit';
import { eventually } from '#netcfg/eventually.js';
import type { Session } from './session.js';

const HANDSHAKE = /Control Channel: TLSv/;
/** Over TCP the client says nothing: it closes the connection, except for a pause. */
const FAREWELL = /CC-EEN exit message received by peer/;
const HUNG_UP = /Connection reset, restarting/;

/**
 * A stream of pings both ways while the key is renegotiated twice. Stock peers lose one now and then, when a side sends
 * under a key that the other is about to have.
 */
export async function renegotiated(session: Session): Promise<void> {
  const ends = await session.ends();
  const count = 900;
  const streams = [
    [ends[0], ends[1].ipv4],
    [ends[1], ends[0].ipv6],
  ] as const;
  const answers = await Promise.all(
    streams.map(([from, to]) => ping({ from: from.namespace, to, count, interval: 0.02 })),
  );
  const lost = 2 * count - answers.reduce((sum, { received }) => sum + received, 0);
  const handshakes = session.serverLines.filter((line) => HANDSHAKE.test(line)).length;
  if (handshakes < 3) throw new Error(`${handshakes} handshakes, expected the first and two renegotiations`);
  if (lost > 3) throw new Error(`${lost} of ${2 * count} pings were lost while renegotiating`);
}

/** Renegotiates with the token: the script that knows the password was asked once. */
export async function tokenUsed(session: Session): Promise<void> {
  await renegotiated(session);
  expectAsked(session, 1);
}

/** AUTH_FAILED,SESSION at a renegotiation: the client takes the password again, and nobody is bothered. */
export async function tokenExpired(session: Session): Promise<void> {
  const { client } = session;
  const [, before] = await session.ends();
  const from = client.lines.length;
  await session.said(client, /SESSION_AUTH_FAILED/, from);
  await session.connected(client, from);
  const [, after] = await session.ends();
  if (after.ipv4 !== before.ipv4) throw new Error(`it had ${before.ipv4}, and has ${after.ipv4}`);
  expectAsked(session, 2);
}

/** AUTH_FAILED,TEMP: the client came back by itself. */
export async function cameBack(session: Session): Promise<void> {
  await session.said(session.client, /AUTH_FAILED_TEMP:the directory is away/);
  expectAsked(session, 2);
}

/** How often the script that knows the password was called. */
function expectAsked({ folder }: Session, times: number): void {
  const record = join(folder, 'asked');
  const asked = existsSync(record) ? readFileSync(record, 'utf8').trim().split('\n').length : 0;
  if (asked !== times) throw new Error(`the script was asked ${asked} times, not ${times}`);
}

export async function paused(session: Session): Promise<void> {
  const { client, server, overUdp } = session;
  await client.manage('pause');
  if (overUdp) await server.waitFor(FAREWELL, { timeout: 10_000 });
  const from = client.lines.length;
  await client.manage('resume');
  await session.connected(client, from);
}

/** The person has it connect anew. */
export async function restarted(session: Session): Promise<void> {
  const { client } = session;
  const from = client.lines.length;
  await client.manage('restart');
  await session.connected(client, from);
}

/** The server goes, over UDP with a word if it has one, and comes back. */
export function serverRestarts(signal: 'SIGTERM' | 'SIGKILL', said?: RegExp): (session: Session) => Promise<void> {
  return async (session) => {
    const { client, server } = session;
    const from = client.lines.length;
    server.signal(signal);
    if (said !== undefined && session.overUdp) await session.said(client, said, from);
    await server.exited;
    session.startServer();
    await session.serverReady();
    await session.connected(client, from);
  };
}

/** There and back; until the first packet from the new address has moved the peer, its side still sends to the old. */
export async function floated(session: Session): Promise<void> {
  const [own, other] = ['198.18.1.1', '198.18.2.1'];
  const from = session.server.lines.length;
  for (const address of [other, own]) {
    await session.moveTo(address, own);
    await pingAll(await session.ends(), { count: 10, least: 8 });
    await eventually(`the status file has ${address}`, () => session.status()[0]?.address.startsWith(address) === true);
  }
  const left = session.server.lines.slice(from).filter((line) => HANDSHAKE.test(line));
  if (left.length > 0) throw new Error('the client has connected anew');
}

/** The person disconnects: the server learns it at once, and over UDP keeps the session only for late retransmissions. */
export async function disconnected(session: Session): Promise<void> {
  const { client, server, overUdp } = session;
  await client.manage('disconnect');
  await server.waitFor(overUdp ? FAREWELL : HUNG_UP, { timeout: 5_000 });
  if (overUdp)
    await server.waitFor(/SIGTERM\[soft,delayed-exit\] received, client-instance exiting/, { timeout: 10_000 });
  await eventually('nobody stands in the status file', () => session.status().length === 0);
}

/** The client's process dies: the server misses its pings, or its connection. */
export async function clientKilled(session: Session): Promise<void> {
  const { client, server, overUdp } = session;
  await client.kill();
  await server.waitFor(overUdp ? /Inactivity timeout \(--ping-restart\)/ : HUNG_UP, { timeout: 30_000 });
  await eventually('nobody stands in the status file', () => session.status().length === 0);
}
