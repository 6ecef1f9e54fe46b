/**
 * A UDP socket as a link. Owns the socket.
 *
 *   in    a table of datagrams at once; runs of one sender come in one message where the socket coalesces (UDP_GRO)
 *   out   a queue for single datagrams (`send`, `flush`), and an outbox for what is sealed many at once (`sendSealed`)
 *
 * What the socket does not take now waits for it.
 */
import { type Endpoint, HEADROOM, TAILROOM } from '@seikan/core';
import {
  AddressTable,
  errorText,
  OUTBOX_LEAST,
  Outbox,
  PacketBatch,
  PacketTable,
  resultName,
  type UdpSocket,
} from '@seikan/native';

import { EndpointCache } from './endpoint-cache.js';
import { MOST_PACKETS, type SealRun } from './packet-lane.js';
import type { Peer } from './peer.js';
import type { LinkReceiver, LinkSocket, PacketLink } from './ports.js';
import { type DescriptorWatch, eventLoop, type Readiness } from './readiness.js';

export interface UdpLinkOptions {
  readonly readiness?: Readiness;
  /** The longest datagram that `send` takes. */
  readonly capacity?: number;
}

const SLOTS = 64;
/** What a socket is bound to that is bound to no address. */
const ANY = { 4: '0.0.0.0', 6: '::' } as const;
const QUIET_MS = 1_000;
/** tun-mtu 1500 and all headers. */
const DEFAULT_CAPACITY = 2_048;
/**
 * Messages that are received at once, each of 64 KiB at most; and when they are large, so that what is opened, merged and
 * written lies in the processor's cache meanwhile, and a small packet does not wait for much.
 */
const MESSAGES = 16;
const LARGE_MESSAGES = 2;
const LARGE = 0x4000;
const MESSAGE_ROOM = 0x1_0000 + HEADROOM + TAILROOM + 64;

export class UdpLink implements PacketLink {
  readonly kind = 'datagram';
  readonly #socket: UdpSocket;
  readonly #watch: DescriptorWatch;
  readonly #cache = new EndpointCache();

