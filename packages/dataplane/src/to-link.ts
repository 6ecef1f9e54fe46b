/**
 * Plaintext → peer: compression framing, fragments, the seal under the primary key, the link.
 *
 * Works in place where the packet stands: it needs HEADROOM before and TAILROOM after it, and is spoiled afterwards.
 */
import {
  clampMss,
  type DataDrop,
  frameUncompressed,
  type Millis,
  occMagic,
  type Packet,
  packetOf,
  pingPayload,
} from '@seikan/core';

import { ipStart } from './ip-packet.js';
import type { KeySlot } from './key-slot.js';
import type { Outlets } from './outlets.js';
import type { Peer } from './peer.js';
import type { Peers } from './peers.js';

/** Larger than any tun packet. */
const MAX_PACKET = 0x1_0000;

export class ToLink {
  readonly #peers: Peers;
  readonly #device: 'tun' | 'tap';
  readonly #outlets: Outlets;
  /** For copies: fragments, one of several receivers, own messages. */
  readonly #scratch = packetOf(MAX_PACKET);
  readonly #piece = packetOf(MAX_PACKET);

  constructor(peers: Peers, device: 'tun' | 'tap', outlets: Outlets) {
    this.#peers = peers;
    this.#device = device;
    this.#outlets = outlets;
  }

  /** An IP packet or frame for the peer. */
  send(peer: Peer, packet: Packet, now: Millis): void {
    const { mssClamp } = peer.settings;
    if (mssClamp > 0) {
      clampMss(packet.bytes, ipStart(this.#device, packet.bytes, packet.start, packet.end), packet.end, mssClamp);
    }
    const size = packet.length;
    const drop = this.#seal(peer, packet, now);
    if (drop === undefined) peer.counters.addTunRead(size);
    else peer.counters.addDrop(drop);
  }

  /** A copy for every peer that has a key, but one. */
  sendToAll(packet: Packet, except: Peer | undefined, now: Millis): void {
    for (const peer of this.#peers.list) {
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

  #seal(peer: Peer, packet: Packet, now: Millis): DataDrop | undefined {
    const slot = peer.primary;
    if (slot === undefined) return 'no-primary-key';
    const { compression, fragmentSize } = peer.settings;
    frameUncompressed(packet, compression);
    return fragmentSize > 0
      ? this.#sealFragments(slot, packet, fragmentSize, now)
      : this.#sealDatagram(slot, packet, now);
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
    if (sealed) drop = this.#outlets.toLink(peer.settings.link, peer.settings.remote, packet);
    if (drop === undefined) {
      peer.lastSent = now;
      peer.counters.addWritten(packet.length);
    }
    const limit = slot.takeLimit();
    if (limit !== undefined) this.#outlets.event({ event: 'keyLimit', peer: peer.ref, keyId: slot.keyId, ...limit });
    return drop;
  }
}
