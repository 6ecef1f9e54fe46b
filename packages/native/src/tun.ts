/**
 * tun and tap devices. Packets come and go in batches over one slab (packet-batch.ts), bare: IP packets on tun,
 * Ethernet frames on tap; with `virtioHeader` each is preceded by the kernel's 10-byte virtio_net_hdr.
 */
import { loadAddon } from './addon.js';
import { Descriptor } from './descriptor.js';
import type { PacketBatch, PacketRun } from './packet-batch.js';
import type { PacketTable } from './packet-table.js';
import type { TableSource } from './poll-set.js';

interface TunAddon {
  tunOpen(kind: TunKind, name: string, multiQueue: boolean, virtioHeader: boolean): number;
  tunInfo(fd: number): TunInfo;
  tunPersist(fd: number, persistent: boolean, owner: number, group: number): void;
  tunSetOffloads(fd: number): number;
  tunReadTable(
    fd: number,
    virtioHeader: boolean,
    slab: ArrayBuffer,
    columns: ArrayBuffer,
    count: number,
    bytes: number,
    headroom: number,
    tailroom: number,
  ): number;
  tunWriteTable(
    fd: number,
    merge: number,
    slab: ArrayBuffer,
    columns: ArrayBuffer,
    order: Uint32Array,
    first: number,
    count: number,
    counters: Uint32Array,
  ): number;
  tunReadBatch(
    fd: number,
    slab: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    first: number,
    count: number,
    capacity: number,
  ): number;
  tunWriteBatch(
    fd: number,
    slab: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    first: number,
    count: number,
  ): number;
}

export type TunKind = 'tun' | 'tap';

export interface TunOptions {
  readonly kind: TunKind;
  /** `tun3` opens or makes that device; the bare kind (`tun`, `tap`) takes the next free one. */
  readonly name: string;
  /** One of several descriptors of the same device (IFF_MULTI_QUEUE); all of them must ask for it. */
  readonly multiQueue?: boolean;
  readonly virtioHeader?: boolean;
}

/** What the kernel leaves to us on this device. */
export interface TunOffloads {
  /** Superpackets of TCP, in both directions. Without it readTable and writeTable move plain packets. */
  readonly tcp: boolean;
  /** Superpackets of UDP: Linux 6.2. */
  readonly udp: boolean;
}

const NO_OFFLOADS: TunOffloads = { tcp: false, udp: false };
/** Bits of what tunSetOffloads returns and tunWriteTable takes. */
const HEADER = 1;
const MERGE_TCP = 2;
const MERGE_UDP = 4;

export interface TunInfo {
  readonly name: string;
  readonly kind: TunKind;
  readonly multiQueue: boolean;
  readonly virtioHeader: boolean;
  readonly persistent: boolean;
}

export class TunDevice {
  readonly #native = loadAddon() as TunAddon;
  readonly descriptor: Descriptor;
  readonly info: TunInfo;
  /** Of writeTable: write calls, packets merged into superpackets, packets refused by the kernel, its last errno. */
  readonly #counters = new Uint32Array(4);
  #offloads = NO_OFFLOADS;
  #merge: number;

  /** Takes over the descriptor of an attached device: from another thread, or from the netcfg service. Throws EBADFD for any other. */
  constructor(fd: number) {
    this.info = this.#native.tunInfo(fd);
    this.descriptor = new Descriptor(fd, `${this.info.kind} device ${this.info.name}`);
    this.descriptor.setNonBlocking(true);
    this.#merge = this.info.virtioHeader ? HEADER : 0;
  }

  /**
   * Opens a device, and makes it when it does not exist; it vanishes with its last descriptor unless it is persistent.
   * Throws a system error: EPERM without CAP_NET_ADMIN, EBUSY when another process holds it, ENOENT or ENODEV when
   * /dev/net/tun is missing, EINVAL when it exists as the other kind.
   */
  static open({ kind, name, multiQueue = false, virtioHeader = false }: TunOptions): TunDevice {
    const native = loadAddon() as TunAddon;
    return new TunDevice(native.tunOpen(kind, name === kind ? `${kind}%d` : name, multiQueue, virtioHeader));
  }

