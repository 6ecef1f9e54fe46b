export { type IpFamily, ipFamily, lengthNetmask, netmaskLength, type Prefix } from './ip.js';
export type { InterfaceAddress } from './netlink/address.js';
export {
  NetlinkConnection,
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
  MessageFlag,
  MessageWriter,
  NetlinkFormatError,
  type NetlinkMessage,
  parseAttributes,
} from './netlink/message.js';
export type { Nexthop, Route } from './netlink/route.js';
export { type Rule, tableRule } from './netlink/rule.js';
