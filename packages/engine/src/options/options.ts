/**
 * What a configuration says, as plain data: every default resolved (OpenVPN 2.6.14's), every helper directive expanded,
 * every contradiction refused. Nothing downstream has a default of its own.
 *
 * Times are in seconds as written in the configuration, sizes in bytes, addresses in canonical text.
 * Names are upstream's, in camel case; `struct options` of options.h is the source of the grouping.
 */

import type { NatRule } from '@seikan/core';

/** Contents that a directive names by path or carries inline. Paths are as written: relative to `cd`, if any. */
export type Material =
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'inline'; readonly text: string };

/** A secret that may also be asked for: `auth-user-pass` and `askpass` without a file. */
export type Credentials = Material | { readonly from: 'stdin' };

export interface Options {
  readonly mode: 'p2p' | 'server';
  /** The configuration takes options from the peer (`pull`, `client`). */
  readonly pull: boolean;
  /** What the process is asked to do; everything but `run` ends after doing it. */
  readonly action: Action;
  /** The places to connect to, in the order written; in server mode and for a listening peer exactly one, without remote. */
  readonly connections: readonly Connection[];
  readonly connecting: ConnectingOptions;
  readonly socket: SocketOptions;
  readonly device: DeviceOptions;
  readonly addresses: InterfaceAddresses;
  readonly routing: RoutingOptions;
  readonly dns: DnsOptions;
  readonly timers: TimerOptions;
  readonly data: DataOptions;
  readonly tls: TlsOptions;
  readonly verify: VerifyOptions;
  readonly auth: AuthOptions;
  readonly pulling: PullOptions;
  /** What is pushed to every client, in order, helpers' own pushes included. */
  readonly push: readonly string[];
  readonly server: ServerOptions;
  readonly scripts: ScriptOptions;
  /** `plugin`, in order. */
  readonly plugins: readonly PluginOption[];
  readonly persist: PersistOptions;
  readonly process: ProcessOptions;
  readonly log: LogOptions;
  /** `setenv` and `setenv-safe` (already prefixed with `OPENVPN_`), in order. */
  readonly environment: readonly EnvironmentEntry[];
  /** The file of the first `config` directive or argument. */
  readonly configFile: string | undefined;
}

export type Action =
  | { readonly do: 'run' }
  | { readonly do: 'help' | 'version' | 'test-crypto' | 'mktun' | 'rmtun' }
  | {
      readonly do: 'show-ciphers' | 'show-digests' | 'show-tls' | 'show-groups' | 'show-engines' | 'show-gateway';
      readonly argument: string | undefined;
    }
  | {
      readonly do: 'genkey';
      readonly type: 'secret' | 'tls-crypt-v2-server' | 'tls-crypt-v2-client' | 'auth-token';
      /** Written to standard output without one. */
      readonly file: string | undefined;
      /** Base64 metadata of a tls-crypt-v2 client key. */
      readonly metadata: string | undefined;
      /** `tls-crypt-v2`: the server key that wraps a client key. */
      readonly serverKey: Material | undefined;
    };

export type Protocol = 'udp' | 'tcp-client' | 'tcp-server';

/** One `remote` or `<connection>` with all that it inherits. Upstream's connection_entry. */
export interface Connection {
  readonly remote: string | undefined;
  readonly remotePort: number;
  readonly protocol: Protocol;
  /** `udp4`, `tcp6` …; undefined tries both families. */
  readonly family: 4 | 6 | undefined;
  readonly localAddress: string | undefined;
  /** False with `nobind` or where nobody asked to bind: the system chooses the port. */
  readonly bind: boolean;
  /** 0 when not bound. */
  readonly localPort: number;
  readonly ipv6Only: boolean;
  /** `remote` may answer from any address. Server mode always follows authenticated packets. */
  readonly float: boolean;
  readonly connectRetry: number;
  readonly connectRetryMaximum: number;
  readonly connectTimeout: number;
  /** How often EXIT is repeated on the way out; 0 says nothing. In server mode 1: RESTART, 2: RESTART,[N]. */
  readonly explicitExitNotify: number;
  readonly tunMtu: number;
  /** What is announced in the options string instead of the real tun-mtu; 0 is the real one. */
  readonly occMtu: number;
  /** IV_MTU; 0 when not set: the larger of tun-mtu and 1600. */
  readonly tunMtuMaximum: number;
  readonly tunMtuExtra: number;
  /** Only with `link-mtu`, from which tun-mtu is then derived. */
  readonly linkMtu: number | undefined;
  /** `max-packet-size`: the whole control datagram. */
  readonly maxPacketSize: number;
  readonly mtuDiscover: 'no' | 'maybe' | 'yes' | undefined;
  /** Largest fragment; 0 is off. `fragmentIncludesTransport`: counted with IP and UDP headers (`fragment n mtu`). */
  readonly fragment: number;
  readonly fragmentIncludesTransport: boolean;
  readonly mssfix: Mssfix;
  readonly wrap: WrapOptions;
  /** Through which the peer is reached. */
  readonly proxy: HttpProxy | SocksProxy | undefined;
  /** False where `proto-force` leaves this entry out. */
  readonly enabled: boolean;
}

