/** What a plugin's author imports, and the data in which an engine asks and plugins answer. No node:*, no I/O. */

export { base64Decode, base64Text, hexDecode } from './base64.js';
export {
  type AuthorEvent,
  type Client,
  type Credentials,
  type Env,
  type EventInput,
  type EventOf,
  type Peer,
  type PluginEvent,
  parseEvent,
  parseStaticChallenge,
} from './event.js';
export {
  type EventNumber,
  eventName,
  eventNames,
  eventNumbers,
  eventsOf,
  maskOf,
  offeredMask,
  type PluginEventName,
} from './event-name.js';
export type {
  EventContext,
  EventName,
  EventRequest,
  EventVerdict,
  FinalVerdict,
  PendingAuth,
} from './event-request.js';
export {
  type DecidingEvent,
  definePlugin,
  type Host,
  type InitPoint,
  isPlugin,
  type LogLevel,
  type OpenContext,
  type Opened,
  type Plugin,
  type PluginDefinition,
  type PluginLog,
} from './plugin.js';
export { describeError, type Final, type OpenOutcome, type Outcome, PluginSession } from './plugin-session.js';
export {
  challenge,
  type Deferred,
  defer,
  type EventResult,
  type Failure,
  failure,
  type Success,
  success,
  webAuth,
} from './result.js';
export { decodeStrict, decodeText, encodeText, isStrict } from './text.js';
