/**
 * What contradicts itself is refused before anything starts.
 * Source: options.c options_postprocess_verify_ce (2.6.14), in its order.
 */

import { ConfigError, wholeConfiguration } from './config-error.js';
import type { Draft } from './draft.js';
import type { Connection } from './options.js';
import { isAvailable, otherCiphers } from './resolve.js';
import { usage } from './usage.js';

export function verifyOptions(draft: Draft): void {
  for (const connection of draft.options.connections) verifyConnection(draft, connection);
  if (draft.options.connections.every(({ enabled }) => !enabled))
    usage(draft, 'proto-force')(
      'No usable connection profiles are present',
      'proto-force leaves out all of them.',
      'Remove it, or add a remote with that protocol.',
    );
  if (draft.options.mode === 'server') verifyServer(draft);
  else verifyNotServer(draft);
  verifyTls(draft);
  verifyCipher(draft);
  verifyDigest(draft);
  for (const server of draft.options.dns.servers)
    if (server.addresses.length === 0)
      throw new ConfigError(draft.given.get('dns') ?? wholeConfiguration, {
        upstream: `ERROR: dns server ${server.priority} does not have an address assigned`,
        why: 'A DNS server needs an address.',
        remedy: `Write "dns server ${server.priority} address ADDRESS".`,
        directive: 'dns',
      });
}

function verifyConnection(draft: Draft, connection: Connection): void {
  const { options } = draft;
  const { protocol, remote, localAddress, linkMtu, fragment } = connection;
  const { ipv4 } = options.addresses;
  if (options.device.macAddress !== undefined && options.device.type !== 'tap')
    usage(draft, 'lladdr')('--lladdr can only be used in --dev tap mode', 'A tun has no MAC address.', 'Remove it.');
  if (draft.given.has('tun-mtu') && linkMtu !== undefined)
    usage(draft, 'link-mtu')(
      'only one of --tun-mtu or --link-mtu may be defined',
      'The one follows from the other.',
      'Keep tun-mtu.',
    );
  if (same(localAddress, remote) && connection.localPort === connection.remotePort)
    usage(draft, 'local')('--remote and --local addresses are the same', 'It would call itself.', 'Correct one.');
  if (same(remote, ipv4?.local) || same(remote, ipv4?.remoteOrNetmask))
    usage(draft, 'ifconfig')(
      '--local and --remote addresses must be distinct from --ifconfig addresses',
      'Addresses outside and inside of the tunnel cannot be the same.',
      'Choose private addresses for ifconfig.',
    );
  if (same(localAddress, ipv4?.local) || same(localAddress, ipv4?.remoteOrNetmask))
    usage(draft, 'ifconfig')(
      '--local addresses must be distinct from --ifconfig addresses',
      'Addresses outside and inside of the tunnel cannot be the same.',
      'Choose private addresses for ifconfig.',
    );
  if (same(ipv4?.local, ipv4?.remoteOrNetmask))
    usage(draft, 'ifconfig')(
      'local and remote/netmask --ifconfig addresses must be different',
      'Both ends have one address.',
      'Correct one.',
    );
  if (remote === undefined && !connection.bind)
    usage(draft, 'nobind')(
      "--nobind doesn't make sense unless used with --remote",
      'It would neither call nor be called.',
      'Write "remote HOST PORT".',
    );
  if (protocol !== 'udp' && fragment > 0)
    usage(draft, 'fragment')('--fragment can only be used with --proto udp', 'TCP has no datagrams.', 'Remove it.');
  if (protocol !== 'udp' && options.data.mtuTest)
    usage(draft, 'mtu-test')(
      '--mtu-test only makes sense with --proto udp',
      'TCP cuts its own segments.',
      'Remove it.',
    );
  if (remote === undefined && protocol === 'tcp-client')
    usage(draft, 'proto')('--remote MUST be used in TCP Client mode', 'Nobody to call is named.', 'Add a remote.');
  if (protocol === 'tcp-server' && options.connections.length > 1)
    usage(draft, 'remote')(
      'TCP server mode allows at most one --remote address',
      'A listener waits for one peer.',
      'Keep one remote.',
    );
}

function same(a: string | undefined, b: string | undefined): boolean {
  return a !== undefined && a === b;
}