export interface HttpProxy {
  readonly kind: 'http';
  readonly host: string;
  readonly port: number;
  /** `auto`: what the proxy asks for; `auto-nct`: unless the password would cross in clear. */
  readonly authentication: 'none' | 'basic' | 'ntlm2' | 'auto' | 'auto-nct';
  /** Undefined: a person is asked, if the proxy wants a login at all. */
  readonly credentials: Credentials | undefined;
  /** Of HTTP, `1.0`. */
  readonly version: string;
  readonly agent: string | undefined;
  /** Whole lines, without their ends. */
  readonly headers: readonly string[];
}

/** SOCKS5: a TCP connection through it, or UDP packets beside one. */
export interface SocksProxy {
  readonly kind: 'socks';
  readonly host: string;
  readonly port: number;
  /** Undefined: the proxy asks for none. */
  readonly credentials: Credentials | undefined;
}

/** Upstream's ce.mssfix: `size` 0 is off. */
export interface Mssfix {
  readonly size: number;
  /**
   * `packet`: the UDP payload that carries a segment; `mtu`: the outer IP packet; `fixed`: the inner IP packet.
   */
  readonly measure: 'packet' | 'mtu' | 'fixed';
}

/** A server may offer tls-crypt-v2 beside one of the others. All three undefined: control packets are not wrapped. */
export interface WrapOptions {
  readonly tlsAuth: { readonly key: Material; readonly direction: KeyDirection } | undefined;
  readonly tlsCrypt: Material | undefined;
  readonly tlsCryptV2: { readonly key: Material; readonly forceCookie: boolean } | undefined;
}

/** `undefined` is bidirectional: the same key both ways. */
export type KeyDirection = 0 | 1 | undefined;

export interface ConnectingOptions {
  readonly remoteRandom: boolean;
  /** `remote-random-hostname`: something random is put before each name, so that no cache answers. */
  readonly randomHostname: boolean;
  /** Seconds, or infinite. */
  readonly resolvRetry: number | 'infinite';
  /** Rounds over all remotes; 0 is without end. */
  readonly connectRetryMax: number;
}

export interface SocketOptions {
  readonly multihome: boolean;
  readonly bindDevice: string | undefined;
  /** `passtos`: what is sent bears the TOS byte of the IPv4 packet inside. */
  readonly passTos: boolean;
  /** SO_RCVBUF, SO_SNDBUF; 0 leaves the system's. */
  readonly receiveBuffer: number;
  readonly sendBuffer: number;
  readonly mark: number | undefined;
}

export interface DeviceOptions {
  /** `tun`, `tun3`, `myvpn`; undefined only when the action needs none. */
  readonly name: string | undefined;
  readonly type: 'tun' | 'tap' | 'null';
  readonly macAddress: string | undefined;
  readonly topology: Topology;
  readonly txQueueLength: number | undefined;
  readonly allowRecursiveRouting: boolean;
  /** `disable-dco`: packets stay in user space, whatever the kernel can. */
  readonly disableOffload: boolean;
}

export type Topology = 'net30' | 'p2p' | 'subnet';

export interface InterfaceAddresses {
  /** `remoteOrNetmask`: the peer's address in net30 and p2p, the netmask in subnet and tap. */
  readonly ipv4: { readonly local: string; readonly remoteOrNetmask: string } | undefined;
  readonly ipv6: { readonly local: string; readonly bits: number; readonly remote: string } | undefined;
  /** `ifconfig-noexec`: addresses are only told to scripts. */
  readonly noExec: boolean;
  readonly noWarn: boolean;
}

