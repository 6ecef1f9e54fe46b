/**
 * From the place whose turn it is to an open link:
 *
 *   idle ─▶ resolving ─▶ opening ─▶ open                      UDP to a known peer, or a static-key peer that may come;
 *                           │                                 through a proxy, which `opening` talks to
 *                           ├─────▶ dialling ──▶ open         TCP to a known peer
 *                           └─────▶ listening ─▶ open         the first who comes is the peer (a p2p server)
 *
 * What is open but has no session yet is closed here; a session's own link by its owner.
 * upstream: socket.c `link_socket_init_phase1`, `link_socket_init_phase2` (2.6).
 */
import { type Endpoint, type LinkId, type Millis, type RandomFill, toHex } from '@seikan/core';

import type { Asks } from '../asks.js';
import { isHostName } from '../options/address.js';
import type { Connection } from '../options/options.js';
import type { ProxyAsk, ResolveAsk, Time, TunnelState } from '../output.js';
import { afInet, type TunnelLog } from '../tunnel-log.js';
import type { ConnectionList } from './connection-list.js';

export interface ConnectorHost {
  readonly asks: Asks;
  readonly log: TunnelLog;
  readonly connections: ConnectionList;
  /** A UDP link without a known peer is opened at once: packets carry no session that a listener would await. */
  readonly staticKey: boolean;
  /** False with `resolv-retry 0`: a name that cannot be resolved ends the process. */
  readonly retriesNames: boolean;
  onState(state: TunnelState): void;
  /** `remote-random-hostname`. */
  readonly randomizer: RandomFill | undefined;
  /** The peer's address is known, or nobody's is: what has to be there before the link. */
  prepare(remote: Endpoint | undefined, time: Time, then: () => void): void;
  closeLink(link: LinkId): void;
  /** `remote` is undefined only for a static-key peer. */
  opened(connection: Connection, link: LinkId, remote: Endpoint | undefined, time: Time): void;
  /** This place cannot be reached: try another address, or another remote. */
  failed(reason: string, advance: 'address' | 'remote', time: Time): void;
  fatal(text: string, time: Time): void;
}

type State =
  | { readonly name: 'idle' | 'resolving' | 'opening' }
  | { readonly name: 'dialling'; readonly link: LinkId; readonly remote: Endpoint; readonly deadline: Millis }
  | { readonly name: 'listening'; readonly link: LinkId; readonly expected: Endpoint | undefined }
  /** `listener`: where the TCP connection of the peer came from; `relay`: where a proxy has the packets sent. */
  | { readonly name: 'open'; readonly listener: LinkId | undefined; readonly relay: Endpoint | undefined };

export class Connector {
  readonly #host: ConnectorHost;
  #state: State = { name: 'idle' };
  #nextLink: LinkId = 1;

  constructor(host: ConnectorHost) {
    this.#host = host;
  }

