/** The event loop: where the engine's machines meet the clock, the network and the files. */
export { formatLocalTime, LineLog } from './line-log.js';
export { MaterialError } from './materials.js';
export { scriptEvents } from './script-events.js';
export { type EventRunner, TunnelProcess, type TunnelProcessSettings } from './tunnel-process.js';
