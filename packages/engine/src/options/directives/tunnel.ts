/** Directives about the host's side: device, addresses, routes, DNS. */
import { formatIpv4, formatIpv6, isHostName, parseIpv4, parseIpv6 } from '../address.js';
import { type DirectiveRow, supported, type Use } from '../directive.js';
import type { Mutable } from '../draft.js';
import type { DnsServer, RedirectGateway, Topology } from '../options.js';

const flags: Readonly<Record<string, Partial<RedirectGateway>>> = {
  local: { local: true },
  autolocal: { autolocal: true },
  def1: { def1: true },
  'bypass-dhcp': {},
  'bypass-dns': {},
  'block-local': { blockLocal: true },
  ipv6: { ipv6: true },
};

const MOST_NAT_RULES = 64;
const TUN_NODE = '/dev/net/tun';

/** Words that stand for an address which is known once the tunnel is up. */
const specialAddresses: ReadonlySet<string> = new Set(['vpn_gateway', 'net_gateway', 'remote_host']);

export const tunnelDirectives: readonly DirectiveRow[] = [
  supported('dev', [1, 1], ['general'], (use) => {
    use.options.device.name = use.word(0);
  }),
  supported('dev-type', [1, 1], ['general'], (use) => {
    use.draft.deviceType = use.word(0);
  }),
  supported(
    'dev-node',
    [1, 1],
    ['general'],
    (use) => {
      if (use.word(0) !== TUN_NODE)
        use.fail(
          `--dev-node ${use.word(0)} cannot be used`,
          `Not supported: another node than ${TUN_NODE}, which is where Linux has tun devices.`,
          'Remove the line.',
          0,
        );
    },
    { note: 'Only `/dev/net/tun`, which is the default.' },
  ),
  supported('lladdr', [1, 1], ['up'], (use) => {
    if (!/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(use.word(0)))
      use.fail(
        `lladdr parm '${use.word(0)}' must be a MAC address`,
        `"${use.word(0)}" is no MAC address.`,
        'Write six bytes: 02:00:00:00:00:01.',
        0,
      );
    use.options.device.macAddress = use.word(0).toLowerCase();
  }),
  supported('topology', [1, 1], ['up'], (use) => {
    const topologies: readonly Topology[] = ['net30', 'p2p', 'subnet'];
    use.options.device.topology = use.choice(0, topologies, '--topology must be net30, p2p, or subnet');
  }),
  supported('txqueuelen', [1, 1], ['general'], (use) => {
    use.options.device.txQueueLength = use.positive(0);
  }),
  supported('allow-recursive-routing', [0, 0], ['general'], (use) => {
    use.options.device.allowRecursiveRouting = true;
  }),
  supported('disable-dco', [0, Number.POSITIVE_INFINITY], ['anywhere'], (use) => {
    use.options.device.disableOffload = true;
  }),
  supported('ifconfig', [2, 2], ['up'], (use) => {
    const line = `ifconfig parms '${use.word(0)}' and '${use.word(1)}' must be valid addresses`;
    const names = use.options.pulling.allowNames;
    use.options.addresses.ipv4 = { local: address(use, 0, line, names), remoteOrNetmask: address(use, 1, line, names) };
  }),
  supported('ifconfig-ipv6', [2, 2], ['up'], (use) => {
    const line = `ifconfig-ipv6 parms '${use.word(0)}' and '${use.word(1)}' must be valid addresses`;
    const { address, bits } = use.ipv6Prefix(0, line);
    if (bits < 64 || bits > 124)
      use.fail(
        `ifconfig-ipv6: /netbits must be between 64 and 124, not '/${bits}'`,
        'The prefix of the address has another length.',
        'Write it like fd00::1/64.',
        0,
      );
    use.options.addresses.ipv6 = { local: formatIpv6(address), bits, remote: formatIpv6(use.ipv6(1, line)) };
  }),
  supported('ifconfig-noexec', [0, 0], ['up'], (use) => {
    use.options.addresses.noExec = true;
  }),
  supported('ifconfig-nowarn', [0, 0], ['up'], (use) => {
    use.options.addresses.noWarn = true;
  }),
  supported('route', [1, 4], ['route'], (use) => {
    // A configuration may always name them; what a server pushes is trusted less.
    const names = use.context !== 'pull' || use.options.pulling.allowNames;
    const network = routeAddress(use, 0, `route parameter network/IP '${use.word(0)}' must be a valid address`, names);
    const netmask = use.optional(1);
    if (netmask !== undefined && netmask !== 'default')
      use.ipv4(1, `route parameter netmask '${netmask}' must be an IP address`);
    const gateway = use.optional(2);
    const metric = use.optional(3);
    use.options.routing.routes.push({
      network,
      netmask: netmask === undefined || netmask === 'default' ? '255.255.255.255' : netmask,
      gateway:
        gateway === undefined || gateway === 'default'
          ? undefined
          : routeAddress(use, 2, `route parameter gateway '${gateway}' must be a valid address`, names),
      metric: metric === undefined || metric === 'default' ? undefined : use.positive(3),
    });
  }),
  supported('route-ipv6', [1, 3], ['route'], (use) => {
    const line = `route-ipv6 parameter network/IP '${use.word(0)}' must be a valid address`;
    const { address, bits } = use.ipv6Prefix(0, line);
    const gateway = use.optional(1);
    const metric = use.optional(2);
    use.options.routing.routesIpv6.push({
      network: formatIpv6(address),
      bits,
      gateway:
        gateway === undefined || gateway === 'default'
          ? undefined
          : formatIpv6(use.ipv6(1, `route-ipv6 parameter gateway '${gateway}' must be a valid address`)),
      metric: metric === undefined || metric === 'default' ? undefined : use.positive(2),
    });
  }),
  supported(
    'route-gateway',
    [1, 1],
    ['route-extras'],
    (use) => {
      const line = `route-gateway parm '${use.word(0)}' must be a valid address`;
      if (use.word(0) === 'dhcp')
        use.fail(
          line,
          'Not supported: taking the gateway from the DHCP packets that pass through a tap device.',
          'Write the address, and run a DHCP client on the tap device for the rest.',
          0,
        );
      use.options.routing.gateway = routeAddress(use, 0, line, use.options.pulling.allowNames);
    },
    { note: '`dhcp` is refused, and a warning when it is pushed.' },
  ),
  supported('route-ipv6-gateway', [1, 1], ['route-extras'], (use) => {
    use.options.routing.gatewayIpv6 = formatIpv6(
      use.ipv6(0, `route-ipv6-gateway parm '${use.word(0)}' must be a valid address`),
    );
  }),
  supported('route-metric', [1, 1], ['route'], (use) => {
    use.options.routing.metric = use.positive(0);
  }),
  supported(
    'route-delay',
    [0, 2],
    ['route-extras'],
    (use) => {
      use.options.routing.delay = use.count === 0 ? 0 : use.positive(0);
      if (use.count === 2) use.positive(1);
    },
    { note: 'The second number is for Windows, as with OpenVPN.' },
  ),
  supported('route-noexec', [0, 0], ['script'], (use) => {
    use.options.routing.noExec = true;
  }),
  ...['redirect-gateway', 'redirect-private'].map((name) =>
    supported(name, [0, Number.POSITIVE_INFINITY], ['route'], redirect, {
      note: '`bypass-dhcp` and `bypass-dns` have no effect on Linux, as with OpenVPN.',
    }),
  ),
  supported(
    'client-nat',
    [4, 4],
    ['route'],
    (use) => {
      const { clientNat } = use.options.routing;
      if (clientNat.length >= MOST_NAT_RULES)
        use.fail(
          `WARNING: client-nat table overflow (max ${MOST_NAT_RULES} entries)`,
          'OpenVPN takes no more.',
          'Write larger networks.',
        );
      clientNat.push({
        kind: use.choice(0, ['snat', 'dnat'], "client-nat: type must be 'snat' or 'dnat'"),
        network: use.ipv4(1, `client-nat: bad network: ${use.word(1)}`),
        netmask: use.ipv4(2, `client-nat: bad netmask: ${use.word(2)}`),
        foreign: use.ipv4(3, `client-nat: bad foreign network: ${use.word(3)}`),
      });
    },
    { note: 'Not on servers, and not through the netcfg service.' },
  ),
  supported('block-ipv6', [0, 0], ['route'], (use) => {
    use.options.routing.blockIpv6 = true;
  }),
  supported('route-nopull', [0, 0], ['general'], (use) => {
    use.options.pulling.routeNoPull = true;
  }),
  supported('allow-pull-fqdn', [0, 0], ['general'], (use) => {
    use.options.pulling.allowNames = true;
  }),
  supported('pull-filter', [2, 2], ['general'], (use) => {
    const action = use.choice(0, ['accept', 'ignore', 'reject'], `Unknown --pull-filter type: ${use.word(0)}`);
    use.options.pulling.filters.push({ action, prefix: use.word(1) });
  }),
  supported(
    'dhcp-option',
    [1, 2],
    ['dhcp-dns'],
    (use) => {
      use.options.dns.dhcpOptions.push({ type: use.word(0), value: use.optional(1) });
    },
    { note: 'Name servers and domains take effect, as in 2.7; all are told to scripts as `foreign_option_n`.' },
  ),
  supported('dns', [1, Number.POSITIVE_INFINITY], ['dhcp-dns'], dns, {
    note: 'Takes effect, as in 2.7; told to scripts as `dns_*`.',
  }),
  supported(
    'dns-updown',
    [1, 1],
    ['script'],
    (use) => {
      use.options.dns.updown = use.choice(
        0,
        ['force', 'disable'],
        `--dns-updown ${use.word(0)}: no command of one's own is run`,
      );
    },
    { note: 'Of 2.7. `disable` and `force`; a command of one’s own is refused: write it as `up` and `down`.' },
  ),
];

