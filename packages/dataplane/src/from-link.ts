/**
 * Datagram → tun (or another peer): the peer and its key, the opening, the replay window, then only what an authenticated
 * packet may do: count, move a floating peer, be a ping or a message, and travel on if its source belongs to the peer.
 *
 *   receive:  control? → slotOf → open ─┐           (a caller that decrypts in batches does these itself)
 *   greet:    float ← confirmed ← alive ┤           (once for a run of packets)
 *   unpack:                             └→ fragments → compression → ping, OCC → source check → peer or tun
 *
 * Source: OpenVPN 2.6 `forward.c` (process_incoming_link), `multi.c` (multi_process_incoming_link).
 */
import {
  clampMss,
  type DataDrop,
  isOcc,
  isPing,
  type Millis,
  type Packet,
  packetOf,
  sameEndpoint,
  unframe,
} from '@seikan/core';

import { type Arrival, type ExternalMultiplexer, headerSizeOf, isAtHome } from './external-multiplexer.js';
import type { InternalMultiplexer } from './internal-multiplexer.js';
import {
  destinationAt,
  ETHERNET_HEADER_SIZE,
  ipStart,
  ipVersion,
  isGroupMac,
  isLinkLocal,
  isMulticast,
  sourceAt,
} from './ip-packet.js';
import { nextDue } from './keepalive.js';
import type { KeySlot } from './key-slot.js';
import { noRouteReply } from './no-route-reply.js';
import type { Outlets } from './outlets.js';
import type { Peer } from './peer.js';
import type { Peers } from './peers.js';
import type { ToLink } from './to-link.js';

export interface FromLinkOptions {
  readonly device: 'tun' | 'tap';
  /** Several peers: sources are checked, packets may go from one to another. */
  readonly server: boolean;
  readonly clientToClient: boolean;
  readonly peers: Peers;
  readonly external: ExternalMultiplexer;
  readonly internal: InternalMultiplexer;
  readonly toLink: ToLink;
  readonly outlets: Outlets;
}

const OCC_MAGIC_SIZE = 16;
/** A conflict is reported again when control has not settled it for so long. */
const CONFLICT_PAUSE: Millis = 1_000;
const REPLY_SIZE = 1_500;

export class FromLink {
  readonly #options: FromLinkOptions;
  readonly #reply = packetOf(REPLY_SIZE);

  constructor(options: FromLinkOptions) {
    this.#options = options;
  }

  /** Any datagram of a link, in a slab with room around it. */
  receive(packet: Packet, arrival: Arrival, now: Millis): void {
    const { external, outlets, peers } = this.#options;
    if (external.isControl(packet)) {
      outlets.event({ event: 'control', link: arrival.link, from: arrival.from, bytes: packet.view() });
      return;
    }
    const slot = external.slotOf(packet, arrival);
    if (typeof slot === 'string') {
      peers.counters.noPeer.addDrop(slot);
      return;
    }
    const { peer } = slot;
    const datagramSize = packet.length;
    let drop = slot.opener.open(packet, headerSizeOf(slot, packet), now);
    if (drop === undefined) {
      peer.counters.addRead(datagramSize);
      drop = this.greet(slot, arrival, now) ? this.unpack(peer, packet, now) : 'wrong-address';
    }
    if (drop !== undefined) peer.counters.addDrop(drop);
    this.reportLimit(slot);
  }

  /** Something came that was authenticated and is no replay. False: from an address that is not the peer's to move to. */
  greet(slot: KeySlot, arrival: Arrival, now: Millis): boolean {
    const { peer } = slot;
    if (peer.heard(now)) this.#options.outlets.rearm(nextDue(peer));
    if (!slot.confirmed) {
      slot.confirmed = true;
      this.#options.outlets.event({ event: 'keyConfirmed', peer: peer.ref, keyId: slot.keyId });
    }
    return isAtHome(peer, arrival) || this.#float(peer, arrival, now);
  }

