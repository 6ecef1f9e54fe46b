/** IP packets and Ethernet frames for tests, built byte by byte: RFC 791, RFC 8200, RFC 9293, IEEE 802.3. */

export interface IpOptions {
  /** Dotted quad, or 16 bytes of IPv6. */
  readonly from: string;
  readonly to: string;
  readonly protocol?: number;
  readonly payload?: Uint8Array;
}

const UDP = 17;
const TCP = 6;

export function ipv4Packet({ from, to, protocol = UDP, payload = new Uint8Array(8) }: IpOptions): Uint8Array {
  const packet = new Uint8Array(20 + payload.length);
  packet.set([0x45, 0, packet.length >>> 8, packet.length & 0xff, 0, 0, 0x40, 0, 64, protocol]);
  packet.set(quad(from), 12);
  packet.set(quad(to), 16);
  packet.set(word(internetChecksum(packet.subarray(0, 20))), 10);
  packet.set(payload, 20);
  return packet;
}

export function ipv6Packet({ from, to, protocol = UDP, payload = new Uint8Array(8) }: IpOptions): Uint8Array {
  const packet = new Uint8Array(40 + payload.length);
  packet.set([0x60, 0, 0, 0, payload.length >>> 8, payload.length & 0xff, protocol, 64]);
  packet.set(ipv6Address(from), 8);
  packet.set(ipv6Address(to), 24);
  packet.set(payload, 40);
  return packet;
}

/** A TCP SYN with an MSS option behind `padding` one-byte no-operations, its checksum right. */
export function tcpSyn({
  from,
  to,
  mss,
  padding = 0,
}: IpOptions & { readonly mss: number; readonly padding?: number }) {
  const options = [...Array.from({ length: padding }, () => 1), 2, 4, mss >>> 8, mss & 0xff];
  while (options.length % 4 !== 0) options.push(0);
  const segment = new Uint8Array(20 + options.length);
  segment.set([0x30, 0x39, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, (segment.length / 4) << 4, 0x02, 0xff, 0xff]);
  segment.set(options, 20);
  const ipv6 = from.includes(':');
  segment.set(word(tcpChecksum(from, to, segment)), 16);
  const ip = { from, to, protocol: TCP, payload: segment };
  return ipv6 ? ipv6Packet(ip) : ipv4Packet(ip);
}

/** 0 when the checksum inside `segment` is right. */
export function tcpChecksum(from: string, to: string, segment: Uint8Array): number {
  const ipv6 = from.includes(':');
  const addresses = ipv6 ? [...ipv6Address(from), ...ipv6Address(to)] : [...quad(from), ...quad(to)];
  const pseudo = [...addresses, 0, TCP, segment.length >>> 8, segment.length & 0xff];
  return internetChecksum(Uint8Array.from([...pseudo, ...segment]));
}

export function ethernetFrame(options: {
  readonly from: string;
  readonly to: string;
  readonly type?: number;
  readonly payload?: Uint8Array;
}): Uint8Array {
  const { from, to, type = 0x88b5, payload = new Uint8Array(46) } = options;
  return Uint8Array.from([...mac(to), ...mac(from), type >>> 8, type & 0xff, ...payload]);
}

export function mac(text: string): Uint8Array {
  return Uint8Array.from(text.split(':').map((part) => Number.parseInt(part, 16)));
}

export function quad(text: string): Uint8Array {
  return Uint8Array.from(text.split('.').map(Number));
}

/** Text of RFC 4291 with at most one `::`, without an IPv4 part. */
export function ipv6Address(text: string): Uint8Array {
  const [head = '', tail = ''] = text.split('::');
  const address = new Uint8Array(16);
  address.set(groupBytes(head));
  const end = groupBytes(tail);
  address.set(end, 16 - end.length);
  return address;
}

function groupBytes(text: string): number[] {
  const groups = text.split(':').filter((group) => group !== '');
  return groups.map((group) => Number.parseInt(group, 16)).flatMap((value) => [value >>> 8, value & 0xff]);
}

function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function word(value: number): [number, number] {
  return [value >>> 8, value & 0xff];
}
