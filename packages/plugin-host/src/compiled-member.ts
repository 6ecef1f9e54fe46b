/**
 * A compiled OpenVPN plugin in the cascade, held by a process of its own.
 *
 *     new ──load──▶ loaded ──open──▶ open ──process ends or call is late──▶ resting ──back-off──▶ open
 *                                     └──close──▶ closed
 *
 * While it rests its calls have no verdict. It is started again at once, then after 1, 2, 4 … 60 s.
 */
import { type EventContext, eventNumbers, eventsOf, offeredMask, type PluginEventName } from '@seikan/plugin-sdk';
import { BackOff } from './back-off.js';
import { FrameWriter } from './frame.js';
import { HostProcess, type HostReply } from './host-process.js';
import type { Log } from './log.js';
import {
  type InitNumber,
  type Member,
  type MemberCall,
  type MemberOutcome,
  PluginError,
  type Privileges,
} from './member.js';
import { answerSoon, Wakefulness } from './wakefulness.js';

export interface CompiledSettings {
  /** As configured: argv[0]. */
  readonly name: string;
  readonly args: readonly string[];
  /** The file to load. */
  readonly path: string;
  /** What the plugin is told of its host: major, minor, patch with its dot. */
  readonly version: { readonly major: number; readonly minor: number; readonly patch: string };
}

type State = 'new' | 'loaded' | 'open' | 'resting' | 'closed';

