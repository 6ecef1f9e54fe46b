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
/** Messages that are received at once, each of 64 KiB at most. */
const MESSAGES = 16;
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

  #blocked = false;
  #watchesWritable = false;
  #lost = 0;
  #quietUntil = 0;
  #closed = false;

  constructor(socket: UdpSocket, options: UdpLinkOptions = {}) {
    const { readiness = eventLoop, capacity = DEFAULT_CAPACITY } = options;
    this.#socket = socket;
    this.#queue = new PacketBatch({ slots: SLOTS, headroom: 0, capacity: capacity + HEADROOM, tailroom: 0 });
    this.#watch = readiness.watch(socket.descriptor.fd, (readable, writable) => this.#ready(readable, writable), {
      source: socket.tableSource(this.#received, this.#senders),
      take: (count) => this.#take(count),
    });
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
    const socket = this.#socket;
    this.#addresses = addresses;
    this.#writeQueue();
    let first = 0;
    while (first < count) {
      const sends = !this.#blocked && !this.#closed && outbox.messages === 0;
      const taken = sends
        ? keys.ring.sealAndSend(table, order, first, count - first, outbox, socket, addresses)
        : keys.ring.seal(table, order, first, count - first, outbox);
      first += taken;
      if (outbox.messages > 0) this.#write();
      if (taken > 0) continue;
      for (; first < count; first += 1) this.#lost += table.segments[order[first] as number] as number;
    }
    this.#lost += outbox.takeLost();
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
    if (readable && !this.#closed) this.#take(this.#socket.receiveTable(this.#received, this.#senders));
  }

  /** Each packet to a port where nobody listens brings an error: one a second is told. */
  #failed(what: 'read' | 'write', result: number): void {
    this.#socket.forgetErrors();
    const now = performance.now();
    if (now < this.#quietUntil) return;
    this.#quietUntil = now + QUIET_MS;
    const name = `${what} UDPv${this.#socket.family} [${resultName(result)}]`;
    const unreachable = resultName(result) === 'ENETUNREACH';
    this.#receiver?.failed?.(`${name}: ${errorText(result)} (code=${-result})`, unreachable);
  }

  #take(count: number): void {
    if (this.#closed) return;
    if (count <= 0) {
      if (count < 0) this.#failed('read', count);
      else this.#socket.forgetErrors();
      return;
    }
    const table = this.#received;
    const { addresses, lengths } = table;
    let last = -1;
    let from: Endpoint | undefined;
    for (let i = 0; i < count; i += 1) {
      const record = addresses[i] as number;
      if (record !== last) from = this.#cache.endpointOf(this.#senders, record);
      last = record;
      // The kernel always names the sender; an empty datagram is dropped as any other that is too short.
      if (from === undefined) lengths[i] = 0;
      else if (this.#from[i] !== from) this.#from[i] = from;
    }
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
    while (!this.#closed && !this.#blocked && outbox.sent < messages) {
      const { sent: before } = outbox;
      const sent = outbox.takeError() || this.#socket.sendOutbox(outbox, before, messages - before, this.#addresses);
      if (sent === 0) this.#blocked = true;
      else if (sent > 0) outbox.sent += sent;
      else {
        this.#failed('write', sent);
        this.#lost += outbox.datagramsOf(before);
        outbox.sent += 1;
      }
    }
    if (outbox.sent < messages) return;
    this.#lost += outbox.takeLost();
    outbox.clear();
  }

  #watchFor(): void {
    this.#watchesWritable = this.#blocked;
    this.#watch.setEvents({ readable: this.#receiver !== undefined, writable: this.#blocked });
  }
}