  start(time: Time): void {
    const { connections } = this.#host;
    const connection = connections.current;
    const { remote, remotePort, proxy, family } = connection;
    if (connections.address !== undefined || remote === undefined) {
      this.#toAddress(connection, connections.address, time);
      return;
    }
    const place = proxy === undefined ? { host: remote, port: remotePort } : { host: proxy.host, port: proxy.port };
    this.#resolve({ ...place, family: proxy === undefined ? family : undefined }, (addresses, at) => {
      connections.resolved(addresses);
      this.#toAddress(connection, connections.address, at);
    });
  }

  /** Where the link's packets go, when that is not the peer's address. */
  get relay(): Endpoint | undefined {
    return this.#state.name === 'open' ? this.#state.relay : undefined;
  }

  /** A first packet on this link comes from the peer that was waited for. */
  listensOn(link: LinkId): boolean {
    return this.#state.name === 'listening' && this.#state.link === link;
  }

  handleFirstPacket(link: LinkId, from: Endpoint, time: Time): void {
    this.#state = { name: 'open', listener: undefined, relay: undefined };
    this.#host.opened(this.#host.connections.current, link, from, time);
  }

  handleLinkUp(link: LinkId, listener: LinkId | undefined, remote: Endpoint, time: Time): void {
    const state = this.#state;
    const { log, connections } = this.#host;
    if (state.name === 'dialling' && state.link === link) {
      log.notice(`TCP connection established with ${afInet(state.remote)}`);
      this.#state = { name: 'open', listener: undefined, relay: undefined };
      this.#host.opened(connections.current, link, state.remote, time);
    } else if (state.name === 'listening' && state.link === listener) {
      if (state.expected !== undefined && state.expected.address !== remote.address) {
        log.notice(`TCP NOTE: Rejected connection attempt from ${afInet(remote)} due to --remote setting`);
        this.#host.closeLink(link);
        return;
      }
      log.notice(`TCP connection established with ${afInet(remote)}`);
      this.#state = { name: 'open', listener, relay: undefined };
      this.#host.opened(connections.current, link, remote, time);
    } else this.#host.closeLink(link);
  }

  /** A connection that is being made fails; false when the link is none of these. */
  handleLinkDown(link: LinkId, reason: string, time: Time): boolean {
    if (this.#state.name !== 'dialling' || this.#state.link !== link) return false;
    this.#dialFailed(this.#state.remote, reason, time);
    return true;
  }

  handleTimeout(time: Time): void {
    const state = this.#state;
    if (state.name === 'dialling' && time.now >= state.deadline)
      this.#dialFailed(state.remote, 'Connection timed out', time);
  }

  nextTimeout(): Millis | undefined {
    return this.#state.name === 'dialling' ? this.#state.deadline : undefined;
  }

  close(): void {
    const state = this.#state;
    this.#state = { name: 'idle' };
    if (state.name === 'dialling' || state.name === 'listening') this.#host.closeLink(state.link);
    else if (state.name === 'open' && state.listener !== undefined) this.#host.closeLink(state.listener);
  }

  #resolve(place: ResolveAsk, then: (addresses: readonly Endpoint[], time: Time) => void): void {
    const { asks, log } = this.#host;
    this.#state = { name: 'resolving' };
    this.#host.onState('RESOLVE');
    const host = randomized(place.host, this.#host.randomizer);
    asks.ask('resolve', { ...place, host }, (answer, at) => {
      if (!('error' in answer) && answer.addresses.length > 0) {
        then(answer.addresses, at);
        return;
      }
      const why = 'error' in answer ? ` (${answer.error})` : '';
      const line = `RESOLVE: Cannot resolve host address: ${host}:${place.port}${why}`;
      if (!this.#host.retriesNames) {
        const hint = '(I would have retried this name query if you had specified the --resolv-retry option.)';
        this.#host.fatal(`${line} ${hint}`, at);
        return;
      }
      log.error(line);
      this.#host.failed('Could not determine IPv4/IPv6 protocol', 'remote', at);
    });
  }

  /** `address` is the peer's, or its proxy's: UDP packets through one bear the peer's own, which is then still to be found. */
  #toAddress(connection: Connection, address: Endpoint | undefined, time: Time): void {
    const { remote: host, remotePort: port, family, protocol, proxy } = connection;
    if (proxy === undefined || address === undefined || host === undefined) {
      this.#prepare(connection, address, undefined, time);
      return;
    }
    const timeout = connection.connectTimeout * 1000;
    const ask: ProxyAsk = { options: proxy, endpoint: address, host, port, timeout };
    if (protocol !== 'udp') this.#prepare(connection, address, ask, time);
    else this.#resolve({ host, port, family }, ([remote], at) => this.#prepare(connection, remote, ask, at));
  }

  #prepare(connection: Connection, remote: Endpoint | undefined, proxy: ProxyAsk | undefined, time: Time): void {
    if (remote !== undefined)
      this.#host.log.notice(`TCP/UDP: Preserving recently used remote address: ${afInet(remote)}`);
    this.#host.prepare(remote, time, () => this.#open(connection, remote, proxy));
  }

  #open(connection: Connection, remote: Endpoint | undefined, proxy: ProxyAsk | undefined): void {
    const { asks, log, staticKey } = this.#host;
    const { protocol } = connection;
    this.#state = { name: 'opening' };
    const link = this.#nextLink;
    this.#nextLink = link + 1;
    const family = remote?.family ?? connection.family ?? 4;
    const dialled = proxy?.endpoint ?? (protocol === 'tcp-client' ? remote : undefined);
    if (dialled !== undefined) {
      this.#host.onState('TCP_CONNECT');
      log.notice(`Attempting to establish TCP connection with ${afInet(dialled)}`);
    }
    const bind = connection.bind
      ? {
          address: connection.localAddress,
          port: connection.localPort,
          family: dialled?.family ?? family,
          ipv6Only: connection.ipv6Only,
        }
      : undefined;
    const { mtuDiscover } = connection;
    asks.ask('open-link', { link, protocol, bind, remote, mtuDiscover, proxy }, (answer, time) => {
      if ('error' in answer) {
        if (answer.error !== '') log.error(answer.error);
        this.#host.failed(answer.reason ?? 'init_instance', 'address', time);
        return;
      }
      const side = protocol === 'tcp-client' ? '_CLIENT' : protocol === 'tcp-server' ? '_SERVER' : '';
      const name = `${protocol === 'udp' ? 'UDP' : 'TCP'}v${family}${side}`;
      log.notice(
        `${name} link local${answer.local === undefined ? ': (not bound)' : ` (bound): ${boundTo(answer.local)}`}`,
      );
      log.notice(`${name} link remote: ${remote === undefined ? '[AF_UNSPEC]' : afInet(remote)}`);
      if (protocol === 'tcp-client' && remote !== undefined && proxy === undefined) {
        this.#state = { name: 'dialling', link, remote, deadline: time.now + connection.connectTimeout * 1000 };
      } else if (protocol === 'tcp-server' || (remote === undefined && !staticKey)) {
        this.#state = { name: 'listening', link, expected: connection.float ? undefined : remote };
      } else {
        this.#state = { name: 'open', listener: undefined, relay: answer.relay };
        this.#host.opened(connection, link, remote, time);
      }
    });
  }

  #dialFailed(remote: Endpoint, reason: string, time: Time): void {
    this.#host.log.error(`TCP: connect to ${afInet(remote)} failed: ${reason}`);
    this.#host.failed('connection-failed', 'address', time);
  }
}

/** `9f86d081884c.vpn.example`: six random bytes in front of a name, nothing in front of an address. upstream: `hostname_randomize`. */
function randomized(host: string, random: RandomFill | undefined): string {
  if (random === undefined || !isHostName(host)) return host;
  const bytes = new Uint8Array(6);
  random(bytes);
  return `${toHex(bytes)}.${host}`;
}

/** As upstream's log shows it: no address is none. */
function boundTo(local: Endpoint): string {
  return afInet(local).replace(/\](?:0\.0\.0\.0|::):/, '][undef]:');
}
