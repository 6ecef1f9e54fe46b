/** Tells when links, addresses or routes of this network namespace change, by whomever. */
import { AddressMessage, type InterfaceAddress, parseAddress } from './netlink/address.js';
import { NetlinkConnection, type OpenNetlinkPort } from './netlink/connection.js';
import { type Link, LinkMessage, parseLink } from './netlink/link.js';
import { NetlinkFormatError, type NetlinkMessage } from './netlink/message.js';
import { openRoutePort } from './netlink/native-port.js';
import { parseRoute, type Route, RouteFlag, RouteMessage } from './netlink/route.js';

export type NetworkChange =
  | { readonly kind: 'link'; readonly removed: boolean; readonly link: Link }
  | { readonly kind: 'address'; readonly removed: boolean; readonly address: InterfaceAddress }
  | { readonly kind: 'route'; readonly removed: boolean; readonly route: Route }
  /** Changes were lost (too many at once): read the state anew. */
  | { readonly kind: 'lost' };

/** RTNLGRP_*: links, IPv4 and IPv6 addresses, IPv4 and IPv6 routes. */
export const NETWORK_GROUPS = [1, 5, 9, 7, 11] as const;

/** Calls `listener` for each change from now on, until the returned function is called. */
export function watchNetwork(
  listener: (change: NetworkChange) => void,
  open: OpenNetlinkPort = openRoutePort(NETWORK_GROUPS),
): () => void {
  const connection = new NetlinkConnection(open, {
    notification: (message) => {
      const change = parseChange(message);
      if (change !== undefined) listener(change);
    },
    failure: () => listener({ kind: 'lost' }),
  });
  return () => connection.close();
}

function parseChange(message: NetlinkMessage): NetworkChange | undefined {
  try {
    switch (message.type) {
      case LinkMessage.new:
      case LinkMessage.delete:
        return { kind: 'link', removed: message.type === LinkMessage.delete, link: parseLink(message) };
      case AddressMessage.new:
      case AddressMessage.delete: {
        const address = parseAddress(message);
        return address && { kind: 'address', removed: message.type === AddressMessage.delete, address };
      }
      case RouteMessage.new:
      case RouteMessage.delete: {
        const route = parseRoute(message);
        if (route === undefined || (route.flags & RouteFlag.cloned) !== 0) return undefined;
        return { kind: 'route', removed: message.type === RouteMessage.delete, route };
      }
      default:
        return undefined;
    }
  } catch (error) {
    if (error instanceof NetlinkFormatError) return { kind: 'lost' };
    throw error;
  }
}
