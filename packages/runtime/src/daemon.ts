/**
 * `daemon`: a node process cannot be forked, so the daemon is this program started again in a session of its own.
 *
 *   parent ──secrets and standard input──▶ daemon     over descriptor 3
 *   parent ◀────────── "ready" ─────────── daemon     its log is open and its pid file written; the parent ends with 0
 *
 * Whatever needs a terminal is asked by the parent before.
 * upstream: init.c `possibly_become_daemon` (2.6).
 */
import { spawn } from 'node:child_process';
import { Socket } from 'node:net';

const MARK = 'SEIKAN_DAEMON';
const CHANNEL = 3;

/** What the parent has read that the daemon cannot read again. */
export interface Handoff {
  readonly standardInput: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly passphrase: string | undefined;
}

/** Starts this program again as a daemon, with the same arguments; gives the exit status of the parent. */
export async function runAsDaemon(handoff: Handoff): Promise<0 | 1> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    env: { ...process.env, [MARK]: '1' },
  });
  const channel = child.stdio[CHANNEL] as Socket;
  return await new Promise((resolve) => {
    const finish = (status: 0 | 1): void => {
      channel.destroy();
      child.unref();
      resolve(status);
    };
    channel.on('error', () => finish(1));
    child.on('error', () => finish(1));
    child.on('exit', () => finish(1));
    channel.once('data', () => finish(0));
    channel.write(`${JSON.stringify(handoff)}\n`);
  });
}

export interface DaemonStart {
  readonly handoff: Handoff;
  /** To be called once, when the parent may end. */
  ready(): void;
}

/** In the daemon: what the parent hands over. Undefined in a process that nobody started as a daemon. */
export async function takeHandoff(environment: NodeJS.ProcessEnv): Promise<DaemonStart | undefined> {
  if (environment[MARK] === undefined) return undefined;
  delete environment[MARK];
  const channel = new Socket({ fd: CHANNEL, readable: true, writable: true });
  // The parent may be gone by the time that it is told.
  channel.on('error', () => undefined);
  channel.setEncoding('utf8');
  let text = '';
  for await (const piece of channel.iterator({ destroyOnReturn: false })) {
    text += String(piece);
    if (text.endsWith('\n')) break;
  }
  return { handoff: JSON.parse(text) as Handoff, ready: () => void channel.end('ready\n', () => channel.destroy()) };
}
