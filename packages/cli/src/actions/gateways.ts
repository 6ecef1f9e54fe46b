/**
 * `--show-gateway [address]`: the host's default gateways, or the way to one address.
 * upstream: route.c `print_default_gateway` (2.6).
 */
import { type DefaultGateway, defaultGateway, ipFamily, lengthNetmask, readSnapshot, wayTo } from '@seikan/netconf';

import { withNetlink } from './with-netlink.js';

/** The lines for the log. */
export async function gatewayLines(address: string | undefined): Promise<string[]> {
  const snapshot = await withNetlink(readSnapshot);
  return ([4, 6] as const).flatMap((family) => {
    const asked = address !== undefined && ipFamily(address) === family;
    const way = asked ? wayTo(snapshot, address) : defaultGateway(snapshot, family);
    return way === undefined ? [] : [gatewayLine(family, way)];
  });
}

export function gatewayLine(family: 4 | 6, { link, gateway, network }: DefaultGateway): string {
  const parts = [family === 4 ? 'ROUTE_GATEWAY' : 'ROUTE6_GATEWAY'];
  if (gateway === undefined) parts.push('ON_LINK');
  else parts.push(family === 4 && network !== undefined ? `${gateway}/${lengthNetmask(network.length)}` : gateway);
  parts.push(`IFACE=${link.name}`);
  if (family === 4 && link.hardwareAddress !== undefined) parts.push(`HWADDR=${link.hardwareAddress}`);
  return parts.join(' ');
}
