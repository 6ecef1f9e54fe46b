/**
 * UDP through a SOCKS5 proxy as a link: each datagram goes to the proxy's relay and says where it is meant for, and each
 * that comes says where it is from. It lasts as long as the TCP connection on which the relay was asked for. Owns both.
 *
 *   | 0 0 | fragment 0 | kind 1 | IPv4 address 4 | port 2 | OpenVPN packet |
 *
 * Packets are copied once more on their way; links without a proxy know nothing of this.
 *
 * Source: RFC 1928 section 7; socks.c `socks_process_incoming_udp`, `socks_process_outgoing_udp` (2.6).
 */
import { type Endpoint, readUint16, readUint32, sameEndpoint, writeUint16 } from '@seikan/core';
import { type AddressTable, addressBytes, OUTBOX_LEAST, Outbox, type TcpSocket, WOULD_BLOCK } from '@seikan/native';

import type { SealRun } from './packet-lane.js';
import type { Peer } from './peer.js';
import type { LinkReceiver, LinkSocket, PacketBatch, PacketLink } from './ports.js';
import { type DescriptorWatch, eventLoop, type Readiness } from './readiness.js';
import type { UdpLink } from './udp-link.js';

const HEADER_SIZE = 10;
const KIND_IPV4 = 1;
/** tun-mtu 1500, all headers and this one. */
export const MOST_RELAYED = 2_048 + HEADER_SIZE;

export interface SocksUdpLinkOptions {
  readonly packets: UdpLink;
  /** The connection to the proxy. */
  readonly control: TcpSocket;
  /** Where datagrams go, and the only place they come from. */
  readonly relay: Endpoint;
  readonly readiness?: Readiness;
}

const nowhere: Endpoint = { family: 4, address: '0.0.0.0', port: 0 };

export class SocksUdpLink implements PacketLink {
  readonly kind = 'datagram';
  readonly #packets: UdpLink;
  readonly #control: TcpSocket;
  readonly #relay: Endpoint;
  readonly #watch: DescriptorWatch;
  readonly #framed = new Uint8Array(MOST_RELAYED);
  readonly #outbox = new Outbox({ bytes: OUTBOX_LEAST });
  /** Whose address the header in `#framed` bears, and whom sealed packets go to. */
  #framedFor: Endpoint | undefined;
  #target: Endpoint | undefined;
  readonly #from: Endpoint[] = [];
  #lastSender: Endpoint = nowhere;
  #lastAddress = 0;
  /** The same object for the same place. */
  #lastFrom: Endpoint = nowhere;
  #receiver: LinkReceiver | undefined;
  #closed = false;

  constructor({ packets, control, relay, readiness = eventLoop }: SocksUdpLinkOptions) {
    this.#packets = packets;
    this.#control = control;
    this.#relay = relay;
    this.#watch = readiness.watch(control.descriptor.fd, () => this.#listen());
  }

  get socket(): LinkSocket {
    return this.#packets.socket;
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#watch.setEvents({ readable: true });
    const never = (): void => undefined;
    this.#packets.start({
      datagrams: (batch, count, from) => this.#unwrap(batch, count, from),
      accepted: never,
      connected: never,
      drained: () => receiver.drained?.(),
      failed: (text, unreachable) => receiver.failed?.(text, unreachable),
      down: (reason) => receiver.down(reason),
    });
  }

  send(bytes: Uint8Array, start: number, end: number, to: Endpoint): boolean {
    const size = HEADER_SIZE + end - start;
    if (this.#closed || size > MOST_RELAYED || to.family !== 4) return false;
    if (to !== this.#framedFor) this.#address(to);
    this.#framed.set(bytes.subarray(start, end), HEADER_SIZE);
    return this.#packets.send(this.#framed, 0, size, this.#relay);
  }

  flush(): number {
    return this.#packets.flush();
  }

  address({ settings }: Peer, _into: AddressTable): boolean {
    this.#target = settings.remote;
    return !this.#closed;
  }

  /** There is one peer behind a proxy: what was addressed last is meant for it. */
  sendSealed({ keys, table, order, count }: SealRun): number {
    const target = this.#target;
    if (target === undefined) return count;
    const outbox = this.#outbox;
    let lost = 0;
    for (let first = 0; first < count; ) {
      outbox.clear();
      first += keys.ring.seal(table, order, first, count - first, outbox);
      const { slab, offsets, lengths, segmentSizes, messages } = outbox;
      for (let i = 0; i < messages; i += 1) {
        const end = (offsets[i] as number) + (lengths[i] as number);
        const size = segmentSizes[i] as number;
        for (let at = offsets[i] as number; at < end; at += size) {
          if (!this.send(slab, at, Math.min(end, at + size), target)) lost += 1;
        }
      }
      lost += this.#packets.flush();
    }
    return lost;
  }

  get congested(): boolean {
    return this.#packets.congested;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#control.close();
    this.#packets.close();
  }

  /** A proxy says nothing more on this connection: only its end means something. */
  #listen(): void {
    const ignored = new Uint8Array(256);
    const count = this.#control.read(ignored, 0, ignored.length);
    if (count > 0 || count === WOULD_BLOCK || this.#closed) return;
    this.close();
    this.#receiver?.down('the SOCKS proxy closed its connection');
  }

  #address(to: Endpoint): void {
    this.#framed.fill(0, 0, HEADER_SIZE);
    this.#framed[3] = KIND_IPV4;
    this.#framed.set(addressBytes(4, to.address), 4);
    writeUint16(this.#framed, 8, to.port);
    this.#framedFor = to;
  }

  /** What bears no good header comes out empty, and is dropped and counted as any datagram that is too short. */
  #unwrap(batch: PacketBatch, count: number, from: readonly Endpoint[]): void {
    const { offsets, lengths, slab } = batch;
    for (let i = 0; i < count; i += 1) {
      const start = offsets[i] as number;
      const length = lengths[i] as number;
      const good =
        this.#isRelay(from[i] as Endpoint) &&
        length >= HEADER_SIZE &&
        slab[start + 2] === 0 &&
        slab[start + 3] === KIND_IPV4;
      offsets[i] = good ? start + HEADER_SIZE : start;
      lengths[i] = good ? length - HEADER_SIZE : 0;
      this.#from[i] = good ? this.#senderAt(slab, start + 4) : nowhere;
    }
    this.#receiver?.datagrams(batch, count, this.#from);
  }

  #isRelay(sender: Endpoint): boolean {
    if (sender === this.#lastSender) return true;
    if (!sameEndpoint(sender, this.#relay)) return false;
    this.#lastSender = sender;
    return true;
  }

  #senderAt(slab: Uint8Array, at: number): Endpoint {
    const address = readUint32(slab, at);
    const port = readUint16(slab, at + 4);
    if (address === this.#lastAddress && port === this.#lastFrom.port) return this.#lastFrom;
    this.#lastAddress = address;
    this.#lastFrom = { family: 4, address: slab.subarray(at, at + 4).join('.'), port };
    return this.#lastFrom;
  }
}
