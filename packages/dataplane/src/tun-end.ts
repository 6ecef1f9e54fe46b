/** A tun or tap device as the channel's tun: batches of packets in, a queue of one batch out. Owns the device. */
import { HEADROOM, TAILROOM } from '@seikan/core';
import { PacketBatch, resultName, type TunDevice } from '@seikan/native';

import type { PacketTun, TunReceiver } from './ports.js';
import { type DescriptorWatch, eventLoop, type Readiness } from './readiness.js';

/** What a tun end needs of a device; tests give a socket. */
export type TunPort = Pick<TunDevice, 'descriptor' | 'readBatch' | 'writeBatch' | 'close'>;

export interface TunEndOptions {
  readonly readiness?: Readiness;
  /** The longest packet (tap: frame) that is carried; at least the device's MTU, and 14 more for tap. */
  readonly capacity?: number;
  /** What the device refuses: no IP packet, or it is down. For the log. */
  readonly onError?: (errno: number) => void;
}

const SLOTS = 64;
const DEFAULT_CAPACITY = 2_048;

export class TunEnd implements PacketTun {
  readonly #device: TunPort;
  readonly #watch: DescriptorWatch;
  readonly #onError: (errno: number) => void;
  readonly #read: PacketBatch;
  readonly #queue: PacketBatch;
  #receiver: TunReceiver | undefined;
  #queued = 0;
  #lost = 0;
  #closed = false;

  constructor(device: TunPort, options: TunEndOptions = {}) {
    const { readiness = eventLoop, capacity = DEFAULT_CAPACITY, onError = () => undefined } = options;
    this.#device = device;
    this.#onError = onError;
    this.#read = new PacketBatch({ slots: SLOTS, headroom: HEADROOM, capacity, tailroom: TAILROOM });
    this.#queue = new PacketBatch({ slots: SLOTS, headroom: 0, capacity, tailroom: 0 });
    this.#watch = readiness.watch(device.descriptor.fd, () => this.#readBatch());
  }

  start(receiver: TunReceiver): void {
    this.#receiver = receiver;
    this.#watch.setEvents({ readable: true });
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#closed || end - start > this.#queue.capacity) return false;
    if (this.#queued === SLOTS) this.#writeBatch();
    this.#queue.slab.set(bytes.subarray(start, end), this.#queue.offsets[this.#queued]);
    this.#queue.lengths[this.#queued] = end - start;
    this.#queued += 1;
    return true;
  }

  flush(): number {
    this.#writeBatch();
    const lost = this.#lost;
    this.#lost = 0;
    return lost;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    this.#device.close();
  }

  #readBatch(): void {
    const count = this.#device.readBatch(this.#read);
    if (count > 0) this.#receiver?.packets(this.#read, count);
    else if (count < 0) {
      this.close();
      this.#receiver?.down(resultName(count));
    }
  }

  /** The device has a queue of its own: what it does not take now is lost, as on any interface. */
  #writeBatch(): void {
    let first = 0;
    while (!this.#closed && first < this.#queued) {
      const written = this.#device.writeBatch(this.#queue, first, this.#queued - first);
      if (written > 0) {
        first += written;
        continue;
      }
      if (written < 0) this.#onError(-written);
      first += 1;
      this.#lost += 1;
    }
    this.#queued = 0;
  }
}
