/**
 * The node end of a TypeScript plugin in a stock OpenVPN (see c/shim.c): reads calls from descriptor 3, drives the
 * plugin's session, answers. The build tool bundles this file with the plugin.
 *
 * How an answer that takes time reaches OpenVPN:
 *   auth-user-pass-verify   within `grace`: directly; then DEFERRED, and later through auth_control_file
 *   client-connect (9)      within `grace`: directly; then DEFERRED, and later when OpenVPN polls with event 14
 *   anything else           OpenVPN waits
 */
import { Socket } from 'node:net';
import {
  eventName,
  eventNames,
  type Final,
  maskOf,
  type Outcome,
  type Plugin,
  PluginSession,
} from '@seikan/plugin-sdk';
import { captureConsole } from './capture-console.js';
import { type FrameReader, FrameSplitter, FrameWriter, parseEnv } from './frame.js';
import { callSoon, Wakefulness } from './wakefulness.js';

const status = { success: 0, failure: 1, deferred: 2 } as const;
const files = { control: 0, pending: 1, reason: 2 } as const;
const levels = { error: 1, warn: 2, note: 4, debug: 8 } as const;
const ssl = ['none', 'openssl', 'mbedtls'] as const;

/** Runs a plugin until its OpenVPN closes it. */
export function runShimChild(plugin: Plugin): void {
  // The supervisor decides when this process ends, so that `down` is still seen after a signal to the whole group.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
  const child = new ShimChild(plugin, new Socket({ fd: 3, allowHalfOpen: true }));
  child.run();
}

class ShimChild {
  readonly #plugin: Plugin;
  readonly #socket: Socket;
  readonly #session: PluginSession;
  /** client-connect answers that are awaited or not yet fetched, by client. */
  readonly #connecting = new Map<number, { answer: Final | undefined }>();
  readonly #wakefulness = new Wakefulness();
  #warnedOfWaiting = false;
  #closing = false;

  constructor(plugin: Plugin, socket: Socket) {
    this.#plugin = plugin;
    this.#socket = socket;
    this.#session = new PluginSession(plugin, (level, text) => this.#log(level, text));
  }

