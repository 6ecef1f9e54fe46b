/**
 * A configuration while it is read: the options so far, starting from the defaults of OpenVPN 2.6.14 (options.c
 * init_options), and what only makes sense once all of it is known (helpers, remotes, connection blocks).
 */
import type { Crypto } from '@seikan/core';

import type { ClientConfig } from './client-config.js';
import type { ConfigSpan, ConfigWarning } from './config-error.js';
import type {
  Connection,
  Credentials,
  HttpProxy,
  KeyDirection,
  Material,
  Options,
  Protocol,
  SocksProxy,
  TlsVersion,
} from './options.js';

export type Mutable<T> = T extends readonly (infer Element)[]
  ? Mutable<Element>[]
  : T extends object
    ? { -readonly [Key in keyof T]: Mutable<T[Key]> }
    : T;

/** `tcp` alone is decided by `client` or `server`. */
export type DraftProtocol = Protocol | 'tcp';

export interface DraftRemote {
  readonly host: string;
  readonly port: number | undefined;
  readonly protocol: DraftProtocol | undefined;
  readonly family: 4 | 6 | undefined;
}

export interface DraftWrap {
  tlsAuth: Material | undefined;
  direction: KeyDirection;
  tlsCrypt: Material | undefined;
  tlsCryptV2: Material | undefined;
}

/** Without a host while only its options were met. */
export type DraftHttpProxy = Mutable<Omit<HttpProxy, 'kind' | 'host'>> & { host: string | undefined };

/** What only a server's push says. */
export interface DraftPull {
  peerId: number | undefined;
  protocolFlags: Set<ProtocolFlag>;
  authToken: string | undefined;
  authTokenUser: string | undefined;
  continuation: number;
}

export type ProtocolFlag = 'cc-exit' | 'tls-ekm' | 'dyn-tls-crypt' | 'aead-epoch';

/** A connection entry: the common one, or a block's copy of it. */
export interface DraftEntry {
  settings: Mutable<Connection>;
  protocol: DraftProtocol;
  bindGiven: boolean;
  nobindGiven: boolean;
  localPortGiven: boolean;
  mssfixGiven: boolean;
  tunMtuExtraGiven: boolean;
  /** Only a block's own; the common keys stand in Draft.wrap. */
  wrap: DraftWrap;
  forceCookie: boolean;
  httpProxy: DraftHttpProxy | undefined;
  socksProxy: Omit<SocksProxy, 'kind'> | undefined;
  at: ConfigSpan | undefined;
}

/** Directives that stand for others, expanded in helpers.ts. */
export interface DraftHelpers {
  client: boolean;
  server: { network: number; netmask: number; pool: boolean } | undefined;
  serverIpv6: { network: Uint8Array; bits: number } | undefined;
  serverBridge: { address: number; netmask: number; start: number; end: number } | undefined;
  serverBridgeDhcp: { pushGateway: boolean } | undefined;
  keepalive: { interval: number; timeout: number } | undefined;
  tcpNoDelay: boolean;
}

/** What is asked of the cryptography while options are read: whether it has a cipher, a digest. */
export type AvailableCrypto = Pick<Crypto, 'cipher' | 'digestSize'>;

export interface Draft {
  options: Mutable<Options>;
  entry: DraftEntry;
  remotes: DraftRemote[];
  blocks: DraftEntry[];
  wrap: DraftWrap;
  helpers: DraftHelpers;
  /** The last place of each directive. */
  given: Map<string, ConfigSpan>;
  tls: {
    server: boolean;
    client: boolean;
    versionMin: TlsVersion | undefined;
    dh: Material | undefined;
  };
  /** Ciphers and digests that are not everywhere. */
  crypto: AvailableCrypto | undefined;
  dataCiphers: string | undefined;
  cipher: string | undefined;
  deviceType: string | undefined;
  protocolForce: DraftProtocol | undefined;
  /** `http-proxy-user-pass`: of every HTTP proxy. */
  httpProxyLogin: Credentials | undefined;
  /** `http-proxy-override`: in place of all others. */
  httpProxyOverride: DraftHttpProxy | undefined;
  /** `compat-mode` as upstream counts versions: 2.4.9 is 20409; 0 is none. */
  compatible: number;
  forwardCompatible: boolean;
  genTokenRenewalGiven: boolean;
  genTokenSecret: Material | undefined;
  /** `allow-compression`, if written. */
  allowCompression: 'no' | 'asym' | undefined;
  /** Set while a client's own file is read. */
  client: Mutable<ClientConfig> | undefined;
  pull: DraftPull;
  warnings: ConfigWarning[];
}