function verifyServer(draft: Draft): void {
  const { options, given } = draft;
  const { server, device, auth, verify, routing, scripts } = options;
  const [connection] = options.connections;
  const refuseWith = (directive: string, line: string, why: string, remedy = 'Remove it.'): void =>
    usage(draft, directive)(line, why, remedy);
  if (device.type === 'null')
    refuseWith('dev', '--mode server only works with --dev tun or --dev tap', 'Clients could not be reached.');
  if (options.pull)
    refuseWith('pull', '--pull cannot be used with --mode server', 'A server pushes, it does not pull.');
  if (options.pulling.filters.length > 0)
    draft.warnings.push({
      level: 'warning',
      text: '--pull-filter ignored for --mode server',
      at: given.get('pull-filter') ?? wholeConfiguration,
    });
  if (connection?.protocol === 'tcp-client')
    refuseWith(
      'proto',
      '--mode server currently only supports --proto values of udp, tcp-server, tcp4-server, or tcp6-server',
      'A server is called.',
      'Write "proto tcp-server".',
    );
  if (!draft.tls.server)
    refuseWith('mode', '--mode server requires --tls-server', 'Many peers need TLS.', 'Write "tls-server" too.');
  if (draft.remotes.length > 0 || draft.blocks.length > 0)
    refuseWith(
      draft.remotes.length > 0 ? 'remote' : 'connection',
      '--remote cannot be used with --mode server',
      'A server is called.',
    );
  if (draft.entry.nobindGiven)
    refuseWith('nobind', '--nobind cannot be used with --mode server', 'Clients need to know its port.');
  if (scripts.ipchange !== undefined)
    refuseWith(
      'ipchange',
      '--ipchange cannot be used with --mode server (use --client-connect instead)',
      'It tells about one peer.',
      'Use client-connect.',
    );
  if (connection?.protocol !== 'udp' && server.connectFreq !== undefined)
    refuseWith(
      'connect-freq',
      '--connect-freq only works with --mode server --proto udp.  Try --max-clients instead.',
      'TCP connections are not counted.',
    );
  if (connection?.protocol === 'udp' && server.portShare !== undefined)
    refuseWith(
      'port-share',
      '--port-share only works in TCP server mode (--proto values of tcp-server, tcp4-server, or tcp6-server)',
      'Other services are told apart by the first bytes of a connection.',
      'Write "proto tcp-server".',
    );
  if (device.type === 'tun' && device.topology !== 'subnet' && server.pool?.netmask !== undefined)
    refuseWith(
      'ifconfig-pool',
      'The third parameter to --ifconfig-pool (netmask) is only valid in --dev tap mode',
      'Point-to-point addresses have no netmask.',
      'Remove the netmask, or write "topology subnet".',
    );
  if (routing.redirectGateway !== undefined)
    refuseWith(
      given.has('redirect-gateway') ? 'redirect-gateway' : 'redirect-private',
      '--redirect-gateway cannot be used with --mode server (however --push "redirect-gateway" is fine)',
      'A server redirects its clients, not itself.',
      'Write push "redirect-gateway def1".',
    );
  if (routing.delay !== undefined)
    refuseWith('route-delay', '--route-delay cannot be used with --mode server', 'There is no moment to wait for.');
  if (routing.clientNat.length > 0)
    refuseWith(
      'client-nat',
      '--client-nat cannot be used with --mode server (however --push "client-nat" is fine)',
      'Clients are told apart by the addresses that it would change.',
      'Push it, or use nftables.',
    );
  if (scripts.upDelay)
    refuseWith('up-delay', '--up-delay cannot be used with --mode server', 'There is no single connection.');
  if (server.poolPersist !== undefined && server.pool === undefined && server.poolIpv6 === undefined)
    refuseWith(
      'ifconfig-pool-persist',
      '--ifconfig-pool-persist must be used with --ifconfig-pool or --ifconfig-ipv6-pool',
      'There is no pool.',
    );
  if (server.poolIpv6 !== undefined && options.addresses.ipv6 === undefined)
    refuseWith(
      'ifconfig-ipv6-pool',
      '--ifconfig-ipv6-pool needs --ifconfig-ipv6',
      'The server itself needs an address.',
      'Write ifconfig-ipv6, or use server-ipv6.',
    );
  if (device.allowRecursiveRouting)
    refuseWith(
      'allow-recursive-routing',
      '--allow-recursive-routing cannot be used with --mode server',
      'It is for clients.',
    );
  if (auth.userPass !== undefined)
    refuseWith(
      'auth-user-pass',
      '--auth-user-pass cannot be used with --mode server (it should be used on the client side only)',
      'It is the name that a client gives.',
      'Use auth-user-pass-verify.',
    );
  if (server.ccdExclusive && server.clientConfigDir === undefined)
    refuseWith(
      'ccd-exclusive',
      '--ccd-exclusive must be used with --client-config-dir',
      'Nobody could connect.',
      'Write client-config-dir too.',
    );
  if (auth.genToken !== undefined && options.tls.renegSec === 0)
    refuseWith(
      'auth-gen-token',
      '--auth-gen-token needs a non-infinite --renegotiate_seconds setting',
      'Tokens are renewed when keys are.',
      'Set reneg-sec.',
    );
  if (auth.genToken !== undefined && auth.genToken.renewal < 2 * options.tls.handWindow)
    refuseWith(
      'auth-gen-token',
      `--auth-gen-token renewal time needs to be at least  two times --hand-window (${options.tls.handWindow}).`,
      'A token would run out during a handshake.',
      'Raise the renewal time.',
    );
  const postfix = 'must be used with --management-client-auth, an --auth-user-pass-verify script, or plugin';
  if (auth.verify !== undefined || options.plugins.length > 0) return;
  if (verify.clientCertificate !== 'require')
    refuseWith(
      'verify-client-cert',
      `--verify-client-cert none|optional ${postfix}`,
      'Anybody could connect.',
      'Add auth-user-pass-verify.',
    );
  if (auth.usernameAsCommonName)
    refuseWith('username-as-common-name', `--username-as-common-name ${postfix}`, 'Nobody checks the name.');
  if (auth.userPassOptional)
    refuseWith('auth-user-pass-optional', `--auth-user-pass-optional ${postfix}`, 'Nobody asks for a password.');
}

