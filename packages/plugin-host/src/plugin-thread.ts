/**
 * The thread of one TypeScript plugin: loads it, drives its session, answers. Whatever the plugin does to its thread
 * (an endless loop, an exit, an error that nobody caught) is done to this thread only, and the cascade starts another.
 */
import { findSourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parentPort } from 'node:worker_threads';
import { eventNames, isPlugin, type OpenContext, PluginSession } from '@seikan/plugin-sdk';
import { captureConsole } from './capture-console.js';
import { initNumbers } from './init-point.js';
import type { LogLevel } from './log.js';
import type { FromWorker, ToWorker } from './worker-message.js';

/** Runs the plugin that is a module's default export, in the thread of the caller. */
export function runPluginThread(name: string, load: () => Promise<{ readonly default?: unknown }>): void {
  const port = parentPort;
  if (port === null) throw new Error('this is the program of a thread');
  const send = (message: FromWorker): void => port.postMessage(message);
  const log = (level: LogLevel, text: string): void => send({ say: 'log', level, text });

  captureConsole(log);
  // The process is the whole VPN's: a plugin that means to end itself ends its thread.
  const kill = process.kill.bind(process);
  process.kill = (pid, signal) => {
    if (pid === process.pid && signal !== 0) process.exit(1);
    return kill(pid, signal);
  };
  load()
    .then((module) => {
      const { default: plugin } = module;
      if (!isPlugin(plugin)) throw new TypeError(noPlugin(name));
      const session = new PluginSession(plugin, log);
      port.on('message', (message: ToWorker) => handle(session, message, send));
      const initPoint = initNumbers[plugin.initPoint ?? 'pre-daemon'];
      send({ say: 'loaded', plugin: plugin.name, initPoint, deadline: plugin.deadline });
    })
    .catch((error: unknown) => {
      send({ say: 'not-loaded', why: error instanceof Error ? error.message : String(error) });
    });
}

/** The same for a plugin that was bundled with this, into a program that is no file. */
export function runBundledPlugin(name: string, load: () => Promise<{ readonly default?: unknown }>): void {
  // Node looks for source maps by a script's address, which is its whole text here, and not by its sourceURL.
  Error.prepareStackTrace = (error, frames) =>
    [String(error), ...frames.map((frame) => `    at ${withOrigin(frame)}`)].join('\n');
  runPluginThread(name, load);
}

function withOrigin(frame: { toString(): string }): string {
  return frame.toString().replace(/(file:[^\s()]+):(\d+):(\d+)/, (here, url: string, line: string, column: string) => {
    const origin = findSourceMap(url)?.findOrigin(Number(line), Number(column));
    return origin !== undefined && 'fileName' in origin
      ? `${fileURLToPath(origin.fileName)}:${origin.lineNumber}:${origin.columnNumber}`
      : here;
  });
}

export function noPlugin(name: string): string {
  return `${name}: its default export is no plugin; write: export default definePlugin({ name, open, event })`;
}

function handle(session: PluginSession, message: ToWorker, send: (message: FromWorker) => void): void {
  switch (message.say) {
    case 'open':
      void open(session, message, send);
      return;
    case 'event': {
      const { id } = message;
      const outcome = session.event(message);
      if (outcome.result !== 'later') return send({ say: 'outcome', id, outcome });
      const { answer, pending } = outcome;
      send({ say: 'outcome', id, outcome: { result: 'later', pending } });
      void answer.then((final) => send({ say: 'answer', id, final }));
      return undefined;
    }
    case 'client-closed':
      void session.clientClosed(message.context);
      return;
    case 'close':
      void session.close().then(() => send({ say: 'closed' }));
      return;
    default:
      message satisfies never;
  }
}

async function open(
  session: PluginSession,
  { argv, env, host }: Omit<OpenContext, 'log'>,
  send: (message: FromWorker) => void,
): Promise<void> {
  const outcome = await session.open({ argv, env, host }, new Set(eventNames));
  if (outcome.ok) send({ say: 'opened', events: outcome.events, config: outcome.config });
  else send({ say: 'not-opened' });
}
