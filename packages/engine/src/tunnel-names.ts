/**
 * Names in `ifconfig`, `route` and `route-gateway` become addresses when the tunnel is set up: a route to a name is a route
 * to each of its addresses of that moment.
 * upstream: route.c `init_route`, `init_route_list`, tun.c `init_tun` (2.6).
 */
import type { Asks } from './asks.js';
import { isHostName } from './options/address.js';
import type { Options, Route } from './options/options.js';
import type { Time } from './output.js';

export type NamedOptions =
  | {
      readonly options: Options;
      /** Routes that lead nowhere and are left out, as log lines. */
      readonly problems: readonly string[];
    }
  /** Found out at this time. */
  | { readonly fatal: string; readonly time: Time };

/** Addresses by name; without any: it could not be looked up. */
type Found = ReadonlyMap<string, readonly string[]>;

/** `then` is called at once when there are no names. */
export function withAddresses(asks: Asks, options: Options, then: (named: NamedOptions) => void): void {
  const found = new Map<string, readonly string[]>();
  const names = [...new Set(namesIn(options))];
  const next = (): void => {
    const host = names.shift();
    if (host === undefined) {
      then(replaced(options, found));
      return;
    }
    asks.ask('resolve', { host, port: 0, family: 4 }, (answer, time) => {
      const addresses = 'error' in answer ? [] : answer.addresses.map(({ address }) => address);
      if (addresses.length === 0 && isAddressOf(options, host))
        then({ fatal: `RESOLVE: Cannot resolve host address: ${host}`, time });
      else {
        found.set(host, [...new Set(addresses)]);
        next();
      }
    });
  };
  next();
}

function namesIn({ addresses: { ipv4 }, routing }: Options): string[] {
  const routes = routing.noExec ? [] : routing.routes;
  const places = [
    ipv4?.local,
    ipv4?.remoteOrNetmask,
    routing.gateway,
    ...routes.flatMap(({ network, gateway }) => [network, gateway]),
  ];
  // The words that stand for addresses have a `_`, which no name of a host has.
  return places.filter((place) => place !== undefined && isHostName(place)) as string[];
}

/** The tunnel's own, without which there is none. */
function isAddressOf({ addresses: { ipv4 } }: Options, host: string): boolean {
  return host === ipv4?.local || host === ipv4?.remoteOrNetmask;
}

function replaced(options: Options, found: Found): NamedOptions {
  const { addresses, routing } = options;
  const problems: string[] = [];
  const all = (place: string): readonly string[] => found.get(place) ?? [place];
  const one = (place: string): string | undefined => all(place)[0];
  const own = (place: string): string => one(place) ?? place;
  const { ipv4 } = addresses;
  const gateway = routing.gateway === undefined ? undefined : one(routing.gateway);
  if (routing.gateway !== undefined && gateway === undefined)
    problems.push(`OpenVPN ROUTE: failed to parse/resolve default gateway: ${routing.gateway}`);
  const routes = routing.routes.flatMap((route) => {
    const networks = all(route.network);
    const via = route.gateway === undefined ? undefined : one(route.gateway);
    const unknown = networks.length === 0 ? route.network : via === undefined ? route.gateway : undefined;
    if (unknown !== undefined) {
      problems.push(`OpenVPN ROUTE: failed to parse/resolve route for host/network: ${unknown}`);
      return [];
    }
    const { netmask, metric } = route;
    return networks.map((network): Route => ({ network, netmask, gateway: via, metric }));
  });
  return {
    problems,
    options: {
      ...options,
      addresses: {
        ...addresses,
        ipv4: ipv4 === undefined ? undefined : { local: own(ipv4.local), remoteOrNetmask: own(ipv4.remoteOrNetmask) },
      },
      routing: { ...routing, gateway, routes },
    },
  };
}
