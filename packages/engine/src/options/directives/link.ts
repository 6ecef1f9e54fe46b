/** Directives about the way to the peer: remotes, protocols, sockets, packet sizes. */

import { largestTunMtu } from '../../tun-mtu.js';
import { type DirectiveRow, supported, type Use } from '../directive.js';
import type { DraftProtocol } from '../draft.js';

const protocols: Readonly<Record<string, { protocol: DraftProtocol; family: 4 | 6 | undefined }>> = {
  udp: { protocol: 'udp', family: undefined },
  'tcp-server': { protocol: 'tcp-server', family: undefined },
  'tcp-client': { protocol: 'tcp-client', family: undefined },
  tcp: { protocol: 'tcp', family: undefined },
  udp4: { protocol: 'udp', family: 4 },
  'tcp4-server': { protocol: 'tcp-server', family: 4 },
  'tcp4-client': { protocol: 'tcp-client', family: 4 },
  tcp4: { protocol: 'tcp', family: 4 },
  udp6: { protocol: 'udp', family: 6 },
  'tcp6-server': { protocol: 'tcp-server', family: 6 },
  'tcp6-client': { protocol: 'tcp-client', family: 6 },
  tcp6: { protocol: 'tcp', family: 6 },
};

const common = ['general', 'connection'] as const;
const sizes = ['mtu', 'connection'] as const;

