/**
 * A child process in a network namespace: its output as lines, waiting for a line, ending by its own pid.
 * `setpriv --pdeathsig` ends it even when its parent is killed outright; it leads a session of its own, so that Ctrl-C
 * at the terminal reaches the parent alone.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import type { Teardown } from './teardown.js';

export interface ProgramOptions {
  /** Names the program in messages: 'server', 'client'. */
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** The network namespace that it is started in. */
  readonly namespace: string;
  readonly teardown: Teardown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Program {
  readonly name: string;
  readonly lines: string[] = [];
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #watchers = new Set<() => void>();
  #exit: Exit | undefined;

  constructor({ name, command, namespace, teardown }: ProgramOptions) {
    this.name = name;
    const [program, ...args] = inNamespace(namespace, ['setpriv', '--pdeathsig', 'KILL', '--', ...command]);
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    for (const stream of [this.#child.stdout, this.#child.stderr]) if (stream !== null) this.#read(stream);
    this.exited = new Promise((resolve) => {
      const done = (exit: Exit): void => {
        this.#exit = exit;
        resolve(exit);
        this.#wake();
      };
      this.#child.once('close', (code, signal) => done({ code, signal }));
      this.#child.once('error', (error) => {
        this.lines.push(String(error));
        done({ code: -1, signal: null });
      });
    });
    teardown.defer(async () => {
      await this.stop();
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** Resolves with the first line that matches, looking from line `from` on; rejects on time-out and on exit. */
  waitFor(pattern: RegExp, { timeout, from = 0 }: { timeout: number; from?: number }): Promise<string> {
    return new Promise((resolve, reject) => {
      let next = from;
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        finish();
      };
      const fail = (why: string): void =>
        settle(() =>
          reject(
            new Error(`${this.name}: ${why}, no line ${pattern}; last lines:\n${this.lines.slice(-12).join('\n')}`),
          ),
        );
      const look = (): void => {
        for (; next < this.lines.length; next += 1) {
          const line = this.lines[next] ?? '';
          if (pattern.test(line)) return settle(() => resolve(line));
        }
        if (this.#exit !== undefined) fail(`ended (code ${this.#exit.code}, signal ${this.#exit.signal})`);
      };
      const timer = setTimeout(() => fail(`waited ${timeout / 1000} s`), timeout);
      this.#watchers.add(look);
      look();
    });
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) this.#child.kill(name);
  }

  /** SIGTERM, then SIGKILL after `grace` ms; resolves when it is gone. */
  async stop(grace = 4_000): Promise<Exit> {
    this.signal('SIGTERM');
    const late = setTimeout(() => this.signal('SIGKILL'), grace);
    const exit = await this.exited;
    clearTimeout(late);
    return exit;
  }

  #read(stream: NodeJS.ReadableStream): void {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      this.lines.push(...parts);
      this.#wake();
    });
    stream.on('end', () => {
      if (rest !== '') this.lines.push(rest);
      this.#wake();
    });
  }

  #wake(): void {
    for (const look of this.#watchers) look();
  }
}

/** The command that runs `command` in a namespace that ip-netns(8) has named. */
export function inNamespace(
  namespace: string,
  command: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  return ['nsenter', `--net=/run/netns/${namespace}`, '--', ...command];
}

/** Runs a short command to its end and resolves with what it printed; rejects with its errors when it fails. */
export function execute(
  [command, ...args]: readonly [string, ...string[]],
  { timeout = 20_000, input }: { timeout?: number; input?: string } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { timeout, killSignal: 'SIGKILL', maxBuffer: 1 << 24 },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`${command} ${args.join(' ')}: ${stderr.trim() || stdout.trim() || error.message}`));
      },
    );
    // A command that ends before it has read its input says why through its exit.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input ?? '');
  });
}
