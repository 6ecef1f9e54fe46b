/**
 * Links and tuns in memory for a data channel. What they hand over stands in a slab that is overwritten afterwards, and
 * what they are given is copied: a channel that keeps a view is found out.
 */
import { type Endpoint, HEADROOM, TAILROOM } from '@seikan/core';
import type { LinkReceiver, PacketBatch, PacketLink, PacketTun, TunReceiver } from '@seikan/dataplane';

export interface SentDatagram {
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
}

const SPOILED = 0xdd;

export class MemoryLink implements PacketLink {
  readonly kind: PacketLink['kind'];
  /** Sends are refused while it is set: a full queue. */
  full = false;
  closed = false;
  /** Gets each datagram when the channel flushes; without it they wait in `takeSent`. */
  onFlush: ((datagram: SentDatagram) => void) | undefined;
  #receiver: LinkReceiver | undefined;
  #queued: SentDatagram[] = [];
  #sent: SentDatagram[] = [];

  constructor(kind: PacketLink['kind'] = 'datagram') {
    this.kind = kind;
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
  }

  send(bytes: Uint8Array, start: number, end: number, to: Endpoint): boolean {
    if (this.full || this.closed) return false;
    this.#queued.push({ to: { ...to }, bytes: bytes.slice(start, end) });
    return true;
  }

  flush(): number {
    const flushed = this.#queued;
    this.#queued = [];
    for (const datagram of flushed) {
      if (this.onFlush === undefined) this.#sent.push(datagram);
      else this.onFlush(datagram);
    }
    return 0;
  }

  close(): void {
    this.closed = true;
  }

  /** What the channel has sent and flushed since the last call. */
  takeSent(): SentDatagram[] {
    const sent = this.#sent;
    this.#sent = [];
    return sent;
  }

  /** Datagrams arrive, in one batch. */
  deliver(from: Endpoint, ...datagrams: Uint8Array[]): void {
    const batch = slabOf(datagrams);
    this.#receiver?.datagrams(
      batch,
      datagrams.length,
      datagrams.map(() => from),
    );
    batch.slab.fill(SPOILED);
  }

  /** A listener gets a connection. */
  accept(connection: MemoryLink, remote: Endpoint): void {
    this.#receiver?.accepted(connection, remote);
  }

  connect(remote: Endpoint): void {
    this.#receiver?.connected(remote);
  }

  fail(reason: string): string {
    this.#receiver?.down(reason);
    return reason;
  }
}

export class MemoryTun implements PacketTun {
  full = false;
  closed = false;
  #receiver: TunReceiver | undefined;
  #written: Uint8Array[] = [];

  start(receiver: TunReceiver): void {
    this.#receiver = receiver;
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.full || this.closed) return false;
    this.#written.push(bytes.slice(start, end));
    return true;
  }

  /** Every packet was delivered when it was written. */
  flush(): number {
    return 0;
  }

  close(): void {
    this.closed = true;
  }

  takeWritten(): Uint8Array[] {
    const written = this.#written;
    this.#written = [];
    return written;
  }

  /** The host sends packets, in one batch. */
  deliver(...packets: Uint8Array[]): void {
    const batch = slabOf(packets);
    this.#receiver?.packets(batch, packets.length);
    batch.slab.fill(SPOILED);
  }

  fail(reason: string): string {
    this.#receiver?.down(reason);
    return reason;
  }
}

function slabOf(packets: readonly Uint8Array[]): PacketBatch {
  const size = packets.reduce((sum, packet) => sum + HEADROOM + packet.length + TAILROOM, 0);
  const batch = {
    slab: new Uint8Array(size),
    offsets: new Uint32Array(packets.length),
    lengths: new Uint32Array(packets.length),
  };
  let at = 0;
  for (const [i, packet] of packets.entries()) {
    batch.slab.set(packet, at + HEADROOM);
    batch.offsets[i] = at + HEADROOM;
    batch.lengths[i] = packet.length;
    at += HEADROOM + packet.length + TAILROOM;
  }
  return batch;
}
