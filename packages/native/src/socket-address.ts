/**
 * Socket addresses as fixed binary records, so that a batch's addresses lie in one typed array and compare without
 * becoming text. 44 bytes, 11 words (the same drawing stands in c/address.h):
 *
 *    0  family          u8   4 or 6; 0: no address
 *    1  zero            u8
 *    2  port            u16  big-endian
 *    4  address         16   IPv4 in the first four, the rest zero
 *   20  scope           u32  interface index of a link-local address, host order; else 0
 *   24  local address   16   of the same family: where the datagram was sent to, or is to be sent from
 *   40  local interface u32  index, host order; with the local address zero: nothing known
 *
 * IPv4-mapped IPv6 addresses never appear in a record: they are family 4.
 */
import { isIP } from 'node:net';

import type { Endpoint } from '@seikan/core';
import ipaddr from 'ipaddr.js';

export const ADDRESS_SIZE = 44;
export const ADDRESS_WORDS = 11;
/** The first words name the remote end. */
export const REMOTE_WORDS = 6;

/** An endpoint and, for a link-local IPv6 address, the interface that it is on. */
export interface SocketAddress extends Endpoint {
  readonly scope?: number;
}

/** Where a datagram was received, or where one is sent from. */
export interface LocalAddress {
  /** Numeric; `0.0.0.0` or `::` leaves the choice to the kernel. */
  readonly address: string;
  /** Interface index; 0 leaves the choice to the routing table. */
  readonly interfaceIndex: number;
}

/** A table of address records: one per packet of a received batch, or one per peer of a server. */
export class AddressTable {
  /** What the native calls take. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What is passed to native calls for each packet, which take it quicker. */
  readonly memory: ArrayBuffer;
  /** The same memory by words, record i from `i * ADDRESS_WORDS`. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly size: number;

  constructor(size: number) {
    this.size = size;
    this.bytes = new Uint8Array(size * ADDRESS_SIZE);
    this.memory = this.bytes.buffer;
    this.words = new Uint32Array(this.memory);
  }

  /** The remote end of record `i`; `undefined` when it is empty. */
  remote(i: number): SocketAddress | undefined {
    const at = i * ADDRESS_SIZE;
    const family = this.bytes[at];
    if (family !== 4 && family !== 6) return undefined;
    const port = ((this.bytes[at + 2] ?? 0) << 8) | (this.bytes[at + 3] ?? 0);
    const endpoint = { family, address: this.#text(at + 4, family), port } as const;
    const scope = this.words[i * ADDRESS_WORDS + 5] ?? 0;
    return scope === 0 ? endpoint : { ...endpoint, scope };
  }

  /** The local end of record `i`; `undefined` when nothing is known (the socket was opened without packetInfo). */
  local(i: number): LocalAddress | undefined {
    const family = this.bytes[i * ADDRESS_SIZE];
    const interfaceIndex = this.words[i * ADDRESS_WORDS + 10] ?? 0;
    const address = this.#text(i * ADDRESS_SIZE + 24, family === 6 ? 6 : 4);
    return interfaceIndex === 0 && (address === '0.0.0.0' || address === '::')
      ? undefined
      : { address, interfaceIndex };
  }

  /** Writes record `i`. Throws a TypeError when an address is not numeric or not of the stated family. */
  set(i: number, remote: SocketAddress, local?: LocalAddress): void {
    if (i < 0 || i >= this.size) throw new RangeError(`no record ${i} in a table of ${this.size}`);
    const at = i * ADDRESS_SIZE;
    const address = addressBytes(remote.family, remote.address);
    const source = local === undefined ? undefined : addressBytes(remote.family, local.address);
    this.clear(i);
    this.bytes[at] = remote.family;
    this.bytes[at + 2] = remote.port >>> 8;
    this.bytes[at + 3] = remote.port;
    this.bytes.set(address, at + 4);
    this.words[i * ADDRESS_WORDS + 5] = remote.scope ?? 0;
    if (local === undefined || source === undefined) return;
    this.bytes.set(source, at + 24);
    this.words[i * ADDRESS_WORDS + 10] = local.interfaceIndex;
  }

  /** Copies record `from` of another table (or this one), its local half too: the reply goes out where the packet came in. */
  copy(i: number, source: AddressTable, from: number): void {
    for (let k = 0; k < ADDRESS_WORDS; k += 1)
      this.words[i * ADDRESS_WORDS + k] = source.words[from * ADDRESS_WORDS + k] ?? 0;
  }

  clear(i: number): void {
    this.words.fill(0, i * ADDRESS_WORDS, (i + 1) * ADDRESS_WORDS);
  }

  /** Whether two records name the same remote end. Local halves do not count. */
  sameRemote(i: number, other: AddressTable, j: number): boolean {
    const a = i * ADDRESS_WORDS;
    const b = j * ADDRESS_WORDS;
    for (let k = 0; k < REMOTE_WORDS; k += 1) if (this.words[a + k] !== other.words[b + k]) return false;
    return true;
  }

  #text(at: number, family: 4 | 6): string {
    const bytes = this.bytes.subarray(at, at + (family === 4 ? 4 : 16));
    return family === 4 ? bytes.join('.') : new ipaddr.IPv6([...bytes]).toRFC5952String();
  }
}

/** 4 or 16 bytes in network order. Throws a TypeError when the text is not a numeric address of that family. */
export function addressBytes(family: 4 | 6, address: string): Uint8Array {
  if (isIP(address) !== family || address.includes('%'))
    throw new TypeError(`not a numeric IPv${family} address: ${address}`);
  return Uint8Array.from(family === 4 ? address.split('.').map(Number) : ipaddr.parse(address).toByteArray());
}
