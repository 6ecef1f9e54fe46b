/**
 * From an authenticated client to a connected one, step by step, each step free to take its time:
 *
 *   same name elsewhere ─▶ client-config-dir ─▶ pool ─▶ client-connect (plugins, script) ─▶ cipher ─▶ addresses, routes
 *
 * upstream: multi.c `multi_connection_established`, `multi_client_connect_*`, `multi_select_virtual_addr` (2.6).
 */
import type { PeerRoute } from '@seikan/core';
import type { EventName } from '@seikan/plugin-sdk';
import { packetSizes, peerSettings } from '../data-settings.js';
import { logDataChannel } from '../log-lines.js';
import { leadingNumber } from '../negotiation.js';
import { offloadRefusal } from '../offload.js';
import { parseIpv4, parseIpv6, parseIpv6Prefix } from '../options/address.js';
import { type ClientConfig, plainClientConfig } from '../options/client-config.js';
import type { Time } from '../output.js';
import type { TunnelLog } from '../tunnel-log.js';
import { clientAddresses, hasNetmask } from './client-addresses.js';
import { clientFile, type ReadClientConfig, readClientConfig } from './client-config-files.js';
import { poolEnvironment } from './client-environment.js';
import { firstClientConfig } from './compression-migration.js';
import type { Instance } from './instance.js';
import { negotiate } from './negotiate.js';
import type { AddressPool } from './pool.js';
import type { Top } from './top.js';

/** What only the Multi can do. */
export interface ConnectingHost {
  readonly log: TunnelLog;
  addRoute(instance: Instance, route: PeerRoute, text: string, time: Time): void;
  /** Another connected client of the same common name. */
  sameName(instance: Instance): Instance | undefined;
  close(instance: Instance, why: string, time: Time): void;
  poolChanged(time: Time): void;
  /** Goes on, if the client is still there, when client-disconnect is done with whoever had its name. */
  afterNamesake(instance: Instance, time: Time, then: (time: Time) => void): void;
  /** The client was asked about and is refused: client-disconnect follows, as upstream has it. */
  disconnected(instance: Instance, time: Time): void;
}

/** Each link of the chain sees the config that the ones before it made. */
const CONNECT_EVENTS: readonly EventName[] = ['client-connect', 'client-connect-v2', 'client-connect-script'];

export class Connecting {
  readonly #top: Top;
  readonly #pool: AddressPool;
  readonly #host: ConnectingHost;

  constructor(top: Top, pool: AddressPool, host: ConnectingHost) {
    this.#top = top;
    this.#pool = pool;
    this.#host = host;
  }

