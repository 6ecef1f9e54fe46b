/**
 * What scripts and plugins of a tunnel see of its configuration, its device and its network, by OpenVPN's names.
 * upstream: options.c `setenv_settings`, tun.c `do_ifconfig_setenv`, route.c `setenv_routes`, dns.c `setenv_dns_options`,
 * manual "Environmental Variables" (2.6).
 */
import { type Endpoint, type KeyState, toHex, type UnixSeconds } from '@seikan/core';

import type { PeerInfo } from './negotiation.js';
import type { Connection, DnsOptions, Options } from './options/options.js';

export type Environment = Readonly<Record<string, string>>;

/** What the engine cannot know of the process that runs it. */
export interface ProcessFacts {
  readonly pid: number;
  readonly startTime: UnixSeconds;
  readonly daemon: boolean;
}

export function configurationEnvironment(options: Options, { pid, startTime, daemon }: ProcessFacts): Environment {
  const env: Record<string, string> = {};
  if (options.configFile !== undefined) env['config'] = options.configFile;
  env['verb'] = String(options.log.verb);
  env['daemon'] = daemon ? '1' : '0';
  env['daemon_log_redirect'] = options.log.destination.to === 'file' ? '1' : '0';
  env['daemon_pid'] = String(pid);
  env['daemon_start_time'] = String(startTime);
  for (const [index, connection] of options.connections.entries()) {
    const n = index + 1;
    env[`proto_${n}`] = protocolName(connection);
    if (connection.localAddress !== undefined) env[`local_${n}`] = connection.localAddress;
    if (connection.bind && connection.localPort !== 0) env[`local_port_${n}`] = String(connection.localPort);
    if (connection.remote !== undefined) env[`remote_${n}`] = connection.remote;
    env[`remote_port_${n}`] = String(connection.remotePort);
    const { proxy } = connection;
    if (proxy === undefined) continue;
    env[`${proxy.kind}_proxy_server_${n}`] = proxy.host;
    env[`${proxy.kind}_proxy_port_${n}`] = String(proxy.port);
  }
  for (const { name, value } of options.environment) env[name] = value;
  return env;
}

/** `keying-material-exporter`: only tls-final sees it. upstream: ssl.c `export_user_keying_material` (2.6). */
export function exportedEnvironment({ tls }: Options, key: KeyState): Environment {
  if (tls.keyingMaterial === undefined) return {};
  const { label, length } = tls.keyingMaterial;
  return { exported_keying_material: toHex(key.connection.exportKeyingMaterial(label, length)) };
}

/** What a peer says of itself; a name that it chose freely is never one of ours. upstream: `multi_output_peer_info_env`. */
export function peerInfoEnvironment(peerInfo: PeerInfo): Environment {
  return Object.fromEntries(Array.from(peerInfo).filter(([name]) => name.startsWith('IV_') || name.startsWith('UV_')));
}

export interface TunFacts {
  readonly name: string;
  readonly mtu: number;
  /** What `vpn_gateway` means; undefined where there is none. */
  readonly vpnGateway: string | undefined;
  /** The host's default gateway. */
  readonly netGateway: string | undefined;
  readonly remote: Endpoint | undefined;
}

/** A tun that stays over a restart keeps its routes too, which are then not told again: `kept` leaves them out. */
export function tunEnvironment(options: Options, facts: TunFacts, kept = false): Environment {
  const { addresses, device, dns } = options;
  const env: Record<string, string> = { dev: facts.name, dev_type: device.type, tun_mtu: String(facts.mtu) };
  if (addresses.ipv4 !== undefined) {
    const { local, remoteOrNetmask } = addresses.ipv4;
    env['ifconfig_local'] = local;
    env[hasNetmask(options) ? 'ifconfig_netmask' : 'ifconfig_remote'] = remoteOrNetmask;
  }
  if (addresses.ipv6 !== undefined) {
    env['ifconfig_ipv6_local'] = addresses.ipv6.local;
    env['ifconfig_ipv6_netbits'] = String(addresses.ipv6.bits);
    env['ifconfig_ipv6_remote'] = addresses.ipv6.remote;
  }
  return { ...env, ...(kept ? {} : routeEnvironment(options, facts)), ...dnsEnvironment(dns) };
}

