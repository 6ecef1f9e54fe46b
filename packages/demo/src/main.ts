/**
 * The demo's program. It has two halves: the outer one stays with the user, looks whether the demo can run here and,
 * afterwards, whether anything is left of it; the inner one is the show, in namespaces of its own.
 *
 *     node main.js [--mib N] [--hold]
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Teardown } from '@seikan/testkit';

import { findIsolation, leftovers, MARK } from './isolation.js';
import { Screen } from './screen.js';
import { Show } from './show.js';

/** Where the inner half tells the outer one which network namespaces it made. */
const REPORT_FD = 3;
const INTERRUPTED = 130;

const { values: options } = parseArgs({
  options: {
    mib: { type: 'string', default: '64' },
    hold: { type: 'boolean', default: false },
    /** The inner half: how to join it. */
    inside: { type: 'string' },
  },
});
const screen = new Screen(process.stdout);
// Nobody reads any more (`./demo | head`): the same as a kill, with the same cleaning up.
process.stdout.on('error', () => process.kill(process.pid, 'SIGTERM'));
process.exitCode = await (options.inside === undefined ? outside() : inside(options.inside));

async function outside(): Promise<number> {
  const mebibytes = Number(options.mib);
  if (!Number.isInteger(mebibytes) || mebibytes < 1 || mebibytes > 4096) {
    screen.line(`--mib takes a number from 1 to 4096, not '${options.mib}'`);
    return 2;
  }
  const isolation = findIsolation();
  if ('obstacle' in isolation) {
    screen.line(`The demo cannot run here.\n${isolation.obstacle}`);
    return 1;
  }
  screen.line(screen.style('bold', 'Seikan: a tunnel between two machines that exist for a minute'));
  screen.step(
    `${isolation.kind === 'root' ? 'as root' : 'as an ordinary user, in a user namespace'}; nothing outside is touched`,
  );

  const mark = randomUUID();
  const [program, ...args] = isolation.prefix;
  // /run becomes a file system in memory that vanishes with the demo: its keys never reach a disk
  const enter = 'mount -t tmpfs -o mode=755 demo /run && exec "$0" "$@"';
  const command = [...args, 'setpriv', '--pdeathsig', 'TERM', '--', 'sh', '-c', enter, process.execPath];
  const inner = spawn(
    program,
    [...command, ...process.execArgv, import.meta.filename, ...process.argv.slice(2), '--inside', isolation.join],
    { stdio: ['inherit', 'inherit', 'inherit', 'pipe'], env: { ...process.env, [MARK]: mark } },
  );
  // Ctrl-C reaches both halves, a kill only this one: the inner half ends either way, and this one looks behind it.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => inner.kill('SIGTERM'));
  const networks = new Set<string>();
  inner.stdio[REPORT_FD]?.on('data', (chunk: Buffer) => {
    for (const name of chunk.toString().match(/net:\[\d+\]/g) ?? []) networks.add(name);
  });
  const status = await new Promise<number>((resolve) => {
    inner.once('error', () => resolve(1));
    inner.once('close', (code, signal) => {
      if (signal !== null) screen.line(`The demo was ended by ${signal}.`);
      resolve(code ?? 1);
    });
  });
  const clean = await lookBehind(mark, networks);
  if (status === 0 && clean) tryNext();
  return status === 0 && !clean ? 1 : status;
}

/** A killed process takes a moment to go; what stays longer is left behind. */
async function lookBehind(mark: string, networks: ReadonlySet<string>): Promise<boolean> {
  let found = leftovers(mark, networks);
  for (let tries = 0; tries < 30 && found.length > 0; tries += 1) {
    await sleep(100);
    found = leftovers(mark, networks);
  }
  if (found.length > 0) {
    screen.line(`${screen.style('red', 'Left behind')}: ${found.join(', ')}`);
    return false;
  }
  screen.done('nothing is left: no process, no namespace with its devices, no file');
  return true;
}

function tryNext(): void {
  screen.heading('What to try next');
  const hold = ['./demo --hold', 'the same, and the tunnel stays open to look at until Enter'];
  const own = ['bin/openvpn --config FILE', 'a configuration of your own, unchanged (as root)'];
  const test = ['./test', 'everything that is checked; as root, some minutes'];
  for (const [command = '', what = ''] of [hold, own, test])
    screen.step(`${screen.style('cyan', command.padEnd(26))} ${what}`);
  screen.step(`${'docs/compatibility.md'.padEnd(26)} each of OpenVPN's options: supported, refused or ignored`);
}

async function inside(join: string): Promise<number> {
  const teardown = new Teardown();
  const show = new Show({
    screen,
    teardown,
    mebibytes: Number(options.mib),
    holdFor: options.hold ? `${join} --target ${process.pid}` : undefined,
    onNetwork: (names) => writeSync(REPORT_FD, names.join('\n')),
  });
  let interruption: Promise<never> | undefined;
  const interrupt = async (): Promise<never> => {
    screen.line('\nInterrupted: cleaning up …');
    await Teardown.closeAll();
    process.exit(INTERRUPTED);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      interruption ??= interrupt();
    });
  try {
    await show.run();
    await teardown.close();
    return 0;
  } catch (error) {
    if (interruption !== undefined) return await interruption;
    screen.line(
      `\n${screen.style('red', 'The demo failed')}: ${error instanceof Error ? error.message : String(error)}`,
    );
    const lines = show.lastLines();
    if (lines.length > 0) screen.line(`\nThe last lines of the logs:\n${lines.join('\n')}`);
    screen.line('\nA busy machine may be too slow for it: try again. If it fails again, these lines and the output of');
    screen.line('./test unit tell what to look at.');
    await teardown.close();
    return 1;
  }
}
