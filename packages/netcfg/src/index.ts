export {
  type ClientOptions,
  type DeviceProperties,
  NetcfgClient,
  type ReceivedChange,
  RemoteDevice,
} from './client/netcfg-client.js';
export { type CommandLine, parseCommandLine, type ServiceOptions } from './command-line.js';
export { kernelDco, kernelLinks, type LinkMaker, type OffloadedLink } from './dco/kernel-dco.js';
export { type DcoLink, type DcoPort, type DcoRequest, noDco } from './dco-port.js';
export { INTERFACE_VERSION, NETCFG, NETCFG_PATH } from './names.js';
export { ChangeType } from './network-changes.js';
export { Service, type ServiceEnd, type ServiceSurroundings } from './service.js';
export type { LogCategory, LogWriter } from './service-log.js';
export type { TunnelAddress, TunnelRoute } from './tunnel-settings.js';
