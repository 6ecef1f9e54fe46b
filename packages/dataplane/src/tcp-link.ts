/**
 * A TCP connection as a link. Every packet is preceded by its length:
 *
 *   | length 2, big-endian, not counting itself | packet |
 *
 * A length of 0 or beyond the capacity ends the connection. Owns the socket.
 *
 * Source: OpenVPN 2.6 `socket.c` (stream_buf_*), engine table 1.2, 1.4.
 */
import { constants } from 'node:os';

import { type Endpoint, HEADROOM, readUint16, TAILROOM, writeUint16 } from '@seikan/core';
import {
  type Descriptor,
  errorText,
  OUTBOX_LEAST,
  Outbox,
  PacketTable,
  type TcpListener,
  type TcpSocket,
  WOULD_BLOCK,
} from '@seikan/native';

import type { SealRun } from './packet-lane.js';
import type { LinkReceiver, LinkSocket, PacketLink } from './ports.js';
import { type DescriptorWatch, eventLoop, type Readiness } from './readiness.js';
import { UndecidedLink } from './undecided-link.js';

export interface TcpLinkOptions {
  readonly readiness?: Readiness;
  readonly remote: Endpoint;
  /** Whether the connection is still being made; `connected` is then reported when it is. */
  readonly connecting?: boolean;
  readonly workspace?: TcpWorkspace;
  /** `tcp-queue-limit`: packets that wait for the socket. */
  readonly queueLimit?: number;
  /** Never reads further than to the end of a packet, so that the kernel can take the socket over behind any of them. */
  readonly packetwise?: boolean;
  /** What was read of the stream already, less than a packet. Borrowed. */
  readonly begun?: Uint8Array;
}

const LENGTH_SIZE = 2;
const DEFAULT_QUEUE_LIMIT = 64;
const DEFAULT_CAPACITY = 2_048;
const SLOTS = 32;
const FIRST_QUEUE_SIZE = 4_096;
/** A queue that grew larger is given back once it is empty. What bulk traffic needs is kept: allocating it anew costs a garbage collection each time. */
const KEPT_QUEUE_SIZE = 0x2_0000;

/** Buffers for reading that the connections of one thread share, since one of them reads at a time. */
export class TcpWorkspace {
  readonly capacity: number;
  readonly batch: PacketTable;
  readonly stream: Uint8Array;
  /** Where packet i stands in the batch. */
  readonly offsets: Uint32Array;
  #outbox: Outbox | undefined;

  /** `capacity`: the longest packet that is taken. */
  constructor(capacity: number = DEFAULT_CAPACITY) {
    this.capacity = capacity;
    const stride = HEADROOM + capacity + TAILROOM;
    this.batch = new PacketTable({ packets: SLOTS, bytes: SLOTS * stride, headroom: HEADROOM, tailroom: TAILROOM });
    this.offsets = Uint32Array.from({ length: SLOTS }, (_, i) => i * stride + HEADROOM);
    this.stream = new Uint8Array(SLOTS * (LENGTH_SIZE + capacity));
  }

  /** For datagrams that are sealed many at once, on their way into a connection's queue. Empty. */
  get outbox(): Outbox {
    this.#outbox ??= new Outbox({ bytes: OUTBOX_LEAST });
    this.#outbox.clear();
    return this.#outbox;
  }
}

export class TcpLink implements PacketLink {
  readonly kind = 'stream';
  readonly #socket: TcpSocket;
  readonly #watch: DescriptorWatch;
  readonly #workspace: TcpWorkspace;
  readonly #queueLimit: number;
  readonly #from: Endpoint[];
  #receiver: LinkReceiver | undefined;
  #connecting: boolean;
  #closed = false;
  #watched = { readable: false, writable: false };

  /** Reads packet by packet, as long as the kernel has not taken over. */
  #packetwise: boolean;
  #whenAtBoundary: (() => void) | undefined;
  /** `#partial[0, #partialSize)` is the beginning of a packet whose rest has not come. */
  #partial = new Uint8Array(0);
  #partialSize = 0;

  /** Framed packets that wait: `#queue[#queueStart, #queueEnd)`, which may begin inside a frame. */
  #queue = new Uint8Array(0);
  #queueStart = 0;
  #queueEnd = 0;
  /** Frames that wait, the one that was begun included. */
  #waiting = 0;
  /** How much of the first frame is still to be written. */
  #firstLeft = 0;
  #blocked = false;

  constructor(socket: TcpSocket, options: TcpLinkOptions) {
    const { readiness = eventLoop, remote, connecting = false } = options;
    const { workspace = new TcpWorkspace(), queueLimit = DEFAULT_QUEUE_LIMIT } = options;
    this.#socket = socket;
    this.#workspace = workspace;
    this.#queueLimit = queueLimit;
    this.#packetwise = options.packetwise ?? false;
    this.#connecting = connecting;
    if (options.begun !== undefined) {
      this.#partial = new Uint8Array(LENGTH_SIZE + workspace.capacity);
      this.#partial.set(options.begun);
      this.#partialSize = options.begun.length;
    }
    this.#from = Array.from({ length: SLOTS }, () => remote);
    this.#watch = readiness.watch(socket.descriptor.fd, (readable, writable) => this.#ready(readable, writable));
  }

