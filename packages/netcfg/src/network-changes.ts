/** Who is told of changes of the network, and of which: signals to each subscriber alone, from the device's path. */
import type { Connection } from '@seikan/dbus';

import { netcfgError } from './errors.js';
import { NETCFG } from './names.js';

export const ChangeType = {
  deviceAdded: 1,
  deviceRemoved: 2,
  addressAdded: 4,
  addressRemoved: 8,
  routeAdded: 16,
  routeRemoved: 32,
  routeExcluded: 64,
  dnsServerAdded: 128,
  dnsServerRemoved: 256,
  dnsSearchAdded: 512,
  dnsSearchRemoved: 1_024,
} as const;

export interface NetworkChange {
  readonly type: (typeof ChangeType)[keyof typeof ChangeType];
  /** The kernel's name; empty where DNS settings belong to no device. */
  readonly device: string;
  readonly details: Readonly<Record<string, string>>;
}

const LARGEST_FILTER = 0xffff;

export class NetworkChanges {
  readonly #bus: Connection;
  readonly #filters = new Map<string, number>();

  constructor(bus: Connection) {
    this.#bus = bus;
  }

  /** Replaces the subscriber's earlier filter. */
  subscribe(name: string, filter: number): void {
    if (filter === 0) throw netcfgError('Subscription filter flag must be > 0');
    if (filter > LARGEST_FILTER) throw netcfgError('Invalid subscription flag, must be < 65535');
    this.#filters.set(name, filter);
  }

  /** False when there was no subscription. */
  unsubscribe(name: string): boolean {
    return this.#filters.delete(name);
  }

  has(name: string): boolean {
    return this.#filters.has(name);
  }

  list(): [name: string, filter: number][] {
    return [...this.#filters];
  }

  announce(path: string, { type, device, details }: NetworkChange): void {
    for (const [destination, filter] of this.#filters) {
      if ((filter & type) === 0) continue;
      const body = [type, device, new Map(Object.entries(details))] as const;
      this.#bus.emit({ path, interface: NETCFG, member: 'NetworkChange', signature: 'usa{ss}', body, destination });
    }
  }
}
