/** As much of IP and Ethernet as forwarding looks at: version, addresses, group addresses. RFC 791, RFC 8200, IEEE 802.3. */
import { readUint16 } from '@seikan/core';

const IPV4_HEADER_SIZE = 20;
const IPV6_HEADER_SIZE = 40;

export const ETHERNET_HEADER_SIZE = 14;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_VLAN = 0x8100;
const VLAN_TAG_SIZE = 4;

/** 4 or 6; 0 when the bytes do not hold a whole IP header of a version that we know. */
export function ipVersion(bytes: Uint8Array, start: number, end: number): 0 | 4 | 6 {
  const size = end - start;
  if (size < IPV4_HEADER_SIZE) return 0;
  const version = (bytes[start] as number) >>> 4;
  if (version === 4) return 4;
  return version === 6 && size >= IPV6_HEADER_SIZE ? 6 : 0;
}

/** Where the source address stands. */
export function sourceAt(version: 4 | 6, start: number): number {
  return start + (version === 4 ? 12 : 8);
}

export function destinationAt(version: 4 | 6, start: number): number {
  return start + (version === 4 ? 16 : 24);
}

/** 224.0.0.0/4 or ff00::/8. */
export function isMulticast(version: 4 | 6, bytes: Uint8Array, at: number): boolean {
  const first = bytes[at] as number;
  return version === 4 ? (first & 0xf0) === 0xe0 : first === 0xff;
}

/** fe80::/10. */
export function isLinkLocal(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xfe && ((bytes[at + 1] as number) & 0xc0) === 0x80;
}

/** A frame's destination has the group bit: broadcast or multicast. */
export function isGroupMac(bytes: Uint8Array, start: number): boolean {
  return ((bytes[start] as number) & 1) !== 0;
}

/** Where the IP packet begins in what the device carries; `end` when there is none. */
export function ipStart(device: 'tun' | 'tap', bytes: Uint8Array, start: number, end: number): number {
  if (device === 'tun') return start;
  let at = start + ETHERNET_HEADER_SIZE;
  if (at > end) return end;
  let type = readUint16(bytes, at - 2);
  if (type === ETHERTYPE_VLAN && at + VLAN_TAG_SIZE <= end) {
    at += VLAN_TAG_SIZE;
    type = readUint16(bytes, at - 2);
  }
  return type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6 ? at : end;
}
