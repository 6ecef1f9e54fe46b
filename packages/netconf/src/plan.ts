/**
 * From what a tunnel wants and what the host has to the ordered steps between: pure.
 *
 * Order (OpenVPN 2.6 on Linux, observed): queue length, MTU, up, addresses; then for each family the host route to the
 * server, bypasses, the default route, the routes as listed, and what block-local adds. IPv6 keeps its own order: host
 * route, routes, the four routes of `redirect-gateway ipv6`.
 */
import type { DesiredNetwork, DesiredRoute } from './desired-network.js';
import {
  anyAddress,
  broadcastOf,
  canonicalIp,
  halvesOf,
  hostLength,
  type IpFamily,
  ipFamily,
  networkOf,
  type Prefix,
  prefixContains,
} from './ip.js';
import type { Link } from './netlink/link.js';
import { type Route, RouteProtocol, RouteScope, RouteTable, RouteType } from './netlink/route.js';
import {
  connectedPrefixes,
  defaultGateway,
  effectiveMetric,
  type NetworkSnapshot,
  type WayOut,
  wayTo,
} from './snapshot.js';
import type { RoutePurpose, Step } from './step.js';

export interface Plan {
  readonly steps: readonly Step[];
  /** What could not be planned, in OpenVPN's words where it has some. The tunnel works without. */
  readonly warnings: readonly string[];
}

/** The device that the tunnel wants to configure does not exist. */
export class NoSuchDeviceError extends Error {
  override readonly name = 'NoSuchDeviceError';

  constructor(device: string) {
    super(`no such device: ${device}`);
  }
}

const IPV4_HALVES = halvesOf({ address: '0.0.0.0', length: 0 });
const IPV6_WHOLE: readonly Prefix[] = [
  { address: '::', length: 3 },
  { address: '2000::', length: 4 },
  { address: '3000::', length: 4 },
  { address: 'fc00::', length: 7 },
];
/** OpenVPN's metric for the IPv6 host route to the server. */
const HOST_ROUTE_METRIC_6 = 1;

/** Plans against the host as it would be without the tunnel. Throws NoSuchDeviceError. */
export function planNetwork(desired: DesiredNetwork, snapshot: NetworkSnapshot): Plan {
  return new Planner(desired, snapshot).plan();
}

class Planner {
  readonly #desired: DesiredNetwork;
  readonly #snapshot: NetworkSnapshot;
  readonly #tunnel: Link | undefined;
  /** Links that lead into tunnels. */
  readonly #inside: ReadonlySet<number>;
  readonly #steps: Step[] = [];
  readonly #warnings: string[] = [];

  constructor(desired: DesiredNetwork, snapshot: NetworkSnapshot) {
    this.#desired = desired;
    this.#snapshot = snapshot;
    const { device, ignoreDevices = [] } = desired;
    this.#tunnel = snapshot.links.find(({ name }) => name === device);
    if (device !== undefined && this.#tunnel === undefined) throw new NoSuchDeviceError(device);
    const insideNames = new Set([...ignoreDevices, ...(device === undefined ? [] : [device])]);
    this.#inside = new Set(snapshot.links.filter(({ name }) => insideNames.has(name)).map(({ index }) => index));
  }

  plan(): Plan {
    if (this.#tunnel !== undefined) this.#planDevice(this.#tunnel);
    this.#planIpv4();
    this.#planIpv6();
    return { steps: this.#steps, warnings: this.#warnings };
  }

  #planDevice(link: Link): void {
    const { txQueueLength, mtu, up = true, addresses = [] } = this.#desired;
    if (txQueueLength !== undefined) {
      this.#steps.push({ kind: 'tx-queue-length', link: link.index, value: txQueueLength, before: link.txQueueLength });
    }
    if (mtu !== undefined) this.#steps.push({ kind: 'mtu', link: link.index, value: mtu, before: link.mtu });
    if (up) this.#steps.push({ kind: 'up', link: link.index, before: link.up });
    for (const { address, prefixLength, peer, broadcast } of addresses) {
      this.#steps.push({
        kind: 'address',
        address: {
          linkIndex: link.index,
          address: canonicalIp(address),
          prefixLength,
          ...(peer === undefined ? {} : { peer: canonicalIp(peer) }),
          ...(broadcast === undefined ? {} : { broadcast }),
          scope: RouteScope.universe,
          flags: 0,
        },
      });
    }
  }

