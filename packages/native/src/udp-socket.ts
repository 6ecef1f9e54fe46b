/** UDP sockets that move datagrams in batches over one slab (packet-batch.ts, socket-address.ts). Non-blocking. */
import { loadAddon } from './addon.js';
import { Descriptor } from './descriptor.js';
import type { Outbox } from './outbox.js';
import type { PacketBatch, PacketRun } from './packet-batch.js';
import type { PacketTable } from './packet-table.js';
import type { TableSource } from './poll-set.js';
import type { AddressTable, SocketAddress } from './socket-address.js';
import {
  addressRecord,
  createSocket,
  type SocketAddon,
  type SocketOptions,
  setTos,
  socketName,
} from './socket-options.js';

interface UdpAddon extends SocketAddon {
  udpForgetErrors(fd: number): void;
  udpReceiveBatch(
    fd: number,
    slab: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    first: number,
    count: number,
    capacity: number,
    addresses: Uint8Array,
  ): number;
  udpSendBatch(
    fd: number,
    family: 4 | 6,
    slab: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    first: number,
    count: number,
    addresses?: Uint8Array,
    which?: Uint32Array,
  ): number;
  udpReceiveTable(
    fd: number,
    slab: ArrayBuffer,
    columns: ArrayBuffer,
    buffers: number,
    headroom: number,
    tailroom: number,
    addresses: ArrayBuffer,
  ): number;
  udpSendOutbox(
    fd: number,
    family: 4 | 6,
    slab: ArrayBuffer,
    columns: ArrayBuffer,
    first: number,
    count: number,
    addresses?: ArrayBuffer,
  ): number;
}

export interface UdpOptions extends SocketOptions {
  /** Ties the socket to one peer: only its datagrams arrive, and ICMP errors are reported. */
  readonly connect?: SocketAddress | undefined;
  /** `multihome`: received records say where a datagram was sent to, and sent records choose the source. */
  readonly packetInfo?: boolean | undefined;
  /**
   * UDP_GRO, for receiveTable: the kernel hands over runs of equal datagrams of one sender at once. Such a socket must
   * not be read with receiveBatch, which would take a run for one datagram. Left out where the kernel has none.
   */
  readonly coalesce?: boolean | undefined;
  /**
   * Reports ICMP errors about what was sent on a socket without a peer, too (IP_RECVERR): `forgetErrors` then. For sockets
   * that speak to one peer only: the datagram whose call returns the error is lost, whoever it was for.
   */
  readonly reportErrors?: boolean | undefined;
}

export class UdpSocket {
  readonly #native = loadAddon() as UdpAddon;
  readonly descriptor: Descriptor;
  readonly family: 4 | 6;

  /** Takes over a UDP socket's descriptor, from another thread for instance. `family` is the socket's own. */
  constructor(fd: number, family: 4 | 6) {
    this.descriptor = new Descriptor(fd, 'UDP socket');
    this.family = family;
  }

  /** Throws a system error that names the step: EADDRINUSE, EADDRNOTAVAIL (bind), ENODEV (SO_BINDTODEVICE) ... */
  static open(options: UdpOptions): UdpSocket {
    const native = loadAddon() as UdpAddon;
    const { family, connect, packetInfo = false, coalesce = false, reportErrors = false } = options;
    const fd = createSocket(false, options, (made) => {
      if (packetInfo) native.socketSetOption(made, family === 4 ? 'IP_PKTINFO' : 'IPV6_RECVPKTINFO', 1);
      if (coalesce) setWherePossible(native, made, 'UDP_GRO', 1);
      if (reportErrors) {
        setWherePossible(native, made, 'IP_RECVERR', 1);
        if (family === 6) setWherePossible(native, made, 'IPV6_RECVERR', 1);
      }
      if (connect !== undefined) native.socketConnect(made, family, addressRecord(connect));
    });
    return new UdpSocket(fd, family);
  }

