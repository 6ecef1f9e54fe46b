/**
 * The tun of a tunnel: the device, given to the data channel, and the host's network around it, applied and taken back
 * by netconf. Steps follow each other in the order in which they were asked for.
 */

import type { AskFailure, ConfigureTunAsk, DnsOptions, LogLine, OpenedTun, OpenTunAsk } from '@seikan/engine';
import { type Descriptor, interfaceName } from '@seikan/native';
import {
  defaultGateway,
  lineForUndone,
  linesForResult,
  type LogLine as NetworkLine,
  NetworkSetupError,
  RouteNetlink,
  readSnapshot,
  TunnelNetwork,
} from '@seikan/netconf';

import { reasonOf } from './materials.js';
import { OFFLOAD_ROUTE_METRIC } from './offloaded-tun.js';
import { tunFailure } from './tun-errors.js';
import type { TunnelDns } from './tunnel-dns.js';

/** A device that carries the tunnel's packets: opened, and attached to the data channel. */
export interface CarryingDevice {
  readonly name: string;
  readonly offloaded: boolean;
  /** Detaches it and takes it away. */
  close(): Promise<void>;
}

export type OpenDevice = (ask: OpenTunAsk, netlink: RouteNetlink) => Promise<CarryingDevice>;

/** Where a tunnel's device and its network come from. */
export interface TunnelHost {
  open(ask: OpenTunAsk): Promise<OpenedTun | AskFailure>;
  configure(ask: ConfigureTunAsk): Promise<{ routeErrors: readonly string[] } | AskFailure>;
  /** Left out where the device comes with it. Undefined takes back what was given. */
  configureDns?(dns: DnsOptions | undefined): Promise<object | AskFailure>;
  /** Before anything else: takes back what processes that died left behind. Undefined: there is nothing. */
  recover?(): Promise<void> | undefined;
  /** Idempotent. */
  close(): Promise<object | AskFailure>;
  /** Keeps a socket out of the tunnel, before packets flow to `remote`. Left out where routes do that. Rejects with the reason. */
  protect?(socket: Descriptor, remote: string): Promise<void>;
}

/**
 * Packets that wait in a tun for the channel's thread: those of some milliseconds in which it gets no core. The kernel's
 * usual 500 are lost after 3 ms of small packets. Differs from OpenVPN 2.x, which leaves it unless `txqueuelen` is given.
 */
export const TUN_QUEUE_LENGTH = 4_000;

export interface TunnelTunOptions {
  readonly log: (line: LogLine) => void;
  readonly dns: TunnelDns;
}

