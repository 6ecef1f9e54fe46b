/** Superpackets without sealing: for what needs plain packets (CBC, fragments, another client). */
import { loadAddon } from './addon.js';
import type { PacketBatch } from './packet-batch.js';
import type { PacketTable } from './packet-table.js';

interface SuperpacketAddon {
  superpacketSplit(
    slab: ArrayBuffer,
    columns: ArrayBuffer,
    packet: number,
    segment: number,
    outSlab: Uint8Array,
    outOffsets: Uint32Array,
    outLengths: Uint32Array,
    first: number,
    count: number,
    capacity: number,
  ): number;
}

/**
 * Copies segments of packet `i` of `table`, from number `segment` on, as plain packets into the slots of `batch` from
 * `first` on. Returns how many: fewer than were left when the batch has no more slots; go on with the next segment.
 * A plain packet is its own only segment. `table` stays as it was. Throws a RangeError for a bad superpacket, and when
 * a segment is longer than the batch's capacity.
 */
export function splitSuperpacket(
  table: PacketTable,
  i: number,
  { segment, into, first }: { readonly segment: number; readonly into: PacketBatch; readonly first: number },
): number {
  return (loadAddon() as SuperpacketAddon).superpacketSplit(
    table.slabMemory,
    table.columnMemory,
    i,
    segment,
    into.slab,
    into.offsets,
    into.lengths,
    first,
    into.slots - first,
    into.capacity,
  );
}