/** The arguments of up and down, without the context. */
export function tunArguments(options: Options, { name, mtu }: Pick<TunFacts, 'name' | 'mtu'>): readonly string[] {
  const { ipv4 } = options.addresses;
  return [name, String(mtu), '0', ipv4?.local ?? '', ipv4?.remoteOrNetmask ?? ''];
}

function routeEnvironment({ routing, addresses }: Options, facts: TunFacts): Environment {
  const { vpnGateway, netGateway = '0.0.0.0', remote } = facts;
  const env: Record<string, string> = {};
  if (routing.routes.length > 0 || routing.redirectGateway !== undefined) {
    env['route_net_gateway'] = netGateway;
    if (vpnGateway !== undefined) env['route_vpn_gateway'] = vpnGateway;
  }
  const words: Readonly<Record<string, string | undefined>> = {
    vpn_gateway: vpnGateway,
    net_gateway: netGateway,
    remote_host: remote?.address,
  };
  const plain = (text: string | undefined): string | undefined =>
    text !== undefined && Object.hasOwn(words, text) ? words[text] : text;
  for (const [index, { network, netmask, gateway, metric }] of routing.routes.entries()) {
    const n = index + 1;
    env[`route_network_${n}`] = plain(network) ?? network;
    env[`route_netmask_${n}`] = netmask;
    const via = plain(gateway) ?? vpnGateway;
    if (via !== undefined) env[`route_gateway_${n}`] = via;
    const rank = metric ?? routing.metric;
    if (rank !== undefined) env[`route_metric_${n}`] = String(rank);
  }
  for (const [index, { network, bits, gateway, metric }] of routing.routesIpv6.entries()) {
    const n = index + 1;
    env[`route_ipv6_network_${n}`] = `${network}/${bits}`;
    const via = gateway ?? routing.gatewayIpv6 ?? addresses.ipv6?.remote;
    if (via !== undefined) env[`route_ipv6_gateway_${n}`] = via;
    if (metric !== undefined) env[`route_ipv6_metric_${n}`] = String(metric);
  }
  return env;
}

function dnsEnvironment(dns: DnsOptions): Environment {
  const { servers, searchDomains } = dns;
  const env: Record<string, string> = {};
  for (const [index, domain] of searchDomains.entries()) env[`dns_search_domain_${index + 1}`] = domain;
  for (const [index, { addresses, resolveDomains, dnssec, transport, sni }] of servers.entries()) {
    const server = `dns_server_${index + 1}`;
    for (const [at, { address, port }] of addresses.entries()) {
      env[`${server}_address_${at + 1}`] = address;
      if (port !== undefined) env[`${server}_port_${at + 1}`] = String(port);
    }
    for (const [at, domain] of resolveDomains.entries()) env[`${server}_resolve_domain_${at + 1}`] = domain;
    if (dnssec !== undefined) env[`${server}_dnssec`] = dnssec;
    if (transport !== undefined) env[`${server}_transport`] = transport;
    if (sni !== undefined) env[`${server}_sni`] = sni;
  }
  const foreign = foreignOptions(dns);
  for (const [index, text] of foreign.entries()) env[`foreign_option_${index + 1}`] = text;
  return env;
}

/** For scripts that know dhcp-option only, `dns` is told in its words too, and takes the place of what it replaces. */
function foreignOptions({ dhcpOptions, servers, searchDomains }: DnsOptions): string[] {
  const [server] = servers;
  const replaced = new Set([
    ...(server === undefined ? [] : ['DNS', 'DNS6']),
    ...(searchDomains.length === 0 ? [] : ['DOMAIN-SEARCH']),
  ]);
  return [
    ...dhcpOptions
      .filter(({ type }) => !replaced.has(type))
      .map(({ type, value }) => `dhcp-option ${type}${value === undefined ? '' : ` ${value}`}`),
    ...(server?.addresses ?? []).map(({ address }) => `dhcp-option DNS${address.includes(':') ? '6' : ''} ${address}`),
    ...searchDomains.map((domain) => `dhcp-option DOMAIN-SEARCH ${domain}`),
  ];
}

function protocolName({ protocol, family }: Connection): string {
  const [transport, side] =
    protocol === 'udp' ? ['udp', ''] : ['tcp', protocol === 'tcp-client' ? '-client' : '-server'];
  return `${transport}${family ?? ''}${side}`;
}

function hasNetmask({ device }: Options): boolean {
  return device.type === 'tap' || device.topology === 'subnet';
}
