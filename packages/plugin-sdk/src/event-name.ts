/**
 * The events of the plugin interface: their names, and the numbers a compiled plugin knows them by.
 *
 * Source: include/openvpn-plugin.h, OpenVPN 2.6 (OPENVPN_PLUGIN_UP 0 … OPENVPN_PLUGIN_CLIENT_CRRESPONSE 15).
 * A plugin's type mask has bit N set for event N. Bit 11 (ENABLE_PF, removed in 2.6) is accepted and never called.
 */

/** Event numbers on the wire of the C interface. */
export const eventNumbers = {
  up: 0,
  down: 1,
  'route-up': 2,
  ipchange: 3,
  'tls-verify': 4,
  'auth-user-pass-verify': 5,
  'client-connect': 6,
  'client-disconnect': 7,
  'learn-address': 8,
  'client-connect-v2': 9,
  'tls-final': 10,
  'route-predown': 12,
  'client-connect-defer': 13,
  'client-connect-defer-v2': 14,
  'client-crresponse': 15,
} as const;

/** An event as OpenVPN names it, in lower case with dashes. */
export type PluginEventName = keyof typeof eventNumbers;

export type EventNumber = (typeof eventNumbers)[PluginEventName];

/** The types that OpenVPN 2.6 offers to a plugin: bits 0 to 15. */
export const offeredMask = 0xffff;

export const eventNames: readonly PluginEventName[] = (Object.keys(eventNumbers) as PluginEventName[]).toSorted(
  (a, b) => eventNumbers[a] - eventNumbers[b],
);

const nameOfNumber = new Map<number, PluginEventName>(eventNames.map((name) => [eventNumbers[name], name]));

/** The name of an event number; `undefined` for 11 and for numbers that no OpenVPN sends. */
export function eventName(number: number): PluginEventName | undefined {
  return nameOfNumber.get(number);
}

/** The type mask of a set of events. */
export function maskOf(events: Iterable<PluginEventName>): number {
  let mask = 0;
  for (const name of events) mask |= 1 << eventNumbers[name];
  return mask;
}

/** The events of a type mask, by rising number. */
export function eventsOf(mask: number): PluginEventName[] {
  return eventNames.filter((name) => (mask & (1 << eventNumbers[name])) !== 0);
}