  /** Where the socket is bound: the port that the kernel chose, too. */
  get address(): SocketAddress {
    return socketName(this.#native, this.descriptor.fd, 'own');
  }

  /**
   * Receives at most `count` datagrams (and at most 256) into the slots from `first` on; record i of `addresses` gets
   * the sender of packet i. Returns how many, 0 when none waits, or a negative errno: ECONNREFUSED and its like are
   * ICMP answers to what a connected socket sent; the socket goes on. A datagram longer than the batch's capacity comes
   * out with length 0.
   */
  receiveBatch(batch: PacketBatch, addresses: AddressTable, first = 0, count: number = batch.slots - first): number {
    return this.#native.udpReceiveBatch(
      this.descriptor.fd,
      batch.slab,
      batch.offsets,
      batch.lengths,
      first,
      count,
      batch.capacity,
      addresses.bytes,
    );
  }

  /**
   * Sends packets `first` to `first + count - 1` (at most 256), packet i to record `which[i]` of `addresses`. Returns
   * how many, which ends before the first that failed; or that one's negative errno when it is the first: EMSGSIZE,
   * ENETUNREACH, EPERM (a firewall) ...: leave it out and go on behind it. 0: the socket takes nothing now.
   */
  sendBatch(batch: PacketRun, first: number, count: number, addresses: AddressTable, which: Uint32Array): number {
    return this.#native.udpSendBatch(
      this.descriptor.fd,
      this.family,
      batch.slab,
      batch.offsets,
      batch.lengths,
      first,
      count,
      addresses.bytes,
      which,
    );
  }

  /** The same for a connected socket. */
  sendConnected(batch: PacketRun, first: number, count: number): number {
    return this.#native.udpSendBatch(
      this.descriptor.fd,
      this.family,
      batch.slab,
      batch.offsets,
      batch.lengths,
      first,
      count,
    );
  }

  /** Whether the kernel cuts messages into datagrams (UDP_SEGMENT, Linux 4.18). Without: `outbox.mostSegments = 1`. */
  get segmentation(): boolean {
    return setWherePossible(this.#native, this.descriptor.fd, 'UDP_SEGMENT', 0);
  }

  /**
   * Receives datagrams into `table` from number 0 on, from a socket with or without `coalesce`: at most as many
   * messages as the slab has room for, 64 KiB each, as `addresses` has records, and 16, or 2 after large ones. Fills `offsets`, `lengths` and
   * `addresses` (the sender's record, one per message), and the columns of a plain packet. Returns how many datagrams,
   * 0 when none waits, or a negative errno, as receiveBatch. Datagrams beyond the table's packets are counted by
   * `table.takeLost()`: give it 128 packets for each message.
   */
  receiveTable(table: PacketTable, addresses: AddressTable, messages: number = addresses.size): number {
    return this.#native.udpReceiveTable(
      this.descriptor.fd,
      table.slabMemory,
      table.columnMemory,
      messages,
      table.headroom,
      table.tailroom,
      addresses.memory,
    );
  }

  /** receiveTable for a `PollSet`. */
  tableSource(table: PacketTable, addresses: AddressTable): TableSource {
    return { kind: 'udp', table, addresses, most: addresses.size };
  }

  /**
   * Sends messages `first` to `first + count - 1` (at most 64) of `outbox` to the records that they name; a connected
   * socket takes no `addresses`. Returns how many messages, which ends before the first that failed; or that one's
   * negative errno when it is the first: leave it out and go on behind it. 0: the socket takes nothing now.
   * A message that the kernel will not cut (MTU, its limits, no such device) goes datagram by datagram, and the outbox
   * learns from it.
   */
  sendOutbox(outbox: Outbox, first: number, count: number, addresses?: AddressTable): number {
    return this.#native.udpSendOutbox(
      this.descriptor.fd,
      this.family,
      outbox.slabMemory,
      outbox.columnMemory,
      first,
      count,
      addresses?.memory,
    );
  }

  /** Empties the queue of `reportErrors`: after every error, and when the socket was ready and nothing came. */
  forgetErrors(): void {
    this.#native.udpForgetErrors(this.descriptor.fd);
  }

  /** The TOS byte of the packets sent from now on (`passtos`). */
  setTos(tos: number): void {
    setTos(this.#native, this.descriptor.fd, this.family, tos);
  }

  close(): void {
    this.descriptor.close();
  }
}

type Option = 'UDP_GRO' | 'UDP_SEGMENT' | 'IP_RECVERR' | 'IPV6_RECVERR';

/** False: this kernel has no such option. */
function setWherePossible(native: SocketAddon, fd: number, option: Option, value: number): boolean {
  try {
    native.socketSetOption(fd, option, value);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOPROTOOPT') throw error;
    return false;
  }
}
