/**
 * tun → peer: the only peer, or the one that the destination belongs to; group packets go to all.
 *
 * Source: OpenVPN 2.6 `multi.c` (multi_process_incoming_tun), `forward.c` (process_incoming_tun, drop_if_recursive_routing).
 */
import { type DataDrop, type Millis, type Packet, packetOf } from '@seikan/core';

import type { InternalMultiplexer } from './internal-multiplexer.js';
import { destinationAt, ETHERNET_HEADER_SIZE, ipStart, ipVersion, isGroupMac, isMulticast } from './ip-packet.js';
import { noRouteReply } from './no-route-reply.js';
import type { Outlets } from './outlets.js';
import type { Peer } from './peer.js';
import type { Peers } from './peers.js';
import type { ToLink } from './to-link.js';

export interface FromTunOptions {
  readonly device: 'tun' | 'tap';
  readonly server: boolean;
  readonly peers: Peers;
  readonly internal: InternalMultiplexer;
  readonly toLink: ToLink;
  readonly outlets: Outlets;
}

const REPLY_SIZE = 1_500;

export class FromTun {
  readonly #options: FromTunOptions;
  readonly #reply = packetOf(REPLY_SIZE);

  constructor(options: FromTunOptions) {
    this.#options = options;
  }

  /** A packet (tap: a frame) of the tun, in a slab with room around it. */
  receive(packet: Packet, now: Millis): void {
    const { server, peers } = this.#options;
    const drop = server ? this.#toServerPeer(packet, now) : this.#toOnlyPeer(packet, now);
    if (drop !== undefined) peers.counters.noPeer.addDrop(drop);
  }

  #toServerPeer(packet: Packet, now: Millis): DataDrop | undefined {
    const { device, internal, toLink } = this.#options;
    const { bytes, start, end } = packet;
    let peer: Peer | undefined;
    if (device === 'tap') {
      if (packet.length < ETHERNET_HEADER_SIZE) return 'bad-packet';
      if (isGroupMac(bytes, start)) {
        toLink.sendToAll(packet, undefined, now);
        return undefined;
      }
      peer = internal.ownerOfMac(bytes, start);
    } else {
      const version = ipVersion(bytes, start, end);
      if (version === 0) return 'bad-packet';
      const at = destinationAt(version, start);
      if (isMulticast(version, bytes, at)) {
        toLink.sendToAll(packet, undefined, now);
        return undefined;
      }
      peer = internal.ownerOf(version, bytes, at);
    }
    if (peer === undefined) return 'no-route';
    toLink.send(peer, packet, now);
    return undefined;
  }

  #toOnlyPeer(packet: Packet, now: Millis): DataDrop | undefined {
    const { device, peers, toLink } = this.#options;
    const peer = peers.at(0);
    if (peer === undefined) return 'unknown-peer';
    if (packet.length === 0) return 'bad-packet';

    const { bytes, start, end } = packet;
    const ip = ipStart(device, bytes, start, end);
    const version = ipVersion(bytes, ip, end);
    if (version !== 0) {
      if (peer.settings.guardRecursion && isForRemote(peer, version, bytes, ip)) return 'recursive-routing';
      if (version === 6 && peer.settings.blockIpv6) {
        this.#answerNoRoute(packet, ip);
        return 'ipv6-blocked';
      }
    }
    toLink.send(peer, packet, now);
    return undefined;
  }

  #answerNoRoute(packet: Packet, ip: number): void {
    this.#reply.load(new Uint8Array(0));
    if (noRouteReply(packet, ip, this.#reply)) this.#options.outlets.toTun(this.#reply);
  }
}

function isForRemote(peer: Peer, version: 4 | 6, bytes: Uint8Array, ip: number): boolean {
  const remote = peer.remoteBytes();
  if (remote.length !== (version === 4 ? 4 : 16)) return false;
  const at = destinationAt(version, ip);
  for (let i = 0; i < remote.length; i += 1) if (bytes[at + i] !== remote[i]) return false;
  return true;
}
