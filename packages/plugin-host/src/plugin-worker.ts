/**
 * The thread of one TypeScript plugin: loads it, drives its session, answers. Whatever the plugin does to its thread
 * (an endless loop, an exit, an error that nobody caught) is done to this thread only, and the cascade starts another.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { eventNames, type OpenContext, PluginSession } from '@seikan/plugin-sdk';
import { captureConsole } from './capture-console.js';
import { initNumbers } from './init-point.js';
import { loadPlugin } from './load-plugin.js';
import type { LogLevel } from './log.js';
import type { FromWorker, ToWorker, WorkerStart } from './worker-message.js';

const port = parentPort;
if (port === null) throw new Error('this is the program of a thread');
const send = (message: FromWorker): void => port.postMessage(message);
const log = (level: LogLevel, text: string): void => send({ say: 'log', level, text });

captureConsole(log);
process.setSourceMapsEnabled(true);
// The process is the whole VPN's: a plugin that means to end itself ends its thread.
const kill = process.kill.bind(process);
process.kill = (pid, signal) => {
  if (pid === process.pid && signal !== 0) process.exit(1);
  return kill(pid, signal);
};

async function load({ name, folder }: WorkerStart): Promise<void> {
  const plugin = await loadPlugin(name, folder);
  const session = new PluginSession(plugin, log);
  port?.on('message', (message: ToWorker) => handle(session, message));
  const initPoint = initNumbers[plugin.initPoint ?? 'pre-daemon'];
  send({ say: 'loaded', plugin: plugin.name, initPoint, deadline: plugin.deadline });
}

function handle(session: PluginSession, message: ToWorker): void {
  switch (message.say) {
    case 'open':
      void open(session, message);
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

async function open(session: PluginSession, { argv, env, host }: Omit<OpenContext, 'log'>): Promise<void> {
  const outcome = await session.open({ argv, env, host }, new Set(eventNames));
  if (outcome.ok) send({ say: 'opened', events: outcome.events, config: outcome.config });
  else send({ say: 'not-opened' });
}

load(workerData as WorkerStart).catch((error: unknown) => {
  send({ say: 'not-loaded', why: error instanceof Error ? error.message : String(error) });
});