export class CompiledMember implements Member {
  readonly name: string;
  readonly answersByFile = true;
  initPoint: InitNumber = 2;
  events: ReadonlySet<PluginEventName> = new Set();
  readonly #settings: CompiledSettings;
  readonly #log: Log;
  readonly #contexts = new Set<EventContext>();
  /** Contexts that the process now running knows. */
  readonly #constructed = new Set<EventContext>();
  #state: State = 'new';
  #host: HostProcess | undefined;
  #openEnv: Readonly<Record<string, string>> = {};
  #privileges: Privileges | undefined;
  readonly #backOff = new BackOff();
  readonly #wakefulness = new Wakefulness();
  #ids = 0;
  #timer: NodeJS.Timeout | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(settings: CompiledSettings, log: Log) {
    this.name = settings.name;
    this.#settings = settings;
    this.#log = log;
  }

  get pid(): number | undefined {
    return this.#host?.pid;
  }

  async load(): Promise<void> {
    await this.#inTurn(async () => this.#load());
    this.#state = 'loaded';
  }

  async open(env: Readonly<Record<string, string>>): Promise<string | undefined> {
    this.#openEnv = env;
    const config = await this.#inTurn(async () => this.#open());
    this.#state = 'open';
    return config;
  }

  async call(call: MemberCall): Promise<MemberOutcome> {
    return this.#inTurn(async () => this.#call(call));
  }

  openContext(context: EventContext): void {
    this.#contexts.add(context);
    void this.#inTurn(async () => this.#construct(context));
  }

  closeContext(context: EventContext): void {
    this.#contexts.delete(context);
    void this.#inTurn(async () => {
      if (!this.#constructed.delete(context)) return;
      await this.#request(this.#frame('D').u32(context), 10_000);
    });
  }

  async dropPrivileges(to: Privileges): Promise<void> {
    this.#privileges = to;
    await this.#inTurn(async () => this.#drop(to));
  }

  async close(): Promise<void> {
    await this.#end('X');
  }

  async abort(): Promise<void> {
    await this.#end('A');
  }

  async #load(): Promise<void> {
    this.#backOff.started(performance.now());
    this.#constructed.clear();
    const host = new HostProcess(this.name, this.#log, (how) => this.#ended(host, how));
    this.#host = host;
    const reply = await this.#request(this.#frame('L').text(this.#settings.path), 30_000);
    if (reply?.status !== 0) throw this.#loadError(reply);
    if (reply.number < 1 || reply.number > 4)
      throw new PluginError(`PLUGIN_INIT: ${this.name} wants to be opened at point ${reply.number}: there are 1 to 4`);
    this.initPoint = reply.number as InitNumber;
  }

  #loadError(reply: HostReply | undefined): PluginError {
    const { path } = this.#settings;
    const [kind, text] = reply?.list[0] ?? ['process', 'its process ended'];
    if (kind === 'symbol')
      return new PluginError(
        `PLUGIN: could not find required symbol '${text}' in plugin shared object ${path}: it is no OpenVPN plugin`,
      );
    if (kind === 'version')
      return new PluginError(
        `PLUGIN_INIT: plugin ${path} needs plugin interface version ${text}, this is version 3: use an older build of it`,
      );
    return new PluginError(
      `PLUGIN_INIT: could not load plugin shared object ${path}: ${text}. A name without a leading '/' or '.' is looked for in the plugin directory`,
    );
  }

  async #open(): Promise<string | undefined> {
    const { version, args } = this.#settings;
    const text = `${version.major}.${version.minor}${version.patch}`;
    const frame = this.#frame('O').u32(version.major).u32(version.minor).text(version.patch).text(text);
    const reply = await this.#request(frame.vector([this.name, ...args]).env(this.#openEnv), 60_000);
    if (reply === undefined)
      throw new PluginError(`PLUGIN_INIT: plugin ${this.name} ended while it opened: see its lines above`);
    if (reply.status !== 0)
      throw new PluginError(
        `PLUGIN_INIT: plugin initialization function failed: ${this.name}; see its lines above, and its arguments`,
      );
    const want = reply.number;
    if ((want & ~offeredMask) !== 0) {
      throw new PluginError(
        `PLUGIN_INIT: plugin ${this.name} expressed interest in unsupported plugin types: [want=${hex(want)}, have=${hex(offeredMask)}]; it was made for another OpenVPN`,
      );
    }
    this.events = new Set(eventsOf(want));
    for (const context of this.#contexts) await this.#construct(context);
    return configOf(reply);
  }

  async #construct(context: EventContext): Promise<void> {
    if (this.#host === undefined || this.#constructed.has(context)) return;
    this.#constructed.add(context);
    await this.#request(this.#frame('C').u32(context), 10_000);
  }

  async #drop({ uid, gid, root = '' }: Privileges): Promise<void> {
    const reply = await this.#request(this.#frame('U').u32(uid).u32(gid).text(root), 10_000);
    if (reply?.status !== 0) throw new PluginError(`plugin ${this.name}: its process could not become uid ${uid}`);
  }

  async #call(call: MemberCall): Promise<MemberOutcome> {
    if (this.#state !== 'open' || this.#host === undefined)
      return { result: 'none', cause: `plugin ${this.name} is not running` };
    if (this.#contexts.has(call.context)) await this.#construct(call.context);
    const frame = this.#frame('E')
      .u32(eventNumbers[call.event])
      .u32(call.context)
      .u32(call.certificate?.depth ?? -1)
      .blob(call.certificate?.der ?? new Uint8Array())
      .vector([this.name, ...call.argv])
      .env(call.env);
    this.#wakefulness.stay(answerSoon);
    const reply = await this.#request(frame, call.deadline);
    this.#wakefulness.end();
    if (reply === undefined) return { result: 'none', cause: `plugin ${this.name} gave no answer to ${call.event}` };
    if (reply.status === 2) return { result: 'deferred' };
    if (reply.status !== 0)
      return { result: 'failure', cause: `plugin ${this.name} answered ${call.event} with ${reply.status}` };
    const config = configOf(reply);
    return config === undefined ? { result: 'success' } : { result: 'success', config };
  }

  /** Sends a frame; a process that does not answer in time is killed, and has not answered. */
  async #request(frame: FrameWriter, deadline: number): Promise<HostReply | undefined> {
    const host = this.#host;
    if (host === undefined) return undefined;
    const timer = setTimeout(() => {
      this.#log('error', `PLUGIN ${this.name}: no answer within ${deadline} ms: its process is killed`);
      host.kill();
    }, deadline);
    const reply = await host.request(frame);
    clearTimeout(timer);
    return reply;
  }

  #ended(host: HostProcess, how: string): void {
    if (this.#host !== host) return;
    this.#host = undefined;
    if (this.#state === 'open' || this.#state === 'resting') this.#rest(`its process ${how}`);
  }

  #rest(why: string): void {
    this.#state = 'resting';
    const rest = this.#backOff.ended(performance.now());
    this.#log('error', `PLUGIN ${this.name}: ${why}; it is started again in ${rest / 1_000} s`);
    this.#timer = setTimeout(() => void this.#inTurn(async () => this.#revive()), rest);
  }

  async #revive(): Promise<void> {
    if (this.#state !== 'resting') return;
    this.#timer = undefined;
    try {
      await this.#load();
      if (this.#privileges !== undefined && process.getuid?.() === 0) await this.#drop(this.#privileges);
      await this.#open();
      this.#state = 'open';
      this.#log('note', `PLUGIN ${this.name}: running again`);
    } catch (error) {
      this.#log('error', error instanceof Error ? error.message : String(error));
      if (this.#host !== undefined) this.#host.kill();
      else if (this.#timer === undefined) this.#rest('it could not be started');
    }
  }

  async #end(operation: 'X' | 'A'): Promise<void> {
    await this.#inTurn(async () => {
      clearTimeout(this.#timer);
      const host = this.#host;
      this.#state = 'closed';
      if (host === undefined) return;
      if (operation === 'X')
        for (const context of [...this.#constructed].toReversed()) {
          this.#constructed.delete(context);
          await this.#request(this.#frame('D').u32(context), 5_000);
        }
      await this.#request(this.#frame(operation), 5_000);
      await host.gone();
      this.#host = undefined;
    });
  }

  #frame(operation: string): FrameWriter {
    this.#ids += 1;
    return new FrameWriter(operation, this.#ids);
  }

  /** One thing at a time: plugins are not re-entrant. */
  async #inTurn<T>(what: () => Promise<T>): Promise<T> {
    const mine = this.#queue.then(what);
    this.#queue = mine.catch(() => {});
    return mine;
  }
}

function hex(mask: number): string {
  return `0x${(mask >>> 0).toString(16).padStart(8, '0')}`;
}

/** Only a plugin's first node named "config" counts, as in OpenVPN. */
function configOf(reply: HostReply): string | undefined {
  return reply.list.find(([name]) => name === 'config')?.[1];
}
