/** Starts command lines for tests: ours as installed, and Debian's openvpn where it is there to compare with. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, afterEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

export const ours = resolve(import.meta.dirname, '../../../bin/openvpn');
export const stock = '/usr/sbin/openvpn';
export const hasStock = existsSync(stock);

export interface Ran {
  readonly status: number | null;
  readonly output: string;
}

/** Runs to the end; output and errors in one text. Without a terminal. */
export function run(program: string, args: readonly string[], cwd?: string): Ran {
  const ran = spawnSync('setsid', ['--wait', program, ...args], {
    encoding: 'utf8',
    timeout: 30_000,
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd,
  });
  return { status: ran.status, output: ran.stdout + ran.stderr };
}

/** Log lines without their times. */
export function lines({ output }: Ran): string[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (us=\d+ )?/, ''));
}

/** A folder that vanishes with the test file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-cli-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A CA, `server` and `client` with elliptic keys, by the openssl command. */
export function createPki(folder: string): void {
  const openssl = (...args: string[]): void => {
    const ran = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
    if (ran.status !== 0) throw new Error(ran.stderr);
  };
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=Test-CA', '-days', '30');
  for (const [name, usage] of [
    ['server', 'serverAuth'],
    ['client', 'clientAuth'],
  ] as const) {
    openssl(
      'req',
      '-x509',
      ...key,
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-days',
      '30',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
      '-subj',
      `/C=SE/O=Org/CN=${name}`,
      '-addext',
      'basicConstraints=critical,CA:FALSE',
      '-addext',
      'keyUsage=digitalSignature',
      '-addext',
      `extendedKeyUsage=${usage}`,
    ); // prettier-ignore
  }
}

/** A tunnel's process and what it has written to a file. */
export class Running {
  readonly child: ChildProcess;
  readonly logFile: string;

  constructor(
    args: readonly string[],
    options: { cwd: string; logFile: string; program?: string; env?: Record<string, string>; namespace?: string },
  ) {
    const { cwd, logFile, program = ours, env = {}, namespace } = options;
    this.logFile = logFile;
    rmSync(logFile, { force: true }); // `logged` must not find what an earlier one wrote
    const inside = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
    const [first = program, ...all] = [...inside, program, '--log', logFile, ...args];
    this.child = spawn(first, all, { cwd, stdio: 'ignore', env: { ...process.env, ...env } });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  get log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8') : '';
  }

  /** Until the log has the text `times` times. */
  async logged(text: string, times = 1): Promise<void> {
    await until(
      `"${text}" in ${this.logFile}`,
      () => this.log.split(text).length > times,
      () => this.log,
    );
  }

  async exit(): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    return await new Promise((resolve) => this.child.once('exit', resolve));
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

/** Starts programs in a folder for the tests of a file; what a failed test has left would hold the port of the next. */
export class Started {
  readonly #folder: string;
  readonly #running: Running[] = [];

  constructor(folder: string) {
    this.#folder = folder;
    afterEach(async () => {
      for (const running of this.#running.splice(0)) {
        running.kill('SIGKILL');
        await running.exit();
      }
    });
  }

  /** `log` is the name of its log file in the folder. */
  start(log: string, args: readonly string[], env: Record<string, string> = {}): Running {
    const running = new Running(args, { cwd: this.#folder, logFile: join(this.#folder, log), env });
    this.#running.push(running);
    return running;
  }
}

/** By SIGTERM, and well. */
export async function end(running: Running): Promise<void> {
  running.kill('SIGTERM');
  assert.equal(await running.exit(), 0, running.log);
}

export async function until(what: string, holds: () => boolean, tell = (): string => ''): Promise<void> {
  const end = Date.now() + 30_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}\n${tell()}`);
    await sleep(20);
  }
}
