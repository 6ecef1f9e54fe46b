export type { RevokedSerials } from './certificate-policy.js';
export { createProtection, type ProtectionKeys } from './control-protection.js';
export type { ChannelAbilities, HostFacts, Product } from './local-hello.js';
export { offloadObstacle } from './offload.js';
export { formatIpv4, formatIpv6, parseIpv4, parseIpv6, parseIpv6Prefix } from './options/address.js';
export { type ClientConfig, plainClientConfig } from './options/client-config.js';
export { ConfigError, type ConfigSpan, type ConfigWarning } from './options/config-error.js';
export type { DirectiveRow, Permission } from './options/directive.js';
export type { ProtocolFlag } from './options/draft.js';
export { checkFiles, type FileProbe } from './options/files.js';
export { splitCommand } from './options/lexer.js';
export type * from './options/options.js';
export {
  type ConfigFiles,
  type Configuration,
  parseArguments,
  parseClientConfig,
  parseConfig,
  type ReadConfiguration,
  readConfiguration,
} from './options/parse.js';
export { type PulledOptions, type PushOutcome, PushReader } from './options/pull.js';
export { encodePushReply, pushWithoutOwnRoutes } from './options/push.js';
export { startWarnings } from './options/start-warnings.js';
export { directiveTable } from './options/table.js';
export type * from './output.js';
export { PointToPoint, type PointToPointSettings, type TunnelSignal } from './point-to-point.js';
export type { ProxyChallenge, ProxyDialogue, ProxyLogin, ProxyOutcome } from './proxy/dialogue.js';
export { digestAuthorization } from './proxy/digest.js';
export {
  basicAuthorization,
  connectTarget,
  type HttpRequest,
  throughHttp,
  throughHttpByNtlm,
} from './proxy/http-proxy.js';
export type { NtlmRequest } from './proxy/ntlm.js';
export { throughSocks } from './proxy/socks-proxy.js';
export { Multi } from './server/multi.js';
export type { TopSettings } from './server/top.js';
export { configurationEnvironment, type Environment, type ProcessFacts } from './tunnel-environment.js';
