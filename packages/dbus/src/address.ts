/**
 * Addresses of buses: `unix:path=/run/dbus/system_bus_socket;unix:abstract=name,guid=…`, tried from left to right.
 * Source: D-Bus specification 0.43, "Server Addresses". Only Unix sockets carry descriptors, so only they are known.
 */
import type { UnixAddress } from '@seikan/native';

export interface BusAddress {
  readonly socket: UnixAddress;
  /** What the bus says of itself must be this. */
  readonly guid?: string;
}

const DEFAULT_SYSTEM_BUS = 'unix:path=/var/run/dbus/system_bus_socket';

export class AddressError extends Error {
  override readonly name = 'AddressError';
}

/** Where the system bus is: DBUS_SYSTEM_BUS_ADDRESS, or the usual place. */
export function systemBusAddress(environment: Readonly<Record<string, string | undefined>>): string {
  const named = environment['DBUS_SYSTEM_BUS_ADDRESS'];
  return named === undefined || named === '' ? DEFAULT_SYSTEM_BUS : named;
}

/** The Unix sockets of a list of addresses. Others are left out; throws AddressError when none is left, or on bad syntax. */
export function parseAddresses(text: string): BusAddress[] {
  const addresses: BusAddress[] = [];
  for (const part of text.split(';')) {
    if (part === '') continue;
    const colon = part.indexOf(':');
    if (colon < 1) throw new AddressError(`${JSON.stringify(part)} has no transport before a colon`);
    if (part.slice(0, colon) !== 'unix') continue;
    const keys = parseKeys(part.slice(colon + 1));
    const guid = keys.get('guid');
    const [path, abstract] = [keys.get('path'), keys.get('abstract')];
    if ((path === undefined) === (abstract === undefined)) {
      throw new AddressError(`${JSON.stringify(part)} needs either path or abstract`);
    }
    const socket: UnixAddress = path === undefined ? { abstract: abstract ?? '' } : { path };
    addresses.push(guid === undefined ? { socket } : { socket, guid });
  }
  if (addresses.length === 0) throw new AddressError(`${JSON.stringify(text)} names no Unix socket`);
  return addresses;
}

function parseKeys(text: string): Map<string, string> {
  const keys = new Map<string, string>();
  for (const pair of text.split(',')) {
    const equals = pair.indexOf('=');
    const key = pair.slice(0, equals);
    if (equals < 1 || keys.has(key)) throw new AddressError(`${JSON.stringify(pair)} is no new key with a value`);
    keys.set(key, unescape(pair.slice(equals + 1)));
  }
  return keys;
}

function unescape(value: string): string {
  if (!/^(?:[A-Za-z0-9_/.\\*-]|%[0-9A-Fa-f]{2})*$/.test(value)) {
    throw new AddressError(`${JSON.stringify(value)}: other characters must be written as %XX`);
  }
  try {
    return decodeURIComponent(value);
  } catch {
    throw new AddressError(`${JSON.stringify(value)} is not UTF-8`);
  }
}