  start(instance: Instance, time: Time): void {
    const { options } = this.#top;
    const other =
      options.server.duplicateCn || instance.commonName === undefined ? undefined : this.#host.sameName(instance);
    if (other !== undefined) {
      this.#host.log.notice(
        `MULTI: new connection by client '${instance.commonName}' will cause previous active sessions by this client to be dropped.  ` +
          'Remember to use the --duplicate-cn option if you want multiple clients using the same certificate or username to concurrently connect.',
      );
      this.#host.close(other, 'SIGTERM[soft,duplicate-cn] received, client-instance exiting', time);
    }
    instance.config = firstClientConfig(this.#top, instance);
    this.#host.afterNamesake(instance, time, (at) => {
      const { clientConfigDir } = options.server;
      if (clientConfigDir === undefined) this.#assign(instance, at);
      else this.#readClientConfig(instance, [instance.commonName ?? 'UNDEF', 'DEFAULT'], clientConfigDir, at);
    });
  }

  #readClientConfig(instance: Instance, names: readonly string[], directory: string, time: Time): void {
    const [name, ...rest] = names;
    if (name === undefined) return this.#assign(instance, time);
    const path = clientFile(directory, name);
    if (path === undefined) return this.#readClientConfig(instance, rest, directory, time);
    instance.asks.ask('read-file', { path }, (answer, at) => {
      if ('error' in answer) this.#readClientConfig(instance, rest, directory, at);
      else this.#apply(instance, answer.text, path, at, (then) => this.#assign(instance, then));
    });
    return undefined;
  }

  /** Adds what a file or a script says. */
  #apply(instance: Instance, text: string, source: string, time: Time, then: (time: Time) => void): void {
    const { options, settings } = this.#top;
    const base = instance.config ?? plainClientConfig(options);
    instance.log.info(3, `OPTIONS IMPORT: reading client specific options from: ${source}`);
    const added = ({ client, warnings }: ReadClientConfig, at: Time): void => {
      for (const warning of warnings) instance.log.warning(warning.text);
      instance.config = client;
      then(at);
    };
    readClientConfig({ text, source, base }, { options, crypto: settings.crypto, asks: instance.asks }, added, time);
  }

  #assign(instance: Instance, time: Time): void {
    const { config } = instance;
    if (config === undefined) return;
    if (config.disable) {
      instance.log.error("MULTI: client has been rejected due to 'disable' directive");
      instance.refuse(undefined, time);
      return;
    }
    this.#selectAddresses(instance, config);
    this.#runConnectEvents(instance, 0, time);
  }

  #selectAddresses(instance: Instance, config: ClientConfig): void {
    const byHand = config.ifconfigPush;
    const byHandIpv6 = config.ifconfigIpv6Push;
    // Differs from OpenVPN 2.6: there the IPv6 address of a client with an IPv4 address of its own is given again.
    const wanted = byHand === undefined || (byHandIpv6 === undefined && this.#pool.hasIpv6);
    if (!wanted && instance.lease !== undefined) {
      this.#pool.forget(instance.lease.handle);
      instance.lease = undefined;
    }
    if (wanted && this.#pool.size > 0 && instance.lease === undefined) {
      instance.lease = this.#pool.acquire(instance.commonName);
      if (instance.lease === undefined) instance.log.warning('MULTI: no free --ifconfig-pool addresses are available');
      else {
        const { ipv4, ipv6 } = instance.lease;
        instance.log.info(
          1,
          `MULTI_sva: pool returned IPv4=${ipv4 ?? '(Not enabled)'}, IPv6=${ipv6 ?? '(Not enabled)'}`,
        );
      }
    }
    const { pushConstraint } = this.#top.options.server;
    if (byHand !== undefined && pushConstraint !== undefined && !lies(byHand.local, pushConstraint)) {
      instance.log.error(
        `MULTI ERROR: primary virtual IP for ${instance.prefix} (${byHand.local}) violates tunnel network/netmask constraint (${pushConstraint.network}/${pushConstraint.netmask})`,
      );
    }
    instance.virtualAddress = byHand?.local ?? instance.lease?.ipv4;
    instance.virtualAddressIpv6 = byHandIpv6?.local ?? instance.lease?.ipv6;
    const { options } = this.#top;
    instance.setEnvironment(() => poolEnvironment(clientAddresses(this.#top, instance), hasNetmask(options)));
  }

  /** Those from `first` on that somebody stands behind, one after the other. */
  #runConnectEvents(instance: Instance, first: number, time: Time): void {
    let next = first;
    while (next < CONNECT_EVENTS.length && !this.#top.asksFor(CONNECT_EVENTS[next] as EventName)) next += 1;
    const event = CONNECT_EVENTS[next];
    if (event === undefined) {
      this.#finish(instance, time);
      return;
    }
    instance.ask({ event, argv: [], env: instance.environment }, (verdict, at) => {
      if (verdict.result === 'failure') {
        const cause = verdict.cause === undefined ? '' : `: ${verdict.cause}`;
        instance.log.error(`WARNING: client-connect refused the client${cause}`);
        this.#refuse(instance, verdict.reason, at);
        return;
      }
      if (verdict.result !== 'success') return;
      const goOn = (when: Time): void => {
        const { config } = instance;
        if (config?.disable === true) {
          instance.log.error("MULTI: client has been rejected due to 'disable' directive");
          this.#refuse(instance, undefined, when);
          return;
        }
        if (config !== undefined) this.#selectAddresses(instance, config);
        this.#runConnectEvents(instance, next + 1, when);
      };
      if (verdict.config === undefined) goOn(at);
      else this.#apply(instance, verdict.config, event, at, goOn);
    });
  }

  #refuse(instance: Instance, reason: string | undefined, time: Time): void {
    instance.refuse(reason, time);
    this.#host.disconnected(instance, time);
  }

  #finish(instance: Instance, time: Time): void {
    const { config } = instance;
    const key = instance.context.session.active?.primary;
    if (config === undefined || key === undefined) return;
    const negotiated = negotiate(this.#top, instance, config);
    if (typeof negotiated === 'string') {
      instance.refuse(negotiated, time);
      return;
    }
    const { abilities } = this.#top.settings;
    if (abilities.offload && !negotiated.dataV2) {
      instance.log.error('Client does not support DATA_V2. Data channel offloading requires DATA_V2. Dropping client.');
      instance.refuse('Data channel negotiation failed (missing DATA_V2)', time);
      return;
    }
    const { compression } = config;
    const terms = { peerId: instance.peer.index, cipher: negotiated.data.cipher, compression, translates: false };
    if (offloadRefusal(abilities, terms) !== undefined) {
      instance.log.error('MULTI: client has been rejected due to incompatible DCO options');
      instance.refuse(undefined, time);
      return;
    }
    const [connection] = this.#top.options.connections;
    if (connection === undefined) return;
    const peerId = negotiated.dataV2 ? instance.peer.index : undefined;
    const input = {
      options: this.#top.options,
      connection,
      settled: { timers: config.timers, compression: config.compression },
      negotiated: negotiated.data,
      link: instance.context.link,
      remote: instance.remote,
      peerId,
      crypto: this.#top.settings.crypto,
    };
    const theirs = leadingNumber(instance.peerInfo.get('IV_MTU'));
    if (theirs !== undefined && theirs < connection.tunMtu)
      instance.log.warning(
        `Warning: reported maximum MTU from client (${theirs}) is lower than MTU used on the server (${connection.tunMtu}). Add tun-max-mtu ${connection.tunMtu} to client configuration.`,
      );
    instance.context.openPeer(instance.peer, peerSettings(input), negotiated.data);
    const { peer } = instance;
    instance.sizes = packetSizes(input, (plaintext) => instance.command({ verb: 'sendMessage', peer, plaintext }));
    const channel = {
      negotiated: negotiated.data,
      peerId,
      timers: config.timers,
      exitNotify: connection.explicitExitNotify,
    };
    logDataChannel(instance.log, channel, this.#top.settings.crypto);
    this.#addRoutes(instance, config, time);
    this.#host.poolChanged(time);
    instance.connected(time);
  }

  #addRoutes(instance: Instance, config: ClientConfig, time: Time): void {
    const texts: string[] = [];
    const add = (route: PeerRoute, text: string): void => {
      if (texts.length >= config.maxRoutesPerClient) {
        instance.log.warning(
          `MULTI ROUTE: route quota (${config.maxRoutesPerClient}) exceeded for ${instance.prefix} (see --max-routes-per-client option)`,
        );
        instance.log.warning(`MULTI: Learn FAILED: ${text} -> ${instance.prefix}`);
        return;
      }
      texts.push(text);
      this.#host.addRoute(instance, route, text, time);
    };
    const isTun = this.#top.options.device.type === 'tun';
    if (isTun && instance.virtualAddress !== undefined) {
      add({ family: 4, network: ipv4Bytes(instance.virtualAddress), bits: 32 }, instance.virtualAddress);
      instance.log.info(3, `MULTI: primary virtual IP for ${instance.prefix}: ${instance.virtualAddress}`);
    }
    const ipv6 = parseIpv6(instance.virtualAddressIpv6 ?? '');
    if (isTun && ipv6 !== undefined && instance.virtualAddressIpv6 !== undefined) {
      add({ family: 6, network: ipv6, bits: 128 }, instance.virtualAddressIpv6);
      instance.log.info(3, `MULTI: primary virtual IPv6 for ${instance.prefix}: ${instance.virtualAddressIpv6}`);
    }
    if (isTun && texts.length === 0)
      instance.log.warning(`MULTI: no dynamic or static remote --ifconfig address is available for ${instance.prefix}`);
    // In upstream's order, the last one first: it counts where not all find room.
    const networks = [...config.iroutes.toReversed(), ...config.iroutesIpv6.toReversed()];
    if (!isTun && networks.length > 0)
      instance.log.error(
        `MULTI: --iroute options rejected for ${instance.prefix} -- iroute only works with tun-style tunnels`,
      );
    for (const { network, bits } of isTun ? networks : []) {
      const text = `${network}/${bits}`;
      instance.log.info(3, `MULTI: internal route ${text} -> ${instance.prefix}`);
      const prefix = parseIpv6Prefix(text);
      if (prefix === undefined) add({ family: 4, network: ipv4Bytes(network), bits }, text);
      else add({ family: 6, network: prefix.address, bits }, text);
    }
    instance.routes = texts;
  }
}

function ipv4Bytes(text: string): Uint8Array {
  const value = parseIpv4(text) ?? 0;
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

function lies(address: string, { network, netmask }: { readonly network: string; readonly netmask: string }): boolean {
  const mask = parseIpv4(netmask) ?? 0;
  return ((parseIpv4(address) ?? 0) & mask) === ((parseIpv4(network) ?? 0) & mask);
}
