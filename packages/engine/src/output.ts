/**
 * What the engine says to the outside: it is a pure machine and does nothing itself.
 * The runtime drains `poll()` after every input, in order.
 */
import type { DataChannelCommand, Endpoint, LinkId, Millis, NatRule, UnixSeconds } from '@seikan/core';
import type { EventContext, EventRequest, EventVerdict } from '@seikan/plugin-sdk';

import type { Connection, DnsOptions, HttpProxy, LogOptions, SocketOptions, SocksProxy } from './options/options.js';

/** The two clocks of one input: `now` for deadlines, `wallClock` for what is written down. */
export interface Time {
  readonly now: Millis;
  readonly wallClock: UnixSeconds;
}

export type AskId = number;

export type EngineOutput =
  | { readonly output: 'command'; readonly command: DataChannelCommand }
  /** Answered by `handleAnswer(id, …)`, once; an answer after the cancel is ignored, but what it opened is closed. */
  | ({ readonly output: 'ask'; readonly id: AskId } & Ask)
  | { readonly output: 'cancel'; readonly id: AskId }
  | { readonly output: 'close-link'; readonly link: LinkId }
  | ({ readonly output: 'log' } & LogLine)
  | ({ readonly output: 'state' } & StateChange)
  /** A server's options were taken: the log has their levels from here on, and the link's socket their buffers. */
  | { readonly output: 'pulled'; readonly link: LinkId; readonly log: LogOptions; readonly socket: SocketOptions }
  | { readonly output: 'write-file'; readonly path: string; readonly text: string }
  /** A client of a server begins or ends for plugins: before its first event, after its last. The tunnel itself is 0. */
  | { readonly output: 'context'; readonly context: EventContext; readonly change: 'opened' | 'closed' }
  /** The process ends, starts anew (`SIGUSR1`), or reads its configuration anew (`SIGHUP`). Everything that the engine holds is closed. */
  | { readonly output: 'end'; readonly cause: EndCause };

export type EndCause =
  | {
      readonly why: 'signal';
      readonly signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGUSR1';
      readonly source: SignalSource;
      readonly text: string;
    }
  | { readonly why: 'fatal'; readonly text: string };

/** As upstream prints it: `SIGTERM[hard,] received` or `SIGUSR1[soft,ping-restart] received`. */
export type SignalSource = 'hard' | 'soft' | 'connection failed(soft)';

export interface LogLine {
  /** Upstream's verb level from which on the line is shown; 0 is always. */
  readonly verb: number;
  readonly severity: 'error' | 'warning' | 'notice' | 'debug';
  /** The client that the line is about, `CN/198.51.100.7:1194`; a line of the top context has none. */
  readonly prefix: string | undefined;
  readonly text: string;
}

/** Upstream's management states. */
export type TunnelState =
  | 'CONNECTING'
  | 'RESOLVE'
  | 'TCP_CONNECT'
  | 'WAIT'
  | 'AUTH'
  | 'AUTH_PENDING'
  | 'GET_CONFIG'
  | 'ASSIGN_IP'
  | 'ADD_ROUTES'
  | 'CONNECTED'
  | 'RECONNECTING'
  | 'EXITING';

export interface StateChange {
  readonly state: TunnelState;
  /** `SUCCESS`, `ERROR`, `ROUTE_ERROR`, or why it reconnects: `ping-restart`, `tls-error`. */
  readonly detail: string;
  readonly virtualAddress: string | undefined;
  readonly virtualAddressIpv6: string | undefined;
  readonly remote: Endpoint | undefined;
}

/** What the engine needs from outside, with what comes back. */
export interface AskMap {
  resolve: { ask: ResolveAsk; answer: { readonly addresses: readonly Endpoint[] } | AskFailure };
  /** A TCP connection is only begun: the data channel says when it is up. One through a proxy is up when this is answered. */
  'open-link': { ask: OpenLinkAsk; answer: OpenedLink | LinkFailure };
  'open-tun': { ask: OpenTunAsk; answer: OpenedTun | AskFailure };
  /** Applies addresses and routes to the open tun; what was applied before and is not asked for any more is taken back. */
  'configure-tun': { ask: ConfigureTunAsk; answer: { readonly routeErrors: readonly string[] } | AskFailure };
  /** The host's name resolution while the tunnel is up; undefined takes back what was given. */
  'configure-dns': { ask: { readonly dns: DnsOptions | undefined }; answer: object | AskFailure };
  /** Takes back addresses and routes, in reverse, and closes the tun. */
  'close-tun': { ask: object; answer: object | AskFailure };
  event: { ask: { readonly request: EventRequest }; answer: EventVerdict };
  /**
   * A server's tun is up and nobody is served yet: what waits for that is opened, what is not needed any more given up.
   * `env` is what plugins see.
   */
  ready: { ask: { readonly env: Readonly<Record<string, string>> }; answer: object | AskFailure };
  /** A file or inline secret, as text. */
  'read-file': { ask: { readonly path: string }; answer: { readonly text: string } | AskFailure };
  /** User name and password for the server, from file or terminal; or the answer to what it asked instead of letting in. */
  credentials: {
    ask: { readonly purpose: 'Auth'; readonly challenge: DynamicChallenge | undefined };
    answer: { readonly username: string; readonly password: string } | AskFailure;
  };
}

