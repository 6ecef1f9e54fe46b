/**
 * `block-ipv6`: the answer to a packet that will not be carried, ICMPv6 "no route to destination".
 *
 *   | [Ethernet 14, addresses swapped] | IPv6 40 | type 1, code 0, checksum 2, unused 4 | the packet's beginning … |
 *
 * Not more than the minimum MTU of 1280, never to a group and never about an ICMPv6 error (RFC 4443 section 2.4).
 * Source: OpenVPN 2.6 `forward.c`, ipv6_send_icmp_unreachable.
 */
import { type Packet, readUint16, writeUint16 } from '@seikan/core';

import { isMulticast } from './ip-packet.js';

const IPV6_HEADER_SIZE = 40;
const ICMP_HEADER_SIZE = 8;
const ICMPV6 = 58;
const UNREACHABLE = 1;
const FIRST_INFORMATIONAL_TYPE = 128;
const MINIMUM_MTU = 1_280;
const HOP_LIMIT = 64;

/** Fills `reply` (loaded with nothing, any buffer) with the answer to the IPv6 packet at `ipAt` of `packet`; false: none is due. */
export function noRouteReply(packet: Packet, ipAt: number, reply: Packet): boolean {
  const { bytes, start, end } = packet;
  if (isMulticast(6, bytes, ipAt + 24) || isMulticast(6, bytes, ipAt + 8)) return false;
  const type = bytes[ipAt + IPV6_HEADER_SIZE];
  if (bytes[ipAt + 6] === ICMPV6 && type !== undefined && type < FIRST_INFORMATIONAL_TYPE) return false;

  const quoted = Math.min(end - ipAt, MINIMUM_MTU - IPV6_HEADER_SIZE - ICMP_HEADER_SIZE);
  const linkHeader = ipAt - start;
  const at = reply.start;
  const ip = at + linkHeader;
  const icmp = ip + IPV6_HEADER_SIZE;
  const out = reply.bytes;

  out.set(bytes.subarray(start, ipAt), at);
  if (linkHeader > 0) {
    out.set(bytes.subarray(start + 6, start + 12), at);
    out.set(bytes.subarray(start, start + 6), at + 6);
  }
  out.fill(0, ip, icmp + ICMP_HEADER_SIZE);
  out[ip] = 0x60;
  writeUint16(out, ip + 4, ICMP_HEADER_SIZE + quoted);
  out[ip + 6] = ICMPV6;
  out[ip + 7] = HOP_LIMIT;
  // Upstream answers from fe80::7 when the tunnel has no IPv6 address of its own.
  out[ip + 8] = 0xfe;
  out[ip + 9] = 0x80;
  out[ip + 23] = 0x07;
  out.set(bytes.subarray(ipAt + 8, ipAt + 24), ip + 24);
  out[icmp] = UNREACHABLE;
  out.set(bytes.subarray(ipAt, ipAt + quoted), icmp + ICMP_HEADER_SIZE);
  reply.end = icmp + ICMP_HEADER_SIZE + quoted;
  writeUint16(out, icmp + 2, checksum(out, ip, reply.end));
  return true;
}

/** Over the pseudo-header (addresses, length, next header) and the message. */
function checksum(bytes: Uint8Array, ip: number, end: number): number {
  const message = ip + IPV6_HEADER_SIZE;
  let sum = ICMPV6 + (end - message);
  for (let at = ip + 8; at < end; at += 2) {
    sum += at + 1 < end ? readUint16(bytes, at) : (bytes[at] as number) << 8;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
