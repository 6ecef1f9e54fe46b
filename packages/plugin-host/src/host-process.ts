/**
 * The process that holds one compiled plugin (c/host.c): started, spoken to in frames, ended. One request at a time.
 * Descriptors: 1 and 2 what the plugin prints, 3 frames, 4 log lines `flags pid name<TAB>text`, newlines as \x01.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex, Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { decodeText } from '@seikan/plugin-sdk';
import { type FrameReader, FrameSplitter, type FrameWriter } from './frame.js';
import type { Log, LogLevel } from './log.js';

export const hostProgram = fileURLToPath(new URL('../build/seikan-plugin-host', import.meta.url));

/** Status, a number (mask, init point) and a return list: what every reply has. */
export interface HostReply {
  readonly status: number;
  readonly number: number;
  readonly list: readonly (readonly [name: string, value: string])[];
}

export class HostProcess {
  readonly #child: ChildProcess;
  readonly #control: Duplex;
  readonly #ended: Promise<string>;
  #waiting: { readonly id: number; readonly answer: (reply: HostReply | undefined) => void } | undefined;
  #closed = false;

  /** `onEnd` is called once when the process is gone, with how it ended. */
  constructor(name: string, log: Log, onEnd: (how: string) => void) {
    const child = spawn(hostProgram, [], { stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(describeEnd(code, signal)));
    });
    const stdio = child.stdio as [null, Readable, Readable, Duplex, Readable] | undefined;
    if (stdio === undefined) throw new Error(`plugin ${name}: its process cannot be started: no descriptors are left`);
    const [, output, errors, control, messages] = stdio;
    this.#control = control;
    for (const stream of [output, errors])
      eachLine(stream, (line) => log('note', `PLUGIN ${name}: ${decodeText(line)}`));
    eachLine(messages, (line) => {
      const [, flags = '4', from = '', text = ''] = /^(\d+) \d+ ([^\t]*)\t(.*)$/s.exec(decodeText(line)) ?? [];
      for (const part of text.split('\u0001')) log(levelOf(Number(flags)), `PLUGIN ${from}: ${part}`);
    });
    const splitter = new FrameSplitter();
    control.on('data', (chunk: Buffer) => {
      try {
        for (const frame of splitter.take(chunk)) this.#reply(frame);
      } catch {
        // Any descriptor of its process is within a plugin's reach.
        log('error', `PLUGIN ${name}: something else than answers came from its process, which is killed`);
        this.kill();
      }
    });
    control.on('error', () => this.kill());
    void this.#ended.then((how) => {
      this.#closed = true;
      this.#answer(undefined);
      onEnd(how);
    });
  }

  /** Sends a request and waits for its reply; `undefined` where the process ended first. Frames are wiped when sent. */
  async request(frame: FrameWriter): Promise<HostReply | undefined> {
    if (this.#closed) return undefined;
    const bytes = frame.finish();
    const id = bytes.readUInt32LE(5);
    return new Promise((resolve) => {
      this.#waiting = { id, answer: resolve };
      this.#control.write(bytes, () => bytes.fill(0));
    });
  }

  /** Ends it and all that the plugin has started: the process above the plugin does, when its socket closes. */
  kill(): void {
    this.#control.destroy();
  }

  /** Waits until it is gone. */
  async gone(): Promise<void> {
    const timer = setTimeout(() => this.kill(), 5_000);
    await this.#ended;
    clearTimeout(timer);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  #reply(frame: FrameReader): void {
    if (frame.operation !== 'R' || frame.id !== this.#waiting?.id) return;
    const status = frame.i32();
    const number = frame.u32();
    const count = frame.u32();
    const list: [string, string][] = [];
    for (let index = 0; index < count; index += 1) list.push([frame.text(), frame.text()]);
    // What the plugin logged during the call is readable by now, but may be read after the reply: let it be read first.
    setImmediate(() => this.#answer({ status, number, list }));
  }

  #answer(reply: HostReply | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.answer(reply);
  }
}

/** What is longer is cut: a plugin that never ends its line must not fill our memory. */
const longestLine = 16_384;

function eachLine(stream: Readable, handle: (line: Buffer) => void): void {
  let held: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    let end = held.indexOf(10);
    while (end >= 0) {
      handle(held.subarray(0, end));
      held = held.subarray(end + 1);
      end = held.indexOf(10);
    }
    if (held.length < longestLine) return;
    handle(held);
    held = Buffer.alloc(0);
  });
  stream.on('end', () => {
    if (held.length > 0) handle(held);
  });
  stream.on('error', () => {});
}

function levelOf(flags: number): LogLevel {
  if ((flags & 1) !== 0) return 'error';
  if ((flags & 2) !== 0) return 'warn';
  return (flags & 8) !== 0 ? 'debug' : 'note';
}

/** The monitor reports a worker's signal as 128 + its number, as a shell does. */
function describeEnd(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `was ended by ${signal}`;
  if (code !== null && code > 128) return `crashed with signal ${code - 128}`;
  return `ended with status ${code ?? 0}`;
}
