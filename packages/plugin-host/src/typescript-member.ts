/**
 * A TypeScript plugin in the cascade: in this process, in a thread of its own, so that nothing it does holds up the
 * tunnel.
 *
 *     new ──load──▶ loaded ──open──▶ open ──thread ends or is silent too long──▶ resting ──back-off──▶ open
 *                                     └──close──▶ closed
 *
 * Silent: something was asked, and the thread has said nothing at all for the plugin's `deadline`. Promises may take
 * longer; whoever asks for them knows until when.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type EventContext, eventNames, type Final, type PluginEventName } from '@seikan/plugin-sdk';
import { BackOff } from './back-off.js';
import { bundlePlugin } from './bundle-plugin.js';
import { EnvSender } from './env-change.js';
import { isTypeScriptFile, moduleOf, pluginFile } from './load-plugin.js';
import type { Log } from './log.js';
import {
  type InitNumber,
  type Member,
  type MemberCall,
  type MemberOutcome,
  type NoVerdict,
  PluginError,
} from './member.js';
import { createChannel, ThreadChannel } from './thread-channel.js';
import { answerSoon } from './wakefulness.js';
import { eventForm, type FromWorker, type ToWorker, type WorkerStart, yesForm } from './worker-message.js';

export interface TypeScriptSettings {
  /** A file or a package, as configured. */
  readonly name: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly version: string;
}

type State = 'new' | 'loaded' | 'open' | 'resting' | 'closed';

interface Thread {
  readonly worker: Worker;
  readonly channel: ThreadChannel<FromWorker, ToWorker>;
  readonly env: EnvSender;
}

/** Loading compiles; opening may connect to a database. */
const patienceAtStart = 60_000;
const usualDeadline = 5_000;
/** The program of a thread that imports another: node reads no source map of a thread's first program. */
const importWorkerData = new URL(
  "data:text/javascript,import { workerData } from 'node:worker_threads'; await import(workerData.program);",
);

