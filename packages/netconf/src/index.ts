export {
  type DesiredAddress,
  type DesiredNetwork,
  type DesiredRoute,
  GATEWAY_KEYWORDS,
  type GatewayKeyword,
  type RedirectGateway,
} from './desired-network.js';
export {
  type DnsBackend,
  type DnsKind,
  type DnsResult,
  type DnsServer,
  type DnsSettings,
  findDnsKind,
  isDomain,
} from './dns/dns-backend.js';
export { ResolvConfFile, type ResolvConfFileOptions } from './dns/resolv-conf-file.js';
export { ResolvconfError, ResolvconfProgram, type ResolvconfProgramOptions } from './dns/resolvconf-program.js';
export { SystemdResolved } from './dns/systemd-resolved.js';
export {
  broadcastOf,
  type IpFamily,
  ipBytes,
  ipFamily,
  ipText,
  lengthNetmask,
  netmaskLength,
  networkOf,
  type Prefix,
  prefixContains,
} from './ip.js';
export { JournalError, journalPathOf } from './journal.js';
export { AddressFlag, type InterfaceAddress } from './netlink/address.js';
export {
  NetlinkConnection,
  type NetlinkConnectionOptions,
  NetlinkError,
  type NetlinkPort,
  type NetlinkPortEvents,
  type OpenNetlinkPort,
} from './netlink/connection.js';
export type { Link, LinkChange } from './netlink/link.js';
export {
  type Attribute,
  attributeString,
  attributeU8,
  attributeU16,
  attributeU32,
  attributeUint,
  FieldReader,
  MessageFlag,
  MessageType,
  MessageWriter,
  NetlinkFormatError,
  type NetlinkMessage,
  parseAcknowledgement,
  parseAttributes,
  parseMessages,
} from './netlink/message.js';
export { openGenericPort, openRoutePort } from './netlink/native-port.js';
export {
  describeRoute,
  type Nexthop,
  type Route,
  RouteFlag,
  RouteProtocol,
  RouteScope,
  RouteTable,
  RouteType,
} from './netlink/route.js';
export { RouteNetlink } from './netlink/route-netlink.js';
export { type Rule, tableRule } from './netlink/rule.js';
export { type NetworkChange, watchNetwork } from './network-watch.js';
export { type LogLine, lineForUndone, linesForResult } from './openvpn-log.js';
export { OwnedLink, recoverLinks } from './owned-link.js';
export { NoSuchDeviceError } from './plan.js';
export { type DefaultGateway, defaultGateway, type NetworkSnapshot, type WayOut, wayTo } from './snapshot.js';
export { describeStep, type RoutePurpose, type Step } from './step.js';
export {
  type Applied,
  NetworkSetupError,
  readSnapshot,
  recoverNetworks,
  type StepResult,
  TunnelNetwork,
  type TunnelNetworkOptions,
  type UndoFailure,
  type Undone,
} from './tunnel-network.js';
