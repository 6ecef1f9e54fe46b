/**
 * Link packet → key slot, before anything is decrypted: by peer-id (the index into the table), by real address
 * (P_DATA_V1, and peer-id 0xffffff, which is none), or by the link alone when there is but one peer.
 *
 * A peer-id from another address than the peer's is let through when the peer may float: only authentication can tell.
 *
 * Source: OpenVPN 2.6 `mudp.c` (multi_get_create_instance_udp), engine table 0.4.
 */
import {
  type DataDrop,
  type Endpoint,
  keyIdOf,
  type LinkId,
  Opcode,
  opcodeOf,
  type Packet,
  sameEndpoint,
} from '@seikan/core';

import type { KeySlot } from './key-slot.js';
import type { Peer } from './peer.js';
import type { Peers } from './peers.js';

const NO_PEER_ID = 0xff_ffff;
const V1_HEADER_SIZE = 1;
const V2_HEADER_SIZE = 4;

/** Where a datagram came from. One object, reused. */
export interface Arrival {
  link: LinkId;
  from: Endpoint;
}

export class ExternalMultiplexer {
  readonly #peers: Peers;
  readonly #mode: 'p2p' | 'server' | 'static-key';
  /** The open links of datagrams: peers float from one of them to one of them, never to or from a connection. */
  readonly datagramLinks = new Set<LinkId>();

  constructor(peers: Peers, mode: 'p2p' | 'server' | 'static-key') {
    this.#peers = peers;
    this.#mode = mode;
  }

  /** Not for us to open: what is not data belongs to the control side. An empty datagram is nobody's. */
  isControl(packet: Packet): boolean {
    if (this.#mode === 'static-key' || packet.length === 0) return false;
    const opcode = opcodeOf(packet.bytes[packet.start] as number);
    return opcode !== Opcode.dataV1 && opcode !== Opcode.dataV2;
  }

  slotOf(packet: Packet, arrival: Arrival): KeySlot | DataDrop {
    if (packet.length < V1_HEADER_SIZE) return 'too-short';
    if (this.#mode === 'static-key') return this.#onlyPeer(arrival, 0);

    const first = packet.bytes[packet.start] as number;
    if (opcodeOf(first) === Opcode.dataV1) {
      const peer = this.#mode === 'server' ? this.#peers.atAddress(arrival.link, arrival.from) : this.#peers.at(0);
      if (peer === undefined) return 'unknown-peer';
      if (this.#mode === 'p2p' && peer.settings.receivePeerId !== undefined) return 'wrong-peer-id';
      return this.#slotIn(peer, arrival, keyIdOf(first));
    }

    if (packet.length < V2_HEADER_SIZE) return 'too-short';
    const peerId = peerIdOf(packet);
    const peer = this.#peerOf(peerId, arrival);
    if (peer === undefined) return 'unknown-peer';
    const expected = peer.settings.receivePeerId;
    if (expected !== undefined && peerId !== expected && peerId !== NO_PEER_ID) return 'wrong-peer-id';
    return this.#slotIn(peer, arrival, keyIdOf(first));
  }

  #peerOf(peerId: number, { link, from }: Arrival): Peer | undefined {
    if (this.#mode !== 'server') return this.#peers.at(0);
    return peerId === NO_PEER_ID ? this.#peers.atAddress(link, from) : this.#peers.at(peerId);
  }

  #slotIn(peer: Peer, arrival: Arrival, keyId: number): KeySlot | DataDrop {
    if (!isAtHome(peer, arrival) && !this.#mayFloat(peer, arrival)) return 'wrong-address';
    return peer.slot(keyId) ?? 'no-key';
  }

  #mayFloat({ settings }: Peer, { link }: Arrival): boolean {
    return settings.float && this.datagramLinks.has(link) && this.datagramLinks.has(settings.link);
  }

  #onlyPeer(arrival: Arrival, keyId: number): KeySlot | DataDrop {
    const peer = this.#peers.at(0);
    return peer === undefined ? 'unknown-peer' : this.#slotIn(peer, arrival, keyId);
  }
}

/** Whether the datagram came from where the peer is known to be. */
export function isAtHome(peer: Peer, { link, from }: Arrival): boolean {
  const { link: home, remote } = peer.settings;
  if (home !== link) return false;
  // The same objects as last time spare comparing text: this is asked twice for every packet.
  if (peer.homeFrom === from && peer.homeRemote === remote) return true;
  if (remote !== from && !sameEndpoint(remote, from)) return false;
  peer.homeFrom = from;
  peer.homeRemote = remote;
  return true;
}

export function headerSizeOf(slot: KeySlot, packet: Packet): number {
  if (slot.header.length === 0) return 0;
  return opcodeOf(packet.bytes[packet.start] as number) === Opcode.dataV1 ? V1_HEADER_SIZE : V2_HEADER_SIZE;
}

function peerIdOf({ bytes, start }: Packet): number {
  return ((bytes[start + 1] as number) << 16) | ((bytes[start + 2] as number) << 8) | (bytes[start + 3] as number);
}
