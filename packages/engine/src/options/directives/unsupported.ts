/** Directives that are refused, each with its reason, and the short list of those that are taken without effect. */
import { type DirectiveRow, ignored, refused } from '../directive.js';

const list = [0, Number.POSITIVE_INFINITY] as const;

function refuseAll(names: readonly string[], reason: string, remedy?: string): DirectiveRow[] {
  return names.map((name) => refused(name, reason, remedy));
}

export const refusedDirectives: readonly DirectiveRow[] = [
  ...refuseAll(
    [
      'management',
      'management-client',
      'management-client-auth',
      'management-client-group',
      'management-client-user',
      'management-external-cert',
      'management-external-key',
      'management-forget-disconnect',
      'management-hold',
      'management-log-cache',
      'management-query-passwords',
      'management-query-proxy',
      'management-query-remote',
      'management-signal',
      'management-up-down',
    ],
    'Not yet supported: the management interface.',
  ),
  ...refuseAll(
    ['replay-persist'],
    'Not yet supported: packet ids of tls-auth and static keys that outlive the process.',
    'Remove the line, and use TLS instead of a static key: its keys are new in each run.',
  ),
  ...refuseAll(
    ['stale-routes-check'],
    'Not supported: OpenVPN 2.6 takes their own addresses from silent tun clients, too, and drops what they send from then on.',
    'Remove the line; max-routes-per-client bounds what a server learns.',
  ),
  ...refuseAll(['shaper'], 'Not supported: limiting the rate.', 'Use tc on the tun device.'),
  ...refuseAll(
    [
      'pkcs11-cert-private',
      'pkcs11-id',
      'pkcs11-id-management',
      'pkcs11-pin-cache',
      'pkcs11-private-mode',
      'pkcs11-protected-authentication',
      'pkcs11-providers',
      'show-pkcs11-ids',
    ],
    'Not yet supported: keys on PKCS#11 tokens.',
    'Use key with a file, or an inline block.',
  ),
  ...refuseAll(
    ['engine'],
    'Not supported: OpenSSL has dropped engines for providers.',
    'Use providers, or set OPENSSL_CONF for the process.',
  ),
  ...refuseAll(['vlan-accept', 'vlan-pvid', 'vlan-tagging'], 'Not supported: VLAN tags on tap devices.'),
  ...refuseAll(['gremlin'], 'Not supported: built-in fault injection.', 'Use tc netem or nftables.'),
  ...refuseAll(
    ['no-replay'],
    'Not supported: replay protection is always on.',
    'Remove the line; OpenVPN 2.7 has no such option either.',
  ),
  ...refuseAll(['memstats'], 'Not supported: memory statistics; OpenVPN 2.7 removed them.'),
  ...refuseAll(['setcon'], 'Not supported: changing the SELinux context.', 'Set it in the systemd unit.'),
  ...refuseAll(
    ['ns-cert-type'],
    'Not supported: Netscape certificate types, which no authority has issued for decades.',
    'Use remote-cert-tls.',
  ),
  ...refuseAll(['iproute'], 'Not supported: routes and addresses are set over netlink, no command is run.'),
  ...refuseAll(['use-prediction-resistance'], 'Not supported: it is for builds with mbed TLS.'),
  refused(
    'client-cert-not-required',
    'OpenVPN 2.5 removed it.',
    'Write "verify-client-cert none".',
    "REMOVED OPTION: --client-cert-not-required, use '--verify-client-cert none' instead",
  ),
  refused(
    'compat-names',
    'OpenVPN 2.5 removed it.',
    'Use the names as they stand in certificates.',
    'Options error: --compat-names was removed in OpenVPN 2.5. Update your configuration.',
  ),
  refused(
    'no-name-remapping',
    'OpenVPN 2.5 removed it.',
    'Use the names as they stand in certificates.',
    'Options error: --no-name-remapping was removed in OpenVPN 2.5. Update your configuration.',
  ),
  refused(
    'mtu-dynamic',
    'It has another name now.',
    'Write "fragment" instead.',
    'Options error: --mtu-dynamic has been replaced by --fragment',
  ),
  ...refuseAll(
    [
      'allow-nonadmin',
      'block-outside-dns',
      'cryptoapicert',
      'dhcp-internal',
      'dhcp-pre-release',
      'dhcp-release',
      'dhcp-renew',
      'ip-win32',
      'msg-channel',
      'pause-exit',
      'rdns-internal',
      'register-dns',
      'service',
      'show-adapters',
      'show-net',
      'show-net-up',
      'show-valid-subnets',
      'tap-sleep',
      'win-sys',
      'windows-driver',
    ],
    'It exists on Windows only.',
    'Remove the line, or put "setenv opt" in front of it.',
  ),
];

export const ignoredDirectives: readonly DirectiveRow[] = [
  ignored('hash-size', [2, 2], ['general'], 'tables grow with the number of clients'),
  ignored('ecdh-curve', [1, 1], ['general'], 'the curve is negotiated; tls-groups restricts it'),
  ignored(
    'http-proxy-retry',
    list,
    ['general', 'connection'],
    'DEPRECATED OPTION: http-proxy-retry and socks-proxy-retry: In OpenVPN 2.4 proxy connection retries are handled like regular connections. Use connect-retry-max 1 to get a similar behavior as before.',
  ),
  ignored(
    'socks-proxy-retry',
    list,
    ['general', 'connection'],
    'DEPRECATED OPTION: http-proxy-retry and socks-proxy-retry: In OpenVPN 2.4 proxy connection retries are handled like regular connections. Use connect-retry-max 1 to get a similar behavior as before.',
  ),
  ignored(
    'http-proxy-timeout',
    [1, 1],
    ['general', 'connection'],
    'DEPRECATED OPTION: http-proxy-timeout: In OpenVPN 2.4 the timeout until a connection to a server is established is managed with a single timeout set by connect-timeout',
  ),
  ignored(
    'max-routes',
    [0, 1],
    ['anywhere'],
    'DEPRECATED OPTION: --max-routes option ignored. The number of routes is unlimited as of OpenVPN 2.4. This option will be removed in a future version, please remove it from your configuration.',
  ),
  ignored('prng', [1, 2], ['anywhere'], 'NOTICE: --prng option ignored (SSL library PRNG is used)'),
  ignored(
    'tun-ipv6',
    [0, 0],
    ['up'],
    'Note: option tun-ipv6 is ignored because modern operating systems do not need special IPv6 tun handling anymore.',
  ),
  ignored('fast-io', [0, 0], ['general'], 'packets are moved in batches without asking first'),
  ignored('mute-replay-warnings', [0, 0], ['general'], 'replayed packets are counted, not logged one by one'),
  ignored('bcast-buffers', [1, 1], ['general'], 'broadcasts are copied as they come'),
  ignored('preresolve', [0, 1], ['general'], 'names are resolved when they are needed'),
  ignored('ip-remote-hint', [0, 1], ['general'], 'it is looked up beforehand, and never used'),
  ignored('route-method', [1, 1], ['route-extras'], 'it chooses how Windows sets routes'),
];
