/**
 * Counters as rows of one Float64Array, so that a worker can keep them in shared memory: one row for each peer index
 * and one last row for what belongs to no peer. One writer.
 *
 *   | generation | link read | link written | tun read | tun written | packets read | packets written | drops by reason … |
 *
 * The generation says whose numbers these are: readers in other threads check it before and after. 0 is nobody.
 */
import { type DataDrop, dataDrops, type PeerCounters, type PeerId, type PeerRef } from '@seikan/core';

const GENERATION = 0;
const LINK_READ = 1;
const LINK_WRITTEN = 2;
const TUN_READ = 3;
const TUN_WRITTEN = 4;
const PACKETS_READ = 5;
const PACKETS_WRITTEN = 6;
const FIRST_DROP = 7;
const ROW = FIRST_DROP + dataDrops.length;

const dropColumn: Readonly<Record<string, number>> = Object.fromEntries(
  dataDrops.map((reason, i) => [reason, FIRST_DROP + i]),
);

export class CounterTable {
  readonly #cells: Float64Array;
  readonly #noPeer: CounterRow;
  readonly #maxPeers: number;

  /** `memory` of `CounterTable.bytes(maxPeers)` when it is shared. */
  constructor(maxPeers: number, memory: ArrayBufferLike = new ArrayBuffer(CounterTable.bytes(maxPeers))) {
    this.#cells = new Float64Array(memory);
    this.#maxPeers = maxPeers;
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

  /** The counters of that peer; `undefined` when the row is another's or nobody's. From any thread. */
  read({ index, generation }: PeerRef): PeerCounters | undefined {
    if (index >= this.#maxPeers) return undefined;
    const row = this.row(index);
    if (row.generation !== generation) return undefined;
    const counters = row.read();
    return row.generation === generation ? counters : undefined;
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

  /** `bytes` of `packets` datagrams together. */
  addWritten(bytes: number, packets: number): void {
    this.#add(LINK_WRITTEN, bytes);
    this.#add(PACKETS_WRITTEN, packets);
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

  get generation(): number {
    return this.#cells[GENERATION] as number;
  }

  /** All counters are 0 and belong to this generation of the peer. */
  begin(generation: number): void {
    this.#cells.fill(0);
    this.#cells[GENERATION] = generation;
  }

  end(): void {
    this.#cells[GENERATION] = 0;
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