/** Directives that need server mode, by the name in upstream's message. */
const serverOnly: readonly (readonly [directive: string, shown: string])[] = [
  ['ifconfig-pool', '--ifconfig-pool/--ifconfig-pool-persist'],
  ['ifconfig-pool-persist', '--ifconfig-pool/--ifconfig-pool-persist'],
  ['ifconfig-ipv6-pool', '--ifconfig-ipv6-pool'],
  ['hash-size', '--hash-size'],
  ['learn-address', '--learn-address'],
  ['client-crresponse', '--client-crresponse'],
  ['client-connect', '--client-connect'],
  ['client-disconnect', '--client-disconnect'],
  ['client-config-dir', '--client-config-dir/--ccd-exclusive'],
  ['ccd-exclusive', '--client-config-dir/--ccd-exclusive'],
  ['client-to-client', '--client-to-client'],
  ['duplicate-cn', '--duplicate-cn'],
  ['username-as-common-name', '--username-as-common-name'],
  ['auth-user-pass-optional', '--auth-user-pass-optional'],
  ['opt-verify', '--opt-verify'],
  ['auth-user-pass-verify', '--auth-user-pass-verify'],
  ['auth-gen-token', '--auth-gen-token'],
  ['stale-routes-check', '--stale-routes-check'],
  ['force-tls-key-material-export', '--force-tls-key-material-export'],
];

function verifyNotServer(draft: Draft): void {
  const { options } = draft;
  const need = (directive: string, shown: string): never =>
    usage(draft, directive)(
      `${shown} requires --mode server`,
      'It is about the clients of a server.',
      'Remove it, or write "server NETWORK NETMASK".',
    );
  for (const [directive, shown] of serverOnly) if (draft.given.has(directive)) need(directive, shown);
  if (options.server.connectFreq !== undefined) need('connect-freq', '--connect-freq');
  if (options.verify.clientCertificate !== 'require') need('verify-client-cert', '--verify-client-cert');
  if (options.server.portShare !== undefined)
    usage(draft, 'port-share')(
      '--port-share requires TCP server mode (--mode server --proto tcp-server)',
      'A port is shared where clients are waited for.',
      'Remove it, or write "server NETWORK NETMASK" and "proto tcp-server".',
    );
  if (draft.helpers.tcpNoDelay)
    draft.warnings.push({
      level: 'warning',
      text: 'WARNING: setting tcp-nodelay on the client side will not affect the server. To have TCP_NODELAY in both direction use tcp-nodelay in the server configuration instead.',
      at: draft.given.get('tcp-nodelay') ?? wholeConfiguration,
    });
}

