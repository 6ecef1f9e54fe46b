export { AddressError, type BusAddress, parseAddresses, systemBusAddress } from './address.js';
export {
  type Credentials,
  credentialsOf,
  type NameOptions,
  type NameResult,
  type ReleaseResult,
  releaseName,
  requestName,
} from './bus-names.js';
export type { Call } from './call.js';
export {
  type Answer,
  type CallHandler,
  type CallOptions,
  Connection,
  type ConnectionOptions,
  type Reply,
  type SignalOptions,
} from './connection.js';
export { DbusError, ErrorName } from './dbus-error.js';
export {
  type Access,
  type Arguments,
  DbusInterface,
  type InterfaceOptions,
  type MethodSignature,
  type Named,
  type NoArguments,
  type PropertyAccess,
} from './interface.js';
export type { MatchRule } from './match-rule.js';
export {
  type ErrorReply,
  encodeMessage,
  type Frame,
  frameOf,
  type Message,
  type MethodCall,
  type MethodReturn,
  type Parsed,
  parseMessage,
  type Signal,
  type UnknownMessage,
} from './message.js';
export { isBusName, isInterfaceName, isMemberName, isObjectPath } from './names.js';
export { ObjectTree, type ObjectTreeOptions } from './object-tree.js';
export type { Signals, Subscription } from './signals.js';
export type { TransportLimits } from './transport.js';
export { type DbusValue, type ValueOf, type ValuesOf, type Variant, variant } from './value.js';
export { WireError, type WireFault } from './wire-error.js';
