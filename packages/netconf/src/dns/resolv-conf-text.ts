/**
 * The text of resolv.conf(5) with a tunnel's settings merged in. Pure.
 *
 *   # header: who made it, what happens to it      search VPN… SYSTEM…
 *   # servers of a VPN      nameserver …            # servers of the system      nameserver …
 *   # other settings of the system                  everything else, as it was
 */

/** What the system itself wants. */
export interface SystemResolver {
  readonly servers: readonly string[];
  readonly searchDomains: readonly string[];
  /** Lines that are neither of these, nor comments, nor blank. */
  readonly others: readonly string[];
}

const HEADER = '# Made by Seikan while a VPN is up.';
const VPN_SERVERS = '# Servers of the VPN:';
const SYSTEM_SERVERS = '# Servers of the system:';
const OTHERS = '# Other settings of the system:';

export function isOurs(text: string): boolean {
  return text.startsWith(HEADER);
}

/** Reads a file that is not ours. Of several `search` and `domain` lines the last counts, as for the C library. */
export function parseResolvConf(text: string): SystemResolver {
  const servers: string[] = [];
  const others: string[] = [];
  let searchDomains: readonly string[] = [];
  for (const line of text.split('\n')) {
    const [word = '', ...values] = line.trim().split(/\s+/);
    if (word === '' || word.startsWith('#') || word.startsWith(';')) continue;
    if (word === 'nameserver' && values[0] !== undefined) servers.push(values[0]);
    else if (word === 'search' || word === 'domain') searchDomains = values;
    else others.push(line);
  }
  return { servers: unique(servers), searchDomains, others };
}

/**
 * Servers that somebody added to a file of ours since it was written: `nameserver` lines outside the VPN's section.
 * Only servers: a search line of theirs would have to replace ours.
 */
export function addedServers(ours: string, system: SystemResolver): string[] {
  const added: string[] = [];
  let inVpnSection = false;
  for (const line of ours.split('\n')) {
    if (line.startsWith('#')) inVpnSection = line === VPN_SERVERS;
    const server = /^nameserver\s+(\S+)/.exec(line)?.[1];
    if (server !== undefined && !inVpnSection && !system.servers.includes(server)) added.push(server);
    if (line === '') inVpnSection = false;
  }
  return added;
}

/** `vpn` newest tunnel first. `backup` is where the file before is kept, for whoever reads this one. */
export function formatResolvConf(
  system: SystemResolver,
  vpn: readonly { readonly servers: readonly string[]; readonly searchDomains: readonly string[] }[],
  backup: string,
): string {
  const vpnServers = unique(vpn.flatMap(({ servers }) => servers));
  const search = unique([...vpn.flatMap(({ searchDomains }) => searchDomains), ...system.searchDomains]);
  const systemServers = system.servers.filter((server) => !vpnServers.includes(server));
  const sections = [
    [HEADER, `# The file that stood here comes back when the last VPN ends; until then it is`, `# ${backup}`],
    search.length === 0 ? [] : [`search ${search.join(' ')}`],
    vpnServers.length === 0 ? [] : [VPN_SERVERS, ...vpnServers.map(nameserver)],
    systemServers.length === 0 ? [] : [SYSTEM_SERVERS, ...systemServers.map(nameserver)],
    system.others.length === 0 ? [] : [OTHERS, ...system.others],
  ];
  return `${sections
    .filter((section) => section.length > 0)
    .map((section) => section.join('\n'))
    .join('\n\n')}\n`;
}

function nameserver(server: string): string {
  return `nameserver ${server}`;
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