function redirect(use: Use): void {
  const { routing } = use.options;
  if (routing.redirectGateway !== undefined)
    use.warn(
      'WARNING: You have specified redirect-gateway and redirect-private at the same time (or the same option multiple times). This is not well supported and may lead to unexpected results',
    );
  routing.redirectGateway = {
    ...(routing.redirectGateway ?? {
      enabled: true,
      ipv4: false,
      ipv6: false,
      def1: false,
      local: false,
      autolocal: false,
      blockLocal: false,
    }),
  };
  if (use.name === 'redirect-gateway') routing.redirectGateway.ipv4 = true;
  for (const [index, word] of use.words.entries()) {
    const flag = Object.hasOwn(flags, word) ? flags[word] : undefined;
    if (flag !== undefined) {
      Object.assign(routing.redirectGateway, flag);
      if (word.startsWith('bypass-') && use.context === 'config')
        use.warn(`--${use.name}: ${word} has no effect on Linux`, 'info');
    } else if (word === '!ipv4') Object.assign(routing.redirectGateway, { enabled: false, ipv4: false });
    else
      use.fail(
        `unknown --${use.name} flag: ${word}`,
        `"${word}" is no flag of ${use.name}.`,
        `The flags are: ${[...Object.keys(flags), '!ipv4'].join(', ')}.`,
        index,
      );
  }
}

