/** The address of one end of a link: what upstream calls the real address (`link_socket_actual`). */
export interface Endpoint {
  readonly family: 4 | 6;
  /** Numeric, in canonical text (RFC 5952 for IPv6), without brackets or zone. */
  readonly address: string;
  readonly port: number;
}

/** The text under which an endpoint is found in a Map; also how log lines show it: `198.51.100.7:1194`, `[2001:db8::1]:1194`. */
export function formatEndpoint({ family, address, port }: Endpoint): string {
  return family === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.address === b.address;
}
