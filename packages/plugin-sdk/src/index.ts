/** What a plugin's author imports, and the data in which an engine asks and plugins answer. No node:*, no I/O. */
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
export { decodeStrict, decodeText, encodeText, isStrict } from './text.js';
