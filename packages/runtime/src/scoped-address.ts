/** Link-local IPv6 addresses as they are written, with the name or number of an interface: `fe80::1%eth0`. */
import type { Endpoint } from '@seikan/core';
import { interfaceIndex } from '@seikan/native';

export interface ScopedAddress {
  /** Without its zone. */
  readonly address: string;
  /** Index of the interface. */
  readonly scope?: number;
}

export function scopedEndpoint(text: string, family: 4 | 6, port: number): Endpoint {
  return { family, ...scopedAddress(text), port };
}

/** An interface that is not there leaves the choice to the kernel, which will refuse it. */
export function scopedAddress(text: string): ScopedAddress {
  const [address = '', zone] = text.split('%');
  if (zone === undefined) return { address };
  return { address, scope: interfaceIndex(zone) ?? (Number(zone) || 0) };
}
