/**
 * DNS by systemd-resolved: settings of the tunnel's link, over D-Bus. They vanish with the link, so nothing is left
 * behind by a process that dies. Source: org.freedesktop.resolve1(5), systemd 252.
 */
import { type CallOptions, type Connection, DbusError } from '@seikan/dbus';
import { interfaceIndex } from '@seikan/native';

import { ipBytes, ipFamily } from '../ip.js';
import { type DnsBackend, type DnsResult, type DnsServer, type DnsSettings, isDomain } from './dns-backend.js';

const AF_INET = 2;
const AF_INET6 = 10;
const DNSSEC = { yes: 'yes', no: 'no', optional: 'allow-downgrade' } as const;
const NO_SUCH_LINK = 'org.freedesktop.resolve1.NoSuchLink';

export class SystemdResolved implements DnsBackend {
  readonly moment = 'after-up';
  readonly #bus: Connection;

  /** Borrows a connection to the system bus. */
  constructor(bus: Connection) {
    this.#bus = bus;
  }

  /** Rejects when servers or domains are refused; what else is refused is a warning. */
  async apply(device: string, settings: DnsSettings): Promise<DnsResult> {
    const index = interfaceIndex(device);
    if (index === undefined) throw new Error(`${device}: no such device`);
    const warnings: string[] = [];
    await this.#setServers(index, settings.servers, warnings);
    await this.#call('SetLinkDomains', 'ia(sb)', [index, domainsOf(settings, warnings)]);
    const attempt = async <S extends string>(
      what: string,
      member: string,
      call: Pick<CallOptions<S>, 'signature' | 'body'>,
    ) => {
      try {
        await this.#bus.call({ ...MANAGER, member, ...call });
      } catch (error) {
        if (!(error instanceof DbusError)) throw error;
        warnings.push(`systemd-resolved does not take ${what}: ${error.message}`);
      }
    };
    const { scope, dnssec, transport } = settings;
    await attempt('a default route', 'SetLinkDefaultRoute', { signature: 'ib', body: [index, scope === 'global'] });
    // Empty: what the system does by itself.
    const mode = dnssec === undefined ? '' : DNSSEC[dnssec];
    await attempt('DNSSEC', 'SetLinkDNSSEC', { signature: 'is', body: [index, mode] });
    const tls = transport === 'dot' ? 'yes' : transport === 'plain' ? 'no' : '';
    await attempt('DNS over TLS', 'SetLinkDNSOverTLS', { signature: 'is', body: [index, tls] });
    if (transport === 'doh') warnings.push('systemd-resolved has no DNS over HTTPS: queries go as the system is set');
    return { warnings };
  }

  async revert(device: string): Promise<void> {
    const index = interfaceIndex(device);
    if (index === undefined) return;
    try {
      await this.#call('RevertLink', 'i', [index]);
    } catch (error) {
      if (!(error instanceof DbusError && error.errorName === NO_SUCH_LINK)) throw error;
    }
  }

  /** A link's settings die with it. */
  async recover(): Promise<void> {}

  /** SetLinkDNSEx came with systemd 246: it is called only where its ports and names are wanted. */
  async #setServers(index: number, servers: readonly DnsServer[], warnings: string[]): Promise<void> {
    const valid = servers.flatMap((server) => {
      const family = ipFamily(server.address);
      if (family === undefined) {
        warnings.push(`DNS server ${JSON.stringify(server.address)} is not an address`);
        return [];
      }
      return [{ ...server, family: family === 4 ? AF_INET : AF_INET6, bytes: ipBytes(server.address) }];
    });
    if (valid.some(({ port, serverName }) => port !== undefined || serverName !== undefined)) {
      const full = valid.map(
        ({ family, bytes, port = 0, serverName = '' }) => [family, bytes, port, serverName] as const,
      );
      await this.#call('SetLinkDNSEx', 'ia(iayqs)', [index, full]);
    } else {
      await this.#call('SetLinkDNS', 'ia(iay)', [index, valid.map(({ family, bytes }) => [family, bytes] as const)]);
    }
  }

  async #call<S extends string>(member: string, signature: S, body: CallOptions<S>['body'] & {}): Promise<void> {
    await this.#bus.call<S, ''>({ ...MANAGER, member, signature, body });
  }
}

const MANAGER = {
  destination: 'org.freedesktop.resolve1',
  path: '/org/freedesktop/resolve1',
  interface: 'org.freedesktop.resolve1.Manager',
};

/** With `true` a domain is resolved by the link's servers without being searched; `.` is every name. */
function domainsOf(settings: DnsSettings, warnings: string[]): [domain: string, routeOnly: boolean][] {
  const domains = new Map<string, boolean>();
  const add = (domain: string, routeOnly: boolean) => {
    if (!isDomain(domain)) warnings.push(`domain ${JSON.stringify(domain)} is not a domain name`);
    else if (!domains.has(domain)) domains.set(domain, routeOnly);
  };
  for (const domain of settings.searchDomains) add(domain, false);
  for (const domain of settings.routeDomains ?? []) add(domain, true);
  if (settings.scope === 'global') domains.set('.', true);
  return [...domains];
}
