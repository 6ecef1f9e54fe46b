/**
 * From `dns` and `dhcp-option` to what a back end is given. Pure.
 * upstream: options.c `dhcp_options_postprocess_dns`, distro/dns-scripts (2.7): the first `dns server` counts; without one,
 * the servers and domains of dhcp-option; servers with resolve-domains resolve these only.
 */
import type { DnsOptions } from '@seikan/engine';
import type { DnsServer, DnsSettings } from '@seikan/netconf';

const TRANSPORTS = { plain: 'plain', DoH: 'doh', DoT: 'dot' } as const;

/** Undefined: there is nothing to give. */
export function dnsSettings(dns: DnsOptions): DnsSettings | undefined {
  const [server] = dns.servers;
  const option = (...types: readonly string[]): string[] =>
    dns.dhcpOptions.flatMap(({ type, value }) => (types.includes(type) && value !== undefined ? [value] : []));
  const searchDomains =
    dns.searchDomains.length > 0 ? dns.searchDomains : option('DOMAIN', 'ADAPTER-DOMAIN-SUFFIX', 'DOMAIN-SEARCH');
  if (server === undefined) {
    const servers = option('DNS', 'DNS6').map((address): DnsServer => ({ address }));
    return servers.length + searchDomains.length === 0 ? undefined : { servers, searchDomains, scope: 'global' };
  }
  const { addresses, resolveDomains, dnssec, transport, sni } = server;
  return {
    servers: addresses.map(({ address, port }) => ({ address, port, serverName: sni })),
    searchDomains,
    routeDomains: resolveDomains,
    scope: resolveDomains.length > 0 ? 'tunnel' : 'global',
    ...(dnssec === undefined ? {} : { dnssec }),
    ...(transport === undefined ? {} : { transport: TRANSPORTS[transport] }),
  };
}