/**
 * `vpn_gateway`, `net_gateway`, `remote_host` stay words: only the one who applies routes knows them. Other names are
 * looked up when the tunnel is set up.
 */
export interface Route {
  readonly network: string;
  readonly netmask: string;
  readonly gateway: string | undefined;
  readonly metric: number | undefined;
}

export interface RouteIpv6 {
  readonly network: string;
  readonly bits: number;
  readonly gateway: string | undefined;
  readonly metric: number | undefined;
}

export interface RedirectGateway {
  /** False with `!ipv4`: nothing is done about IPv4, not even a host route to the server. */
  readonly enabled: boolean;
  /** Replace the IPv4 default route (false with `redirect-private` and `!ipv4`). */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly def1: boolean;
  readonly local: boolean;
  readonly autolocal: boolean;
  readonly blockLocal: boolean;
}

export interface RoutingOptions {
  readonly routes: readonly Route[];
  readonly routesIpv6: readonly RouteIpv6[];
  /** `route-gateway`: an address or a name. */
  readonly gateway: string | undefined;
  readonly gatewayIpv6: string | undefined;
  readonly metric: number | undefined;
  readonly redirectGateway: RedirectGateway | undefined;
  readonly blockIpv6: boolean;
  /** `client-nat`, the first that fits before the others. */
  readonly clientNat: readonly NatRule[];
  /** `undefined`: routes are added as soon as the tun is up. */
  readonly delay: number | undefined;
  readonly noExec: boolean;
}

/** One `dhcp-option`, as scripts see it in foreign_option_n. */
export interface DhcpOption {
  readonly type: string;
  readonly value: string | undefined;
}

export interface DnsServer {
  readonly priority: number;
  readonly addresses: readonly { readonly address: string; readonly port: number | undefined }[];
  readonly resolveDomains: readonly string[];
  readonly dnssec: 'yes' | 'no' | 'optional' | undefined;
  readonly transport: 'plain' | 'DoH' | 'DoT' | undefined;
  readonly sni: string | undefined;
}

export interface DnsOptions {
  /** `dns-updown`. `script`: what `up` runs is to see to it, if there is one; `force`: we do, all the same. */
  readonly updown: 'script' | 'force' | 'disable';
  readonly dhcpOptions: readonly DhcpOption[];
  /** By ascending priority. */
  readonly servers: readonly DnsServer[];
  readonly searchDomains: readonly string[];
}

export interface TimerOptions {
  /** Send a ping after so long without sending; 0 is never. */
  readonly ping: number;
  /** Act after so long without receiving; 0 is never. */
  readonly pingTimeout: number;
  readonly pingAction: 'restart' | 'exit';
  readonly pingTimerRemote: boolean;
  /** `inactive seconds [bytes]`; 0 is never. */
  readonly inactive: number;
  readonly inactiveBytes: number;
  readonly sessionTimeout: number;
}

export interface DataOptions {
  /** Already cleaned: names in upstream's spelling, `?` entries kept as optional. Never empty. */
  readonly dataCiphers: readonly string[];
  /** `cipher`; BF-CBC when not set, as upstream keeps it, although nothing uses it without a fallback. */
  readonly cipher: string;
  /** `data-ciphers-fallback`, or `cipher` in p2p mode: used with peers that cannot negotiate. */
  readonly fallback: boolean;
  readonly auth: string;
  /** Static key mode. */
  readonly secret: { readonly key: Material; readonly direction: KeyDirection } | undefined;
  readonly replayWindow: number;
  readonly replayTime: number;
  readonly compression: CompressionOptions;
  readonly occ: boolean;
  /** `mtu-test` */
  readonly mtuTest: boolean;
}

export interface CompressionOptions {
  /** What the options string names; `lzo-no` is `comp-lzo no`. */
  readonly algorithm: 'none' | 'lzo' | 'lzo-no' | 'lz4' | 'lz4-v2' | 'stub' | 'stub-v2';
  /** How outgoing packets are framed. Nothing is ever compressed. */
  readonly framing: 'none' | 'lzo-no' | 'stub' | 'stub-v2';
  /** `no`: only stubs are announced and taken. `asym`: the peer is told that it may compress. */
  readonly allow: 'no' | 'asym';
  /** A server tells clients that still compress to stop (`compress migrate`). */
  readonly migrate: boolean;
}

