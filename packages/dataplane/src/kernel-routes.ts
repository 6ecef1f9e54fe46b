/** Which peer of the `kernel` channel has which route, the latest wins, and the host's routes to those that are carried. */
import type { PeerRoute } from '@seikan/core';
import { ipText } from '@seikan/netconf';

import type { KernelPeer } from './kernel-peer.js';

/** The host's routes to what is behind peers. */
export interface HostRoutes {
  /** `via`: the address in the tunnel of the peer behind which the network is; undefined when the route is that address. */
  addRoute(route: PeerRoute, via: string | undefined): void;
  deleteRoute(route: PeerRoute, via: string | undefined): void;
}

export class KernelRoutes {
  /** While there is a tun. */
  host: HostRoutes | undefined;
  readonly #holders = new Map<string, KernelPeer>();

  add(peer: KernelPeer, route: PeerRoute): void {
    const text = textOf(route);
    const holder = this.#holders.get(text);
    if (holder === peer) return;
    if (holder !== undefined) this.delete(holder, route);
    this.#holders.set(text, peer);
    peer.routes.set(text, route);
    if (peer.state === 'carried') this.host?.addRoute(route, viaOf(peer, route));
  }

  delete(peer: KernelPeer, route: PeerRoute): void {
    const text = textOf(route);
    if (this.#holders.get(text) !== peer) return;
    this.#holders.delete(text);
    const via = viaOf(peer, route);
    peer.routes.delete(text);
    if (peer.state === 'carried') this.host?.deleteRoute(route, via);
  }

  forget(peer: KernelPeer): void {
    for (const text of peer.routes.keys()) if (this.#holders.get(text) === peer) this.#holders.delete(text);
  }

  giveToHost(peer: KernelPeer): void {
    for (const route of peer.routes.values()) this.host?.addRoute(route, viaOf(peer, route));
  }

  takeFromHost(peer: KernelPeer): void {
    for (const route of peer.routes.values()) this.host?.deleteRoute(route, viaOf(peer, route));
  }
}

/** The peer's address in the tunnel: its first host route. */
export function addressIn({ routes }: KernelPeer, family: 4 | 6): string | undefined {
  for (const route of routes.values()) if (route.family === family && isHost(route)) return ipText(route.network);
  return undefined;
}

function viaOf(peer: KernelPeer, route: PeerRoute): string | undefined {
  const address = addressIn(peer, route.family);
  return isHost(route) && ipText(route.network) === address ? undefined : address;
}

function isHost({ family, bits }: PeerRoute): boolean {
  return bits === (family === 4 ? 32 : 128);
}

function textOf({ network, bits }: PeerRoute): string {
  return `${ipText(network)}/${bits}`;
}