  /**
   * The same for a worker's loop: a tun with every offload that kernel and device grant, and a plain one where they
   * grant none. readTable and writeTable work on both alike.
   */
  static openOffloaded({ kind, name, multiQueue = false }: TunOptions): TunDevice {
    let device: TunDevice;
    try {
      // A tap stays plain: its superpackets would be frames.
      device = TunDevice.open({ kind, name, multiQueue, virtioHeader: kind === 'tun' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
      device = TunDevice.open({ kind, name, multiQueue });
    }
    device.enableOffloads();
    return device;
  }

  get name(): string {
    return this.info.name;
  }

  get offloads(): TunOffloads {
    return this.#offloads;
  }

  /**
   * Asks for every offload that the device can have; without a virtio header that is none. openOffloaded has done it;
   * a descriptor that was taken over needs it once.
   */
  enableOffloads(): TunOffloads {
    if (!this.info.virtioHeader || this.info.kind !== 'tun') return this.#offloads;
    this.#merge = HEADER | (this.#native.tunSetOffloads(this.descriptor.fd) & (MERGE_TCP | MERGE_UDP));
    this.#offloads = { tcp: (this.#merge & MERGE_TCP) !== 0, udp: (this.#merge & MERGE_UDP) !== 0 };
    return this.#offloads;
  }

  /**
   * Reads at most `count` packets into the slots from `first` on. Returns how many, 0 when none waits, or a negative
   * errno (EBADFD: the device was removed). A packet longer than the batch's capacity arrives cut, without a sign of
   * it but its length: make the capacity larger than the device's MTU (and 14 for tap, 10 for the virtio header).
   */
  readBatch(batch: PacketBatch, first = 0, count: number = batch.slots - first): number {
    return this.#native.tunReadBatch(
      this.descriptor.fd,
      batch.slab,
      batch.offsets,
      batch.lengths,
      first,
      count,
      batch.capacity,
    );
  }

  /**
   * Writes packets `first` to `first + count - 1`. Returns how many, which ends before the first packet that failed; or
   * that packet's negative errno when it is the first (EINVAL: no IP packet, EIO: the device is down): leave it out and
   * go on behind it. 0: the device takes nothing now.
   */
  writeBatch(batch: PacketRun, first: number, count: number): number {
    return this.#native.tunWriteBatch(this.descriptor.fd, batch.slab, batch.offsets, batch.lengths, first, count);
  }

  /**
   * Reads packets and superpackets into `table`, from number 0 and the slab's beginning on, until `most` are there, or
   * `bytes` or more, or none waits, or the slab has no room for another of 64 KiB. Fills every column up to
   * `transports`. Checksums that the kernel left open are completed, but for superpackets'. Returns how many, or a
   * negative errno (EBADFD: the device was removed).
   */
  readTable(table: PacketTable, most: number = table.packets, bytes: number = table.slab.length): number {
    return this.#native.tunReadTable(
      this.descriptor.fd,
      this.info.virtioHeader,
      table.slabMemory,
      table.columnMemory,
      most,
      bytes,
      table.headroom,
      table.tailroom,
    );
  }

  /**
   * readTable for a `PollSet`, which reads but one packet after a rest, if it was but one the last time: most often it is,
   * and another is there in the next turn.
   */
  tableSource(table: PacketTable, most: number, bytes: number): TableSource {
    return { kind: this.info.virtioHeader ? 'tun-virtio' : 'tun', table, most, bytes };
  }

  /**
   * Writes packets `order[first]` to `order[first + count - 1]`, plain ones, in as few writes as may be: consecutive
   * segments of a TCP connection or UDP flow go as one superpacket, if their checksums are right. The order within a
   * flow is kept. Headers of packets may be changed in place. Returns how many the kernel took; `verdicts[i]` of every
   * other one becomes 2 (see `writeCounters`); or a negative errno when the device takes nothing more (EBADFD: it was
   * removed).
   */
  writeTable(table: PacketTable, order: Uint32Array, first: number, count: number): number {
    return this.#native.tunWriteTable(
      this.descriptor.fd,
      this.#merge,
      table.slabMemory,
      table.columnMemory,
      order,
      first,
      count,
      this.#counters,
    );
  }

  /** Of writeTable, since the device was opened, modulo 2^32; `lastErrno` is why the kernel refused one last. */
  get writeCounters(): {
    readonly writes: number;
    readonly merged: number;
    readonly refused: number;
    readonly lastErrno: number;
  } {
    const [writes = 0, merged = 0, refused = 0, lastErrno = 0] = this.#counters;
    return { writes, merged, refused, lastErrno };
  }

  close(): void {
    this.descriptor.close();
  }
}

export interface PersistentTunOptions {
  readonly kind: TunKind;
  readonly name: string;
  /** User and group ids that may open the device without CAP_NET_ADMIN. */
  readonly owner?: number | undefined;
  readonly group?: number | undefined;
  readonly multiQueue?: boolean;
}

/** Makes a device that stays when nobody has it open (`--mktun`). Returns its name. */
export function createPersistentTun({ kind, name, owner, group, multiQueue = false }: PersistentTunOptions): string {
  return setPersistence(TunDevice.open({ kind, name, multiQueue }), true, owner, group);
}

/** Removes a persistent device (`--rmtun`); one that is in use vanishes when its user closes it. */
export function removePersistentTun({ kind, name, multiQueue = false }: PersistentTunOptions): void {
  setPersistence(TunDevice.open({ kind, name, multiQueue }), false);
}

function setPersistence(device: TunDevice, persistent: boolean, owner = -1, group = -1): string {
  try {
    (loadAddon() as TunAddon).tunPersist(device.descriptor.fd, persistent, owner, group);
    return device.name;
  } finally {
    device.close();
  }
}
