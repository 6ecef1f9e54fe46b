/**
 * `mssfix`: lowers the maximum segment size in TCP SYN packets, IPv4 and IPv6, and mends the checksum.
 *
 *   TCP option  | 2 | 4 | MSS 16 bits |
 *
 * Source: OpenVPN 2.6 `mss.c`; RFC 9293 section 3.2.
 */
import { readUint16, writeUint16 } from '../bytes/big-endian.js';
import { mendChecksum } from './checksum.js';

const TCP = 6;
const SYN = 0x02;
const TCP_HEADER_SIZE = 20;
const IPV6_HEADER_SIZE = 40;
/** An IPv6 header is that much longer than an IPv4 header, so the segment must be shorter. */
const IPV6_EXTRA = 20;

/** `bytes[start, end)` is an IP packet; `mss` is the limit for IPv4. True: the packet was changed. */
export function clampMss(bytes: Uint8Array, start: number, end: number, mss: number): boolean {
  if (end - start < TCP_HEADER_SIZE) return false;
  const version = (bytes[start] as number) >>> 4;
  if (version === 4) {
    const headerSize = ((bytes[start] as number) & 0x0f) * 4;
    const laterFragment = (readUint16(bytes, start + 6) & 0x1fff) !== 0;
    if (headerSize < 20 || bytes[start + 9] !== TCP || laterFragment) return false;
    return clampTcp(bytes, start + headerSize, end, mss);
  }
  if (version === 6) {
    if (end - start < IPV6_HEADER_SIZE || bytes[start + 6] !== TCP) return false;
    return clampTcp(bytes, start + IPV6_HEADER_SIZE, end, mss - IPV6_EXTRA);
  }
  return false;
}

function clampTcp(bytes: Uint8Array, tcp: number, end: number, mss: number): boolean {
  if (tcp + TCP_HEADER_SIZE > end || ((bytes[tcp + 13] as number) & SYN) === 0) return false;
  const optionsEnd = tcp + ((bytes[tcp + 12] as number) >>> 4) * 4;
  if (optionsEnd > end) return false;

  let changed = false;
  for (let at = tcp + TCP_HEADER_SIZE; at < optionsEnd; ) {
    const kind = bytes[at] as number;
    if (kind === 0) break;
    if (kind === 1) {
      at += 1;
      continue;
    }
    const size = at + 1 < optionsEnd ? (bytes[at + 1] as number) : 0;
    if (size < 2 || at + size > optionsEnd) break;
    if (kind === 2 && size === 4) {
      const offered = readUint16(bytes, at + 2);
      if (offered > mss) {
        writeUint16(bytes, at + 2, mss);
        const aligned = ((at - tcp) & 1) === 0;
        mendChecksum(bytes, tcp + 16, aligned ? offered : swap(offered), aligned ? mss : swap(mss));
        changed = true;
      }
    }
    at += size;
  }
  return changed;
}

/** A value at an odd offset lies across two words of the sum: its bytes count in the other order. */
function swap(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}