  get socket(): LinkSocket {
    return {
      fd: this.#socket.descriptor.fd,
      atBoundary: this.#packetwise && !this.#connecting && this.#partialSize === 0 && this.#waiting === 0,
      whenAtBoundary: (then) => {
        this.#whenAtBoundary = then;
      },
      handedOver: () => {
        this.#packetwise = false;
      },
    };
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#watchFor();
  }

  send(bytes: Uint8Array, start: number, end: number): boolean {
    const size = end - start;
    if (this.#closed || size > 0xffff) return false;
    if (this.#waiting >= this.#queueLimit) this.#write();
    if (this.#closed || this.#waiting >= this.#queueLimit) return false;

    this.#makeRoom(LENGTH_SIZE + size);
    writeUint16(this.#queue, this.#queueEnd, size);
    this.#queue.set(bytes.subarray(start, end), this.#queueEnd + LENGTH_SIZE);
    this.#queueEnd += LENGTH_SIZE + size;
    if (this.#waiting === 0) this.#firstLeft = LENGTH_SIZE + size;
    this.#waiting += 1;
    return true;
  }

  flush(): number {
    this.#write();
    return 0;
  }

  sendSealed({ keys, table, order, count }: SealRun): number {
    let lost = 0;
    for (let first = 0; first < count; ) {
      const { outbox } = this.#workspace;
      first += keys.ring.seal(table, order, first, count - first, outbox);
      const { slab, offsets, lengths, segmentSizes, messages } = outbox;
      for (let i = 0; i < messages; i += 1) {
        const end = (offsets[i] as number) + (lengths[i] as number);
        const size = segmentSizes[i] as number;
        for (let at = offsets[i] as number; at < end; at += size) {
          if (!this.send(slab, at, Math.min(end, at + size))) lost += 1;
        }
      }
      this.#write();
    }
    return lost;
  }

  get congested(): boolean {
    return this.#blocked;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#socket.close();
  }

  #ready(readable: boolean, writable: boolean): void {
    if (this.#connecting) {
      if (writable) this.#decideConnection();
      return;
    }
    if (writable && this.#blocked) {
      this.#blocked = false;
      this.#write();
      if (!this.#blocked) this.#receiver?.drained?.();
    }
    if (readable && !this.#closed) this.#read();
    if (this.#whenAtBoundary === undefined || this.#closed || !this.socket.atBoundary) return;
    const then = this.#whenAtBoundary;
    this.#whenAtBoundary = undefined;
    then();
  }

  #decideConnection(): void {
    const result = this.#socket.connectResult();
    if (result < 0) {
      this.#fail(errorText(result));
      return;
    }
    this.#connecting = false;
    this.#receiver?.connected(this.#from[0] as Endpoint);
    if (!this.#closed) this.#write();
  }

  #read(): void {
    const { stream } = this.#workspace;
    const kept = this.#partialSize;
    if (kept > 0) stream.set(this.#partial.subarray(0, kept));
    const count = this.#socket.read(stream, kept, this.#packetwise ? this.#missing() : stream.length - kept);
    if (count === WOULD_BLOCK) return;
    if (count <= 0) {
      this.#fail(count === 0 ? 'closed by the peer' : errorText(count));
      return;
    }
    this.#partialSize = 0;
    this.#takePackets(kept + count);
  }

  /** How much is missing to the length of the packet, or to its end. */
  #missing(): number {
    const size = this.#partialSize;
    return size < LENGTH_SIZE ? LENGTH_SIZE - size : LENGTH_SIZE + readUint16(this.#partial, 0) - size;
  }

  /** Cuts `stream[0, end)` into packets. */
  #takePackets(end: number): void {
    const { stream, batch, capacity, offsets } = this.#workspace;
    let at = 0;
    let bad = false;
    while (!this.#closed && !bad) {
      let count = 0;
      while (count < SLOTS && at + LENGTH_SIZE <= end) {
        const size = readUint16(stream, at);
        bad = size === 0 || size > capacity;
        if (bad || at + LENGTH_SIZE + size > end) break;
        batch.put(count, stream.subarray(at + LENGTH_SIZE, at + LENGTH_SIZE + size), offsets[count] as number);
        count += 1;
        at += LENGTH_SIZE + size;
      }
      if (count === 0) break;
      this.#receiver?.datagrams(batch, count, this.#from);
    }
    if (this.#closed) return;
    if (bad) this.#fail('bad packet length');
    else this.#keepPartial(at, end);
  }

  #keepPartial(at: number, end: number): void {
    this.#partialSize = end - at;
    if (this.#partialSize === 0) return;
    const { stream, capacity } = this.#workspace;
    if (this.#partial.length === 0) this.#partial = new Uint8Array(LENGTH_SIZE + capacity);
    this.#partial.set(stream.subarray(at, end));
  }

  #makeRoom(size: number): void {
    if (this.#queueEnd + size <= this.#queue.length) return;
    const used = this.#queueEnd - this.#queueStart;
    let length = Math.max(FIRST_QUEUE_SIZE, this.#queue.length);
    while (length < used + size) length *= 2;
    const queue = length === this.#queue.length ? this.#queue : new Uint8Array(length);
    queue.set(this.#queue.subarray(this.#queueStart, this.#queueEnd));
    this.#queue = queue;
    this.#queueStart = 0;
    this.#queueEnd = used;
  }

  #write(): void {
    if (this.#closed || this.#blocked || this.#connecting) return;
    if (this.#waiting > 0) {
      const count = this.#socket.writeBytes(this.#queue, this.#queueStart, this.#queueEnd - this.#queueStart);
      if (count >= 0) this.#written(count);
      else if (count !== WOULD_BLOCK) {
        this.#fail(errorText(count));
        return;
      }
      this.#blocked = this.#waiting > 0;
    }
    this.#watchFor();
  }

  #written(count: number): void {
    let left = count;
    while (this.#waiting > 0 && left >= this.#firstLeft) {
      left -= this.#firstLeft;
      this.#queueStart += this.#firstLeft;
      this.#waiting -= 1;
      if (this.#waiting > 0) this.#firstLeft = LENGTH_SIZE + readUint16(this.#queue, this.#queueStart);
    }
    if (this.#waiting > 0) {
      this.#queueStart += left;
      this.#firstLeft -= left;
      return;
    }
    this.#queueStart = 0;
    this.#queueEnd = 0;
    if (this.#queue.length > KEPT_QUEUE_SIZE) this.#queue = new Uint8Array(0);
  }

  #fail(reason: string): void {
    this.close();
    this.#receiver?.down(reason);
  }

  #watchFor(): void {
    const readable = this.#receiver !== undefined && !this.#connecting;
    const writable = this.#blocked || this.#connecting;
    if (readable === this.#watched.readable && writable === this.#watched.writable) return;
    this.#watched = { readable, writable };
    this.#watch.setEvents(this.#watched);
  }
}

export interface TcpListenLinkOptions {
  readonly readiness?: Readiness;
  readonly workspace?: TcpWorkspace;
  readonly queueLimit?: number;
  /** Of its connections. */
  readonly packetwise?: boolean;
  /** Another service is behind the same port: connections are told apart by their first bytes. */
  readonly shared?: boolean;
}

/** Connections taken in one turn of the event loop. */
const ACCEPTED_AT_ONCE = 16;
/** accept() has no descriptor for the connection, which stays in the queue. */
const NO_DESCRIPTOR: ReadonlySet<number> = new Set([-constants.errno.EMFILE, -constants.errno.ENFILE]);

/** A listening socket as a link: it gives connections and carries no packets. Owns the socket. */
export class TcpListenLink implements PacketLink {
  readonly kind = 'listener';
  readonly #listener: TcpListener;
  readonly #watch: DescriptorWatch;
  readonly #options: TcpListenLinkOptions;
  readonly #workspace: TcpWorkspace;
  #receiver: LinkReceiver | undefined;
  /** Given up for a moment to refuse a connection when there is no other descriptor: left waiting, it would wake us for ever. */
  #spare: Descriptor;
  #closed = false;

  constructor(listener: TcpListener, options: TcpListenLinkOptions = {}) {
    this.#listener = listener;
    this.#options = options;
    this.#spare = listener.descriptor.duplicate();
    this.#workspace = options.workspace ?? new TcpWorkspace();
    const { readiness = eventLoop } = options;
    this.#watch = readiness.watch(listener.descriptor.fd, () => this.#accept());
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#watch.setEvents({ readable: true });
  }

  send(): boolean {
    return false;
  }

  flush(): number {
    return 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#listener.close();
    this.#spare.close();
  }

  #accept(): void {
    for (let i = 0; i < ACCEPTED_AT_ONCE && !this.#closed; i += 1) {
      const accepted = this.#listener.accept();
      if (typeof accepted === 'number') {
        if (NO_DESCRIPTOR.has(accepted)) this.#refuse();
        return;
      }
      const { socket, remote } = accepted;
      const options = { ...this.#options, remote, workspace: this.#workspace };
      const { readiness = eventLoop, shared = false } = options;
      const connection = shared
        ? new UndecidedLink(socket, readiness, (begun) => new TcpLink(socket, { ...options, begun }))
        : new TcpLink(socket, options);
      this.#receiver?.accepted(connection, remote);
    }
  }

  #refuse(): void {
    this.#spare.close();
    const accepted = this.#listener.accept();
    if (typeof accepted !== 'number') accepted.socket.close();
    try {
      this.#spare = this.#listener.descriptor.duplicate();
    } catch {
      // Another thread was quicker: the next refusal tries again.
    }
  }
}
