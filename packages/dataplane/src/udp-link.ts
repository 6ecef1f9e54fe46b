/** A UDP socket as a link: batches of datagrams in, a queue of one batch out. Owns the socket. */
import { type Endpoint, HEADROOM, TAILROOM } from '@seikan/core';
import { AddressTable, PacketBatch, type UdpSocket } from '@seikan/native';

import { EndpointCache } from './endpoint-cache.js';
import type { LinkReceiver, PacketLink } from './ports.js';
import { type DescriptorWatch, eventLoop, type Readiness } from './readiness.js';

export interface UdpLinkOptions {
  readonly readiness?: Readiness;
  /** The longest datagram that is taken; longer ones are lost. */
  readonly capacity?: number;
  /** What the socket refuses: ICMP answers to what was sent, a datagram too long, a firewall. For the log. */
  readonly onError?: (errno: number) => void;
}

const SLOTS = 64;
/** tun-mtu 1500 and all headers. */
const DEFAULT_CAPACITY = 2_048;

export class UdpLink implements PacketLink {
  readonly kind = 'datagram';
  readonly #socket: UdpSocket;
  readonly #watch: DescriptorWatch;
  readonly #onError: (errno: number) => void;
  readonly #cache = new EndpointCache();

  readonly #received: PacketBatch;
  readonly #senders = new AddressTable(SLOTS);
  readonly #from: Endpoint[] = [];
  #receiver: LinkReceiver | undefined;

  readonly #queue: PacketBatch;
  readonly #receivers = new AddressTable(SLOTS);
  /** Packet i goes to record i. */
  readonly #which = Uint32Array.from({ length: SLOTS }, (_, i) => i);
  /** Packets `#first` to `#end - 1` wait in the queue. */
  #first = 0;
  #end = 0;
  #blocked = false;
  #watchesWritable = false;
  #lost = 0;
  #closed = false;

  constructor(socket: UdpSocket, options: UdpLinkOptions = {}) {
    const { readiness = eventLoop, capacity = DEFAULT_CAPACITY, onError = () => undefined } = options;
    this.#socket = socket;
    this.#onError = onError;
    this.#received = new PacketBatch({ slots: SLOTS, headroom: HEADROOM, capacity, tailroom: TAILROOM });
    this.#queue = new PacketBatch({ slots: SLOTS, headroom: 0, capacity: capacity + HEADROOM, tailroom: 0 });
    this.#watch = readiness.watch(socket.descriptor.fd, (readable, writable) => this.#ready(readable, writable));
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#watchFor();
  }

  send(bytes: Uint8Array, start: number, end: number, to: Endpoint): boolean {
    if (this.#closed || end - start > this.#queue.capacity) return false;
    if (to.family === 6 && this.#socket.family === 4) return false;
    if (this.#end === SLOTS) this.#write();
    if (this.#end === SLOTS) return false;
    this.#queue.slab.set(bytes.subarray(start, end), this.#queue.offsets[this.#end]);
    this.#queue.lengths[this.#end] = end - start;
    this.#cache.writeRecord(to, this.#receivers, this.#end);
    this.#end += 1;
    return true;
  }

  flush(): number {
    this.#write();
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#socket.close();
  }

  #ready(readable: boolean, writable: boolean): void {
    if (writable) {
      this.#blocked = false;
      this.#write();
    }
    if (readable && !this.#closed) this.#read();
  }

  #read(): void {
    const count = this.#socket.receiveBatch(this.#received, this.#senders);
    if (count < 0) this.#onError(-count);
    if (count <= 0) return;
    for (let i = 0; i < count; i += 1) {
      const from = this.#cache.endpointOf(this.#senders, i);
      // The kernel always names the sender; an empty datagram is dropped as any other that is too short.
      if (from !== undefined) this.#from[i] = from;
      else this.#received.lengths[i] = 0;
    }
    this.#receiver?.datagrams(this.#received, count, this.#from);
  }

  #write(): void {
    while (!this.#closed && !this.#blocked && this.#first < this.#end) {
      const count = this.#end - this.#first;
      const sent = this.#socket.sendBatch(this.#queue, this.#first, count, this.#receivers, this.#which);
      if (sent === 0) this.#blocked = true;
      else if (sent > 0) this.#first += sent;
      else {
        this.#onError(-sent);
        this.#first += 1;
        this.#lost += 1;
      }
    }
    if (this.#first === this.#end) {
      this.#first = 0;
      this.#end = 0;
    }
    if (!this.#closed && this.#blocked !== this.#watchesWritable) this.#watchFor();
  }

  #watchFor(): void {
    this.#watchesWritable = this.#blocked;
    this.#watch.setEvents({ readable: this.#receiver !== undefined, writable: this.#blocked });
  }
}
