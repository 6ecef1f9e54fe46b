/** Directives of server mode and of a client's own file. */
import { bitsNetmask, formatIpv4, formatIpv6, netmaskBits } from '../address.js';
import { type DirectiveRow, supported, type Use } from '../directive.js';
import { checkPool } from '../pool.js';

export const serverDirectives: readonly DirectiveRow[] = [
  supported('mode', [1, 1], ['general'], (use) => {
    use.options.mode = use.choice(0, ['p2p', 'server'], `Bad --mode parameter: ${use.word(0)}`);
  }),
  supported('client', [0, 0], ['general'], (use) => {
    use.draft.helpers.client = true;
  }),
  supported('pull', [0, 0], ['general'], (use) => {
    use.options.pull = true;
  }),
  supported('server', [2, 3], ['general'], (use) => {
    const line = 'error parsing --server parameters';
    const network = use.ipv4(0, line);
    const netmask = use.ipv4(1, line);
    if (network === 0) use.fail(line, 'The network is empty.', 'Write "server 10.8.0.0 255.255.255.0".', 0);
    if (use.count === 3) use.choice(2, ['nopool'], `error parsing --server: ${use.word(2)} is not a recognized flag`);
    use.draft.helpers.server = { network, netmask, pool: use.count === 2 };
  }),
  supported('server-ipv6', [1, 1], ['general'], (use) => {
    const { address, bits } = use.ipv6Prefix(0, 'error parsing --server-ipv6 parameter');
    poolBits(use, bits, `--server-ipv6 settings: network must be between /64 and /124 (not /${bits})`);
    use.draft.helpers.serverIpv6 = { network: address, bits };
  }),
  supported('server-bridge', [0, 4], ['general'], (use) => {
    if (use.count === 0) {
      use.draft.helpers.serverBridgeDhcp = { pushGateway: true };
      return;
    }
    if (use.count === 1) {
      use.choice(
        0,
        ['nogw'],
        `Unrecognized option or missing or extra parameter(s) in ${use.at.upstream}: server-bridge (2.6.14)`,
      );
      use.draft.helpers.serverBridgeDhcp = { pushGateway: false };
      return;
    }
    if (use.count !== 4)
      use.fail(
        `Unrecognized option or missing or extra parameter(s) in ${use.at.upstream}: server-bridge (2.6.14)`,
        'A bridge with a pool has four addresses.',
        'Write "server-bridge GATEWAY NETMASK FIRST LAST", "server-bridge nogw" or "server-bridge".',
      );
    const line = 'error parsing --server-bridge parameters';
    use.draft.helpers.serverBridge = {
      address: use.ipv4(0, line),
      netmask: use.ipv4(1, line),
      start: use.ipv4(2, line),
      end: use.ipv4(3, line),
    };
  }),
  supported('push', [1, 1], ['push'], (use) => {
    const option = use.word(0);
    if (option.includes(','))
      use.fail(
        `PUSH OPTION FAILED (illegal comma (',') in string): '${option}'`,
        'Pushed options are separated by commas on the wire.',
        'Push two options, or one without a comma.',
        0,
      );
    (use.draft.client?.push ?? use.options.push).push(option);
  }),
  supported('push-reset', [0, 0], ['instance'], (use) => {
    if (use.draft.client !== undefined) use.draft.client.push = [];
  }),
  supported('push-remove', [1, 1], ['instance'], (use) => {
    const { client } = use.draft;
    if (client === undefined) return;
    if (use.word(0) === 'ifconfig') client.ifconfigBlocked = true;
    else if (use.word(0) === 'ifconfig-ipv6') client.ifconfigIpv6Blocked = true;
    else client.push = client.push.filter((option) => !option.startsWith(use.word(0)));
  }),
  supported('ifconfig-pool', [2, 3], ['general'], (use) => {
    const line = 'error parsing --ifconfig-pool parameters';
    const start = use.ipv4(0, line);
    const end = use.ipv4(1, line);
    const netmask = use.count === 3 ? formatIpv4(use.ipv4(2, line)) : undefined;
    checkPool(use, start, end);
    use.options.server.pool = { start: formatIpv4(start), end: formatIpv4(end), netmask };
  }),
  supported('ifconfig-ipv6-pool', [1, 1], ['general'], (use) => {
    const { address, bits } = use.ipv6Prefix(0, 'error parsing --ifconfig-ipv6-pool parameters');
    poolBits(use, bits, `--ifconfig-ipv6-pool settings: network must be between /64 and /124 (not /${bits})`);
    use.options.server.poolIpv6 = { base: formatIpv6(address), bits };
  }),
  supported('ifconfig-pool-persist', [1, 2], ['general'], (use) => {
    use.options.server.poolPersist = { file: use.word(0), refresh: use.count === 2 ? use.positive(1) : 600 };
  }),
  supported(
    'ifconfig-push',
    [2, 3],
    ['instance'],
    (use) => {
      const line = 'cannot parse --ifconfig-push addresses';
      if (use.draft.client === undefined) return;
      use.draft.client.ifconfigPush = {
        local: formatIpv4(use.ipv4(0, line)),
        remoteOrNetmask: formatIpv4(use.ipv4(1, line)),
        alias: use.count === 3 ? formatIpv4(use.ipv4(2, line)) : undefined,
      };
    },
    { note: 'Addresses only; names are not looked up.' },
  ),
  supported(
    'ifconfig-push-constraint',
    [2, 2],
    ['general'],
    (use) => {
      const line = 'cannot parse --ifconfig-push-constraint addresses';
      use.options.server.pushConstraint = {
        network: formatIpv4(use.ipv4(0, line)),
        netmask: formatIpv4(use.ipv4(1, line)),
      };
    },
    { note: 'Addresses only; names are not looked up.' },
  ),
  supported('ifconfig-ipv6-push', [1, 2], ['instance'], (use) => {
    const { client } = use.draft;
    if (client === undefined) return;
    const line = 'cannot parse --ifconfig-ipv6-push addresses';
    const { address, bits } = use.ipv6Prefix(0, line);
    const own = use.options.addresses.ipv6?.local;
    if (use.count === 1 && own === undefined)
      use.fail(
        'second argument to --ifconfig-ipv6-push missing and no global --ifconfig-ipv6 address set',
        'The server has no IPv6 address that could be the remote end.',
        'Write "ifconfig-ipv6-push ADDRESS/BITS REMOTE".',
      );
    const remote = use.count === 2 ? formatIpv6(use.ipv6Prefix(1, line).address) : (own ?? '');
    client.ifconfigIpv6Push = { local: formatIpv6(address), bits, remote };
    client.ifconfigIpv6Blocked = false;
  }),
  supported('iroute', [1, 2], ['instance'], (use: Use) => {
    const line = `in --iroute ${use.words.join(' ')} : Bad network/subnet specification`;
    const network = use.ipv4(0, line);
    const bits = use.count === 2 ? netmaskBits(use.ipv4(1, line)) : 32;
    if (bits === undefined) use.fail(line, `"${use.word(1)}" is no netmask.`, 'Write a netmask like 255.255.255.0.', 1);
    const masked = (network & bitsNetmask(bits)) >>> 0;
    use.draft.client?.iroutes.push({ network: formatIpv4(masked), bits });
  }),
  supported('iroute-ipv6', [1, 1], ['instance'], (use) => {
    const { address, bits } = use.ipv6Prefix(0, `in --iroute-ipv6 ${use.word(0)}: Bad IPv6 prefix specification`);
    use.draft.client?.iroutesIpv6.push({ network: formatIpv6(maskIpv6(address, bits)), bits });
  }),
  supported('disable', [0, 0], ['instance'], (use) => {
    if (use.draft.client !== undefined) use.draft.client.disable = true;
  }),
  supported('client-config-dir', [1, 1], ['general'], (use) => {
    use.options.server.clientConfigDir = use.word(0);
  }),
  supported('ccd-exclusive', [0, 0], ['general'], (use) => {
    use.options.server.ccdExclusive = true;
  }),
  supported('client-to-client', [0, 0], ['general'], (use) => {
    use.options.server.clientToClient = true;
  }),
  supported('duplicate-cn', [0, 0], ['general'], (use) => {
    use.options.server.duplicateCn = true;
  }),
  supported('max-clients', [1, 1], ['general'], (use) => {
    const count = use.number(0);
    if (count >= 0xff_ffff)
      use.fail(
        '--max-clients must be less than 16777215',
        'Peers are told apart by 24 bits.',
        'Write a smaller number.',
        0,
      );
    if (count < 1) use.fail('--max-clients must be at least 1', 'Nobody could connect.', 'Write 1 or more.', 0);
    use.options.server.maxClients = count;
  }),
  supported('max-routes-per-client', [1, 1], ['inherit', 'general'], (use) => {
    const count = Math.max(1, use.number(0));
    if (use.draft.client === undefined) use.options.server.maxRoutesPerClient = count;
    else use.draft.client.maxRoutesPerClient = count;
  }),
  supported('connect-freq', [2, 2], ['general'], (use) => {
    const line = '--connect-freq parms must be > 0';
    const [count, seconds] = [use.number(0, 0, undefined, line), use.number(1, 0, undefined, line)];
    use.options.server.connectFreq = count === 0 && seconds === 0 ? undefined : { count, seconds };
  }),
  supported('connect-freq-initial', [2, 2], ['general'], (use) => {
    const line = '--connect-freq-initial parameters must be integers and >= 0';
    for (const index of [0, 1])
      if (!/^\+?\d{1,10}$/.test(use.word(index)))
        use.fail(line, `"${use.word(index)}" is no such number.`, 'Write "connect-freq-initial 100 10".', index);
    use.options.server.connectFreqInitial = { count: use.number(0, 0), seconds: use.number(1, 0) };
  }),
  supported('tcp-queue-limit', [1, 1], ['general'], (use) => {
    use.options.server.tcpQueueLimit = use.number(0, 1, undefined, '--tcp-queue-limit parameter must be > 0');
  }),
  supported(
    'port-share',
    [2, 3],
    ['general'],
    (use) => {
      use.options.server.portShare = { host: use.word(0), port: use.port(1), journal: use.optional(2) };
    },
    { note: 'The journal is written as `user`, inside `chroot`. At most 1 000 connections are carried at once.' },
  ),
  supported('tmp-dir', [1, 1], ['general'], (use) => {
    use.options.server.tempDirectory = use.word(0);
  }),
];

function poolBits(use: Use, bits: number, line: string): void {
  if (bits < 64 || bits > 124)
    use.fail(line, `/${bits} is outside of what clients can be given.`, 'Choose a prefix from /64 to /124.', 0);
}

function maskIpv6(address: Uint8Array, bits: number): Uint8Array {
  return address.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * index))) & 0xff);
}
