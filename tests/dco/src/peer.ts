import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { LONG } from './report.js';

export const WORK = '/tmp/dco';

export type Role = 'server' | 'client';

/** A process, in a namespace or not, with its log. */
export class Peer {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly lines: string[] = [];
  readonly ended: Promise<number | null>;
  #rest = '';

  constructor(name: string, command: readonly string[]) {
    this.name = name;
    const [program, ...rest] = command;
    this.#child = spawn(program as string, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (data: Buffer) => this.#take(data));
    this.ended = new Promise((resolve) => this.#child.on('exit', resolve));
  }

  /** An openvpn, ours or the stock one, with a configuration that is written to `file`. */
  static openvpn(
    name: string,
    { namespace, file }: { readonly namespace: string; readonly file: string },
    program: readonly string[],
    config: string,
  ): Peer {
    writeFileSync(file, config);
    return new Peer(name, ['ip', 'netns', 'exec', namespace, ...program, '--config', file]);
  }

  count(pattern: RegExp): number {
    return this.lines.filter((line) => pattern.test(line)).length;
  }

  async logged(pattern: RegExp, { times = 1, limit = LONG } = {}): Promise<boolean> {
    for (const end = Date.now() + limit; Date.now() < end; await sleep(100)) {
      if (this.count(pattern) >= times) return true;
      if (this.#child.exitCode !== null) return false;
    }
    return false;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it, if need be by force, and tells with which status. */
  async stop(): Promise<number | null> {
    this.kill('SIGTERM');
    const late = new Promise<'late'>((resolve) => setTimeout(resolve, LONG, 'late').unref());
    const ended = await Promise.race([this.ended, late]);
    if (ended !== 'late') return ended;
    this.kill('SIGKILL');
    await this.ended;
    return null;
  }

  show(): void {
    for (const line of this.lines.slice(-60)) process.stdout.write(`[${this.name}] ${line}\n`);
  }

  #take(data: Buffer): void {
    const lines = `${this.#rest}${data.toString()}`.split('\n');
    this.#rest = lines.pop() ?? '';
    this.lines.push(...lines);
  }
}