export const linkDirectives: readonly DirectiveRow[] = [
  supported('remote', [1, 3], common, (use) => {
    const named =
      use.count === 3
        ? protocolAt(use, 2, `remote: bad protocol associated with host ${use.word(0)}: '${use.word(2)}'`)
        : undefined;
    const port = use.count >= 2 ? use.port(1) : undefined;
    if (use.context !== 'connection') {
      use.draft.remotes.push({ host: use.word(0), port, protocol: named?.protocol, family: named?.family });
      return;
    }
    const { entry } = use;
    entry.settings.remote = use.word(0);
    if (port !== undefined) entry.settings.remotePort = port;
    if (named !== undefined) entry.protocol = named.protocol;
    if (named?.family !== undefined) entry.settings.family = named.family;
  }),
  supported('remote-random', [0, 0], ['general'], (use) => {
    use.options.connecting.remoteRandom = true;
  }),
  supported('remote-random-hostname', [0, 0], ['general'], (use) => {
    use.options.connecting.randomHostname = true;
  }),
  supported('resolv-retry', [1, 1], ['general'], (use) => {
    use.options.connecting.resolvRetry = use.word(0) === 'infinite' ? 'infinite' : use.positive(0);
  }),
  supported('connect-retry', [1, 2], common, (use) => {
    const { settings } = use.entry;
    settings.connectRetry = use.positive(0);
    if (settings.connectRetry > 0xffff) {
      settings.connectRetry = 0xffff;
      use.warn(`connect retry wait interval truncated to ${settings.connectRetry}`);
    }
    if (use.count === 2) settings.connectRetryMaximum = Math.max(use.positive(1), settings.connectRetry);
  }),
  ...['connect-timeout', 'server-poll-timeout'].map((name) =>
    supported(name, [1, 1], common, (use) => {
      use.entry.settings.connectTimeout = use.positive(0);
    }),
  ),
  supported('connect-retry-max', [1, 1], common, (use) => {
    use.options.connecting.connectRetryMax = use.positive(0);
  }),
  supported('proto', [1, 1], common, (use) => {
    const { protocol, family } = protocolAt(
      use,
      0,
      `Bad protocol: '${use.word(0)}'. Allowed protocols with --proto option: [proto-uninitialized] ${Object.keys(
        protocols,
      )
        .map((name) => `[${name}]`)
        .join(' ')}`,
    );
    use.entry.protocol = protocol;
    use.entry.settings.family = family;
  }),
  supported('proto-force', [1, 1], ['general'], (use) => {
    use.draft.protocolForce = protocolAt(use, 0, `Bad --proto-force protocol: '${use.word(0)}'`).protocol;
  }),
  supported('local', [1, 1], common, (use) => {
    use.entry.settings.localAddress = use.word(0);
  }),
  supported(
    'port',
    [1, 1],
    common,
    (use) => {
      use.entry.settings.localPort = use.port(0);
      use.entry.settings.remotePort = use.port(0);
    },
    { note: 'Numbers only; names of services are not looked up (also in `lport`, `rport`, `remote`).' },
  ),
  supported('lport', [1, 1], common, (use) => {
    use.entry.settings.localPort = use.port(0);
    use.entry.localPortGiven = true;
  }),
  supported('rport', [1, 1], common, (use) => {
    use.entry.settings.remotePort = use.port(0);
  }),
  supported('bind', [0, 1], common, (use) => {
    use.entry.bindGiven = true;
    if (use.count === 0) return;
    use.choice(0, ['ipv6only'], `Unknown parameter to --bind: ${use.word(0)}`);
    use.entry.settings.ipv6Only = true;
  }),
  supported('nobind', [0, 0], common, (use) => {
    use.entry.nobindGiven = true;
  }),
  supported('float', [0, 0], common, (use) => {
    use.entry.settings.float = true;
  }),
  supported('multihome', [0, 0], ['general'], (use) => {
    use.options.socket.multihome = true;
  }),
  supported('bind-dev', [1, Number.POSITIVE_INFINITY], ['socket-flags'], (use) => {
    use.ignoreFrom(1);
    if (use.context === 'pull')
      use.fail(
        `bind-dev ${use.word(0)} is not taken from a server`,
        'The socket is open by then.',
        "Write it in the client's own configuration.",
      );
    use.options.socket.bindDevice = use.word(0);
  }),
  supported('rcvbuf', [1, 1], ['socket-buffer'], (use) => {
    use.options.socket.receiveBuffer = use.positive(0);
  }),
  supported('sndbuf', [1, 1], ['socket-buffer'], (use) => {
    use.options.socket.sendBuffer = use.positive(0);
  }),
  supported('passtos', [0, 0], ['general'], (use) => {
    use.options.socket.passTos = true;
  }),
  supported('mark', [1, 1], ['general'], (use) => {
    use.options.socket.mark = use.number(0, 0, 0xffff_ffff);
  }),
  supported(
    'socket-flags',
    [0, Number.POSITIVE_INFINITY],
    ['socket-flags'],
    (use) => {
      for (const index of use.words.keys())
        use.choice(index, ['TCP_NODELAY'], `unknown socket flag: ${use.word(index)}`);
    },
    { note: 'TCP_NODELAY is always set, as in 2.7.' },
  ),
  supported(
    'tcp-nodelay',
    [0, 0],
    ['general'],
    (use) => {
      use.draft.helpers.tcpNoDelay = true;
    },
    { note: 'Always so at this end; a server pushes it to its clients.' },
  ),
  supported('explicit-exit-notify', [0, 1], ['general', 'connection', 'exit-notify'], (use) => {
    use.entry.settings.explicitExitNotify = use.count === 0 ? 1 : use.positive(0);
  }),
  ...['link-mtu', 'udp-mtu'].map((name) =>
    supported(
      name,
      [1, 1],
      sizes,
      (use) => {
        use.entry.settings.linkMtu = use.positive(0);
      },
      { note: 'The tun keeps its own MTU, which OpenVPN makes smaller; write `tun-mtu`.' },
    ),
  ),
  supported('tun-mtu', [1, 2], ['push-mtu', 'connection'], (use) => {
    const { settings } = use.entry;
    const size = use.number(0, 100, 65_536, `Invalid tun-mtu: '${use.word(0)}'`);
    const largest = largestTunMtu(settings);
    if (use.context === 'pull' && size > largest)
      use.warn(
        `Server-pushed tun-mtu is too large, please add tun-mtu-max ${size} in the client configuration`,
        'warning',
      );
    settings.tunMtu = use.context === 'pull' ? Math.min(size, largest) : size;
    use.entry.settings.occMtu = use.count === 2 ? use.positive(1) : 0;
  }),
  supported('tun-mtu-max', [1, 2], sizes, (use) => {
    use.ignoreFrom(1);
    use.entry.settings.tunMtuMaximum = use.number(0, 68, 65_536, `--tun-mtu-max value '${use.word(0)}' is invalid`);
  }),
  supported('tun-mtu-extra', [1, 1], sizes, (use) => {
    use.entry.settings.tunMtuExtra = use.positive(0);
    use.entry.tunMtuExtraGiven = true;
  }),
  supported('max-packet-size', [1, 1], sizes, (use) => {
    const { entry } = use;
    const size = use.positive(0);
    entry.settings.maxPacketSize = Math.min(2_048, Math.max(154, size));
    if (entry.settings.maxPacketSize !== size)
      use.warn(
        `Note: max-packet-size value outside of allowed control channel packet size (154 to 2048), will use ${entry.settings.maxPacketSize} instead.`,
      );
    entry.settings.mssfix = { size, measure: 'mtu' };
    entry.mssfixGiven = true;
  }),
  supported('fragment', [1, 2], sizes, (use) => {
    use.entry.settings.fragment = use.number(0, 68, 65_536, '--fragment needs to be at least 68');
    if (use.count === 1) return;
    use.choice(1, ['mtu'], `Unknown parameter to --fragment: ${use.word(1)}`);
    use.entry.settings.fragmentIncludesTransport = true;
  }),
  supported('mssfix', [0, 2], common, (use) => {
    const { entry } = use;
    entry.mssfixGiven = use.count > 0;
    if (use.count === 0) return;
    const measure =
      use.count === 2 ? use.choice(1, ['mtu', 'fixed'], `Unknown parameter to --mssfix: ${use.word(1)}`) : 'packet';
    entry.settings.mssfix = { size: use.positive(0), measure };
  }),
  supported('mtu-test', [0, 0], ['general'], (use) => {
    use.options.data.mtuTest = true;
  }),
  supported('mtu-disc', [1, 1], sizes, (use) => {
    use.entry.settings.mtuDiscover = use.choice(
      0,
      ['no', 'maybe', 'yes'],
      `invalid --mtu-disc type: '${use.word(0)}' -- valid types are 'yes', 'maybe', or 'no'`,
    );
  }),
];

function protocolAt(use: Use, index: number, line: string): { protocol: DraftProtocol; family: 4 | 6 | undefined } {
  const found = Object.hasOwn(protocols, use.word(index)) ? protocols[use.word(index)] : undefined;
  if (found !== undefined) return found;
  return use.fail(
    line,
    `"${use.word(index)}" is no protocol.`,
    `Write one of: ${Object.keys(protocols).join(', ')}.`,
    index,
  );
}
