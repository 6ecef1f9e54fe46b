/** A tun or tap device as the channel's tun: tables of packets in, and out as they come. Owns the device. */
import { HEADROOM, TAILROOM } from '@seikan/core';
import { errorText, PacketTable, type TunDevice } from '@seikan/native';

import type { PacketTun, TunReceiver } from './ports.js';
import { type DescriptorWatch, eventLoop, type Readiness } from './readiness.js';

/** What a tun end needs of a device; tests give a socket. */
export type TunPort = Pick<TunDevice, 'descriptor' | 'readTable' | 'tableSource' | 'writeTable' | 'close'>;

export interface TunEndOptions {
  readonly readiness?: Readiness;
}

const PACKETS = 64;
/** Read at once: a turn stays short, and what the link is to carry, too. */
const BYTES_AT_ONCE = 0x2_0000;
const LONGEST = 0x1_0000 + 64;

export class TunEnd implements PacketTun {
  readonly #device: TunPort;
  readonly #watch: DescriptorWatch;
  readonly #read = new PacketTable({
    packets: PACKETS,
    bytes: BYTES_AT_ONCE + PACKETS * (HEADROOM + TAILROOM + 64) + LONGEST,
    headroom: HEADROOM,
    tailroom: TAILROOM,
  });
  /** Made when packets are written one by one. */
  #queue: PacketTable | undefined;
  readonly #order = Uint32Array.from({ length: PACKETS }, (_, i) => i);
  #queued = 0;
  #queuedBytes = 0;
  #receiver: TunReceiver | undefined;
  #lost = 0;
  #closed = false;

  constructor(device: TunPort, { readiness = eventLoop }: TunEndOptions = {}) {
    this.#device = device;
    this.#watch = readiness.watch(
      device.descriptor.fd,
      () => this.#take(device.readTable(this.#read, PACKETS, BYTES_AT_ONCE)),
      { source: device.tableSource(this.#read, PACKETS, BYTES_AT_ONCE), take: (count) => this.#take(count) },
    );
  }

  start(receiver: TunReceiver): void {
    this.#receiver = receiver;
    this.#watch.setEvents({ readable: true });
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#closed || end - start > LONGEST) return false;
    const queue = (this.#queue ??= this.#newQueue());
    const room = HEADROOM + (end - start) + TAILROOM;
    if (this.#queued === PACKETS || this.#queuedBytes + room > queue.slab.length) this.#writeQueue();
    queue.put(this.#queued, bytes.subarray(start, end), this.#queuedBytes + HEADROOM);
    this.#queued += 1;
    this.#queuedBytes += room;
    return true;
  }

  flush(): number {
    this.#writeQueue();
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  /** The device has a queue of its own: what it does not take now is lost, as on any interface. */
  writeTable(table: PacketTable, order: Uint32Array, count: number): number {
    if (this.#closed) return count;
    return count - Math.max(0, this.#device.writeTable(table, order, 0, count));
  }

  pause(on: boolean): void {
    if (!this.#closed) this.#watch.setEvents({ readable: !on });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#device.close();
  }

  #take(count: number): void {
    if (count > 0) this.#receiver?.packets(this.#read, count);
    else if (count < 0) {
      this.close();
      this.#receiver?.down(errorText(count));
    }
  }

  #newQueue(): PacketTable {
    return new PacketTable({ packets: PACKETS, bytes: 2 * LONGEST, headroom: HEADROOM, tailroom: TAILROOM });
  }

  #writeQueue(): void {
    if (this.#queue !== undefined && this.#queued > 0) {
      this.#lost += this.writeTable(this.#queue, this.#order, this.#queued);
    }
    this.#queued = 0;
    this.#queuedBytes = 0;
  }
}
