/**
 * Drives one plugin for a host: keeps its handle and its clients' states, turns inputs into typed events and results
 * into outcomes, and lets nothing that the plugin throws out.
 *
 *     new ──open──▶ open ──close──▶ closed        event: outcome now, or a promise of one
 *
 * Both hosts use it: Seikan in process, and the node child that a shared library runs under a stock OpenVPN.
 */

import { type AuthorEvent, type Client, type EventInput, parseEvent } from './event.js';
import { eventNumbers, type PluginEventName } from './event-name.js';
import type { PendingAuth } from './event-request.js';
import type { DecidingEvent, OpenContext, Plugin, PluginLog } from './plugin.js';
import type { EventResult, Failure, Success } from './result.js';

export type Final = Success | Failure;

/** `later` is for the host to defer; a host that cannot waits for it. */
export type Outcome =
  | Final
  | { readonly result: 'later'; readonly answer: Promise<Final>; readonly pending?: PendingAuth };

export type OpenOutcome =
  | { readonly ok: true; readonly events: readonly PluginEventName[]; readonly config?: string }
  | { readonly ok: false };

export class PluginSession {
  readonly plugin: Plugin;
  readonly #log: PluginLog;
  readonly #clients = new Map<number, Client>();
  #state: { name: 'new' } | { name: 'open'; handle: unknown } | { name: 'closed' } = { name: 'new' };

  constructor(plugin: Plugin, log: PluginLog) {
    this.plugin = plugin;
    this.#log = log;
  }

  async open(context: Omit<OpenContext, 'log'>, offered: ReadonlySet<PluginEventName>): Promise<OpenOutcome> {
    try {
      const opened = await this.plugin.open({ ...context, log: this.#log });
      if (!isText(opened.config)) throw new TypeError('config is to be a text');
      this.#state = { name: 'open', handle: opened.handle };
      const events = this.#wanted(opened.events, context, offered);
      return opened.config === undefined ? { ok: true, events } : { ok: true, events, config: opened.config };
    } catch (error) {
      this.#log('error', describeError('open', error));
      return { ok: false };
    }
  }

  /** Answers now where the plugin does, and later where it is async or defers. Never throws, never rejects. */
  event(input: EventInput): Outcome {
    const type = authorEvent(input.event);
    const state = this.#state;
    if (type === undefined || state.name !== 'open') return { result: 'failure' };
    try {
      const client = this.#client(input.context, state.handle);
      const result = this.plugin.event(parseEvent(type, input, client), state.handle);
      if (result instanceof Promise) return { result: 'later', answer: this.#settle(type, result) };
      if (result?.result !== 'deferred') return this.#final(type, result);
      const answer = this.#settle(type, result.answer);
      if (result.pending !== undefined && !isQuestion(result.pending))
        throw new TypeError('pending is to be a timeout in seconds, a method and a text');
      return result.pending === undefined
        ? { result: 'later', answer }
        : { result: 'later', answer, pending: result.pending };
    } catch (error) {
      this.#log('error', describeError(type, error));
      return { result: 'failure' };
    }
  }

  async clientClosed(context: number): Promise<void> {
    const client = this.#clients.get(context);
    if (client === undefined || this.#state.name !== 'open') return;
    this.#clients.delete(context);
    try {
      await this.plugin.clientClosed?.(client, this.#state.handle);
    } catch (error) {
      this.#log('error', describeError('clientClosed', error));
    }
  }

  /** Closes the clients that are left, then the plugin, and lets go of its handle. */
  async close(): Promise<void> {
    const state = this.#state;
    if (state.name === 'open') {
      for (const id of this.#clients.keys()) await this.clientClosed(id);
      try {
        await this.plugin.close?.(state.handle);
      } catch (error) {
        this.#log('error', describeError('close', error));
      }
    }
    this.#state = { name: 'closed' };
  }

  #client(context: number, handle: unknown): Client {
    const known = this.#clients.get(context);
    if (known !== undefined) return known;
    const client = { id: context, state: this.plugin.client?.(handle) };
    this.#clients.set(context, client);
    return client;
  }

  #wanted(
    events: readonly AuthorEvent[],
    context: Omit<OpenContext, 'log'>,
    offered: ReadonlySet<PluginEventName>,
  ): PluginEventName[] {
    const wanted = new Set<PluginEventName>();
    for (const event of events) {
      if (!(event in eventNumbers)) throw new TypeError(`there is no event '${event}'`);
      const name = event === 'client-connect' ? 'client-connect-v2' : event;
      if (!offered.has(name)) {
        this.#log('warn', `this VPN does not offer the event ${event}: it will not be seen`);
      } else if (event === 'auth-user-pass-verify' && 'remote_1' in context.env) {
        // OpenVPN would demand a password from the *server*, and refuse it.
        this.#log('warn', 'auth-user-pass-verify is for servers: it is not registered on a client');
      } else wanted.add(name);
    }
    if (wanted.has('client-connect-v2') && offered.has('client-connect-defer-v2'))
      wanted.add('client-connect-defer-v2');
    return [...wanted].toSorted((a, b) => eventNumbers[a] - eventNumbers[b]);
  }

  async #settle(type: AuthorEvent, answer: Promise<EventResult | undefined>): Promise<Final> {
    try {
      const result = await answer;
      if (result?.result !== 'deferred') return this.#final(type, result);
      throw new TypeError('an async answer cannot be deferred once more: await it');
    } catch (error) {
      this.#log('error', describeError(type, error));
      return { result: 'failure' };
    }
  }

  #final(type: AuthorEvent, result: Final | undefined): Final {
    if (result === undefined && !deciding.has(type)) return { result: 'success' };
    if (result?.result === 'success' && isText(result.config)) return result;
    if (result?.result === 'failure' && isText(result.reason)) return result;
    const what = result === undefined ? 'nothing' : 'what is no result';
    this.#log('error', `the event function answered ${type} with ${what}: that is taken as no`);
    return { result: 'failure' };
  }
}

/** A thrown value with its stack and its chain of causes. */
export function describeError(where: string, error: unknown): string {
  const lines = [`${where}: ${stackOf(error)}`];
  const seen = new Set<unknown>([error]);
  let cause = error instanceof Error ? error.cause : undefined;
  while (cause !== undefined && !seen.has(cause)) {
    seen.add(cause);
    lines.push(`Caused by: ${stackOf(cause)}`);
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return lines.join('\n');
}

const deciding: ReadonlySet<string> = new Set<DecidingEvent>([
  'tls-verify',
  'auth-user-pass-verify',
  'tls-final',
  'client-connect',
  'learn-address',
]);

/** Plugins in JavaScript give what they like; hosts count on what the types say. */
function isText(value: unknown): boolean {
  return value === undefined || typeof value === 'string';
}

function isQuestion({ timeout, method, extra }: PendingAuth): boolean {
  return timeout > 0 && typeof method === 'string' && typeof extra === 'string';
}

function authorEvent(event: PluginEventName): AuthorEvent | undefined {
  switch (event) {
    case 'client-connect':
    case 'client-connect-v2':
      return 'client-connect';
    case 'client-connect-defer':
    case 'client-connect-defer-v2':
      return undefined;
    default:
      return event;
  }
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error === 'string' ? error : (JSON.stringify(error) ?? 'undefined');
  return error.stack ?? `${error.name}: ${error.message}`;
}
