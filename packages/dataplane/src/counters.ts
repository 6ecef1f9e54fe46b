/**
 * Counters as rows of one Float64Array, so that a worker can keep them in shared memory: one row for each peer index
 * and one last row for what belongs to no peer. One writer.
 *
 *   | link read | link written | tun read | tun written | packets read | packets written | a drop counter per reason … |
 */
import { type DataDrop, dataDrops, type PeerCounters, type PeerId } from '@seikan/core';

const LINK_READ = 0;
const LINK_WRITTEN = 1;
const TUN_READ = 2;
const TUN_WRITTEN = 3;
const PACKETS_READ = 4;
const PACKETS_WRITTEN = 5;
const FIRST_DROP = 6;
const ROW = FIRST_DROP + dataDrops.length;

const dropColumn: Readonly<Record<string, number>> = Object.fromEntries(
  dataDrops.map((reason, i) => [reason, FIRST_DROP + i]),
);

export class CounterTable {
  readonly #cells: Float64Array;
  readonly #noPeer: CounterRow;

  /** `memory` of `CounterTable.bytes(maxPeers)` when it is shared. */
  constructor(maxPeers: number, memory: ArrayBufferLike = new ArrayBuffer(CounterTable.bytes(maxPeers))) {
    this.#cells = new Float64Array(memory);
    this.#noPeer = this.row(maxPeers);
  }

  static bytes(maxPeers: number): number {
    return (maxPeers + 1) * ROW * Float64Array.BYTES_PER_ELEMENT;
  }

  /** Drops that no peer can be blamed for. */
  get noPeer(): CounterRow {
    return this.#noPeer;
  }

  row(index: PeerId): CounterRow {
    return new CounterRow(this.#cells.subarray(index * ROW, (index + 1) * ROW));
  }
}

export class CounterRow {
  readonly #cells: Float64Array;

  constructor(cells: Float64Array) {
    this.#cells = cells;
  }

  addRead(datagramSize: number): void {
    this.#add(LINK_READ, datagramSize);
    this.#add(PACKETS_READ, 1);
  }

  addWritten(datagramSize: number): void {
    this.#add(LINK_WRITTEN, datagramSize);
    this.#add(PACKETS_WRITTEN, 1);
  }

  addTunRead(size: number): void {
    this.#add(TUN_READ, size);
  }

  addTunWritten(size: number): void {
    this.#add(TUN_WRITTEN, size);
  }

  addDrop(reason: DataDrop, count = 1): void {
    this.#add(dropColumn[reason] as number, count);
  }

  clear(): void {
    this.#cells.fill(0);
  }

  read(): PeerCounters {
    return {
      linkRead: this.#cells[LINK_READ] as number,
      linkWritten: this.#cells[LINK_WRITTEN] as number,
      tunRead: this.#cells[TUN_READ] as number,
      tunWritten: this.#cells[TUN_WRITTEN] as number,
      packetsRead: this.#cells[PACKETS_READ] as number,
      packetsWritten: this.#cells[PACKETS_WRITTEN] as number,
      drops: this.drops(),
    };
  }

  drops(): Record<string, number> {
    const happened: Record<string, number> = {};
    for (const [i, reason] of dataDrops.entries()) {
      const count = this.#cells[FIRST_DROP + i] as number;
      if (count > 0) happened[reason] = count;
    }
    return happened;
  }

  #add(column: number, amount: number): void {
    this.#cells[column] = (this.#cells[column] as number) + amount;
  }
}
