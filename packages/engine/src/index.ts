export { formatIpv4, formatIpv6, parseIpv4, parseIpv6, parseIpv6Prefix } from './options/address.js';
export { type ClientConfig, plainClientConfig } from './options/client-config.js';
export { ConfigError, type ConfigSpan, type ConfigWarning } from './options/config-error.js';
export { splitCommand } from './options/lexer.js';
export type * from './options/options.js';
export {
  type ConfigFiles,
  type Configuration,
  parseArguments,
  parseClientConfig,
  parseConfig,
} from './options/parse.js';