export class TunnelTun implements TunnelHost {
  readonly #openDevice: OpenDevice;
  readonly #log: (line: LogLine) => void;
  readonly #dns: TunnelDns;
  /** Lives as long as the tunnel: the way out is asked for each time that a tun is opened. */
  #netlink: RouteNetlink | undefined;
  #network: TunnelNetwork | undefined;
  #device: CarryingDevice | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(openDevice: OpenDevice, { log, dns }: TunnelTunOptions) {
    this.#openDevice = openDevice;
    this.#log = log;
    this.#dns = dns;
  }

  recover(): Promise<void> | undefined {
    return this.#dns.recover();
  }

  open(ask: OpenTunAsk): Promise<OpenedTun | AskFailure> {
    return this.#inTurn(async () => {
      try {
        this.#netlink ??= new RouteNetlink();
        this.#device = await this.#openDevice(ask, this.#netlink);
        const { name, offloaded } = this.#device;
        await this.#setHardwareAddress(name, ask.macAddress);
        this.#network = await TunnelNetwork.open({ netlink: this.#netlink });
        const netGateway = defaultGateway(await readSnapshot(this.#netlink), 4)?.gateway;
        return { name, mtu: ask.mtu, offloaded, netGateway };
      } catch (error) {
        return { error: tunFailure(ask.device, error) };
      }
    });
  }

  configure(ask: ConfigureTunAsk): Promise<{ routeErrors: readonly string[] } | AskFailure> {
    return this.#inTurn(async () => {
      const network = this.#network;
      const device = this.#device?.name;
      if (network === undefined || device === undefined) return { error: 'the tun is not open' };
      const offloaded = this.#device?.offloaded === true;
      const { mtu, up, txQueueLength, gateway4, gateway6, remote, redirect, ...rest } = ask;
      try {
        const { results, warnings } = await network.apply({
          ...rest,
          device,
          up,
          ...(up ? { mtu } : {}),
          ...(offloaded ? { routes: ask.routes.map(withOffloadMetric) } : { txQueueLength: TUN_QUEUE_LENGTH }),
          ...(txQueueLength === undefined ? {} : { txQueueLength }),
          ...(gateway4 === undefined ? {} : { gateway4 }),
          ...(gateway6 === undefined ? {} : { gateway6 }),
          ...(remote === undefined ? {} : { remote }),
          ...(redirect === undefined ? {} : { redirect }),
        });
        const lines = results.flatMap((result) => linesForResult(result, nameOfLink));
        for (const line of lines) if (line.level === 'info') this.#write(line);
        const errors = lines.filter(({ level }) => level === 'warning').map(({ text }) => text);
        return { routeErrors: [...warnings, ...errors] };
      } catch (error) {
        const cause =
          error instanceof NetworkSetupError && error.cause instanceof Error ? `: ${error.cause.message}` : '';
        return { error: `ERROR: cannot configure ${device}: ${reasonOf(error)}${cause}` };
      }
    });
  }

  configureDns(dns: DnsOptions | undefined): Promise<object | AskFailure> {
    return this.#inTurn(async () => {
      const device = this.#device?.name;
      return dns === undefined || device === undefined ? await this.#dns.revert() : await this.#dns.apply(device, dns);
    });
  }

  /** Takes back what was applied and closes the device. Idempotent. */
  close(): Promise<object | AskFailure> {
    return this.#inTurn(async () => {
      const network = this.#network;
      this.#network = undefined;
      if (network !== undefined)
        this.#log({
          verb: 2,
          severity: 'notice',
          prefix: undefined,
          text: `Closing ${this.#device?.offloaded === true ? 'DCO' : 'TUN/TAP'} interface`,
        });
      const dns = await this.#dns.revert();
      if ('error' in dns) this.#log({ verb: 1, severity: 'warning', prefix: undefined, text: dns.error });
      const undone = await network?.undo();
      for (const step of undone?.steps ?? []) {
        const line = lineForUndone(step, nameOfLink);
        if (line !== undefined) this.#write(line);
      }
      await network?.close();
      await this.#device?.close();
      this.#device = undefined;
      this.#netlink?.close();
      this.#netlink = undefined;
      const [failure] = undone?.failures ?? [];
      return failure === undefined
        ? {}
        : { error: `a change of the network could not be taken back: ${failure.error.message}` };
    });
  }

  /** `lladdr`: before the link is up, since then some devices keep what they have. */
  async #setHardwareAddress(name: string, hardwareAddress: string | undefined): Promise<void> {
    if (hardwareAddress === undefined || this.#netlink === undefined) return;
    const link = await this.#netlink.link(name);
    if (link === undefined) throw new Error(`${name} is gone`);
    await this.#netlink.changeLink({ index: link.index, hardwareAddress });
    this.#write({ level: 'info', verb: 1, text: `TUN/TAP link layer address set to ${hardwareAddress}` });
  }

  #write({ verb, text }: NetworkLine): void {
    this.#log({ verb, severity: 'notice', prefix: undefined, text });
  }

  #inTurn<Result>(step: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** With offload the host's routes lead to clients' networks too: those win over what leads to the tunnel at large. */
function withOffloadMetric(route: ConfigureTunAsk['routes'][number]): ConfigureTunAsk['routes'][number] {
  return { metric: OFFLOAD_ROUTE_METRIC, ...route };
}

/** As upstream shows a link: `[NULL]` when it is gone. */
function nameOfLink(index: number): string {
  return interfaceName(index) ?? '[NULL]';
}