function dns(use: Use): void {
  const { dns } = use.options;
  if (use.word(0) === 'search-domains' && use.count >= 2) {
    dns.searchDomains.push(...use.words.slice(1));
    return;
  }
  if (use.word(0) !== 'server' || use.count < 4)
    use.fail(
      `--dns: unknown option type '${use.word(0)}' or missing or unknown parameter`,
      'There is no such form of dns.',
      'Write "dns search-domains NAME…" or "dns server NUMBER address|resolve-domains|dnssec|transport|sni VALUE".',
      0,
    );
  const least = use.context === 'pull' ? 0 : -128;
  const priority = use.number(1, least, 127, `--dns server: invalid priority value '${use.word(1)}'`);
  const server = serverOf(dns.servers, priority);
  const kind = use.word(2);
  const single = use.count === 4;
  if (kind === 'address') {
    for (const [index, word] of use.words.entries()) {
      if (index < 3) continue;
      const parsed = dnsAddress(word);
      if (parsed === undefined || server.addresses.length >= 8)
        return use.fail(
          `--dns server ${priority}: malformed address or maximum exceeded '${word}'`,
          `"${word}" is no address, or the ninth.`,
          'Write 10.8.0.1, 10.8.0.1:5353, fd00::1 or [fd00::1]:5353.',
          index,
        );
      server.addresses.push(parsed);
    }
  } else if (kind === 'resolve-domains') server.resolveDomains.push(...use.words.slice(3));
  else if (kind === 'dnssec' && single)
    server.dnssec = use.choice(
      3,
      ['yes', 'no', 'optional'],
      `--dns server ${priority}: malformed dnssec value '${use.word(3)}'`,
    );
  else if (kind === 'transport' && single)
    server.transport = use.choice(
      3,
      ['plain', 'DoH', 'DoT'],
      `--dns server ${priority}: malformed transport value '${use.word(3)}'`,
    );
  else if (kind === 'sni' && single) server.sni = use.word(3);
  else
    use.fail(
      `--dns server ${priority}: unknown option type '${kind}' or missing or unknown parameter`,
      'There is no such property of a DNS server.',
      'Use address, resolve-domains, dnssec, transport or sni.',
      2,
    );
}

function serverOf(servers: Mutable<DnsServer>[], priority: number): Mutable<DnsServer> {
  const found = servers.find((server) => server.priority === priority);
  if (found !== undefined) return found;
  const server: Mutable<DnsServer> = {
    priority,
    addresses: [],
    resolveDomains: [],
    dnssec: undefined,
    transport: undefined,
    sni: undefined,
  };
  servers.push(server);
  servers.sort((a, b) => a.priority - b.priority);
  return server;
}

function dnsAddress(text: string): { address: string; port: number | undefined } | undefined {
  const bracketed = /^\[(.*)\](?::(\d{1,5}))?$/.exec(text);
  const ipv6 = parseIpv6(bracketed?.[1] ?? text);
  const [, host = '', port] = bracketed ?? /^([^:]*)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return undefined;
  const number = port === undefined ? undefined : Number(port);
  if (ipv6 !== undefined) return { address: formatIpv6(ipv6), port: number };
  const ipv4 = parseIpv4(host);
  return ipv4 === undefined ? undefined : { address: formatIpv4(ipv4), port: number };
}

/** An IPv4 address, or a name where names are taken: they are looked up when the tunnel is set up. */
function address(use: Use, index: number, line: string, names: boolean): string {
  const text = use.word(index);
  const ipv4 = parseIpv4(text);
  if (ipv4 !== undefined) return formatIpv4(ipv4);
  return names && isHostName(text) ? text : formatIpv4(use.ipv4(index, line));
}

function routeAddress(use: Use, index: number, line: string, names: boolean): string {
  const text = use.word(index);
  return specialAddresses.has(text) ? text : address(use, index, line, names);
}
