/**
 * What a tunnel wants of the host's network: the input of `planNetwork`. Addresses and routes are in the order in which
 * they shall be made. Everything that the caller leaves out, or undefined, is not touched.
 */

export interface DesiredNetwork {
  /** The tunnel's device, which exists already. Left out by callers that only want routes (a bypass for a server). */
  readonly device?: string | undefined;
  readonly mtu?: number | undefined;
  /** False leaves the device down, if it is. */
  readonly up?: boolean | undefined;
  readonly txQueueLength?: number | undefined;
  readonly addresses?: readonly DesiredAddress[] | undefined;
  /**
   * What `vpn_gateway` means: route-gateway, or the peer of a point-to-point tunnel. IPv4 routes need one. IPv6 routes
   * go by the device alone without one; OpenVPN 2.x gives one for tap only.
   */
  readonly gateway4?: string | undefined;
  readonly gateway6?: string | undefined;
  readonly routes?: readonly DesiredRoute[] | undefined;
  /** Real address of the server that the tunnel runs over: must stay reachable outside the tunnel. */
  readonly remote?: string | undefined;
  readonly redirect?: RedirectGateway | undefined;
  /** IPv4 addresses that redirecting leaves reachable through the present default gateway. */
  readonly bypass?: readonly string[] | undefined;
  /** Devices that are no way out: other tunnels of ours. The tunnel's own device never is. */
  readonly ignoreDevices?: readonly string[] | undefined;
}

export interface DesiredAddress {
  readonly address: string;
  /** Of the peer's network when there is a peer (32 for net30 and p2p). */
  readonly prefixLength: number;
  readonly peer?: string | undefined;
  readonly broadcast?: string | undefined;
}

export const GATEWAY_KEYWORDS = ['vpn_gateway', 'net_gateway', 'remote_host'] as const;
/** OpenVPN's names for the tunnel's gateway, the host's default gateway and the server. */
export type GatewayKeyword = (typeof GATEWAY_KEYWORDS)[number];

export interface DesiredRoute {
  /** An address whose host bits may be set, or a keyword. */
  readonly destination: string;
  readonly prefixLength: number;
  /** An address or a keyword; left out: `vpn_gateway`. */
  readonly gateway?: string | undefined;
  readonly metric?: number | undefined;
  /** Routing table; left out: main. */
  readonly table?: number | undefined;
  /** Keep this destination out of the tunnel: route it the way that packets to it take now. */
  readonly exclude?: boolean | undefined;
}

/** The flags of --redirect-gateway and --redirect-private that mean something on Linux. */
export interface RedirectGateway {
  /** False for --redirect-private: everything but the IPv4 default route itself. */
  readonly reroute: boolean;
  /** False with `!ipv4`. */
  readonly ipv4: boolean;
  /** `ipv6`: 2000::/3 and fc00::/7 go through the tunnel, by four routes as OpenVPN cuts them. */
  readonly ipv6: boolean;
  /** Two halves of IPv4 beside the default route instead of its replacement. */
  readonly def1: boolean;
  /** `always`: no host route to the server; `auto`: none when the server is on a directly connected network. */
  readonly local: 'never' | 'auto' | 'always';
  readonly blockLocal: boolean;
}
