/**
 * A plugin as its author writes it:
 *
 *     export default definePlugin<Handle>({
 *       name: 'acme',
 *       open: ({ argv }) => ({ events: ['auth-user-pass-verify'], handle: new Directory(argv[1]) }),
 *       event: async (event, handle) => ((await handle.check(event.username, event.password)) ? success() : failure('no')),
 *       close: (handle) => handle.close(),
 *     });
 *
 * The same value is loaded by Seikan in process and, built into a shared library, by any OpenVPN 2.x.
 */
import type { AuthorEvent, Client, Env, EventOf } from './event.js';
import type { EventResult } from './result.js';

export type LogLevel = 'error' | 'warn' | 'note' | 'debug';
export type PluginLog = (level: LogLevel, text: string) => void;

/** When the plugin is opened. OpenVPN calls `pre-daemon` what happens after it became a daemon but before the tun opens. */
export type InitPoint = 'pre-config-parse' | 'pre-daemon' | 'post-daemon' | 'post-uid-change';

/** Who loads the plugin. */
export interface Host {
  readonly name: 'openvpn' | 'seikan';
  readonly version: string;
  readonly ssl: 'none' | 'openssl' | 'mbedtls';
}

export interface OpenContext {
  /** argv[0] is the plugin's name as configured; the arguments follow. */
  readonly argv: readonly string[];
  readonly env: Env;
  readonly host: Host;
  /** Writes to the VPN's log, with the plugin's name before the text. */
  readonly log: PluginLog;
}

export interface Opened<Handle, Event extends AuthorEvent = AuthorEvent> {
  /** The events to be told of. One that the host does not offer is dropped with a warning. */
  readonly events: readonly Event[];
  readonly handle: Handle;
  /** Lines for the VPN's own configuration; read at `pre-config-parse` only. */
  readonly config?: string;
}

/** Events that decide something: their answer must be given, silence is no. */
export type DecidingEvent = 'tls-verify' | 'auth-user-pass-verify' | 'tls-final' | 'client-connect' | 'learn-address';

export interface PluginDefinition<Handle, State = undefined, Event extends AuthorEvent = AuthorEvent> {
  /** Stands before every line that the plugin logs. */
  readonly name: string;
  readonly initPoint?: InitPoint;
  /**
   * How long an event function may take before the VPN is told that the answer comes later (auth-user-pass-verify and
   * client-connect), ms. A stock OpenVPN looks for a deferred answer once a second only, so a short wait is faster. 50.
   */
  readonly grace?: number;
  /** How long a stock OpenVPN waits for an answer that cannot be deferred, ms. Nothing else runs meanwhile. 5000. */
  readonly deadline?: number;
  /** `false`: wait rather than defer, where a second deferring plugin would end a stock OpenVPN. */
  readonly deferrable?: boolean;
  /** May be async. What it throws is logged and keeps the VPN from starting. */
  open(context: OpenContext): Opened<Handle, Event> | Promise<Opened<Handle, Event>>;
  /** May be async. What it throws is logged with its causes, and the answer is no. */
  event(
    event: EventOf<Event, State>,
    handle: Handle,
  ): EventResult | undefined | Promise<Exclude<EventResult, { result: 'deferred' }> | undefined>;
  /** Makes a client's state, before its first event. */
  client?(handle: Handle): State;
  /** After a client's last event. */
  clientClosed?(client: Client<State>, handle: Handle): void | Promise<void>;
  close?(handle: Handle): void | Promise<void>;
}

/** A plugin, whatever its handle: what a host loads. */
export type Plugin = PluginDefinition<unknown, unknown>;

/** Checks the definition's types and hides them from hosts. `Event` narrows the union that `event` receives. */
export function definePlugin<Handle, State = undefined, Event extends AuthorEvent = AuthorEvent>(
  definition: PluginDefinition<Handle, State, Event>,
): Plugin {
  // A host gives `event` and `close` only what `open` and `client` made, and only the events that `open` asked for.
  return definition as unknown as Plugin;
}

/** Whether a module's default export is a plugin. */
export function isPlugin(value: unknown): value is Plugin {
  if (typeof value !== 'object' || value === null) return false;
  const candidate = value as Partial<Record<keyof Plugin, unknown>>;
  return (
    typeof candidate.name === 'string' && typeof candidate.open === 'function' && typeof candidate.event === 'function'
  );
}
