/**
 * The thread of one TypeScript plugin: loads it, drives its session, answers. Whatever the plugin does to its thread
 * (an endless loop, an exit, an error that nobody caught) is done to this thread only, and the cascade starts another.
 */
import { findSourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import { workerData } from 'node:worker_threads';
import {
  type EventInput,
  eventNames,
  isPlugin,
  type OpenContext,
  type Outcome,
  type Plugin,
  PluginSession,
} from '@seikan/plugin-sdk';
import { captureConsole } from './capture-console.js';
import { EnvReceiver } from './env-change.js';
import { initNumbers } from './init-point.js';
import type { LogLevel } from './log.js';
import { type ChannelEnd, ThreadChannel } from './thread-channel.js';
import { callSoon, pluginGlance } from './wakefulness.js';
import {
  type EventMessage,
  eventForm,
  type FromWorker,
  type ToWorker,
  type WorkerStart,
  yesForm,
} from './worker-message.js';

type Module = { readonly default?: unknown };
type Channel = ThreadChannel<ToWorker, FromWorker>;

/** Runs the plugin that is a module's default export, in the thread of the caller. */
export function runPluginThread(name: string, end: ChannelEnd, load: () => Promise<Module>): void {
  let session: PluginSession | undefined;
  const env = new EnvReceiver();
  const channel: Channel = new ThreadChannel(
    end,
    (message) => {
      if (session !== undefined) handle(session, message, channel, (said) => inputOf(said, name, env));
    },
    { incoming: eventForm, outgoing: yesForm, glance: pluginGlance },
  );
  const log = (level: LogLevel, text: string): void => void channel.send({ say: 'log', level, text });

  captureConsole(log);
  // The process is the whole VPN's: a plugin that means to end itself ends its thread.
  const kill = process.kill.bind(process);
  process.kill = (pid, signal) => {
    if (pid === process.pid && signal !== 0) process.exit(1);
    return kill(pid, signal);
  };
  load()
    .then((module) => {
      const plugin = pluginOf(module, name);
      session = new PluginSession(plugin, log);
      const initPoint = initNumbers[plugin.initPoint ?? 'pre-daemon'];
      channel.send({ say: 'loaded', plugin: plugin.name, initPoint, deadline: plugin.deadline });
    })
    .catch((error: unknown) => {
      channel.send({ say: 'not-loaded', why: error instanceof Error ? error.message : String(error) });
    });
}

/** The same for a plugin that was bundled with this, into a program that is no file. */
export function runBundledPlugin(load: () => Promise<Module>): void {
  // Node looks for source maps by a script's address, which is its whole text here, and not by its sourceURL.
  Error.prepareStackTrace = (error, frames) =>
    [String(error), ...frames.map((frame) => `    at ${withOrigin(frame)}`)].join('\n');
  const { name, channel } = workerData as WorkerStart;
  runPluginThread(name, channel, load);
}

function withOrigin(frame: { toString(): string }): string {
  return frame.toString().replace(/(file:[^\s()]+):(\d+):(\d+)/, (here, url: string, line: string, column: string) => {
    const origin = findSourceMap(url)?.findOrigin(Number(line), Number(column));
    return origin !== undefined && 'fileName' in origin
      ? `${fileURLToPath(origin.fileName)}:${origin.lineNumber}:${origin.columnNumber}`
      : here;
  });
}

/** The plugin that a module exports. Throws with what to do where it exports none, or one that could never be opened. */
export function pluginOf({ default: plugin }: Module, name: string): Plugin {
  if (!isPlugin(plugin))
    throw new TypeError(
      `${name}: its default export is no plugin; write: export default definePlugin({ name, open, event })`,
    );
  const { initPoint = 'pre-daemon', deadline = 0, grace = 0 } = plugin;
  if (!Object.hasOwn(initNumbers, initPoint))
    throw new TypeError(`${name}: its initPoint is '${initPoint}'; there are ${Object.keys(initNumbers).join(', ')}`);
  if (!(deadline >= 0 && grace >= 0))
    throw new TypeError(`${name}: its deadline and grace are to be numbers of milliseconds`);
  return plugin;
}

function handle(
  session: PluginSession,
  message: ToWorker,
  channel: Channel,
  inputOf: (message: EventMessage) => EventInput,
): void {
  switch (message.say) {
    case 'open':
      void open(session, message, channel);
      return;
    case 'event':
      answer(channel, message.id, session.event(inputOf(message)));
      channel.stayAwake(callSoon);
      return;
    case 'client-closed':
      void session.clientClosed(message.context);
      return;
    case 'close':
      void session.close().then(() => channel.send({ say: 'closed' }));
      return;
    default:
      message satisfies never;
  }
}

function answer(channel: Channel, id: number, outcome: Outcome): void {
  if (outcome.result !== 'later') {
    channel.send({ say: 'outcome', id, outcome });
    return;
  }
  const { answer, pending } = outcome;
  let state: 'new' | 'answered' | 'later' = 'new';
  const later = (): void => {
    if (state === 'answered') return;
    state = 'later';
    channel.send({ say: 'outcome', id, outcome: { result: 'later', pending } });
  };
  void answer.then((final) => {
    channel.send(state === 'new' ? { say: 'outcome', id, outcome: final } : { say: 'answer', id, final });
    state = 'answered';
  });
  // After its promises: an async function that had nothing to wait for has answered by then.
  if (pending === undefined) queueMicrotask(() => process.nextTick(later));
  else later();
}

function inputOf(
  { event, context, argv, env: change, certificate }: EventMessage,
  name: string,
  env: EnvReceiver,
): EventInput {
  const input = { event, context, argv: [name, ...argv], env: env.apply(change) };
  if (certificate === undefined) return input;
  const { depth, der } = certificate;
  return { ...input, certificate: { depth, der: Uint8Array.from(Buffer.from(der, 'base64')) } };
}

async function open(
  session: PluginSession,
  { argv, env, host }: Omit<OpenContext, 'log'>,
  channel: Channel,
): Promise<void> {
  const outcome = await session.open({ argv, env, host }, new Set(eventNames));
  if (outcome.ok) channel.send({ say: 'opened', events: outcome.events, config: outcome.config });
  else channel.send({ say: 'not-opened' });
}