/** A server's question that stands for a login: `AUTH_FAILED,CRV1:flags:state:base64(user):text`. The answer is the password `CRV1::state::answer`. */
export interface DynamicChallenge {
  readonly username: string;
  /** What the server knows the login by; handed back as it came. */
  readonly state: string;
  readonly text: string;
  /** Whether the answer may be seen while it is typed. */
  readonly echo: boolean;
}

export type AskName = keyof AskMap;

export type Ask = { readonly [Name in AskName]: { readonly ask: Name } & AskMap[Name]['ask'] }[AskName];

export interface AskFailure {
  /** As a log line shows it, the system's reason included. */
  readonly error: string;
}

export interface ResolveAsk {
  readonly host: string;
  readonly port: number;
  readonly family: 4 | 6 | undefined;
}

export interface OpenLinkAsk {
  readonly link: LinkId;
  readonly protocol: 'udp' | 'tcp-client' | 'tcp-server';
  /** Where to bind; undefined leaves it to the system. */
  readonly bind:
    | {
        readonly address: string | undefined;
        readonly port: number;
        readonly family: 4 | 6;
        readonly ipv6Only: boolean;
      }
    | undefined;
  /** Where to connect to, or the only peer of a UDP link; undefined on a server. With a proxy over TCP: where that is. */
  readonly remote: Endpoint | undefined;
  /** `mtu-disc` of the connection. */
  readonly mtuDiscover: Connection['mtuDiscover'];
  readonly proxy?: ProxyAsk | undefined;
}

export interface ProxyAsk {
  readonly options: HttpProxy | SocksProxy;
  /** Where the proxy is. */
  readonly endpoint: Endpoint;
  /** The peer, as the proxy is told; a name may stay one. */
  readonly host: string;
  readonly port: number;
  /** For all of it. */
  readonly timeout: Millis;
}

export interface OpenedLink {
  readonly local: Endpoint | undefined;
  /** Where a proxy has UDP packets sent instead of to the peer. */
  readonly relay?: Endpoint | undefined;
}

/** `error` was logged already where it is empty. */
export interface LinkFailure extends AskFailure {
  /** What the restart is named after; `init_instance` without. */
  readonly reason?: 'connection-failed' | 'HTTP proxy error' | 'socks-error';
}

export interface OpenTunAsk {
  /** `tun`: the next free one; or a whole name. */
  readonly device: string;
  readonly type: 'tun' | 'tap';
  readonly mtu: number;
  readonly txQueueLength: number | undefined;
  readonly macAddress: string | undefined;
  /** `client-nat`: addresses are others on the other side of the tunnel. */
  readonly nat: readonly NatRule[];
  /** What it will be configured with, for who must know all at once. */
  readonly plan: ConfigureTunAsk;
  readonly dns: DnsOptions | undefined;
}

export interface OpenedTun {
  readonly name: string;
  readonly mtu: number;
  /** It is a link of the kernel's offload. */
  readonly offloaded?: boolean;
  /** The host's default gateway (IPv4), if it has one. */
  readonly netGateway?: string | undefined;
}

/** What the host's network shall be while the tunnel is up; netconf plans and applies it, and takes it back. */
export interface ConfigureTunAsk {
  readonly mtu: number;
  /** False: the link is left down, and its MTU as it is. */
  readonly up: boolean;
  readonly txQueueLength: number | undefined;
  readonly addresses: readonly { readonly address: string; readonly prefixLength: number; readonly peer?: string }[];
  /** What `vpn_gateway` means. */
  readonly gateway4: string | undefined;
  readonly gateway6: string | undefined;
  /** Destinations and gateways may be OpenVPN's words: `vpn_gateway`, `net_gateway`, `remote_host`. */
  readonly routes: readonly {
    readonly destination: string;
    readonly prefixLength: number;
    readonly gateway?: string;
    readonly metric?: number;
  }[];
  /** The server's real address, to be reached around the tunnel. */
  readonly remote: string | undefined;
  readonly redirect: RedirectAsk | undefined;
}

/** `redirect-gateway` and `redirect-private`. */
export interface RedirectAsk {
  /** False with `redirect-private`: everything but the default route itself. */
  readonly reroute: boolean;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly def1: boolean;
  readonly local: 'never' | 'auto' | 'always';
  readonly blockLocal: boolean;
}
