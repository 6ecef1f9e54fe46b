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
} from './message.js';
export { isBusName, isInterfaceName, isMemberName, isObjectPath } from './names.js';
export { type DbusValue, type ValueOf, type ValuesOf, type Variant, variant } from './value.js';
export { WireError, type WireFault } from './wire-error.js';