export class TypeScriptMember implements Member {
  readonly name: string;
  readonly answersByFile = false;
  initPoint: InitNumber = 2;
  events: ReadonlySet<PluginEventName> = new Set();
  readonly #settings: TypeScriptSettings;
  readonly #log: Log;
  readonly #backOff = new BackOff();
  readonly #calls = new Map<number, (outcome: MemberOutcome) => void>();
  readonly #answers = new Map<number, (final: Final | NoVerdict) => void>();
  #state: State = 'new';
  #thread: Thread | undefined;
  /** Of a TypeScript file: the address of its thread's program. */
  #program: string | undefined;
  #plugin = '';
  #deadline = usualDeadline;
  #openEnv: Readonly<Record<string, string>> = {};
  /** What `load`, `open` or `close` waits for; undefined: the thread ended first. */
  #step: ((message: FromWorker | undefined) => void) | undefined;
  #ids = 0;
  #watch: NodeJS.Timeout | undefined;
  /** When something was last asked that came first, or the thread last said something. */
  #heard = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(settings: TypeScriptSettings, log: Log) {
    this.name = settings.name;
    this.#settings = settings;
    this.#log = log;
  }

  async load(): Promise<void> {
    await this.#load();
    this.#state = 'loaded';
  }

  async open(env: Readonly<Record<string, string>>): Promise<string | undefined> {
    this.#openEnv = env;
    const config = await this.#open();
    this.#state = 'open';
    return config;
  }

  call({ event, context, argv, env, certificate }: MemberCall): Promise<MemberOutcome> {
    const thread = this.#thread;
    if (this.#state !== 'open' || thread === undefined)
      return Promise.resolve({ result: 'none', cause: `plugin ${this.name} is not running` });
    this.#ids += 1;
    const id = this.#ids;
    return new Promise((resolve) => {
      if (this.#calls.size === 0) this.#heard = performance.now();
      this.#calls.set(id, resolve);
      this.#watch ??= setTimeout(() => this.#look(thread), this.#deadline);
      const { channel } = thread;
      const message = { say: 'event', id, event, context, argv, env: thread.env.change(env) } as const;
      channel.stayAwake(answerSoon);
      const heard = channel.send(
        certificate === undefined
          ? message
          : {
              ...message,
              certificate: { depth: certificate.depth, der: Buffer.from(certificate.der).toString('base64') },
            },
      );
      if (heard) channel.wait();
    });
  }

  openContext(): void {
    // Its state is made before its first event.
  }

  closeContext(context: EventContext): void {
    this.#thread?.channel.send({ say: 'client-closed', context });
  }

  async dropPrivileges(): Promise<void> {
    // Threads follow their process.
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const thread = this.#thread;
    const wasOpen = this.#state === 'open';
    this.#state = 'closed';
    if (thread === undefined) return;
    if (wasOpen && (await this.#ask(thread, { say: 'close' }, this.#deadline)) === undefined)
      this.#log('error', `PLUGIN ${this.name}: it did not close within ${this.#deadline} ms`);
    await thread.worker.terminate();
  }

  /** As with compiled plugins after a fatal error: nothing more of it is called, and a TypeScript plugin has no abort. */
  async abort(): Promise<void> {
    clearTimeout(this.#timer);
    this.#state = 'closed';
    await this.#thread?.worker.terminate();
  }

  async #load(): Promise<void> {
    this.#backOff.started(performance.now());
    const { name } = this.#settings;
    const thread = await this.#start();
    if (this.#isClosed()) await thread.worker.terminate();
    this.#thread = thread;
    const { worker, channel } = thread;
    worker.on('error', (error) => this.#log('error', `PLUGIN ${this.name}: uncaught: ${error.stack ?? error.message}`));
    worker.on('exit', (status) => {
      channel.drain();
      channel.close();
      this.#ended(thread, `its thread ended with status ${status}`);
    });
    const said = await this.#wait(thread, patienceAtStart);
    if (said?.say === 'not-loaded') throw new PluginError(`PLUGIN_INIT: ${said.why}`);
    if (said?.say !== 'loaded')
      throw new PluginError(`PLUGIN_INIT: plugin ${name} ended while it was loaded: see its lines above`);
    this.#plugin = said.plugin;
    this.initPoint = said.initPoint;
    this.#deadline = said.deadline ?? usualDeadline;
  }

  /** A TypeScript file is bundled once with all that its thread needs, which then can be started where no file is to be found. */
  async #start(): Promise<Thread> {
    const { name, folder } = this.#settings;
    const path = pluginFile(name, folder);
    // After the first time it is not needed any more, and may be out of reach.
    if (path !== undefined && this.#state === 'new' && !existsSync(path))
      throw new PluginError(`PLUGIN_INIT: there is no plugin file ${path}: a relative name is looked for in ${folder}`);
    const bundled = path !== undefined && isTypeScriptFile(path);
    if (bundled) this.#program ??= await bundleForThread(path);
    const { ours, theirs, transfer } = createChannel();
    const start: WorkerStart = { channel: theirs, name, folder, program: this.#program };
    const program = bundled ? importWorkerData : new URL('./plugin-worker.js', import.meta.url);
    const execArgv = ['--enable-source-maps', ...(bundled ? [] : ['--experimental-import-meta-resolve'])];
    const worker = new Worker(program, { workerData: start, transferList: transfer, execArgv });
    const channel = new ThreadChannel(ours, (message) => this.#handle(message), {
      incoming: yesForm,
      outgoing: eventForm,
    });
    return { worker, channel, env: new EnvSender() };
  }

  async #open(): Promise<string | undefined> {
    const { args, version } = this.#settings;
    const host = { name: 'seikan', version, ssl: 'openssl' } as const;
    const open = { say: 'open', argv: [this.name, ...args], env: this.#openEnv, host } as const;
    const said = this.#thread === undefined ? undefined : await this.#ask(this.#thread, open, patienceAtStart);
    if (said?.say !== 'opened')
      throw new PluginError(`PLUGIN_INIT: plugin initialization function failed: ${this.name}; see its lines above`);
    // Its promises are awaited here: there is nothing to poll.
    this.events = new Set(
      eventNames.filter((name) => name !== 'client-connect-defer-v2' && said.events.includes(name)),
    );
    return said.config;
  }

  async #ask(thread: Thread, message: ToWorker, patience: number): Promise<FromWorker | undefined> {
    thread.channel.send(message);
    return this.#wait(thread, patience);
  }

  async #wait({ worker }: Thread, patience: number): Promise<FromWorker | undefined> {
    const timer = setTimeout(() => void worker.terminate(), patience);
    const message = await new Promise<FromWorker | undefined>((resolve) => {
      this.#step = resolve;
    });
    clearTimeout(timer);
    return message;
  }

  #handle(message: FromWorker): void {
    this.#heard = performance.now();
    switch (message.say) {
      case 'log':
        for (const line of message.text.split('\n')) this.#log(message.level, `PLUGIN ${this.#plugin}: ${line}`);
        return;
      case 'outcome':
        this.#outcome(message);
        return;
      case 'answer':
        this.#answers.get(message.id)?.(message.final);
        this.#answers.delete(message.id);
        return;
      default: {
        const step = this.#step;
        this.#step = undefined;
        step?.(message);
      }
    }
  }

  #outcome({ id, outcome }: FromWorker & { say: 'outcome' }): void {
    const answer = this.#calls.get(id);
    this.#calls.delete(id);
    if (this.#calls.size === 0) this.#thread?.channel.end();
    if (outcome.result !== 'later') {
      answer?.(outcome);
      return;
    }
    const later = new Promise<Final | NoVerdict>((resolve) => {
      this.#answers.set(id, resolve);
    });
    const { pending } = outcome;
    answer?.({ result: 'later', answer: later, ...(pending === undefined ? {} : { pending }) });
  }

  /** Not armed for each call: most are answered long before. */
  #look(thread: Thread): void {
    this.#watch = undefined;
    if (this.#calls.size === 0) return;
    const left = this.#heard + this.#deadline - performance.now();
    if (left > 0) {
      this.#watch = setTimeout(() => this.#look(thread), left);
      return;
    }
    this.#log('error', `PLUGIN ${this.name}: it has not answered for ${this.#deadline} ms: its thread is ended`);
    void thread.worker.terminate();
  }

  #ended(thread: Thread, how: string): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    clearTimeout(this.#watch);
    this.#watch = undefined;
    this.#step?.(undefined);
    this.#step = undefined;
    const none: NoVerdict = { result: 'none', cause: `plugin ${this.name}: ${how}` };
    for (const answer of this.#calls.values()) answer(none);
    this.#calls.clear();
    for (const answer of this.#answers.values()) answer(none);
    this.#answers.clear();
    if (this.#state === 'open' || this.#state === 'resting') this.#rest(how);
  }

  #rest(why: string): void {
    this.#state = 'resting';
    const rest = this.#backOff.ended(performance.now());
    this.#log('error', `PLUGIN ${this.name}: ${why}; it is started again in ${rest / 1_000} s`);
    this.#timer = setTimeout(() => void this.#revive(), rest);
  }

  async #revive(): Promise<void> {
    if (this.#state !== 'resting') return;
    this.#timer = undefined;
    try {
      await this.#load();
      await this.#open();
      if (this.#isClosed()) return;
      this.#state = 'open';
      this.#log('note', `PLUGIN ${this.name}: running again`);
    } catch (error) {
      if (this.#isClosed()) return;
      this.#log('error', error instanceof Error ? error.message : String(error));
      if (this.#thread !== undefined) await this.#thread.worker.terminate();
      else if (this.#timer === undefined) this.#rest('it could not be started');
    }
  }

  /** As somebody may have closed it while it was started again. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }
}

async function bundleForThread(path: string): Promise<string> {
  const runner = fileURLToPath(new URL('./plugin-thread.js', import.meta.url));
  const entry = `import { runBundledPlugin } from ${JSON.stringify(runner)};
runBundledPlugin(() => import(${JSON.stringify(path)}));`;
  try {
    return moduleOf(await bundlePlugin({ path, entry }));
  } catch (error) {
    throw new PluginError(`PLUGIN_INIT: ${error instanceof Error ? error.message : String(error)}`);
  }
}