  run(): void {
    captureConsole((level, text) => this.#log(level, text));
    // An error that the session cannot see, from a timer or a forgotten promise: the plugin's state is unknown, so end.
    process.on('uncaughtException', (error) => {
      process.stderr.write(`uncaught: ${error.stack ?? error.message}\n`, () => process.exit(70));
    });
    const splitter = new FrameSplitter();
    this.#socket.on('data', (chunk: Buffer) => {
      for (const frame of splitter.take(chunk)) this.#handle(frame);
      this.#wakefulness.stay(callSoon);
    });
    this.#socket.on('end', () => void this.#close(undefined));
    this.#socket.on('error', () => process.exit(0));
  }

  #handle(frame: FrameReader): void {
    switch (frame.operation) {
      case 'O':
        void this.#open(frame);
        break;
      case 'E':
        this.#event(frame);
        break;
      case 'D':
        this.#connecting.delete(frame.id);
        void this.#session.clientClosed(frame.id);
        break;
      case 'P':
        this.#send(new FrameWriter('P', 0));
        break;
      case 'X':
        void this.#close(frame.id);
        break;
      default:
        break;
    }
  }

  async #open(frame: FrameReader): Promise<void> {
    const host = { name: 'openvpn', ssl: ssl[frame.u32()] ?? 'none', version: frame.text() } as const;
    const argv = frame.vector();
    const env = parseEnv(frame.vector());
    const outcome = await this.#session.open({ argv, env, host }, new Set(eventNames));
    if (outcome.ok) this.#reply(frame.id, status.success, maskOf(outcome.events), outcome.config);
    else this.#reply(frame.id, status.failure);
  }

  #event(frame: FrameReader): void {
    const { id } = frame;
    const event = eventName(frame.u32());
    const context = frame.u32();
    const depth = frame.i32();
    frame.u32();
    const der = frame.blob();
    const argv = frame.vector();
    const env = parseEnv(frame.vector());
    if (event === undefined) return this.#reply(id, status.failure);
    if (event === 'client-connect-defer-v2') return this.#poll(id, context);
    const certificate = der.length === 0 ? {} : { certificate: { depth, der: Uint8Array.from(der) } };
    const outcome = this.#session.event({ event, context, argv, env, ...certificate });
    if (event === 'auth-user-pass-verify') this.#authenticate(id, outcome);
    else if (event === 'client-connect-v2') this.#connect(id, context, outcome);
    else this.#wait(id, event, outcome);
    return undefined;
  }

  #authenticate(id: number, outcome: Outcome): void {
    const finish = (final: Final, deferred: boolean): void => {
      if (final.result === 'failure' && final.reason !== undefined) this.#write(id, 'reason', final.reason);
      if (deferred) this.#write(id, 'control', final.result === 'success' ? '1' : '0');
      else this.#reply(id, status[final.result]);
      this.#send(new FrameWriter('Z', id));
    };
    if (outcome.result !== 'later') return finish(outcome, false);
    const { answer, pending } = outcome;
    let deferred = false;
    const defer = (): void => {
      deferred = true;
      // OpenVPN reads the pending file once, right after DEFERRED.
      if (pending !== undefined)
        this.#write(id, 'pending', `${pending.timeout}\n${pending.method}\n${pending.extra}\n`);
      this.#reply(id, status.deferred);
    };
    void this.#graceful(answer, pending === undefined ? undefined : 0, defer).then((final) => finish(final, deferred));
    return undefined;
  }

  #connect(id: number, context: number, outcome: Outcome): void {
    if (outcome.result !== 'later') return this.#answerConnect(id, outcome);
    const waiting: { answer: Final | undefined } = { answer: undefined };
    let deferred = false;
    const defer = (): void => {
      deferred = true;
      this.#connecting.set(context, waiting);
      this.#reply(id, status.deferred);
    };
    void this.#graceful(outcome.answer, undefined, defer).then((final) => {
      waiting.answer = final;
      if (!deferred) this.#answerConnect(id, final);
    });
    return undefined;
  }

  #poll(id: number, context: number): void {
    const waiting = this.#connecting.get(context);
    // Another plugin has deferred: OpenVPN polls every plugin that knows event 14.
    if (waiting === undefined) return this.#reply(id, status.success);
    if (waiting.answer === undefined) return this.#reply(id, status.deferred);
    this.#connecting.delete(context);
    return this.#answerConnect(id, waiting.answer);
  }

  #answerConnect(id: number, final: Final): void {
    this.#reply(id, status[final.result], 0, final.result === 'success' ? final.config : undefined);
  }

  #wait(id: number, event: string, outcome: Outcome): void {
    if (outcome.result !== 'later') return this.#reply(id, status[outcome.result]);
    const warn = (): void => {
      if (!this.#warnedOfWaiting)
        this.#log('warn', `OpenVPN waits for ${event}: only auth-user-pass-verify and client-connect can take time`);
      this.#warnedOfWaiting = true;
    };
    void this.#graceful(outcome.answer, undefined, warn).then((final) => this.#reply(id, status[final.result]));
    return undefined;
  }

  /** Calls `late` once the answer has taken longer than the plugin's grace (or `grace`). */
  async #graceful(answer: Promise<Final>, grace: number | undefined, late: () => void): Promise<Final> {
    if (this.#plugin.deferrable === false) return answer;
    const after = grace ?? this.#plugin.grace ?? 50;
    if (after === 0) {
      late();
      return answer;
    }
    const timer = setTimeout(late, after);
    const final = await answer;
    clearTimeout(timer);
    return final;
  }

  async #close(id: number | undefined): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    await this.#session.close();
    if (id !== undefined) this.#reply(id, status.success);
    this.#socket.end(() => process.exit(0));
  }

  #reply(id: number, code: number, mask = 0, config?: string): void {
    const frame = new FrameWriter('R', id).u32(code).u32(mask);
    if (config === undefined) frame.u32(0);
    else frame.u32(1).text('config').text(config);
    this.#send(frame);
  }

  #write(id: number, file: keyof typeof files, text: string): void {
    this.#send(new FrameWriter('W', id).u32(files[file]).text(text));
  }

  #log(level: keyof typeof levels, text: string): void {
    this.#send(new FrameWriter('L', 0).u32(levels[level]).text(text));
  }

  #send(frame: FrameWriter): void {
    if (!this.#socket.writableEnded) this.#socket.write(frame.finish());
  }
}
