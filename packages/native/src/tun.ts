/**
 * tun and tap devices. Packets come and go in batches over one slab (packet-batch.ts), bare: IP packets on tun,
 * Ethernet frames on tap; with `virtioHeader` each is preceded by the kernel's 10-byte virtio_net_hdr.
 */
import { loadAddon } from './addon.js';
import { Descriptor } from './descriptor.js';
import type { PacketBatch, PacketRun } from './packet-batch.js';

interface TunAddon {
  tunOpen(kind: TunKind, name: string, multiQueue: boolean, virtioHeader: boolean): number;
  tunInfo(fd: number): TunInfo;
  tunPersist(fd: number, persistent: boolean, owner: number, group: number): void;
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

  /** Takes over the descriptor of an attached device: from another thread, or from the netcfg service. Throws EBADFD for any other. */
  constructor(fd: number) {
    this.info = this.#native.tunInfo(fd);
    this.descriptor = new Descriptor(fd, `${this.info.kind} device ${this.info.name}`);
    this.descriptor.setNonBlocking(true);
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

  get name(): string {
    return this.info.name;
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