/** Directives that mean nothing without TLS, by upstream's name for what they set. */
const tlsOnly: readonly (readonly [directive: string, shown: string])[] = [
  ['ca', 'ca_file'],
  ['capath', 'ca_path'],
  ['dh', 'dh_file'],
  ['cert', 'cert_file'],
  ['key', 'priv_key_file'],
  ['pkcs12', 'pkcs12_file'],
  ['tls-cipher', 'cipher_list'],
  ['tls-ciphersuites', 'cipher_list_tls13'],
  ['tls-cert-profile', 'tls_cert_profile'],
  ['tls-verify', 'tls_verify'],
  ['tls-export-cert', 'tls_export_peer_cert_dir'],
  ['verify-x509-name', 'verify_x509_name'],
  ['tls-timeout', 'tls_timeout'],
  ['reneg-bytes', 'renegotiate_bytes'],
  ['reneg-pkts', 'renegotiate_packets'],
  ['reneg-sec', 'renegotiate_seconds'],
  ['hand-window', 'handshake_window'],
  ['tran-window', 'transition_window'],
  ['tls-auth', 'tls_auth_file'],
  ['tls-crypt', 'tls_crypt_file'],
  ['tls-crypt-v2', 'tls_crypt_v2_file'],
  ['single-session', 'single_session'],
  ['push-peer-info', 'push_peer_info'],
  ['tls-exit', 'tls_exit'],
  ['crl-verify', 'crl_file'],
  ['remote-cert-ku', 'remote_cert_ku[0]'],
  ['remote-cert-eku', 'remote_cert_eku'],
  ['remote-cert-tls', 'remote_cert_ku[0]'],
];

function verifyTls(draft: Draft): void {
  const { options } = draft;
  const { server, client } = draft.tls;
  const { secret } = options.data;
  if (Number(server) + Number(client) + Number(secret !== undefined) > 1)
    usage(draft, secret === undefined ? 'tls-client' : 'secret')(
      'specify only one of --tls-server, --tls-client, or --secret',
      'They exclude each other.',
      'Keep one.',
    );
  const { tls, verify, auth, pull } = options;
  if (tls.role === 'none') verifyWithoutTls(draft);
  else {
    if (
      tls.ca === undefined &&
      tls.capath === undefined &&
      tls.pkcs12 === undefined &&
      verify.peerFingerprints.length === 0
    )
      usage(draft, 'ca')(
        'You must define CA file (--ca) or CA path (--capath) and/or peer fingerprint verification (--peer-fingerprint)',
        'It is not said whom to trust.',
        'Write "ca FILE", or put the certificate into <ca>.',
      );
    if (verify.clientCertificate !== 'require')
      draft.warnings.push({
        level: 'warning',
        text: 'WARNING: POTENTIALLY DANGEROUS OPTION --verify-client-cert none|optional may accept clients which do not present a certificate',
        at: draft.given.get('verify-client-cert') ?? wholeConfiguration,
      });
    verifyCredentials(draft);
    for (const { wrap } of options.connections) {
      if (wrap.tlsAuth !== undefined && wrap.tlsCrypt !== undefined)
        usage(draft, 'tls-crypt')(
          '--tls-auth and --tls-crypt are mutually exclusive',
          'A control packet is protected once.',
          'Keep tls-crypt.',
        );
      if (wrap.tlsAuth !== undefined && options.data.auth.toLowerCase() === 'none')
        usage(draft, 'tls-auth')(
          "ERROR: tls-auth enabled, but no valid --auth algorithm specified ('none')",
          'tls-auth is an HMAC with the digest that auth names.',
          'Use tls-crypt, or remove "auth none".',
        );
      const other = wrap.tlsAuth !== undefined || wrap.tlsCrypt !== undefined;
      if (tls.role === 'client' && wrap.tlsCryptV2 !== undefined && other)
        usage(draft, 'tls-crypt-v2')(
          '--tls-crypt-v2, --tls-auth and --tls-crypt are mutually exclusive in client mode',
          'A control packet is protected once.',
          'Keep tls-crypt-v2.',
        );
    }
  }
  if (auth.userPass !== undefined && !pull)
    usage(draft, 'auth-user-pass')(
      '--auth-user-pass requires --pull',
      'Only a client of a server gives a name.',
      'Write "client".',
    );
}

