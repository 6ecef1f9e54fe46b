/**
 * IPv4 and IPv6 addresses as configurations write them: dotted quads, RFC 4291 text, netmasks, `/bits`.
 * Canonical IPv6 text is RFC 5952's.
 */

/** A dotted quad as an unsigned 32-bit number, or undefined. No octal, no short forms. */
export function parseIpv4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let value = 0;
  for (const part of match.slice(1)) {
    const octet = Number(part);
    if (octet > 255) return undefined;
    value = value * 256 + octet;
  }
  return value;
}

export function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** The prefix length of a contiguous netmask, or undefined: 255.255.255.0 is 24. */
export function netmaskBits(netmask: number): number | undefined {
  const host = ~netmask >>> 0;
  if ((host & (host + 1)) !== 0) return undefined;
  return host === 0xffff_ffff ? 0 : Math.clz32(host);
}

/** 24 is 255.255.255.0. */
export function bitsNetmask(bits: number): number {
  return bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
}

/** 16 bytes of RFC 4291 text (zones are not taken), or undefined. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const length = head.length + tail.length;
  if (halves.length === 1 ? length !== 8 : length > 7) return undefined;
  const bytes = new Uint8Array(16);
  head.forEach((group, index) => setGroup(bytes, index, group));
  tail.forEach((group, index) => setGroup(bytes, 8 - tail.length + index, group));
  return bytes;
}

export function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0));
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start += 1) {
    let end = start;
    while (end < 8 && groups[end] === 0) end += 1;
    if (end - start > bestLength) [bestStart, bestLength] = [start, end - start];
  }
  if (bestStart < 0) return hex(groups);
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`;
}

/** `address[/bits]`; bits is 128 when not written. */
export function parseIpv6Prefix(text: string): { readonly address: Uint8Array; readonly bits: number } | undefined {
  const slash = text.indexOf('/');
  const address = parseIpv6(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  if (slash < 0) return { address, bits: 128 };
  const bits = text.slice(slash + 1);
  return /^\d{1,3}$/.test(bits) && Number(bits) <= 128 ? { address, bits: Number(bits) } : undefined;
}

/** The address `offset` places on (offset below 2^31), carrying leftwards. */
export function addIpv6(address: Uint8Array, offset: number): Uint8Array {
  const sum = address.slice();
  let carry = offset;
  for (let index = 15; index >= 0 && carry > 0; index -= 1) {
    carry += sum[index] ?? 0;
    sum[index] = carry & 255;
    carry = Math.floor(carry / 256);
  }
  return sum;
}

/** A host name, of the characters that upstream takes in one (dns_addr_safe); an address is none. */
export function isHostName(text: string): boolean {
  return text.length <= 255 && /^[A-Za-z0-9.-]+$/.test(text) && !/^[\d.]+$/.test(text);
}

function hex(groups: readonly number[]): string {
  return groups.map((group) => group.toString(16)).join(':');
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const ipv4 = mayEndInIpv4 && index === parts.length - 1 ? parseIpv4(part) : undefined;
    if (ipv4 !== undefined) groups.push(ipv4 >>> 16, ipv4 & 0xffff);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function setGroup(bytes: Uint8Array, index: number, group: number): void {
  bytes[2 * index] = group >>> 8;
  bytes[2 * index + 1] = group & 255;
}