  readonly #received = new PacketTable({
    packets: MOST_PACKETS,
    bytes: MESSAGES * MESSAGE_ROOM,
    headroom: HEADROOM,
    tailroom: TAILROOM,
  });
  readonly #senders = new AddressTable(MESSAGES);
  readonly #from: Endpoint[] = [];
  #atOnce = MESSAGES;
  #receiver: LinkReceiver | undefined;

  readonly #queue: PacketBatch;
  readonly #receivers = new AddressTable(SLOTS);
  /** Packet i goes to record i. */
  readonly #which = Uint32Array.from({ length: SLOTS }, (_, i) => i);
  /** Packets `#first` to `#end - 1` wait in the queue. */
  #first = 0;
  #end = 0;

  /** Made when something is sealed. */
  #outbox: Outbox | undefined;
  #addresses: AddressTable | undefined;
  /** Messages of the outbox that were sent. */
  #sent = 0;

  #blocked = false;
  #watchesWritable = false;
  #lost = 0;
  #quietUntil = 0;
  #closed = false;

  constructor(socket: UdpSocket, options: UdpLinkOptions = {}) {
    const { readiness = eventLoop, capacity = DEFAULT_CAPACITY } = options;
    this.#socket = socket;
    this.#queue = new PacketBatch({ slots: SLOTS, headroom: 0, capacity: capacity + HEADROOM, tailroom: 0 });
    this.#watch = readiness.watch(socket.descriptor.fd, (readable, writable) => this.#ready(readable, writable));
  }

  get socket(): LinkSocket {
    const nothing = (): void => undefined;
    return { fd: this.#socket.descriptor.fd, atBoundary: true, whenAtBoundary: nothing, handedOver: nothing };
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#watchFor();
  }

  send(bytes: Uint8Array, start: number, end: number, to: Endpoint): boolean {
    if (this.#closed || end - start > this.#queue.capacity || !this.#reaches(to)) return false;
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
    return this.#takeLost();
  }

  address(peer: Peer, into: AddressTable): boolean {
    const { remote } = peer.settings;
    const { stamp } = this.#cache;
    if (peer.addressOf === remote && peer.addressStamp === stamp) return !this.#closed;
    if (this.#closed || !this.#reaches(remote)) return false;
    this.#cache.writeRecord(remote, into, peer.ref.index);
    peer.addressOf = remote;
    peer.addressStamp = stamp;
    return true;
  }

  localOf(remote: Endpoint): string | undefined {
    const known = this.#cache.localOf(remote);
    if (known !== undefined) return known;
    const { family, address } = this.#socket.address;
    return family === remote.family && address !== ANY[family] ? address : undefined;
  }

  sendSealed({ keys, table, order, count, addresses }: SealRun): number {
    const outbox = (this.#outbox ??= this.#newOutbox());
    this.#addresses = addresses;
    let first = 0;
    while (first < count) {
      const taken = keys.ring.seal(table, order, first, count - first, outbox);
      first += taken;
      this.#write();
      if (taken > 0) continue;
      for (; first < count; first += 1) this.#lost += table.segments[order[first] as number] as number;
    }
    return this.#takeLost();
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

  #newOutbox(): Outbox {
    const outbox = new Outbox({ bytes: OUTBOX_LEAST });
    if (!this.#socket.segmentation) outbox.mostSegments = 1;
    return outbox;
  }

  /** Port 0 is nobody: a peer that has not been heard yet, and is waited for. */
  #reaches({ family, port }: Endpoint): boolean {
    if (port === 0) return false;
    return family === 4 || this.#socket.family === 6;
  }

  #takeLost(): number {
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  #ready(readable: boolean, writable: boolean): void {
    if (writable && this.#blocked) {
      this.#blocked = false;
      this.#write();
      if (!this.#blocked) this.#receiver?.drained?.();
    }
    if (readable && !this.#closed) this.#read();
  }

  /** Each packet to a port where nobody listens brings an error: one a second is told. */
  #failed(what: 'read' | 'write', result: number): void {
    this.#socket.forgetErrors();
    const now = performance.now();
    if (now < this.#quietUntil) return;
    this.#quietUntil = now + QUIET_MS;
    const name = `${what} UDPv${this.#socket.family} [${resultName(result)}]`;
    this.#receiver?.failed?.(`${name}: ${errorText(result)} (code=${-result})`);
  }

  #read(): void {
    const table = this.#received;
    const count = this.#socket.receiveTable(table, this.#senders, this.#atOnce);
    if (count <= 0) {
      if (count < 0) this.#failed('read', count);
      else this.#socket.forgetErrors();
      return;
    }
    const { addresses, lengths } = table;
    let last = -1;
    let bytes = 0;
    let from: Endpoint | undefined;
    for (let i = 0; i < count; i += 1) {
      const record = addresses[i] as number;
      bytes += lengths[i] as number;
      if (record !== last) from = this.#cache.endpointOf(this.#senders, record);
      last = record;
      // The kernel always names the sender; an empty datagram is dropped as any other that is too short.
      if (from !== undefined) this.#from[i] = from;
      else lengths[i] = 0;
    }
    this.#atOnce = bytes > (last + 1) * LARGE ? LARGE_MESSAGES : MESSAGES;
    this.#receiver?.datagrams(table, count, this.#from);
  }

  #write(): void {
    this.#writeQueue();
    this.#writeOutbox();
    if (!this.#closed && this.#blocked !== this.#watchesWritable) this.#watchFor();
  }

  #writeQueue(): void {
    while (!this.#closed && !this.#blocked && this.#first < this.#end) {
      const count = this.#end - this.#first;
      const sent = this.#socket.sendBatch(this.#queue, this.#first, count, this.#receivers, this.#which);
      if (sent === 0) this.#blocked = true;
      else if (sent > 0) this.#first += sent;
      else {
        this.#failed('write', sent);
        this.#first += 1;
        this.#lost += 1;
      }
    }
    if (this.#first === this.#end) {
      this.#first = 0;
      this.#end = 0;
    }
  }

  #writeOutbox(): void {
    const outbox = this.#outbox;
    if (outbox === undefined) return;
    const { messages } = outbox;
    while (!this.#closed && !this.#blocked && this.#sent < messages) {
      const sent = this.#socket.sendOutbox(outbox, this.#sent, messages - this.#sent, this.#addresses);
      if (sent === 0) this.#blocked = true;
      else if (sent > 0) this.#sent += sent;
      else {
        this.#failed('write', sent);
        this.#lost += outbox.datagramsOf(this.#sent);
        this.#sent += 1;
      }
    }
    if (this.#sent < messages) return;
    this.#sent = 0;
    this.#lost += outbox.takeLost();
    outbox.clear();
  }

  #watchFor(): void {
    this.#watchesWritable = this.#blocked;
    this.#watch.setEvents({ readable: this.#receiver !== undefined, writable: this.#blocked });
  }
}
