/** Mending a checksum of the internet protocols when a word under it changes. Source: RFC 1624, equation 3. */
import { readUint16, writeUint16 } from '../bytes/big-endian.js';

/** HC' = ~(~HC + ~m + m'): the checksum at `at` when a word of 16 bits went from `before` to `after`. */
export function mendChecksum(bytes: Uint8Array, at: number, before: number, after: number): void {
  let sum = (~readUint16(bytes, at) & 0xffff) + (~before & 0xffff) + after;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  writeUint16(bytes, at, ~sum & 0xffff);
}