function verifyCredentials(draft: Draft): void {
  const { tls, auth } = draft.options;
  const { cert, key, pkcs12 } = tls;
  if (pkcs12 !== undefined) {
    for (const [directive, field] of [
      ['capath', tls.capath],
      ['cert', cert],
      ['key', key],
    ] as const)
      if (field !== undefined)
        usage(draft, directive)(
          `Parameter --${directive} cannot be used when --pkcs12 is also specified.`,
          'The PKCS#12 file has it all.',
          'Keep one.',
        );
    return;
  }
  if (!draft.options.pull) {
    if (cert === undefined)
      usage(draft, 'cert')(
        'You must define certificate file (--cert) or PKCS#12 file (--pkcs12)',
        'A TLS peer shows a certificate.',
        'Write "cert FILE" and "key FILE".',
      );
    if (key === undefined)
      usage(draft, 'key')(
        'You must define private key file (--key) or PKCS#12 file (--pkcs12)',
        'A certificate needs its private key.',
        'Write "key FILE".',
      );
    return;
  }
  if ((cert === undefined) !== (key === undefined))
    usage(draft, cert === undefined ? 'key' : 'cert')(
      'If you use one of --cert or --key, you must use them both',
      'A certificate is of no use without its key.',
      'Add the other.',
    );
  if (cert === undefined && auth.userPass === undefined)
    usage(draft, 'client')(
      'No client-side authentication method is specified.  You must use either --cert/--key, --pkcs12, or --auth-user-pass',
      'The server cannot know who calls.',
      'Add cert and key, or auth-user-pass.',
    );
}

function verifyWithoutTls(draft: Draft): void {
  draft.warnings.push({
    level: 'info',
    text: 'DEPRECATION: No tls-client or tls-server option in configuration detected. OpenVPN 2.7 will remove the functionality to run a VPN without TLS. See the examples section in the manual page for examples of a similar quick setup with peer-fingerprint.',
    at: wholeConfiguration,
  });
  for (const [directive, shown] of tlsOnly)
    if (draft.given.has(directive))
      usage(draft, directive)(
        needsTls(shown),
        'There is no TLS in this tunnel.',
        'Write "tls-client" or "tls-server" too.',
      );
  if (draft.options.pull)
    usage(draft, 'pull')(needsTls('--pull'), 'Options come over TLS.', 'Write "client" instead of "pull".');
  if (draft.options.data.secret === undefined)
    usage(draft, 'secret')(
      'No tls-client, tls-server or secret option: the tunnel would not be encrypted',
      'Upstream sends plain text then; here that is not supported.',
      'Write "client", "server NETWORK NETMASK", or secret.',
    );
}

function needsTls(shown: string): string {
  return `Parameter ${shown} can only be specified in TLS-mode, i.e. where --tls-server or --tls-client is also specified.`;
}

/** OpenVPN's names that a configuration may have, although nothing is ever encrypted with them here. */
const NAMED_ONLY = /^(none|BF-CBC|DES-EDE3?-(CBC|CFB|CFB1|CFB8|OFB))$/;

/** A cipher is needed where nothing is negotiated, and has to exist elsewhere too. Source: crypto.c init_key_type. */
function verifyCipher(draft: Draft): void {
  const { data } = draft.options;
  const used = data.secret !== undefined || data.fallback;
  const exists = draft.crypto === undefined || NAMED_ONLY.test(data.cipher);
  if ((used || !exists) && !isAvailable(draft, data.cipher))
    usage(draft, draft.given.has('data-ciphers-fallback') ? 'data-ciphers-fallback' : 'cipher')(
      `Cipher ${data.cipher} not supported`,
      `"${data.cipher}" is not available here.`,
      otherCiphers,
    );
  if (data.secret !== undefined && !data.cipher.endsWith('-CBC'))
    usage(draft, 'cipher')(
      `Cipher '${data.cipher}' mode not supported`,
      'A static key is the same after a restart, and packets are counted from the beginning again: nonces would repeat.',
      'Use a cipher in CBC mode, such as AES-256-CBC, or TLS.',
    );
}

function verifyDigest(draft: Draft): void {
  const { auth } = draft.options.data;
  const { crypto } = draft;
  if (crypto !== undefined && auth.toLowerCase() !== 'none' && crypto.digestSize(auth) === undefined)
    usage(draft, 'auth')(
      `Message hash algorithm '${auth}' not found`,
      `"${auth}" is not available here.`,
      'Use SHA256, or another that --show-digests names.',
    );
}