  #planIpv4(): void {
    const { redirect, gateway4, remote, bypass = [] } = this.#desired;
    const server = remote !== undefined && ipFamily(remote) === 4 ? canonicalIp(remote) : undefined;
    const routes = this.#resolveRoutes(4);
    const redirecting = redirect?.ipv4 === true && this.#mayRedirect(server);
    const wayOut = defaultGateway(this.#snapshot, 4, this.#inside);

    const bypassed = redirecting ? [...bypass] : [];
    const mayBlock = redirecting && redirect.blockLocal && wayOut?.gateway !== undefined && !this.#isOnLink(server);
    const blocked = mayBlock ? this.#blocks(wayOut) : [];
    if (blocked.length > 0 && wayOut?.gateway !== undefined) bypassed.push(wayOut.gateway);

    const inTunnel = routes.some((route) => server !== undefined && this.#swallows(route, server));
    if (server !== undefined && (redirecting || inTunnel)) this.#hostRoute(server);
    if (wayOut !== undefined) {
      for (const address of bypassed) this.#addRoute({ address, length: 32 }, wayOut, 'bypass');
    }
    if (redirecting && redirect.reroute && gateway4 !== undefined) this.#reroute(gateway4, redirect.def1, wayOut);
    for (const route of routes) this.#steps.push(route);
    if (gateway4 !== undefined) {
      for (const half of blocked) this.#addTunnelRoute(half, gateway4, 'block-local');
    }
  }

  #planIpv6(): void {
    const { redirect, remote, gateway6 } = this.#desired;
    const server = remote !== undefined && ipFamily(remote) === 6 ? canonicalIp(remote) : undefined;
    const routes = this.#resolveRoutes(6);
    if (redirect?.ipv6 === true) {
      for (const prefix of IPV6_WHOLE) routes.push(this.#tunnelRoute(prefix, gateway6, 'redirect'));
    }
    if (server !== undefined && routes.some((route) => this.#swallows(route, server))) this.#hostRoute(server);
    this.#steps.push(...routes);
  }

  /** A server in a local network: as with OpenVPN, that network is not blocked then. */
  #isOnLink(server: string | undefined): boolean {
    const way = server === undefined ? undefined : wayTo(this.#snapshot, server, this.#inside);
    return way !== undefined && way.gateway === undefined;
  }

  /** OpenVPN's conditions for taking over the IPv4 default route. */
  #mayRedirect(server: string | undefined): boolean {
    const { redirect, gateway4 } = this.#desired;
    const complain = (why: string): false => {
      this.#warnings.push(`NOTE: unable to redirect IPv4 default gateway -- ${why}`);
      return false;
    };
    if (gateway4 === undefined && redirect?.reroute === true) {
      return complain('VPN gateway parameter (--route-gateway or --ifconfig) is missing');
    }
    const reachable = server === undefined || wayTo(this.#snapshot, server, this.#inside) !== undefined;
    if (!reachable && redirect?.local !== 'always') {
      return complain('Cannot read current default gateway from system');
    }
    return true;
  }

  /**
   * Keeps the server reachable: a host route the way that packets to it take now.
   * Differs from OpenVPN 2.x: IPv4 takes the server's own way, not always the default gateway's, and is protected from
   * every route that swallows it, as IPv6 is.
   */
  #hostRoute(server: string): void {
    const family = ipFamily(server) === 4 ? 4 : 6;
    const way = wayTo(this.#snapshot, server, this.#inside);
    if (way === undefined) {
      if (family === 6) {
        this.#warnings.push(
          'ROUTE6: IPv6 route overlaps with IPv6 remote address, but could not determine IPv6 gateway address + interface, expect failure',
        );
      }
      return;
    }
    const local = this.#desired.redirect?.local ?? 'never';
    if (local === 'always' || (local === 'auto' && way.gateway === undefined)) return;
    const prefix = { address: server, length: hostLength(family) };
    this.#addRoute(prefix, way, 'bypass', family === 6 ? HOST_ROUTE_METRIC_6 : undefined);
  }

  #reroute(gateway: string, def1: boolean, wayOut: WayOut | undefined): void {
    if (def1) {
      for (const half of IPV4_HALVES) this.#addTunnelRoute(half, gateway, 'redirect');
      return;
    }
    if (wayOut !== undefined) this.#steps.push({ kind: 'remove-route', route: wayOut.route });
    this.#addTunnelRoute({ address: '0.0.0.0', length: 0 }, gateway, 'redirect');
  }

  /** block-local: the local networks of the way out, each as two halves that win over the connected route; upper first. */
  #blocks(wayOut: WayOut): Prefix[] {
    return connectedPrefixes(this.#snapshot.addresses, wayOut.link.index)
      .filter((prefix) => broadcastOf(prefix) !== undefined)
      .flatMap((prefix) => halvesOf(prefix).toReversed());
  }

  #resolveRoutes(family: IpFamily): Extract<Step, { kind: 'route' }>[] {
    const steps: Extract<Step, { kind: 'route' }>[] = [];
    for (const wanted of this.#desired.routes ?? []) {
      const destination = this.#resolve(wanted.destination, family);
      if (destination === undefined || ipFamily(destination) !== family) {
        const known = ipFamily(wanted.destination) !== undefined;
        if (!known && family === 4) this.#warn(wanted, `cannot resolve the destination ${wanted.destination}`);
        continue;
      }
      const step = this.#resolveRoute(wanted, networkOf({ address: destination, length: wanted.prefixLength }));
      if (step !== undefined) steps.push(step);
    }
    return steps;
  }

