/**
 * What a worker thread blocks on: descriptors (epoll) and a wake-up that other threads raise (eventfd).
 * While wait() blocks, the thread's event loop does not run: messages are fetched with receiveMessageOnPort.
 */
import { loadAddon } from './addon.js';
import { Descriptor } from './descriptor.js';
import type { PacketTable } from './packet-table.js';
import type { AddressTable } from './socket-address.js';

interface PollSetAddon {
  pollSetCreate(): number;
  pollSetWatch(set: number, fd: number, readable: boolean, writable: boolean): void;
  pollSetForget(set: number, fd: number): void;
  pollSetWait(
    set: number,
    ready: Int32Array,
    milliseconds: number,
    sources: Int32Array,
    slab: ArrayBuffer | undefined,
    columns: ArrayBuffer | undefined,
    addresses: ArrayBuffer | undefined,
    slab2: ArrayBuffer | undefined,
    columns2: ArrayBuffer | undefined,
    addresses2: ArrayBuffer | undefined,
  ): number;
  wakeCreate(): number;
  wakeRaise(fd: number): void;
  wakeClear(fd: number): void;
}

/** Bits of a ready descriptor's state; an error or hang-up sets both. */
export const READABLE = 1;
export const WRITABLE = 2;

/** What wait() reads by itself, as `UdpSocket.receiveTable` or `TunDevice.readTable` would (`tableSource` of each). */
export interface TableSource {
  readonly kind: 'udp' | 'tun' | 'tun-virtio';
  readonly table: PacketTable;
  /** Of a socket: for the senders. */
  readonly addresses?: AddressTable;
  /** Messages of a socket, packets of a tun. */
  readonly most: number;
  /** Of a tun: no more packets from there on. */
  readonly bytes?: number;
}

/** In `ready`: nothing was read for the descriptor that is first. */
export const NOT_RECEIVED = -(2 ** 31);
/** A socket and a tun; what further descriptors give is left to their owners to read. */
const MOST_SOURCES = 2;
const SOURCE_WORDS = 8;
const FD = 0;
const KIND = 1;
const KINDS = { udp: 1, tun: 2, 'tun-virtio': 3 } as const;

export class PollSet {
  readonly #native = loadAddon() as PollSetAddon;
  readonly #set: Descriptor;
  readonly #sources = new Int32Array(MOST_SOURCES * SOURCE_WORDS);
  #first: TableSource | undefined;
  #second: TableSource | undefined;
  /**
   * After wait(): how many descriptors are ready; what was read for the first of them (as readTable gives it), or
   * NOT_RECEIVED; then of each its number and its state.
   */
  readonly ready: Int32Array<ArrayBuffer>;

  /** `room`: the most descriptors that one wait() reports, up to 64; the others come with the next. */
  constructor(room: number) {
    this.ready = new Int32Array(2 + 2 * room);
    this.#set = new Descriptor(this.#native.pollSetCreate(), 'poll set');
  }

  /** Adds a borrowed descriptor, or changes what it waits for. Closing the descriptor takes it out. */
  watch(fd: number, { readable = false, writable = false }: { readable?: boolean; writable?: boolean }): void {
    this.#native.pollSetWatch(this.#set.fd, fd, readable, writable);
  }

  forget(fd: number): void {
    this.#native.pollSetForget(this.#set.fd, fd);
  }

  /**
   * From now on wait() reads from `fd` when it is the first that is ready, which spares a call when a packet is waited
   * for; `undefined`: no more, which is to be said before the descriptor is closed.
   */
  receive(fd: number, source: TableSource | undefined): void {
    const before = this.#place((at) => this.#sources[at + FD] === fd && this.#sources[at + KIND] !== 0);
    if (before >= 0) this.#put(before, fd, undefined);
    const free = this.#place((at) => this.#sources[at + KIND] === 0);
    if (source !== undefined && free >= 0) this.#put(free, fd, source);
  }

  /**
   * Blocks the thread until something is ready or `milliseconds` are over; -1 is for ever. Returns the time then, in
   * milliseconds of the monotonic clock: `performance.now()` is a large part of a turn that finds the processor's caches cold.
   */
  wait(milliseconds: number): number {
    const first = this.#first;
    const second = this.#second;
    return this.#native.pollSetWait(
      this.#set.fd,
      this.ready,
      milliseconds,
      this.#sources,
      first?.table.slabMemory,
      first?.table.columnMemory,
      first?.addresses?.memory,
      second?.table.slabMemory,
      second?.table.columnMemory,
      second?.addresses?.memory,
    );
  }

  close(): void {
    this.#set.close();
  }

  #place(fits: (at: number) => boolean): number {
    for (let place = 0; place < MOST_SOURCES; place += 1) if (fits(place * SOURCE_WORDS)) return place;
    return -1;
  }

  #put(place: number, fd: number, source: TableSource | undefined): void {
    const { kind, table, most, bytes = 0 } = source ?? {};
    const numbers = [fd, kind === undefined ? 0 : KINDS[kind], most, bytes, table?.headroom, table?.tailroom];
    const words = this.#sources.subarray(place * SOURCE_WORDS, (place + 1) * SOURCE_WORDS);
    words.fill(0);
    words.set(numbers.map((number) => number ?? 0));
    if (place === 0) this.#first = source;
    else this.#second = source;
  }
}

/** A flag that one thread raises to wake another. Its `fd` may be posted to any thread of this process. */
export class Wake {
  readonly #native = loadAddon() as PollSetAddon;
  readonly descriptor: Descriptor;

  /** Without `fd` a new one; with it, another thread's, which must outlive this. */
  constructor(fd?: number) {
    this.descriptor = new Descriptor(fd ?? this.#native.wakeCreate(), 'wake-up');
  }

  /** From any thread: its descriptor is readable until clear(). */
  raise(): void {
    this.#native.wakeRaise(this.descriptor.fd);
  }

  clear(): void {
    this.#native.wakeClear(this.descriptor.fd);
  }

  close(): void {
    this.descriptor.close();
  }
}
