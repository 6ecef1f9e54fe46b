/** The thread of a plugin that is JavaScript already: a file, or an installed package, loaded from where it lies. */
import { workerData } from 'node:worker_threads';
import { importPlugin } from './load-plugin.js';
import { runPluginThread } from './plugin-thread.js';
import type { WorkerStart } from './worker-message.js';

const { name, folder, channel } = workerData as WorkerStart;
runPluginThread(name, channel, async () => importPlugin(name, folder));