export type TlsVersion = '1.0' | '1.1' | '1.2' | '1.3';

export interface TlsOptions {
  /** `none` is static key mode. */
  readonly role: 'server' | 'client' | 'none';
  readonly ca: Material | undefined;
  readonly capath: string | undefined;
  readonly cert: Material | undefined;
  readonly key: Material | undefined;
  readonly extraCerts: Material | undefined;
  /** Inline: base64 of the file. */
  readonly pkcs12: Material | undefined;
  /** The passphrase of `key` or `pkcs12`, if it is not to be asked for when needed. */
  readonly askpass: Credentials | undefined;
  /** `providers` of OpenSSL, in order. */
  readonly providers: readonly string[];
  /** Undefined is `dh none`: ECDHE only. */
  readonly dh: Material | undefined;
  readonly versionMin: TlsVersion;
  readonly versionMax: TlsVersion | undefined;
  readonly cipher: string | undefined;
  readonly ciphersuites: string | undefined;
  readonly groups: string | undefined;
  readonly certProfile: 'insecure' | 'legacy' | 'preferred' | 'suiteb' | undefined;
  /** First retransmission of a control packet. */
  readonly timeout: number;
  readonly handWindow: number;
  readonly tranWindow: number;
  readonly renegSec: number;
  /** The lower end of the random range; undefined: 90 % of renegSec on a server, renegSec elsewhere (context-settings.ts). */
  readonly renegSecMin: number | undefined;
  /** Undefined: 64 MB for ciphers with 64-bit blocks, otherwise no limit. 0 is no limit. */
  readonly renegBytes: number | undefined;
  readonly renegPackets: number;
  readonly singleSession: boolean;
  readonly exitOnError: boolean;
  readonly pushPeerInfo: boolean;
  /** `tls-crypt-v2-verify`. */
  readonly cryptV2Verify: string | undefined;
  /** `keying-material-exporter`. */
  readonly keyingMaterial: { readonly label: string; readonly length: number } | undefined;
  /** `force-tls-key-material-export`. */
  readonly forceKeyMaterialExport: boolean;
}

export interface VerifyOptions {
  readonly clientCertificate: 'require' | 'optional' | 'none';
  /** SHA-256 of the peer's own certificate, 32 bytes as lower-case hex each. */
  readonly peerFingerprints: readonly string[];
  /** `verify-hash`: of the level-1 certificate. */
  readonly caFingerprints: { readonly algorithm: 'SHA1' | 'SHA256'; readonly hashes: readonly string[] } | undefined;
  readonly x509Name: { readonly name: string; readonly type: 'subject' | 'name' | 'name-prefix' } | undefined;
  /** Undefined: not checked. Empty: any key usage, but the extension must be there. */
  readonly keyUsage: readonly number[] | undefined;
  /** An OID or one of OpenSSL's long names (`TLS Web Server Authentication`). */
  readonly extendedKeyUsage: string | undefined;
  readonly crl:
    | { readonly kind: 'file'; readonly source: Material }
    | { readonly kind: 'directory'; readonly path: string }
    | undefined;
  /** The command of `tls-verify`. */
  readonly script: string | undefined;
  /** `tls-export-cert`. */
  readonly exportDirectory: string | undefined;
  readonly usernameFields: readonly string[];
  readonly track: readonly { readonly name: string; readonly fullChain: boolean }[];
}

export interface AuthOptions {
  /** The client's own user name and password. */
  readonly userPass: Credentials | undefined;
  /** `static-challenge`: what to ask besides the password; the answer goes with it (SCRV1). */
  readonly staticChallenge: { readonly text: string; readonly echo: boolean } | undefined;
  readonly noCache: boolean;
  readonly retry: 'none' | 'nointeract' | 'interact';
  readonly verify: { readonly command: string; readonly method: 'via-env' | 'via-file' } | undefined;
  readonly userPassOptional: boolean;
  /** `opt-verify`: a client whose options string is another than the one expected is refused. */
  readonly optionsMustMatch: boolean;
  readonly usernameAsCommonName: boolean;
  readonly genToken: GenToken | undefined;
}