  #resolveRoute(wanted: DesiredRoute, prefix: Prefix): Extract<Step, { kind: 'route' }> | undefined {
    const family = ipFamily(prefix.address) === 4 ? 4 : 6;
    const { metric, table, gateway: named } = wanted;
    if (wanted.exclude === true) {
      const way = wayTo(this.#snapshot, prefix.address, this.#inside);
      if (way === undefined) {
        this.#warn(wanted, 'there is no way outside the tunnel');
        return undefined;
      }
      return { kind: 'route', purpose: 'exclude', route: route({ prefix, ...outside(way), metric, table }) };
    }
    if (named === undefined || named === 'vpn_gateway') {
      const gateway = family === 4 ? this.#desired.gateway4 : this.#desired.gateway6;
      if (gateway === undefined && family === 4) {
        this.#warnings.push(
          'OpenVPN ROUTE: OpenVPN needs a gateway parameter for a --route option and no default was specified by either --route-gateway or --ifconfig options',
        );
        return undefined;
      }
      return this.#tunnelRoute(prefix, gateway, 'route', metric, table);
    }
    if (named === 'net_gateway') {
      const way = defaultGateway(this.#snapshot, family, this.#inside);
      if (way !== undefined) {
        return { kind: 'route', purpose: 'route', route: route({ prefix, ...outside(way), metric, table }) };
      }
    }
    const gateway = this.#resolve(named, family);
    if (gateway === undefined || ipFamily(gateway) !== family) {
      this.#warn(wanted, `cannot resolve the gateway ${named}`);
      return undefined;
    }
    return this.#tunnelRoute(prefix, gateway, 'route', metric, table);
  }

  /** An address for an address or keyword; undefined when the keyword means nothing now. */
  #resolve(text: string, family: IpFamily): string | undefined {
    const { gateway4, gateway6, remote } = this.#desired;
    switch (text) {
      case 'vpn_gateway':
        return family === 4 ? gateway4 : gateway6;
      case 'net_gateway':
        return defaultGateway(this.#snapshot, family, this.#inside)?.gateway;
      case 'remote_host':
        return remote;
      default:
        return ipFamily(text) === undefined ? undefined : canonicalIp(text);
    }
  }

  #addTunnelRoute(prefix: Prefix, gateway: string, purpose: RoutePurpose): void {
    this.#steps.push(this.#tunnelRoute(prefix, gateway, purpose));
  }

  /**
   * A route through a gateway. It names the tunnel's device when the gateway is on the tunnel or there is none;
   * otherwise the kernel finds the device, or refuses.
   */
  #tunnelRoute(
    prefix: Prefix,
    gateway: string | undefined,
    purpose: RoutePurpose,
    metric?: number,
    table?: number,
  ): Extract<Step, { kind: 'route' }> {
    const onTunnel =
      gateway === undefined ||
      (this.#desired.addresses ?? []).some(({ address, peer, prefixLength }) =>
        prefixContains({ address: peer ?? address, length: prefixLength }, gateway),
      );
    const linkIndex = onTunnel ? this.#tunnel?.index : undefined;
    return { kind: 'route', purpose, route: route({ prefix, gateway, linkIndex, metric, table }) };
  }

  #addRoute(prefix: Prefix, way: WayOut, purpose: RoutePurpose, metric?: number): void {
    this.#steps.push({ kind: 'route', purpose, route: route({ prefix, ...outside(way), metric }) });
  }

  /** Whether a route takes packets to the server into the tunnel. */
  #swallows({ route, purpose }: Extract<Step, { kind: 'route' }>, server: string): boolean {
    if (purpose === 'exclude' || route.table !== RouteTable.main) return false;
    if (route.linkIndex !== undefined && !this.#inside.has(route.linkIndex)) return false;
    return prefixContains({ address: route.destination, length: route.prefixLength }, server);
  }

  #warn({ destination, prefixLength }: DesiredRoute, why: string): void {
    this.#warnings.push(
      `OpenVPN ROUTE: failed to parse/resolve route for host/network: ${destination}/${prefixLength} -- ${why}`,
    );
  }
}

function outside({ link, gateway }: WayOut): { linkIndex: number; gateway: string | undefined } {
  return { linkIndex: link.index, gateway };
}

function route({
  prefix,
  gateway,
  linkIndex,
  metric,
  table,
}: {
  prefix: Prefix;
  gateway?: string | undefined;
  linkIndex?: number | undefined;
  metric?: number | undefined;
  table?: number | undefined;
}): Route {
  const family = ipFamily(prefix.address) === 4 ? 4 : 6;
  return {
    family,
    destination: prefix.length === 0 ? anyAddress(family) : canonicalIp(prefix.address),
    prefixLength: prefix.length,
    tos: 0,
    table: table === undefined || table === 0 ? RouteTable.main : table,
    protocol: RouteProtocol.boot,
    scope: family === 4 && gateway === undefined ? RouteScope.link : RouteScope.universe,
    type: RouteType.unicast,
    flags: 0,
    ...(gateway === undefined ? {} : { gateway: canonicalIp(gateway) }),
    ...(linkIndex === undefined ? {} : { linkIndex }),
    // The kernel takes "no metric" in a deletion for any: IPv6 always names it. IPv4 cannot name its 0.
    ...(family === 6 || metric !== undefined ? { metric: effectiveMetric({ family, metric }) } : {}),
    others: [],
  };
}
