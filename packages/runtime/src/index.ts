export { DataThread } from '@seikan/dataplane';

/** The event loop: where the engine's machines meet the clock, the network and the files. */
export { askAtTerminal, type Prompt, readCredentials, readPassphrase, type UserPass } from './credentials.js';
export { type DaemonStart, type Handoff, runAsDaemon, takeHandoff } from './daemon.js';
export { KeptFiles } from './kept-files.js';
export { formatLocalTime, LineLog, type LogOutlets } from './line-log.js';
export {
  loadProviders,
  MaterialError,
  type Materials,
  readMaterial,
  readMaterials,
  readStaticKey,
  reasonOf,
} from './materials.js';
export { chooseOffload, offloadVersion } from './offload-choice.js';
export { OffloadedTun, type OffloadedTunOptions } from './offloaded-tun.js';
export { servePluginTrace, socketOf, tracedProcesses } from './plugin-trace.js';
export { PortShare } from './port-share.js';
export { ProcessPrivileges } from './process-privileges.js';
export { tunFailure } from './tun-errors.js';
export { configuredPlugins, eventLog, pluginFolder, tunnelEvents } from './tunnel-events.js';
export { type EventRunner, TunnelProcess, type TunnelProcessSettings } from './tunnel-process.js';