export function defaultEntry(): DraftEntry {
  return {
    settings: {
      remote: undefined,
      remotePort: 1194,
      protocol: 'udp',
      family: undefined,
      localAddress: undefined,
      bind: true,
      localPort: 1194,
      ipv6Only: false,
      float: false,
      connectRetry: 1,
      connectRetryMaximum: 300,
      connectTimeout: 120,
      explicitExitNotify: 0,
      tunMtu: 1500,
      occMtu: 0,
      tunMtuMaximum: 0,
      tunMtuExtra: 0,
      linkMtu: undefined,
      maxPacketSize: 1250,
      mtuDiscover: undefined,
      fragment: 0,
      fragmentIncludesTransport: false,
      mssfix: { size: 0, measure: 'mtu' },
      wrap: { tlsAuth: undefined, tlsCrypt: undefined, tlsCryptV2: undefined },
      proxy: undefined,
      enabled: true,
    },
    protocol: 'udp',
    bindGiven: false,
    nobindGiven: false,
    localPortGiven: false,
    mssfixGiven: false,
    tunMtuExtraGiven: false,
    wrap: emptyWrap(),
    forceCookie: false,
    httpProxy: undefined,
    socksProxy: undefined,
    at: undefined,
  };
}

export function newHttpProxy(): DraftHttpProxy {
  return {
    host: undefined,
    port: 0,
    authentication: 'none',
    credentials: undefined,
    version: '1.0',
    agent: undefined,
    headers: [],
  };
}

export function copyEntry(entry: DraftEntry): DraftEntry {
  return {
    ...entry,
    settings: { ...entry.settings, mssfix: { ...entry.settings.mssfix } },
    wrap: { ...entry.wrap },
    httpProxy:
      entry.httpProxy === undefined ? undefined : { ...entry.httpProxy, headers: [...entry.httpProxy.headers] },
  };
}

export function emptyWrap(): DraftWrap {
  return { tlsAuth: undefined, direction: undefined, tlsCrypt: undefined, tlsCryptV2: undefined };
}

export function newDraft(tempDirectory: string, crypto?: AvailableCrypto): Draft {
  return {
    crypto,
    options: defaultOptions(tempDirectory),
    entry: defaultEntry(),
    remotes: [],
    blocks: [],
    wrap: emptyWrap(),
    helpers: {
      client: false,
      server: undefined,
      serverIpv6: undefined,
      serverBridge: undefined,
      serverBridgeDhcp: undefined,
      keepalive: undefined,
      tcpNoDelay: false,
    },
    given: new Map(),
    tls: { server: false, client: false, versionMin: undefined, dh: undefined },
    dataCiphers: undefined,
    cipher: undefined,
    deviceType: undefined,
    protocolForce: undefined,
    httpProxyLogin: undefined,
    httpProxyOverride: undefined,
    compatible: 0,
    forwardCompatible: false,
    genTokenRenewalGiven: false,
    genTokenSecret: undefined,
    allowCompression: undefined,
    client: undefined,
    pull: {
      peerId: undefined,
      protocolFlags: new Set(),
      authToken: undefined,
      authTokenUser: undefined,
      continuation: 0,
    },
    warnings: [],
  };
}

/** A draft that starts from finished options, for what one client's file or a push changes. */
export function draftOf(options: Options, crypto?: AvailableCrypto): Draft {
  const draft = newDraft(options.server.tempDirectory, crypto);
  draft.options = copyPlain(options);
  return draft;
}

/** A deep copy of plain data, to be changed. */
export function copyPlain<T>(value: T): Mutable<T> {
  if (Array.isArray(value)) return value.map((element: unknown) => copyPlain(element)) as Mutable<T>;
  if (typeof value !== 'object' || value === null) return value as Mutable<T>;
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [key, copyPlain<unknown>(field)]),
  ) as Mutable<T>;
}

