/**
 * A link of the kernel's offload as the tun of a tunnel: made, given to the `kernel` data channel, and taken away again.
 * Networks behind clients are routes of the host here, with the client's own address as the next hop.
 *
 * upstream: tun.c `open_tun_dco_generic`, dco.c `dco_install_iroute` (2.6; a client outside the server's network: 2.7).
 */
import type { PeerRoute } from '@seikan/core';
import type { KernelTun } from '@seikan/dataplane';
import type { KernelOffload, KernelTunnel, OffloadMode } from '@seikan/dco';
import type { LogLine } from '@seikan/engine';
import {
  ipText,
  NetlinkError,
  OwnedLink,
  type Route,
  type RouteNetlink,
  RouteProtocol,
  RouteScope,
  RouteTable,
  RouteType,
} from '@seikan/netconf';

import { reasonOf } from './materials.js';

/** Below that of the tunnel's own routes, so that a client's network wins over the server's. */
const IROUTE_METRIC = 100;
/** Where a route says none. */
export const OFFLOAD_ROUTE_METRIC = 200;
/** `tun0` to `tun255`. */
const MOST_DEVICES = 256;

export interface OffloadedTunOptions {
  readonly offload: KernelOffload;
  readonly netlink: RouteNetlink;
  /** `tun` takes the first free number. */
  readonly device: string;
  readonly mode: OffloadMode;
  readonly log: (line: LogLine) => void;
}

export class OffloadedTun implements KernelTun {
  readonly name: string;
  readonly tunnel: KernelTunnel;
  readonly #options: OffloadedTunOptions;
  readonly #index: number;
  /** Undefined for a link that was there before: it stays. */
  readonly #owned: OwnedLink | undefined;
  /** Routes are changed one after the other: one may be the way to the next hop of another. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(
    options: OffloadedTunOptions,
    link: { readonly index: number; readonly name: string },
    owned?: OwnedLink,
  ) {
    this.name = link.name;
    this.tunnel = options.offload.openTunnel(link);
    this.#options = options;
    this.#index = link.index;
    this.#owned = owned;
  }

  static async open(options: OffloadedTunOptions): Promise<OffloadedTun> {
    const { offload, netlink, device, mode, log } = options;
    const names = device === 'tun' ? Array.from({ length: MOST_DEVICES }, (_, i) => `tun${i}`) : [device];
    for (const name of names) {
      try {
        const link = await OwnedLink.make({
          netlink,
          name,
          kind: offload.linkKind,
          create: () => offload.createLink(netlink, name, mode),
          unjournalled: (why) => log(warning(`dco: a crash would leave ${name} behind: ${reasonOf(why)}`)),
        });
        log(notice(`net_iface_new: add ${name} type ${offload.linkKind}`));
        return new OffloadedTun(options, link, link);
      } catch (error) {
        if (!(error instanceof NetlinkError && error.code === 'EEXIST')) throw error;
        if (device === 'tun') continue;
        const link = await netlink.link(name);
        if (link?.kind !== offload.linkKind) throw error;
        log({ ...notice(`DCO device ${name} already exists, won't be destroyed at shutdown`), verb: 1 });
        return new OffloadedTun(options, link);
      }
    }
    throw new Error('Cannot allocate DCO dev dynamically');
  }

  addRoute(route: PeerRoute, via: string | undefined): void {
    this.#inTurn(async () => {
      const { netlink } = this.#options;
      const wanted = this.#routeOf(route, via);
      // A client's own address lies in the server's network as a rule, and needs no route of its own.
      if (via === undefined && (await netlink.routeTo(wanted.destination))?.linkIndex === this.#index) return;
      await netlink.addRoute(wanted);
      this.#options.log(notice(this.#describe('add', wanted)));
    });
  }

  deleteRoute(route: PeerRoute, via: string | undefined): void {
    this.#inTurn(async () => {
      const unwanted = this.#routeOf(route, via);
      try {
        await this.#options.netlink.deleteRoute(unwanted);
        this.#options.log(notice(this.#describe('del', unwanted)));
      } catch (error) {
        // It was never needed, or somebody else took it away.
        if (!(error instanceof NetlinkError && error.code === 'ESRCH')) throw error;
      }
    });
  }

  /** Resolves when the routes asked for so far are as they should be. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  /** Takes the link away, once everything before is done. */
  async remove(): Promise<void> {
    await this.#turn;
    if (this.#owned === undefined) return;
    this.#options.log(notice(`net_iface_del: delete ${this.name}`));
    await this.#owned.remove();
  }

  #inTurn(step: () => Promise<void>): void {
    this.#turn = this.#turn.then(step).catch((error: unknown) => {
      this.#options.log(warning(`dco: ${reasonOf(error)}`));
    });
  }

  #routeOf({ family, network, bits }: PeerRoute, via: string | undefined): Route {
    return {
      family,
      destination: ipText(network) ?? '',
      prefixLength: bits,
      tos: 0,
      table: RouteTable.main,
      protocol: RouteProtocol.boot,
      scope: via === undefined && family === 4 ? RouteScope.link : RouteScope.universe,
      type: RouteType.unicast,
      flags: 0,
      linkIndex: this.#index,
      ...(via === undefined ? {} : { gateway: via }),
      metric: IROUTE_METRIC,
      others: [],
    };
  }

  #describe(verb: 'add' | 'del', { family, destination, prefixLength, gateway }: Route): string {
    return `net_route_v${family}_${verb}: ${destination}/${prefixLength} via ${gateway ?? '[NULL]'} dev ${this.name} table 0 metric ${IROUTE_METRIC}`;
  }
}

function notice(text: string): LogLine {
  return { verb: 3, severity: 'notice', prefix: undefined, text };
}

function warning(text: string): LogLine {
  return { verb: 1, severity: 'warning', prefix: undefined, text };
}
