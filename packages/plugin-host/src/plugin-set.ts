/**
 * The plugins of a configuration and their life: loaded all together, opened each at its point, closed at the end. The
 * set outlives the tunnels that ask it, as upstream's list of plugins outlives a SIGUSR1.
 *
 * Source: OpenVPN 2.6 src/openvpn/plugin.c plugin_list_init(), plugin_list_open(), plugin_list_close().
 */
import type { EventContext, PluginEventName } from '@seikan/plugin-sdk';
import type { Log } from './log.js';
import type { InitNumber, Member, Privileges } from './member.js';

export class PluginSet {
  readonly #members: readonly Member[];
  readonly #log: Log;
  readonly #opened = new Set<Member>();

  constructor(members: readonly Member[], log: Log) {
    this.#members = members;
    this.#log = log;
  }

  get size(): number {
    return this.#members.length;
  }

  /** Loads all plugins, before anything is opened. Throws PluginError: the VPN must not start. */
  async load(): Promise<void> {
    for (const member of this.#members) await member.load();
  }

  /**
   * Opens the plugins whose turn it is and that are not open, and begins the context of the tunnel itself for them. At
   * point 1 the environment is empty and what is returned is configuration text.
   * Throws PluginError: the VPN must not start; abort() comes next.
   */
  async open(point: InitNumber, env: Readonly<Record<string, string>>): Promise<string[]> {
    const configs: string[] = [];
    const fresh = this.#members.filter((member) => member.initPoint === point && !this.#opened.has(member));
    for (const member of fresh) {
      const config = await member.open(env);
      this.#opened.add(member);
      if (config === undefined) continue;
      if (point === 1) configs.push(config);
      else this.#log('warn', `PLUGIN ${member.name}: configuration is taken at initialization point 1 only`);
    }
    for (const member of fresh) member.openContext(0);
    return configs;
  }

  /** The open plugins that want an event, in config order. */
  listeners(event: PluginEventName): Member[] {
    return this.#members.filter((member) => this.#opened.has(member) && member.events.has(event));
  }

  /** A client begins: with its first accepted packet. */
  openContext(context: EventContext): void {
    for (const member of this.#opened) member.openContext(context);
  }

  /** A client ends: after its last event. */
  closeContext(context: EventContext): void {
    for (const member of this.#opened) member.closeContext(context);
  }

  async dropPrivileges(to: Privileges): Promise<void> {
    for (const member of this.#members) await member.dropPrivileges(to);
  }

  /** Plugins that were not opened are only unloaded. */
  async close(): Promise<void> {
    await Promise.all(
      this.#members.map(async (member) => (this.#opened.has(member) ? member.close() : member.abort())),
    );
  }

  /** After a fatal error. Plugins that were not opened are not called (OpenVPN calls them with a NULL handle). */
  async abort(): Promise<void> {
    await Promise.all(this.#members.map(async (member) => member.abort()));
  }
}
