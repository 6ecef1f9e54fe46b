/**
 * Plaintext → peer: compression framing, fragments, the seal under the primary key, the link.
 *
 * Works in place where the packet stands: it needs HEADROOM before and TAILROOM after it, and is spoiled afterwards.
 */
import {
  type CompressionFraming,
  clampMss,
  type DataDrop,
  frameUncompressed,
  type ManySealer,
  type Millis,
  occMagic,
  type Packet,
  packetOf,
  pingPayload,
} from '@seikan/core';

import { ipStart } from './ip-packet.js';
import type { KeySlot } from './key-slot.js';
import type { Outlets } from './outlets.js';
import type { PacketLane } from './packet-lane.js';
import type { Peer } from './peer.js';
import type { Peers } from './peers.js';

/** Larger than any tun packet. */
const MAX_PACKET = 0x1_0000;
/** A payload that begins so is escaped. */
const STUB_V2_MARK = 0x50;

export interface ToLinkOptions {
  readonly peers: Peers;
  readonly device: 'tun' | 'tap';
  readonly outlets: Outlets;
  /** Seals at the end of the turn what it can; without it every packet is sealed at once. */
  readonly lane: PacketLane | undefined;
  /** Cuts superpackets for peers whose packets are not sealed by the lane. */
  readonly cut: ((packet: Packet, take: (segment: Packet) => void) => void) | undefined;
}

export class ToLink {
  readonly #options: ToLinkOptions;
  /** For copies: fragments, one of several receivers, own messages. */
  readonly #scratch = packetOf(MAX_PACKET);
  readonly #piece = packetOf(MAX_PACKET);

  constructor(options: ToLinkOptions) {
    this.#options = options;
  }

  /** An IP packet or frame for the peer. */
  send(peer: Peer, packet: Packet, now: Millis): void {
    if (packet.segments > 1 && !this.#takesSuperpackets(peer)) {
      this.#options.cut?.(packet, (segment) => this.send(peer, segment, now));
      return;
    }
    const { mssClamp } = peer.settings;
    if (mssClamp > 0) {
      const { bytes, start, end } = packet;
      clampMss(bytes, ipStart(this.#options.device, bytes, start, end), end, mssClamp);
    }
    const size = packet.plainLength;
    const drop = this.#seal(peer, packet, now);
    if (drop === undefined) peer.counters.addTunRead(size);
    else peer.counters.addDrop(drop);
  }

  /** A copy for every peer that has a key, but one. */
  sendToAll(packet: Packet, except: Peer | undefined, now: Millis): void {
    if (packet.segments > 1) {
      this.#options.cut?.(packet, (segment) => this.sendToAll(segment, except, now));
      return;
    }
    for (const peer of this.#options.peers.list) {
      if (peer === except || peer.primary === undefined) continue;
      if (this.#scratch.load(packet.view())) this.send(peer, this.#scratch, now);
      else peer.counters.addDrop('too-large');
    }
  }

  ping(peer: Peer, now: Millis): void {
    this.#scratch.load(pingPayload);
    this.#sealOrCount(peer, now);
  }

  /** An OCC message: type and payload. */
  message(peer: Peer, content: Uint8Array, now: Millis): void {
    if (!this.#scratch.load(content)) {
      peer.counters.addDrop('too-large');
      return;
    }
    this.#scratch.start -= occMagic.length;
    this.#scratch.bytes.set(occMagic, this.#scratch.start);
    this.#sealOrCount(peer, now);
  }

  #sealOrCount(peer: Peer, now: Millis): void {
    const drop = this.#seal(peer, this.#scratch, now);
    if (drop !== undefined) peer.counters.addDrop(drop);
  }

  #takesSuperpackets({ primary, settings }: Peer): boolean {
    if (primary === undefined) return true;
    const { compression, fragmentSize } = settings;
    const framed = compression === 'lzo-no' || compression === 'stub';
    return primary.sealer.many !== undefined && fragmentSize === 0 && !framed;
  }

  #seal(peer: Peer, packet: Packet, now: Millis): DataDrop | undefined {
    const slot = peer.primary;
    if (slot === undefined) return 'no-primary-key';
    const { compression, fragmentSize } = peer.settings;
    const { lane } = this.#options;
    const { many } = slot.sealer;
    const whole = fragmentSize === 0 && lane !== undefined && many !== undefined;
    if (packet.number >= 0) {
      if (whole && staysAsItIs(packet, compression)) return this.#sealLater(slot, packet, { lane, many, now });
      // There is room for nothing around a packet in a table.
      if (!this.#scratch.load(packet.view())) return 'too-large';
      return this.#seal(peer, this.#scratch, now);
    }
    frameUncompressed(packet, compression);
    if (whole) return this.#sealLater(slot, packet, { lane, many, now });
    return fragmentSize > 0
      ? this.#sealFragments(slot, packet, fragmentSize, now)
      : this.#sealDatagram(slot, packet, now);
  }

  #sealLater(
    slot: KeySlot,
    packet: Packet,
    { lane, many, now }: { readonly lane: PacketLane; readonly many: ManySealer; readonly now: Millis },
  ): DataDrop | undefined {
    const { peer } = slot;
    let drop = lane.refusal(peer);
    if (drop === undefined && !many.take(packet.segments, packet.blocks)) drop = 'key-exhausted';
    if (drop === undefined) {
      const { segments } = packet;
      peer.lastSent = now;
      peer.counters.addWritten(many.sealedLength(packet) + segments * slot.header.length, segments);
      lane.seal(slot, packet, many);
    }
    this.#reportLimit(slot);
    return drop;
  }

  #sealFragments(slot: KeySlot, packet: Packet, fragmentSize: number, now: Millis): DataDrop | undefined {
    const { fragmenter } = slot.peer;
    const cut = fragmenter.cut(packet.length, fragmentSize);
    if (cut === undefined) return 'too-many-fragments';
    if (cut.count === 1) {
      fragmenter.prepend(packet, cut, 0);
      return this.#sealDatagram(slot, packet, now);
    }
    const { bytes, start, end } = packet;
    for (let n = 0; n < cut.count; n += 1) {
      const from = start + n * cut.size;
      this.#piece.load(bytes.subarray(from, Math.min(end, from + cut.size)));
      fragmenter.prepend(this.#piece, cut, n);
      const drop = this.#sealDatagram(slot, this.#piece, now);
      if (drop !== undefined) return drop;
    }
    return undefined;
  }

  #sealDatagram(slot: KeySlot, packet: Packet, now: Millis): DataDrop | undefined {
    const { peer } = slot;
    const sealed = slot.sealer.seal(packet, slot.header);
    let drop: DataDrop | undefined = 'key-exhausted';
    if (sealed) drop = this.#options.outlets.toLink(peer.settings.link, peer.settings.remote, packet);
    if (drop === undefined) {
      peer.lastSent = now;
      peer.counters.addWritten(packet.length, 1);
    }
    this.#reportLimit(slot);
    return drop;
  }

  #reportLimit(slot: KeySlot): void {
    const limit = slot.takeLimit();
    if (limit === undefined) return;
    this.#options.outlets.event({ event: 'keyLimit', peer: slot.peer.ref, keyId: slot.keyId, ...limit });
  }
}

/** Whether the framing adds nothing to this packet. */
function staysAsItIs({ bytes, start }: Packet, compression: CompressionFraming): boolean {
  return compression === 'none' || (compression === 'stub-v2' && bytes[start] !== STUB_V2_MARK);
}
