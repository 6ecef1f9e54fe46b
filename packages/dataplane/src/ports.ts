/**
 * What an `inline` data channel is given: links, a tun and a clock. Over file descriptors in a running system,
 * in memory in tests and simulations.
 *
 * Packets come in batches that stand in one slab. Every packet has core's HEADROOM before it and TAILROOM after it, and
 * the receiver may overwrite packet and room until it returns; then the slab is the sender's again.
 *
 * A link or tun never calls its receiver from inside a call made to it.
 */
import type { Endpoint, Millis, UnixSeconds } from '@seikan/core';
import type { AddressTable, PacketTable } from '@seikan/native';

import type { SealRun } from './packet-lane.js';
import type { Peer } from './peer.js';

export interface PacketBatch {
  readonly slab: Uint8Array;
  /** Where packet `i` begins, and how long it is. */
  readonly offsets: Uint32Array;
  readonly lengths: Uint32Array;
}

export interface LinkReceiver {
  /** Packets 0 to `count - 1`; `from[i]` sent packet i. The same address is best given as the same object. */
  datagrams(batch: PacketBatch, count: number, from: readonly Endpoint[]): void;
  /** A listener has a new connection. */
  accepted(connection: PacketLink, remote: Endpoint): void;
  /** A connection on a shared port turned out to be this link, which takes its place and is to be started. */
  became?(link: PacketLink): void;
  /** Or it speaks something else: the descriptor is the receiver's, `begun` was read from it. The link is over. */
  foreign?(fd: number, begun: Uint8Array): void;
  /** A connection that we make is up. */
  connected(remote: Endpoint): void;
  /** A link that was congested takes packets again. */
  drained?(): void;
  /** A datagram could not be read or sent: what OpenVPN logs of it. The link goes on. */
  failed?(text: string, unreachable: boolean): void;
  /** The link failed or was closed by the other end; nothing comes from it any more. */
  down(reason: string): void;
}

export interface PacketLink {
  readonly kind: 'datagram' | 'stream' | 'listener';
  /** Called once, before anything else. */
  start(receiver: LinkReceiver): void;
  /** Takes the datagram `bytes[start, end)`, borrowed until it returns; false when the queue is full and it is dropped. */
  send(bytes: Uint8Array, start: number, end: number, to: Endpoint): boolean;
  /** What was sent since the last flush may go out now. Returns how many taken datagrams were lost since then. */
  flush(): number;
  /** Of links whose packets are sealed many at once. Writes the peer's address into its record; false: nothing goes there now. */
  address?(peer: Peer, into: AddressTable): boolean;
  /**
   * The own address that answers to a remote have to leave from: at which it was last heard (multihome), or to which the
   * socket is bound. Undefined: whichever the host chooses.
   */
  localOf?(remote: Endpoint): string | undefined;
  /** Seals and sends; what the socket does not take now waits or is lost. Returns how many datagrams were lost. */
  sendSealed?(run: SealRun): number;
  /** What was sent waits for the socket: less should come. `drained` tells the end of it. */
  readonly congested?: boolean;
  close(): void;
  /** The socket under the link, where there is one. */
  readonly socket?: LinkSocket;
}

/** A socket that the kernel can take over: it then eats data packets by itself and leaves the others to the link. */
export interface LinkSocket {
  /** While the link is open. */
  readonly fd: number;
  /** Nothing is half read or half written: the kernel may take over now. Always so for datagrams. */
  readonly atBoundary: boolean;
  /** Calls `then` once from the event loop, when it may have come to a boundary. The last one asked for counts. */
  whenAtBoundary(then: () => void): void;
  /** The kernel has taken over, and takes and gives whole packets. */
  handedOver(): void;
}

export interface TunReceiver {
  /** Packets `first` (0 when it is left out) to `count - 1`. */
  packets(batch: PacketBatch, count: number, first?: number): void;
  down(reason: string): void;
}

export interface PacketTun {
  start(receiver: TunReceiver): void;
  /** Takes a packet (tap: a frame), borrowed until it returns; false when the device did not take it. */
  write(bytes: Uint8Array, start: number, end: number): boolean;
  /** What was written since the last flush may go out now. Returns how many taken packets were lost since then. */
  flush(): number;
  /** Whether it takes nothing now. */
  readonly full?: boolean;
  /** Writes packets `order[0, count)` of a table. Returns how many the device did not take. */
  writeTable?(table: PacketTable, order: Uint32Array, count: number): number;
  /** Nothing is read while it is paused. */
  pause?(on: boolean): void;
  close(): void;
}

export interface Clock {
  now(): Millis;
  /** For the packet ids of static keys. */
  unixTime(): UnixSeconds;
  /** Calls `ring` once after `delay`; the function given back calls it off. */
  alarm(delay: Millis, ring: () => void): () => void;
}
