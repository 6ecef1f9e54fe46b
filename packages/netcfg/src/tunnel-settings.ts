/**
 * What a client told of a device's network, collected unchecked, as the original does, and checked as a whole when it is
 * established. Pure.
 */
import { broadcastOf, type DesiredNetwork, ipFamily, networkOf } from '@seikan/netconf';

import { netcfgError } from './errors.js';

export interface TunnelAddress {
  readonly address: string;
  readonly prefix: number;
  readonly gateway: string;
  readonly ipv6: boolean;
}

export interface TunnelRoute {
  readonly network: string;
  readonly prefix: number;
  /** Zero or less: the kernel's default. */
  readonly metric: number;
  readonly ipv6: boolean;
  readonly exclude: boolean;
}

export interface TunnelSettings {
  readonly layer: number;
  readonly mtu: number;
  /** 0: the kernel's default. */
  readonly txQueueLength: number;
  readonly remote: { readonly address: string; readonly ipv6: boolean } | undefined;
  readonly addresses: readonly TunnelAddress[];
  readonly routes: readonly TunnelRoute[];
  readonly reroute4: boolean;
  readonly reroute6: boolean;
}

/** Of several addresses the last of each family counts. */
export interface EffectiveAddresses {
  readonly ipv4: TunnelAddress | undefined;
  readonly ipv6: TunnelAddress | undefined;
}

export function effectiveAddresses({ addresses }: Pick<TunnelSettings, 'addresses'>): EffectiveAddresses {
  return { ipv4: addresses.findLast(({ ipv6 }) => !ipv6), ipv6: addresses.findLast(({ ipv6 }) => ipv6) };
}

/** Throws what Establish is answered with: nothing has been changed then. */
export function checkSettings(settings: TunnelSettings): void {
  const { layer, remote, addresses, routes } = settings;
  if (layer !== 2 && layer !== 3) throw netcfgError(`Invalid layer ${layer}: 3 (tun) or 2 (tap) must be set`);
  if (remote === undefined) throw netcfgError('The remote address is not set');
  checkAddress('remote address', remote.address, remote.ipv6);
  for (const { address, prefix, gateway, ipv6 } of addresses) {
    checkAddress('IP address', address, ipv6);
    checkPrefix(address, prefix, ipv6);
    if (gateway !== '') checkAddress('gateway', gateway, ipv6);
  }
  for (const { network, prefix, ipv6 } of routes) {
    checkAddress('network', network, ipv6);
    checkPrefix(network, prefix, ipv6);
    const canonical = networkOf({ address: network, length: prefix }).address;
    if (canonical !== networkOf({ address: network, length: ipv6 ? 128 : 32 }).address) {
      throw netcfgError(`Invalid network ${network}/${prefix}: host bits are set`);
    }
  }
}

/** `device` exists; `ignoreDevices` are the service's other tunnels. The settings are checked. */
export function desiredNetwork(
  settings: TunnelSettings,
  { device, ignoreDevices, redirect }: { device: string; ignoreDevices: readonly string[]; redirect: boolean },
): DesiredNetwork {
  const { mtu, txQueueLength, routes, reroute4, reroute6 } = settings;
  const { ipv4, ipv6 } = effectiveAddresses(settings);
  const gateway4 = ipv4?.gateway === '' ? undefined : ipv4?.gateway;
  const gateway6 = ipv6?.gateway === '' ? undefined : ipv6?.gateway;
  const halves = [
    ...(redirect && reroute4 ? HALVES_4 : []),
    ...(redirect && reroute6 && ipv6 !== undefined ? HALVES_6 : []),
  ];
  const excluded = routes.filter(({ exclude }) => exclude);
  const included = routes.filter((route) => !route.exclude && (!route.ipv6 || ipv6 !== undefined));
  return {
    device,
    mtu,
    txQueueLength: txQueueLength === 0 ? undefined : txQueueLength,
    addresses: [ipv4, ipv6].flatMap((one) => {
      if (one === undefined) return [];
      const { address, prefix } = one;
      const broadcast = one.ipv6 ? undefined : broadcastOf({ address, length: prefix });
      return [{ address, prefixLength: prefix, broadcast }];
    }),
    gateway4,
    gateway6,
    ignoreDevices,
    routes: [
      ...included.map(wanted),
      ...halves.map(([destination, prefixLength]) => ({ destination, prefixLength })),
      ...excluded.map(wanted),
    ],
  };
}

const HALVES_4 = [
  ['0.0.0.0', 1],
  ['128.0.0.0', 1],
] as const;
const HALVES_6 = [
  ['::', 1],
  ['8000::', 1],
] as const;

function wanted({ network, prefix, metric, exclude }: TunnelRoute) {
  return {
    destination: network,
    prefixLength: prefix,
    metric: metric > 0 ? metric : undefined,
    exclude,
  };
}

function checkAddress(what: string, address: string, ipv6: boolean): void {
  if (ipFamily(address) === (ipv6 ? 6 : 4)) return;
  throw netcfgError(`Invalid ${what} ${JSON.stringify(address)}: it is no IPv${ipv6 ? 6 : 4} address`);
}

function checkPrefix(address: string, prefix: number, ipv6: boolean): void {
  if (prefix > (ipv6 ? 128 : 32)) throw netcfgError(`Invalid prefix ${address}/${prefix}`);
}
