/**
 * From the effective options (own and pulled) to what the host's network shall be: addresses, routes, redirection.
 * Words like `net_gateway` stay words: only the one who applies routes knows them.
 * upstream: route.c `init_route_list`, tun.c `do_ifconfig` (2.6).
 */
import type { Endpoint } from '@seikan/core';

import { netmaskBits, parseIpv4 } from '../options/address.js';
import type { Options, RedirectGateway } from '../options/options.js';
import type { ConfigureTunAsk, RedirectAsk } from '../output.js';

export interface TunPlan {
  readonly configure: ConfigureTunAsk;
  /** Routes that cannot be used, as log lines. */
  readonly problems: readonly string[];
}

export function planTun(options: Options, mtu: number, remote: Endpoint | undefined): TunPlan {
  const problems: string[] = [];
  const { addresses, device, routing } = options;
  const pointToPoint = device.type === 'tun' && device.topology !== 'subnet';
  const wanted: { address: string; prefixLength: number; peer?: string }[] = [];
  if (addresses.ipv4 !== undefined && !addresses.noExec) {
    const { local, remoteOrNetmask } = addresses.ipv4;
    if (pointToPoint) wanted.push({ address: local, prefixLength: 32, peer: remoteOrNetmask });
    else wanted.push({ address: local, prefixLength: bitsOf(remoteOrNetmask) ?? 32 });
  }
  if (addresses.ipv6 !== undefined && !addresses.noExec) {
    wanted.push({ address: addresses.ipv6.local, prefixLength: addresses.ipv6.bits });
  }

  const routes: ConfigureTunAsk['routes'][number][] = [];
  for (const route of routing.noExec ? [] : routing.routes) {
    const prefixLength = bitsOf(route.netmask);
    if (prefixLength === undefined)
      problems.push(`WARNING: cannot use route ${route.network}: ${route.netmask} is no netmask`);
    else routes.push(routeAsk(route.network, prefixLength, route.gateway, route.metric ?? routing.metric));
  }
  for (const route of routing.noExec ? [] : routing.routesIpv6) {
    // On a tun an IPv6 gateway says nothing that the device does not, and may not be reachable by the kernel's rules.
    const gateway = device.type === 'tap' ? route.gateway : undefined;
    routes.push(routeAsk(route.network, route.bits, gateway, route.metric ?? routing.metric));
  }
  return {
    problems,
    configure: {
      mtu,
      // Who gives it no address, or does so in a script, has it as the kernel makes it.
      up: wanted.length > 0,
      txQueueLength: device.txQueueLength,
      addresses: wanted,
      gateway4: gatewayOf(options, pointToPoint),
      gateway6: device.type === 'tap' ? routing.gatewayIpv6 : undefined,
      routes,
      remote: remote?.address,
      redirect:
        routing.redirectGateway === undefined || routing.noExec ? undefined : redirectAsk(routing.redirectGateway),
    },
  };
}

/** `route-gateway`, else the peer of a point-to-point tun. */
function gatewayOf(options: Options, pointToPoint: boolean): string | undefined {
  const { gateway } = options.routing;
  if (gateway !== undefined) return gateway;
  return pointToPoint ? options.addresses.ipv4?.remoteOrNetmask : undefined;
}

function routeAsk(destination: string, prefixLength: number, gateway: string | undefined, metric: number | undefined) {
  return {
    destination,
    prefixLength,
    ...(gateway === undefined ? {} : { gateway }),
    ...(metric === undefined ? {} : { metric }),
  };
}

function redirectAsk({ enabled, ipv4, ipv6, def1, local, autolocal, blockLocal }: RedirectGateway): RedirectAsk {
  return {
    reroute: ipv4,
    ipv4: enabled,
    ipv6,
    def1,
    local: local ? 'always' : autolocal ? 'auto' : 'never',
    blockLocal,
  };
}

function bitsOf(netmask: string): number | undefined {
  const value = parseIpv4(netmask);
  return value === undefined ? undefined : netmaskBits(value);
}
