/**
 * Virtual address → peer: IP addresses by the routes that control installs (longest prefix first), Ethernet addresses as
 * they are learned, at once or when control allows it. The latest owner of a route or address wins.
 *
 * Source: OpenVPN 2.6 `mroute.c`, `multi.c` (multi_learn_addr, multi_get_instance_by_virtual_addr), engine table 0.5, 12.8.
 */
import { type ChannelSettings, type PeerRoute, readUint16, readUint32 } from '@seikan/core';

import type { Peer } from './peer.js';
import { PrefixTable } from './prefix-table.js';

export class InternalMultiplexer {
  readonly #ipv4 = new PrefixTable<Peer>(4);
  readonly #ipv6 = new PrefixTable<Peer>(6);
  readonly #macs = new Map<number, Peer>();
  readonly #maxLearned: number;
  readonly #asksToLearn: boolean;

  constructor({ maxLearned, asksToLearn }: Pick<ChannelSettings, 'maxLearned' | 'asksToLearn'>) {
    this.#maxLearned = maxLearned;
    this.#asksToLearn = asksToLearn;
  }

  addRoute(peer: Peer, { family, network, bits }: PeerRoute): void {
    const route: PeerRoute = { family, network: network.slice(), bits };
    const before = this.#table(family).set(route.network, bits, peer);
    before?.routes.delete(routeKey(route));
    peer.routes.set(routeKey(route), route);
  }

  /** Without effect when the route has another owner by now. */
  delRoute(peer: Peer, route: PeerRoute): void {
    if (this.#table(route.family).get(route.network, route.bits) !== peer) return;
    this.#table(route.family).delete(route.network, route.bits);
    peer.routes.delete(routeKey(route));
  }

  removePeer(peer: Peer): void {
    for (const { family, network, bits } of peer.routes.values()) this.#table(family).delete(network, bits);
    peer.routes.clear();
    for (const mac of peer.macs) this.#macs.delete(mac);
    peer.macs.clear();
    peer.asked.clear();
  }

  /** Who owns the address at `bytes[at]`. */
  ownerOf(family: 4 | 6, bytes: Uint8Array, at: number): Peer | undefined {
    return this.#table(family).lookup(bytes, at);
  }

  ownerOfMac(bytes: Uint8Array, at: number): Peer | undefined {
    return this.#macs.get(readMac(bytes, at));
  }

  /**
   * A frame from `peer` carries this source address. `refused`: a group address, which nobody can own, the peer has as
   * many as it may, or control has been asked and has not allowed it. `asks`: control is to be asked.
   */
  seen(peer: Peer, bytes: Uint8Array, at: number): 'known' | 'learned' | 'asks' | 'refused' {
    const mac = readMac(bytes, at);
    if (this.#macs.get(mac) === peer) return 'known';
    if (((bytes[at] as number) & 1) !== 0 || peer.macs.size + peer.asked.size >= this.#maxLearned) return 'refused';
    if (this.#asksToLearn) {
      if (peer.asked.has(mac)) return 'refused';
      peer.asked.add(mac);
      return 'asks';
    }
    this.#own(peer, mac);
    return 'learned';
  }

  /** Control has allowed it. */
  learn(peer: Peer, mac: Uint8Array): void {
    this.#own(peer, readMac(mac, 0));
  }

  #own(peer: Peer, mac: number): void {
    const before = this.#macs.get(mac);
    if (before === peer) return;
    peer.asked.delete(mac);
    before?.macs.delete(mac);
    this.#macs.set(mac, peer);
    peer.macs.add(mac);
  }

  #table(family: 4 | 6): PrefixTable<Peer> {
    return family === 4 ? this.#ipv4 : this.#ipv6;
  }
}

function readMac(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at) * 0x1_0000_0000 + readUint32(bytes, at + 2);
}

function routeKey({ family, network, bits }: PeerRoute): string {
  return `${family} ${network.join('.')}/${bits}`;
}
