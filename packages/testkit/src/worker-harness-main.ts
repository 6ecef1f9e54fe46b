/**
 * The channel's thread as the compliance suite runs it: the real thread and real descriptors, with gates between them
 * that the suite can close, break and read, and a clock that it moves.
 */
import { workerData } from 'node:worker_threads';

import type { Endpoint } from '@seikan/core';
import {
  ChannelThread,
  type DescriptorWatch,
  type Ends,
  type LinkReceiver,
  type PacketLink,
  type PacketTun,
  type Peer,
  type PollLoop,
  type SealRun,
  TcpListenLink,
  type ThreadStart,
  TunEnd,
  type TunPort,
  type TunReceiver,
  UdpLink,
} from '@seikan/dataplane';
import {
  type AddressTable,
  Descriptor,
  loadAddon,
  type PacketTable,
  type TableSource,
  TcpListener,
  UdpSocket,
  Wake,
} from '@seikan/native';

import {
  ARRIVED,
  BROKEN,
  CLOSED,
  FULL,
  type GatedSource,
  gateFailure,
  LOOKS,
  NOW,
  SEEN,
  SENT,
} from './worker-harness-gate.js';

const SPOILED = 0xdd;
/** The suite's longest datagram and all headers. */
const CAPACITY = 4_096;

class Gate {
  readonly cells: Int32Array;
  readonly #wake: Wake;
  readonly #watch: DescriptorWatch;

  constructor({ gate, wake }: GatedSource, loop: PollLoop, broken: () => void) {
    this.cells = new Int32Array(gate);
    this.#wake = new Wake(wake);
    this.#watch = loop.lend(wake, () => {
      this.#wake.clear();
      if (this.cells[BROKEN] === 1) broken();
    });
  }

  get full(): boolean {
    return this.cells[FULL] === 1;
  }

  count(cell: number, amount: number): void {
    Atomics.add(this.cells, cell, amount);
    Atomics.notify(this.cells, cell);
  }

  close(): void {
    if (Atomics.exchange(this.cells, CLOSED, 1) === 1) return;
    this.#watch.close();
    this.#wake.descriptor.release();
  }
}

class GatedLink implements PacketLink {
  readonly kind: PacketLink['kind'];
  readonly #inner: PacketLink;
  readonly #gate: Gate;
  /** An accepted connection has the gate of its listener, which outlives it. */
  readonly #ownsGate: boolean;
  #receiver: LinkReceiver | undefined;

  constructor(inner: PacketLink, gate: Gate | ((broken: () => void) => Gate)) {
    this.kind = inner.kind;
    this.#inner = inner;
    this.#ownsGate = typeof gate === 'function';
    this.#gate = typeof gate === 'function' ? gate(() => this.#break()) : gate;
  }

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
    this.#inner.start({
      datagrams: (batch, count, from) => {
        receiver.datagrams(batch, count, from);
        batch.slab.fill(SPOILED);
        this.#gate.count(ARRIVED, count);
      },
      accepted: (connection, remote) => receiver.accepted(new GatedLink(connection, this.#gate), remote),
      connected: (remote) => receiver.connected(remote),
      down: (reason) => receiver.down(reason),
    });
  }

  send(bytes: Uint8Array, start: number, end: number, to: Endpoint): boolean {
    if (this.#gate.full || !this.#inner.send(bytes, start, end, to)) return false;
    this.#gate.count(SENT, 1);
    return true;
  }

  flush(): number {
    return this.#inner.flush();
  }

  address(peer: Peer, into: AddressTable): boolean {
    return !this.#gate.full && this.#inner.address?.(peer, into) !== false;
  }

  sendSealed(run: SealRun): number {
    const { order, count, table } = run;
    const segments = order.subarray(0, count).reduce((sum, number) => sum + (table.segments[number] ?? 0), 0);
    const lost = this.#inner.sendSealed?.(run) ?? count;
    this.#gate.count(SENT, segments - lost);
    return lost;
  }

  close(): void {
    this.#inner.close();
    if (this.#ownsGate) this.#gate.close();
  }

  #break(): void {
    this.close();
    this.#receiver?.down(gateFailure);
  }
}

class GatedTun implements PacketTun {
  readonly #inner: PacketTun;
  readonly #gate: Gate;
  #receiver: TunReceiver | undefined;

  constructor(inner: PacketTun, gate: (broken: () => void) => Gate) {
    this.#inner = inner;
    this.#gate = gate(() => {
      this.close();
      this.#receiver?.down(gateFailure);
    });
  }

  start(receiver: TunReceiver): void {
    this.#receiver = receiver;
    this.#inner.start({
      packets: (batch, count) => {
        receiver.packets(batch, count);
        batch.slab.fill(SPOILED);
        this.#gate.count(ARRIVED, count);
      },
      down: (reason) => receiver.down(reason),
    });
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#gate.full || !this.#inner.write(bytes, start, end)) return false;
    this.#gate.count(SENT, 1);
    return true;
  }

  flush(): number {
    return this.#inner.flush();
  }

  get full(): boolean {
    return this.#gate.full;
  }

  writeTable(table: PacketTable, order: Uint32Array, count: number): number {
    const lost = this.#inner.writeTable?.(table, order, count) ?? count;
    this.#gate.count(SENT, count - lost);
    return lost;
  }

  close(): void {
    this.#inner.close();
    this.#gate.close();
  }
}

/** One end of a pair of sockets that keep packets apart, in place of a device. */
class SocketTun implements TunPort {
  readonly descriptor: Descriptor;
  readonly #counters = new Uint32Array(4);
  readonly #native = loadAddon() as {
    tunReadTable(...args: unknown[]): number;
    tunWriteTable(...args: unknown[]): number;
  };

  constructor(fd: number) {
    this.descriptor = new Descriptor(fd, 'tun of the suite');
    this.descriptor.setNonBlocking(true);
  }

  readTable({ slab, columns, headroom, tailroom }: PacketTable): number {
    // At its end a socket gives empty packets for ever: one at a time is enough here.
    return this.#native.tunReadTable(this.descriptor.fd, false, slab, columns, 1, slab.length, headroom, tailroom);
  }

  tableSource(table: PacketTable): TableSource {
    return { kind: 'tun', table, most: 1, bytes: table.slab.length };
  }

  writeTable({ slab, columns }: PacketTable, order: Uint32Array, first: number, count: number): number {
    return this.#native.tunWriteTable(this.descriptor.fd, 0, slab, columns, order, first, count, this.#counters);
  }

  close(): void {
    this.descriptor.close();
  }
}

function gatedEnds(loop: PollLoop): Ends<GatedSource, GatedSource> {
  return {
    link: (source) => {
      const options = { readiness: loop, capacity: CAPACITY };
      const inner =
        source.kind === 'udp'
          ? new UdpLink(new UdpSocket(source.fd, 4), options)
          : new TcpListenLink(new TcpListener(source.fd), options);
      return new GatedLink(inner, (broken) => new Gate(source, loop, broken));
    },
    tun: (source) => {
      const inner = new TunEnd(new SocketTun(source.fd), { readiness: loop });
      return new GatedTun(inner, (broken) => new Gate(source, loop, broken));
    },
  };
}

const start = workerData as ThreadStart;
const time = new Float64Array(start.extra as SharedArrayBuffer);
const now = (): number => {
  const seen = time[NOW] as number;
  if (seen !== time[SEEN]) time[LOOKS] = 0;
  time[SEEN] = seen;
  time[LOOKS] = (time[LOOKS] as number) + 1;
  return seen;
};
new ChannelThread({ start, ends: gatedEnds, now }).run();
