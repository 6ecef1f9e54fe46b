/**
 * `client-nat`: one IPv4 network stands for another on the other side of the tunnel. The part of an address that the netmask
 * leaves stays; ports do too, so that nothing is remembered.
 *
 *   out   snat: source       network ─▶ foreign        dnat: destination  network ─▶ foreign
 *   in    snat: destination  foreign ─▶ network        dnat: source       foreign ─▶ network
 *
 * For each of the two addresses the first rule that fits counts. As in OpenVPN, what ICMP errors quote stays as it is.
 * Differs from OpenVPN 2.x: checksums are mended behind IP options too, and left alone where there is none (later
 * fragments, UDP without one), where it writes into the payload.
 * Source: clinat.c `client_nat_transform` (2.6).
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from '../bytes/big-endian.js';
import { mendChecksum } from './checksum.js';

/** Addresses as 32-bit numbers. */
export interface NatRule {
  readonly kind: 'snat' | 'dnat';
  readonly network: number;
  readonly netmask: number;
  readonly foreign: number;
}

const TCP = 6;
const UDP = 17;
const SOURCE = 12;
const DESTINATION = 16;

/** Changes the packet `bytes[start, end)` where it lies. What is no IPv4 packet stays as it is. */
export function translateAddresses(
  rules: readonly NatRule[],
  bytes: Uint8Array,
  start: number,
  end: number,
  direction: 'out' | 'in',
): void {
  if (end - start < 20 || (bytes[start] as number) >>> 4 !== 4) return;
  const headerSize = ((bytes[start] as number) & 0x0f) * 4;
  if (headerSize < 20 || start + headerSize > end) return;
  const checksum = transportChecksum(bytes, start, start + headerSize, end);
  let done = 0;
  for (const { kind, network, netmask, foreign } of rules) {
    const field = (kind === 'snat') === (direction === 'out') ? SOURCE : DESTINATION;
    const [from, to] = direction === 'out' ? [network, foreign] : [foreign, network];
    const address = readUint32(bytes, start + field);
    if (field === done || (address & netmask) >>> 0 !== from) continue;
    replace(bytes, { at: start + field, to: ((address & ~netmask) | to) >>> 0, header: start + 10, checksum });
    if (done !== 0) return;
    done = field;
  }
}

interface Replacement {
  readonly at: number;
  readonly to: number;
  /** Where the checksums over it are. */
  readonly header: number;
  readonly checksum: number | undefined;
}

function replace(bytes: Uint8Array, { at, to, header, checksum }: Replacement): void {
  const [before, after] = [readUint32(bytes, at), to];
  writeUint32(bytes, at, to);
  for (const sum of [header, checksum]) {
    if (sum === undefined) continue;
    mendChecksum(bytes, sum, before >>> 16, after >>> 16);
    mendChecksum(bytes, sum, before & 0xffff, after & 0xffff);
  }
  // Of UDP, zero would mean that there is none.
  if (checksum !== undefined && readUint16(bytes, checksum) === 0 && bytes[header - 1] === UDP)
    writeUint16(bytes, checksum, 0xffff);
}

/** Where a checksum is that covers the addresses, too. */
function transportChecksum(bytes: Uint8Array, start: number, transport: number, end: number): number | undefined {
  const isLaterFragment = (readUint16(bytes, start + 6) & 0x1fff) !== 0;
  if (isLaterFragment) return undefined;
  switch (bytes[start + 9]) {
    case TCP:
      return transport + 18 <= end ? transport + 16 : undefined;
    case UDP:
      return transport + 8 <= end && readUint16(bytes, transport + 6) !== 0 ? transport + 6 : undefined;
    default:
      return undefined;
  }
}