function defaultOptions(tempDirectory: string): Mutable<Options> {
  return {
    mode: 'p2p',
    pull: false,
    action: { do: 'run' },
    connections: [],
    connecting: {
      remoteRandom: false,
      randomHostname: false,
      resolvRetry: 'infinite',
      connectRetryMax: 0,
    },
    socket: {
      multihome: false,
      bindDevice: undefined,
      passTos: false,
      receiveBuffer: 0,
      sendBuffer: 0,
      mark: undefined,
    },
    device: {
      name: undefined,
      type: 'tun',
      macAddress: undefined,
      topology: 'net30',
      txQueueLength: undefined,
      allowRecursiveRouting: false,
      disableOffload: false,
    },
    addresses: { ipv4: undefined, ipv6: undefined, noExec: false, noWarn: false },
    routing: {
      routes: [],
      routesIpv6: [],
      gateway: undefined,
      gatewayIpv6: undefined,
      metric: undefined,
      redirectGateway: undefined,
      blockIpv6: false,
      clientNat: [],
      delay: undefined,
      noExec: false,
    },
    dns: { updown: 'script', dhcpOptions: [], servers: [], searchDomains: [] },
    timers: {
      ping: 0,
      pingTimeout: 0,
      pingAction: 'restart',
      pingTimerRemote: false,
      inactive: 0,
      inactiveBytes: 0,
      sessionTimeout: 0,
    },
    data: {
      dataCiphers: ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305'],
      cipher: 'BF-CBC',
      fallback: false,
      auth: 'SHA1',
      secret: undefined,
      replayWindow: 64,
      replayTime: 15,
      compression: { algorithm: 'none', framing: 'none', allow: 'no', migrate: false },
      occ: true,
      mtuTest: false,
    },
    tls: {
      role: 'none',
      ca: undefined,
      capath: undefined,
      cert: undefined,
      key: undefined,
      extraCerts: undefined,
      pkcs12: undefined,
      askpass: undefined,
      providers: [],
      dh: undefined,
      versionMin: '1.2',
      versionMax: undefined,
      cipher: undefined,
      ciphersuites: undefined,
      groups: undefined,
      certProfile: undefined,
      timeout: 2,
      handWindow: 60,
      tranWindow: 3_600,
      renegSec: 3_600,
      renegSecMin: undefined,
      renegBytes: undefined,
      renegPackets: 0,
      singleSession: false,
      exitOnError: false,
      pushPeerInfo: false,
      cryptV2Verify: undefined,
      keyingMaterial: undefined,
      forceKeyMaterialExport: false,
    },
    verify: {
      clientCertificate: 'require',
      peerFingerprints: [],
      caFingerprints: undefined,
      x509Name: undefined,
      keyUsage: undefined,
      extendedKeyUsage: undefined,
      crl: undefined,
      script: undefined,
      exportDirectory: undefined,
      usernameFields: ['CN'],
      track: [],
    },
    auth: {
      userPass: undefined,
      staticChallenge: undefined,
      noCache: false,
      retry: 'none',
      verify: undefined,
      userPassOptional: false,
      optionsMustMatch: false,
      usernameAsCommonName: false,
      genToken: undefined,
    },
    pulling: { filters: [], routeNoPull: false, allowNames: false, ignoreUnknown: [] },
    push: [],
    server: {
      pool: undefined,
      poolIpv6: undefined,
      poolPersist: undefined,
      pushConstraint: undefined,
      clientConfigDir: undefined,
      ccdExclusive: false,
      clientToClient: false,
      duplicateCn: false,
      maxClients: 1_024,
      maxRoutesPerClient: 256,
      connectFreq: undefined,
      connectFreqInitial: { count: 100, seconds: 10 },
      tcpQueueLimit: 64,
      portShare: undefined,
      tempDirectory,
    },
    scripts: {
      security: 1,
      up: undefined,
      down: undefined,
      downPre: false,
      upDelay: false,
      upRestart: false,
      routeUp: undefined,
      routePreDown: undefined,
      ipchange: undefined,
      clientConnect: undefined,
      clientDisconnect: undefined,
      learnAddress: undefined,
      clientCrresponse: undefined,
    },
    plugins: [],
    persist: { tun: false, key: false, remoteIp: false },
    process: {
      cd: undefined,
      chroot: undefined,
      user: undefined,
      group: undefined,
      nice: 0,
      mlock: false,
      daemon: false,
      programName: undefined,
      writePid: undefined,
      remapUsr1: undefined,
    },
    log: {
      verb: 1,
      mute: 0,
      destination: { to: 'stdout' },
      errorsToStderr: false,
      suppressTimestamps: false,
      machineReadable: false,
      status: undefined,
      statusVersion: 1,
      echo: [],
    },
    environment: [],
    configFile: undefined,
  };
}