export interface GenToken {
  /** 0 is without end. */
  readonly lifetime: number;
  readonly renewal: number;
  readonly externalAuth: boolean;
  /** Undefined: a random secret for this run. */
  readonly secret: Material | undefined;
}

export interface PullOptions {
  readonly filters: readonly { readonly action: 'accept' | 'ignore' | 'reject'; readonly prefix: string }[];
  readonly routeNoPull: boolean;
  /** `allow-pull-fqdn`: pushed addresses may be names; and names may stand in `ifconfig` and `route-gateway`. */
  readonly allowNames: boolean;
  readonly ignoreUnknown: readonly string[];
}

export interface Pool {
  readonly start: string;
  readonly end: string;
  readonly netmask: string | undefined;
}

export interface PortShareOptions {
  readonly host: string;
  readonly port: number;
  readonly journal: string | undefined;
}

export interface ServerOptions {
  readonly pool: Pool | undefined;
  readonly poolIpv6: { readonly base: string; readonly bits: number } | undefined;
  readonly poolPersist: { readonly file: string; readonly refresh: number } | undefined;
  readonly pushConstraint: { readonly network: string; readonly netmask: string } | undefined;
  readonly clientConfigDir: string | undefined;
  readonly ccdExclusive: boolean;
  readonly clientToClient: boolean;
  readonly duplicateCn: boolean;
  readonly maxClients: number;
  readonly maxRoutesPerClient: number;
  readonly connectFreq: { readonly count: number; readonly seconds: number } | undefined;
  readonly connectFreqInitial: { readonly count: number; readonly seconds: number };
  readonly tcpQueueLimit: number;
  /** Who gets connections that do not speak OpenVPN. `journal`: a folder of files that say where they come from. */
  readonly portShare: PortShareOptions | undefined;
  readonly tempDirectory: string;
}

/** Commands as written; they are split into words when they run (see `splitCommand`). */
export interface ScriptOptions {
  readonly security: 0 | 1 | 2 | 3;
  readonly up: string | undefined;
  readonly down: string | undefined;
  readonly downPre: boolean;
  readonly upDelay: boolean;
  readonly upRestart: boolean;
  readonly routeUp: string | undefined;
  readonly routePreDown: string | undefined;
  readonly ipchange: string | undefined;
  readonly clientConnect: string | undefined;
  readonly clientDisconnect: string | undefined;
  readonly learnAddress: string | undefined;
  readonly clientCrresponse: string | undefined;
}

export interface PluginOption {
  /** A file, a name in the plugin directory, or a package. */
  readonly name: string;
  /** As written; whoever loads it splits a single one into words. */
  readonly parameters: readonly string[];
}

/** Keys are always kept, as in OpenVPN 2.7; local addresses are never looked up anew. */
export interface PersistOptions {
  readonly tun: boolean;
  /** Only for a warning. */
  readonly key: boolean;
  readonly remoteIp: boolean;
}

export interface ProcessOptions {
  readonly cd: string | undefined;
  readonly chroot: string | undefined;
  readonly user: string | undefined;
  readonly group: string | undefined;
  readonly nice: number;
  readonly mlock: boolean;
  readonly daemon: boolean;
  /** The name given to `daemon` or `syslog`; undefined is `openvpn`. */
  readonly programName: string | undefined;
  readonly writePid: string | undefined;
  readonly remapUsr1: 'SIGHUP' | 'SIGTERM' | undefined;
}

export interface LogOptions {
  readonly verb: number;
  readonly mute: number;
  readonly destination: LogDestination;
  readonly errorsToStderr: boolean;
  readonly suppressTimestamps: boolean;
  readonly machineReadable: boolean;
  readonly status: { readonly file: string; readonly interval: number } | undefined;
  readonly statusVersion: 1 | 2 | 3;
  /** `echo` lines, in order: a management client is told of them. */
  readonly echo: readonly string[];
}

export type LogDestination =
  | { readonly to: 'stdout' | 'syslog' }
  | { readonly to: 'file'; readonly path: string; readonly append: boolean };

export interface EnvironmentEntry {
  readonly name: string;
  readonly value: string;
}