  /** Moves the peer to where it speaks from; false when that address is another's. */
  #float(peer: Peer, { link, from }: Arrival, now: Millis): boolean {
    const { peers, outlets } = this.#options;
    if (!outlets.mayReport()) return false;
    const to = { ...from };
    const holder = peers.atAddress(link, from);
    if (holder === undefined || holder === peer) {
      peers.change(peer, { link, remote: to });
      outlets.event({ event: 'float', peer: peer.ref, to, link });
      return true;
    }
    const { conflict } = peer;
    const known = conflict !== undefined && conflict.link === link && sameEndpoint(conflict.from, from);
    if (!known || now - conflict.at >= CONFLICT_PAUSE) {
      peer.conflict = { link, from: to, at: now };
      outlets.event({ event: 'floatConflict', peer: peer.ref, to, link, holder: holder.ref });
    }
    return false;
  }

  /** The plaintext of a peer that was greeted. */
  unpack(peer: Peer, packet: Packet, now: Millis): DataDrop | undefined {
    const { settings } = peer;
    if (settings.fragmentSize > 0) {
      const whole = peer.reassembler.take(packet, now);
      if (whole === false) return undefined;
      if (whole !== true) return whole;
    }
    const bad = unframe(packet, settings.compression);
    if (bad !== undefined) return bad;

    const { bytes, start, end } = packet;
    if (isPing(bytes, start, end)) return undefined;
    if (isOcc(bytes, start, end)) {
      const plaintext = bytes.subarray(start + OCC_MAGIC_SIZE, end);
      this.#options.outlets.event({ event: 'message', peer: peer.ref, plaintext });
      return undefined;
    }
    return this.#deliver(peer, packet, now);
  }

  #deliver(peer: Peer, packet: Packet, now: Millis): DataDrop | undefined {
    const { device, server, outlets } = this.#options;
    const { settings, counters } = peer;
    const { bytes, start, end } = packet;
    const size = packet.length;
    if (size === 0 || (device === 'tap' && size < ETHERNET_HEADER_SIZE)) return 'bad-packet';

    if (server) {
      const refused = device === 'tun' ? this.#checkSource(peer, packet) : this.#checkMac(peer, packet);
      if (refused !== undefined) return refused;
      if (settings.blockIpv6 && this.#refuseIpv6(peer, packet, now)) return 'ipv6-blocked';
    }
    if (settings.mssClamp > 0) clampMss(bytes, ipStart(device, bytes, start, end), end, settings.mssClamp);

    counters.addTunWritten(size);
    const other = this.#options.clientToClient ? this.#otherPeer(peer, packet, now) : undefined;
    if (other === undefined) return outlets.toTun(packet);
    this.#options.toLink.send(other, packet, now);
    return undefined;
  }

  #checkSource(peer: Peer, { bytes, start, end }: Packet): DataDrop | undefined {
    const version = ipVersion(bytes, start, end);
    if (version === 0) return 'bad-packet';
    const at = sourceAt(version, start);
    if (this.#options.internal.ownerOf(version, bytes, at) === peer) return undefined;
    return version === 6 && isLinkLocal(bytes, at) ? 'link-local-source' : 'bad-source';
  }

  #checkMac(peer: Peer, { bytes, start }: Packet): DataDrop | undefined {
    const at = start + 6;
    const { internal, outlets } = this.#options;
    if (!outlets.mayReport() && internal.ownerOfMac(bytes, at) !== peer) return 'bad-source';
    const verdict = internal.seen(peer, bytes, at);
    if (verdict === 'known') return undefined;
    if (verdict !== 'refused') outlets.event({ event: 'learned', peer: peer.ref, mac: bytes.slice(at, at + 6) });
    return verdict === 'learned' ? undefined : 'bad-source';
  }

  #refuseIpv6(peer: Peer, packet: Packet, now: Millis): boolean {
    const { device, toLink } = this.#options;
    const ip = ipStart(device, packet.bytes, packet.start, packet.end);
    if (ipVersion(packet.bytes, ip, packet.end) !== 6) return false;
    this.#reply.load(new Uint8Array(0));
    if (noRouteReply(packet, ip, this.#reply)) toLink.send(peer, this.#reply, now);
    return true;
  }

  /** Who gets the packet instead of the tun. Group packets go to all others, and to the tun as well. */
  #otherPeer(peer: Peer, packet: Packet, now: Millis): Peer | undefined {
    const { device, internal, toLink } = this.#options;
    const { bytes, start } = packet;
    if (device === 'tap') {
      if (!isGroupMac(bytes, start)) return internal.ownerOfMac(bytes, start);
      toLink.sendToAll(packet, peer, now);
      return undefined;
    }
    const version = ((bytes[start] as number) >>> 4) as 4 | 6;
    const at = destinationAt(version, start);
    if (!isMulticast(version, bytes, at)) return internal.ownerOf(version, bytes, at);
    toLink.sendToAll(packet, peer, now);
    return undefined;
  }

  /** After packets were opened under a key. */
  reportLimit(slot: KeySlot): void {
    const limit = slot.takeLimit();
    if (limit === undefined) return;
    this.#options.outlets.event({ event: 'keyLimit', peer: slot.peer.ref, keyId: slot.keyId, ...limit });
  }
}
