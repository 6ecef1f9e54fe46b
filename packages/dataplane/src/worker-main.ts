/** The entry of the channel's thread. */
import { workerData } from 'node:worker_threads';

import { ChannelThread } from './channel-thread.js';
import { descriptorEnds } from './descriptor-ends.js';
import type { ThreadStart } from './thread-messages.js';

new ChannelThread({ start: workerData as ThreadStart, ends: descriptorEnds }).run();
