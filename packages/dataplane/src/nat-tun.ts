/**
 * A tun whose packets have other addresses on the other side of the tunnel (`client-nat`). Its device has no offloads, since
 * a superpacket's checksum is not finished. Tunnels without it know nothing of this.
 */
import { type NatRule, translateAddresses } from '@seikan/core';
import type { PacketTable } from '@seikan/native';

import { ipStart } from './ip-packet.js';
import type { PacketTun, TunReceiver } from './ports.js';
import type { TunEnd } from './tun-end.js';

export interface Translation {
  readonly device: 'tun' | 'tap';
  readonly rules: readonly NatRule[];
}

export class NatTun implements PacketTun {
  readonly #tun: TunEnd;
  readonly #translation: Translation;

  constructor(tun: TunEnd, translation: Translation) {
    this.#tun = tun;
    this.#translation = translation;
  }

  start(receiver: TunReceiver): void {
    this.#tun.start({
      packets: (batch, count) => {
        const { slab, offsets, lengths } = batch;
        for (let i = 0; i < count; i += 1) {
          const start = offsets[i] as number;
          this.#translate(slab, start, start + (lengths[i] as number), 'out');
        }
        receiver.packets(batch, count);
      },
      down: (reason) => receiver.down(reason),
    });
  }

  write(bytes: Uint8Array, start: number, end: number): boolean {
    this.#translate(bytes, start, end, 'in');
    return this.#tun.write(bytes, start, end);
  }

  flush(): number {
    return this.#tun.flush();
  }

  writeTable(table: PacketTable, order: Uint32Array, count: number): number {
    const { slab, offsets, lengths } = table;
    for (let i = 0; i < count; i += 1) {
      const packet = order[i] as number;
      const start = offsets[packet] as number;
      this.#translate(slab, start, start + (lengths[packet] as number), 'in');
    }
    return this.#tun.writeTable(table, order, count);
  }

  pause(on: boolean): void {
    this.#tun.pause(on);
  }

  close(): void {
    this.#tun.close();
  }

  #translate(bytes: Uint8Array, start: number, end: number, direction: 'out' | 'in'): void {
    const { device, rules } = this.#translation;
    translateAddresses(rules, bytes, ipStart(device, bytes, start, end), end, direction);
  }
}
