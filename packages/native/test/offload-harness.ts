/**
 * The native table calls on descriptors that are no tun: a pair of Unix datagram sockets stands for the kernel's side, so
 * that what a tun would be given can be read, and what it would give can be written, without privileges and exactly.
 */
import assert from 'node:assert/strict';

import { loadAddon, PacketTable, UnixSocket } from '@seikan/native';
import type { SeededRandom } from '@seikan/testkit';

import { type Headers } from './naive-offload.js';

export interface TableCalls {
  tunReadTable(
    fd: number,
    virtioHeader: boolean,
    slab: Uint8Array,
    columns: Uint32Array,
    count: number,
    bytes: number,
    headroom: number,
    tailroom: number,
  ): number;
  tunWriteTable(
    fd: number,
    merge: number,
    slab: Uint8Array,
    columns: Uint32Array,
    order: Uint32Array,
    first: number,
    count: number,
    counters: Uint32Array,
  ): number;
}

/** What a device can: bits of TunDevice. */
export const MERGE_ALL = 7;

export class FakeTun {
  readonly #native = loadAddon() as TableCalls;
  readonly #ours: UnixSocket;
  readonly #kernels: UnixSocket;
  readonly #buffer = new Uint8Array(0x1_0000 + 200);
  readonly counters = new Uint32Array(4);

  constructor() {
    [this.#ours, this.#kernels] = UnixSocket.pair('datagram');
  }

  /** Puts a message into the queue that readTable reads. */
  give(...parts: readonly Uint8Array[]): void {
    const message = Buffer.concat(parts);
    assert.equal(this.#kernels.send(message), message.length);
  }

  read(table: PacketTable, most = table.packets, bytes = table.slab.length, virtioHeader = true): number {
    return this.#native.tunReadTable(
      this.#ours.descriptor.fd,
      virtioHeader,
      table.slab,
      table.columns,
      most,
      bytes,
      table.headroom,
      table.tailroom,
    );
  }

  /** Writes the packets, and returns the messages of the writes. */
  write(packets: readonly Uint8Array[], merge = MERGE_ALL): Uint8Array[] {
    const messages: Uint8Array[] = [];
    // The queue of such a socket holds few messages: a run at a time, as a loop would.
    const table = new PacketTable({
      packets: packets.length,
      bytes: packets.reduce((sum, { length }) => sum + length, 0),
    });
    let at = 0;
    for (const [i, packet] of packets.entries()) {
      table.put(i, packet, at);
      at += packet.length;
    }
    const order = Uint32Array.from(packets.keys());
    const took = this.#native.tunWriteTable(
      this.#ours.descriptor.fd,
      merge,
      table.slab,
      table.columns,
      order,
      0,
      packets.length,
      this.counters,
    );
    for (;;) {
      const length = this.#kernels.receive(this.#buffer, 0, this.#buffer.length, []);
      if (length < 0) break;
      messages.push(this.#buffer.slice(0, length));
    }
    assert.equal(took, packets.length, 'the socket took every packet');
    return messages;
  }

  close(): void {
    this.#ours.close();
    this.#kernels.close();
  }
}

export const pick = <T>(random: SeededRandom, of: readonly T[]): T => of[random.below(of.length)] as T;

export function randomBytes(random: SeededRandom, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  random.fill(bytes);
  return bytes;
}

/** Headers of a packet that the kernel would send; unusual ones now and then. */
export function randomHeaders(random: SeededRandom, version = pick(random, [4, 6] as const)): Headers {
  const address = version === 4 ? 4 : 16;
  return {
    version,
    tcp: random.chance(0.6),
    source: randomBytes(random, address),
    destination: randomBytes(random, address),
    ports: [random.below(0x1_0000), random.below(0x1_0000)],
    tos: random.below(256),
    label: random.below(0x10_0000),
    ttl: random.below(256),
    id: random.chance(0.2) ? 0xffff - random.below(3) : random.below(0x1_0000),
    fragment: random.chance(0.5) ? 0x4000 : 0,
    options: version === 4 && random.chance(0.2) ? randomBytes(random, 4 * (1 + random.below(10))) : new Uint8Array(0),
    extension: version === 6 && random.chance(0.2) ? Uint8Array.of(0, ...randomBytes(random, 6)) : new Uint8Array(0),
    sequence: random.chance(0.2) ? 0xffff_f000 + random.below(0x1000) : random.below(0x1_0000_0000),
    acknowledgement: random.below(0x1_0000_0000),
    flags: random.below(256),
    window: random.below(0x1_0000),
    urgent: random.below(0x1_0000),
    tcpOptions: randomBytes(random, 4 * random.below(11)),
  };
}

/** With the sizes of key and block. */
export const CBC_CIPHERS = [
  ['AES-128-CBC', 16, 16],
  ['AES-256-CBC', 32, 16],
  ['DES-EDE3-CBC', 24, 8],
] as const;
/** With the size of the HMAC; no digest is no HMAC. */
export const DIGESTS = [
  ['SHA1', 20],
  ['SHA256', 32],
  ['SHA512', 64],
  ['MD5', 16],
  [undefined, 0],
] as const;
