/**
 * The host's network as it was read at one moment, and questions to it: how a destination is reached, what the default
 * gateways are. Pure.
 */
import { anyAddress, type IpFamily, type Prefix, prefixContains } from './ip.js';
import type { InterfaceAddress } from './netlink/address.js';
import type { Link } from './netlink/link.js';
import { type Route, RouteFlag, RouteTable, RouteType } from './netlink/route.js';

export interface NetworkSnapshot {
  readonly links: readonly Link[];
  readonly addresses: readonly InterfaceAddress[];
  /** Every table's. */
  readonly routes: readonly Route[];
}

/** How packets leave: through a link and, unless the destination is on it, a gateway. */
export interface WayOut {
  readonly link: Link;
  readonly gateway?: string;
  /** The route that says so. */
  readonly route: Route;
}

/** A default gateway as OpenVPN logs it and gives it to scripts (`route_net_gateway`). */
export interface DefaultGateway extends WayOut {
  /** The network of the gateway on its link, where one of the link's addresses shows it. */
  readonly network?: Prefix;
}

const WITHOUT_METRIC = { 4: 0, 6: 1_024 } as const;
const NO_LINKS: ReadonlySet<number> = new Set();

/**
 * The main table's way to an address: longest prefix, then lowest metric, then the first. Undefined where there is none
 * or a route that refuses. `ignore` holds indices of links that do not count.
 */
export function wayTo(snapshot: NetworkSnapshot, destination: string, ignore = NO_LINKS): WayOut | undefined {
  return best(snapshot, ignore, (route) =>
    prefixContains({ address: route.destination, length: route.prefixLength }, destination),
  );
}

/** The default route with the lowest metric. */
export function defaultGateway(
  snapshot: NetworkSnapshot,
  family: IpFamily,
  ignore = NO_LINKS,
): DefaultGateway | undefined {
  const way = best(snapshot, ignore, (route) => route.family === family && route.prefixLength === 0);
  if (way === undefined) return undefined;
  const gateway = way.gateway ?? anyAddress(family);
  const own = snapshot.addresses.find(
    ({ linkIndex, address, prefixLength }) =>
      linkIndex === way.link.index && prefixContains({ address, length: prefixLength }, gateway),
  );
  return own === undefined ? way : { ...way, network: { address: own.address, length: own.prefixLength } };
}

/** The prefixes that are directly connected to a link: of its addresses, or of their peers. */
export function connectedPrefixes(addresses: readonly InterfaceAddress[], linkIndex: number): Prefix[] {
  return addresses
    .filter((address) => address.linkIndex === linkIndex)
    .map(({ address, peer, prefixLength }) => ({ address: peer ?? address, length: prefixLength }));
}

/** A route's metric as the kernel keeps it when the request names none. */
export function effectiveMetric({ family, metric }: { family: IpFamily; metric?: number | undefined }): number {
  return metric === undefined || (family === 6 && metric === 0) ? WITHOUT_METRIC[family] : metric;
}

function best(
  { links, routes }: NetworkSnapshot,
  ignore: ReadonlySet<number>,
  matches: (route: Route) => boolean,
): WayOut | undefined {
  let chosen: Route | undefined;
  for (const route of routes) {
    if (route.table !== RouteTable.main || (route.flags & RouteFlag.dead) !== 0) continue;
    if (ignored(route, ignore) || !matches(route)) continue;
    if (chosen === undefined || better(route, chosen)) chosen = route;
  }
  if (chosen === undefined || chosen.type !== RouteType.unicast) return undefined;
  const { linkIndex, gateway } = chosen.multipath?.find((hop) => !ignored(hop, ignore)) ?? chosen;
  const link = links.find(({ index }) => index === linkIndex);
  if (link === undefined) return undefined;
  return { link, route: chosen, ...(gateway === undefined ? {} : { gateway }) };
}

function ignored(hop: Pick<Route, 'linkIndex' | 'multipath'>, ignore: ReadonlySet<number>): boolean {
  if (hop.multipath !== undefined) return hop.multipath.every((one) => ignored(one, ignore));
  return hop.linkIndex !== undefined && ignore.has(hop.linkIndex);
}

function better(a: Route, b: Route): boolean {
  if (a.prefixLength !== b.prefixLength) return a.prefixLength > b.prefixLength;
  return effectiveMetric(a) < effectiveMetric(b);
}
