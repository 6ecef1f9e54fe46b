/**
 * IP addresses and prefixes as the configuration side handles them: canonical text for people, configuration and maps,
 * bytes for netlink. Not for the packet path.
 */
import ipaddr from 'ipaddr.js';

export type IpFamily = 4 | 6;

/** An address and how many of its leading bits count, e.g. 10.8.0.2/24. Host bits may be set. */
export interface Prefix {
  readonly address: string;
  readonly length: number;
}

/** The family of an address, or undefined when the text is not a plain address (names, zones and short IPv4 forms are not). */
export function ipFamily(text: string): IpFamily | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return 4;
  if (!text.includes('%') && ipaddr.IPv6.isValid(text)) return 6;
  return undefined;
}

/** The 4 or 16 bytes of an address; throws a RangeError for text that `ipFamily` refuses. */
export function ipBytes(text: string): Uint8Array {
  if (ipFamily(text) === undefined) throw new RangeError(`not an IP address: ${JSON.stringify(text)}`);
  return Uint8Array.from(ipaddr.parse(text).toByteArray());
}

/** Canonical text of 4 or 16 bytes; undefined for any other length. */
export function ipText(bytes: Uint8Array): string | undefined {
  if (bytes.length !== 4 && bytes.length !== 16) return undefined;
  return ipaddr.fromByteArray([...bytes]).toString();
}

/** The same address in the text that netlink answers are given in, so that texts can be compared. */
export function canonicalIp(text: string): string {
  const family = ipFamily(text);
  if (family === undefined) throw new RangeError(`not an IP address: ${JSON.stringify(text)}`);
  return ipaddr.parse(text).toString();
}

export function hostLength(family: IpFamily): 32 | 128 {
  return family === 4 ? 32 : 128;
}

export function anyAddress(family: IpFamily): string {
  return family === 4 ? '0.0.0.0' : '::';
}

/** The prefix with its host bits cleared: 10.8.0.2/24 → 10.8.0.0/24. */
export function networkOf({ address, length }: Prefix): Prefix {
  const bytes = ipBytes(address);
  return { address: textOf(bytes.map((byte, index) => byte & maskByte(length, index))), length };
}

/** The last address of an IPv4 prefix, or undefined where there is no broadcast: IPv6, /31 and /32. */
export function broadcastOf({ address, length }: Prefix): string | undefined {
  const bytes = ipBytes(address);
  if (bytes.length !== 4 || length > 30) return undefined;
  return textOf(bytes.map((byte, index) => byte | (~maskByte(length, index) & 0xff)));
}

/** Whether the address lies in the prefix; always false across families. */
export function prefixContains(prefix: Prefix, address: string): boolean {
  const network = ipBytes(prefix.address);
  const candidate = ipBytes(address);
  if (network.length !== candidate.length) return false;
  return network.every((byte, index) => ((byte ^ (candidate[index] ?? 0)) & maskByte(prefix.length, index)) === 0);
}

/** The two halves of a prefix, lower first; a host prefix has none. */
export function halvesOf(prefix: Prefix): readonly Prefix[] {
  const lower = ipBytes(networkOf(prefix).address);
  if (prefix.length >= lower.length * 8) return [];
  const upper = lower.slice();
  const at = prefix.length >> 3;
  upper[at] = (upper[at] ?? 0) | (0x80 >> (prefix.length & 7));
  const length = prefix.length + 1;
  return [
    { address: textOf(lower), length },
    { address: textOf(upper), length },
  ];
}

/** 255.255.255.0 → 24; undefined for text that is no IPv4 netmask. */
export function netmaskLength(netmask: string): number | undefined {
  if (ipFamily(netmask) !== 4) return undefined;
  return ipaddr.IPv4.parse(netmask).prefixLengthFromSubnetMask() ?? undefined;
}

/** 24 → 255.255.255.0. */
export function lengthNetmask(length: number): string {
  return ipaddr.IPv4.subnetMaskFromPrefixLength(length).toString();
}

function textOf(bytes: Uint8Array): string {
  return ipaddr.fromByteArray([...bytes]).toString();
}

function maskByte(length: number, index: number): number {
  const bits = Math.min(8, Math.max(0, length - index * 8));
  return (0xff00 >> bits) & 0xff;
}
