/** A TypeScript plugin in the cascade, in this process. */
import { type EventContext, eventNames, type Plugin, type PluginEventName, PluginSession } from '@seikan/plugin-sdk';
import { loadPlugin } from './load-plugin.js';
import type { Log } from './log.js';
import { type InitNumber, type Member, type MemberCall, type MemberOutcome, PluginError } from './member.js';

export interface TypeScriptSettings {
  /** A file or a package, as configured. */
  readonly name: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly version: string;
}

const initNumbers = { 'pre-config-parse': 1, 'pre-daemon': 2, 'post-daemon': 3, 'post-uid-change': 4 } as const;

export class TypeScriptMember implements Member {
  readonly name: string;
  initPoint: InitNumber = 2;
  events: ReadonlySet<PluginEventName> = new Set();
  readonly #settings: TypeScriptSettings;
  readonly #log: Log;
  #session: PluginSession | undefined;

  constructor(settings: TypeScriptSettings, log: Log) {
    this.name = settings.name;
    this.#settings = settings;
    this.#log = log;
  }

  async load(): Promise<void> {
    let plugin: Plugin;
    try {
      plugin = await loadPlugin(this.name, this.#settings.folder);
    } catch (cause) {
      throw new PluginError(`PLUGIN_INIT: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    this.initPoint = initNumbers[plugin.initPoint ?? 'pre-daemon'];
    this.#session = new PluginSession(plugin, (level, text) => {
      for (const line of text.split('\n')) this.#log(level, `PLUGIN ${plugin.name}: ${line}`);
    });
  }

  async open(env: Readonly<Record<string, string>>): Promise<string | undefined> {
    const { args, version } = this.#settings;
    const host = { name: 'seikan', version, ssl: 'openssl' } as const;
    const outcome = await this.#session?.open({ argv: [this.name, ...args], env, host }, new Set(eventNames));
    if (outcome?.ok !== true)
      throw new PluginError(`PLUGIN_INIT: plugin initialization function failed: ${this.name}; see its lines above`);
    // Its promises are awaited here: there is nothing to poll.
    this.events = new Set(outcome.events.filter((event) => event !== 'client-connect-defer-v2'));
    return outcome.config;
  }

  async call(call: MemberCall): Promise<MemberOutcome> {
    if (this.#session === undefined) return { result: 'none', cause: `plugin ${this.name} is not loaded` };
    return this.#session.event({ ...call, argv: [this.name, ...call.argv] });
  }

  openContext(): void {
    // Its state is made before its first event.
  }

  closeContext(context: EventContext): void {
    void this.#session?.clientClosed(context);
  }

  async dropPrivileges(): Promise<void> {
    // It lives in our process and follows it.
  }

  async close(): Promise<void> {
    await this.#session?.close();
  }

  async abort(): Promise<void> {
    // As with compiled plugins: nothing more is called after a fatal error but this, and a TypeScript plugin has no abort.
  }
}
