/**
 * A naive twin of the native segmentation: it builds every packet from scratch, byte by byte, with checksums as
 * RFC 1071 words them. Slow on purpose, and shares nothing with what it checks.
 */

export const FIN = 0x01;
export const SYN = 0x02;
export const PSH = 0x08;
export const ACK = 0x10;
export const ECE = 0x40;
export const CWR = 0x80;
export const DF = 0x4000;

export interface Headers {
  readonly version: 4 | 6;
  readonly tcp: boolean;
  /** IP addresses, 4 or 16 bytes each. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly ports: readonly [number, number];
  /** TOS or traffic class; flow label of IPv6. */
  readonly tos: number;
  readonly label: number;
  readonly ttl: number;
  readonly id: number;
  /** The 16 bits of flags and fragment offset. */
  readonly fragment: number;
  /** IPv4 options, a multiple of 4 bytes. */
  readonly options: Uint8Array;
  /** An IPv6 hop-by-hop header of 8 bytes or a multiple, without its first byte; empty for none. */
  readonly extension: Uint8Array;
  readonly sequence: number;
  readonly acknowledgement: number;
  readonly flags: number;
  readonly window: number;
  readonly urgent: number;
  /** TCP options, a multiple of 4 bytes. */
  readonly tcpOptions: Uint8Array;
}

export function sum16(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const bytes of parts)
    for (let i = 0; i < bytes.length; i += 2) sum = (sum + (((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0))) % 0xffff;
  return sum;
}

/** The checksum field of bytes whose field is zero: never 0xffff, 0 stays 0 (UDP's caller makes it 0xffff). */
export function checksum(...parts: readonly Uint8Array[]): number {
  const anything = parts.some((bytes) => bytes.some((byte) => byte !== 0));
  const sum = sum16(...parts);
  // One's complement has two zeros; a sum of something is never the positive one.
  return sum === 0 ? (anything ? 0 : 0xffff) : 0xffff - sum;
}

export function transportOffset({ version, options, extension }: Headers): number {
  return version === 4 ? 20 + options.length : 40 + (extension.length === 0 ? 0 : extension.length + 1);
}

export function headerSize(headers: Headers): number {
  return transportOffset(headers) + (headers.tcp ? 20 + headers.tcpOptions.length : 8);
}

export interface BuildOptions {
  /** The transport's field is left as the kernel leaves it: the sum of the pseudo header. */
  readonly partial?: boolean;
}

/** One packet (or one superpacket, with the kernel's partial checksum) from its parts. */
export function build(headers: Headers, payload: Uint8Array, { partial = false }: BuildOptions = {}): Uint8Array {
  const at = transportOffset(headers);
  const size = headerSize(headers);
  const packet = new Uint8Array(size + payload.length);
  const view = new DataView(packet.buffer);
  const protocol = headers.tcp ? 6 : 17;
  if (headers.version === 4) {
    packet[0] = 0x40 | (at / 4);
    packet[1] = headers.tos;
    view.setUint16(2, packet.length & 0xffff);
    view.setUint16(4, headers.id);
    view.setUint16(6, headers.fragment);
    packet[8] = headers.ttl;
    packet[9] = protocol;
    packet.set(headers.source, 12);
    packet.set(headers.destination, 16);
    packet.set(headers.options, 20);
    view.setUint16(10, checksum(packet.subarray(0, at)));
  } else {
    view.setUint32(0, ((6 << 28) | (headers.tos << 20) | headers.label) >>> 0);
    view.setUint16(4, (packet.length - 40) & 0xffff);
    packet[6] = headers.extension.length === 0 ? protocol : 0;
    packet[7] = headers.ttl;
    packet.set(headers.source, 8);
    packet.set(headers.destination, 24);
    if (headers.extension.length > 0) {
      packet[40] = protocol;
      packet.set(headers.extension, 41);
    }
  }
  view.setUint16(at, headers.ports[0]);
  view.setUint16(at + 2, headers.ports[1]);
  if (headers.tcp) {
    view.setUint32(at + 4, headers.sequence);
    view.setUint32(at + 8, headers.acknowledgement);
    packet[at + 12] = ((20 + headers.tcpOptions.length) / 4) << 4;
    packet[at + 13] = headers.flags;
    view.setUint16(at + 14, headers.window);
    view.setUint16(at + 18, headers.urgent);
    packet.set(headers.tcpOptions, at + 20);
  } else view.setUint16(at + 4, (packet.length - at) & 0xffff);
  packet.set(payload, size);

  const field = at + (headers.tcp ? 16 : 6);
  const pseudo = pseudoHeader(headers.source, headers.destination, protocol, packet.length - at);
  if (partial) view.setUint16(field, sum16(pseudo) || 0xffff);
  else {
    const sum = checksum(pseudo, packet.subarray(at));
    view.setUint16(field, sum === 0 && !headers.tcp ? 0xffff : sum);
  }
  return packet;
}

function pseudoHeader(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): Uint8Array {
  const size = source.length;
  const pseudo = new Uint8Array(2 * size + 8);
  pseudo.set(source);
  pseudo.set(destination, size);
  new DataView(pseudo.buffer).setUint32(2 * size, length);
  pseudo[2 * size + 7] = protocol;
  return pseudo;
}

/** The packets that a superpacket of these headers and payload stands for. */
export function cut(headers: Headers, payload: Uint8Array, segmentSize: number): Uint8Array[] {
  const packets: Uint8Array[] = [];
  for (let from = 0; from < payload.length; from += segmentSize) {
    const to = Math.min(payload.length, from + segmentSize);
    let { flags } = headers;
    if (to < payload.length) flags &= ~(FIN | PSH);
    if (from > 0) flags &= ~CWR;
    const own = {
      ...headers,
      flags,
      id: (headers.id + packets.length) & 0xffff,
      sequence: (headers.sequence + from) >>> 0,
    };
    packets.push(build(own, payload.subarray(from, to)));
  }
  return packets;
}

/** Reads the headers of a packet whose transport header begins at `at`. */
export function read(packet: Uint8Array, at: number): { readonly headers: Headers; readonly payload: Uint8Array } {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const version = (packet[0] ?? 0) >> 4 === 4 ? 4 : 6;
  const chained = version === 6 && at > 40;
  const protocol = version === 4 ? packet[9] : packet[chained ? 40 : 6];
  const tcp = protocol === 6;
  const size = at + (tcp ? ((packet[at + 12] ?? 0) >> 4) * 4 : 8);
  const first = version === 4 ? 0 : view.getUint32(0);
  const headers: Headers = {
    version,
    tcp,
    source: version === 4 ? packet.slice(12, 16) : packet.slice(8, 24),
    destination: version === 4 ? packet.slice(16, 20) : packet.slice(24, 40),
    ports: [view.getUint16(at), view.getUint16(at + 2)],
    tos: version === 4 ? (packet[1] ?? 0) : (first >>> 20) & 0xff,
    label: first & 0xf_ffff,
    ttl: packet[version === 4 ? 8 : 7] ?? 0,
    id: version === 4 ? view.getUint16(4) : 0,
    fragment: version === 4 ? view.getUint16(6) : 0,
    options: version === 4 ? packet.slice(20, at) : new Uint8Array(0),
    extension: chained ? packet.slice(41, at) : new Uint8Array(0),
    sequence: tcp ? view.getUint32(at + 4) : 0,
    acknowledgement: tcp ? view.getUint32(at + 8) : 0,
    flags: tcp ? (packet[at + 13] ?? 0) : 0,
    window: tcp ? view.getUint16(at + 14) : 0,
    urgent: tcp ? view.getUint16(at + 18) : 0,
    tcpOptions: tcp ? packet.slice(at + 20, size) : new Uint8Array(0),
  };
  return { headers, payload: packet.subarray(size) };
}

/** struct virtio_net_hdr, little-endian as on the machines that this runs on. */
export interface VirtioHeader {
  readonly flags: number;
  readonly gsoType: number;
  readonly headerLength: number;
  readonly gsoSize: number;
  readonly checksumStart: number;
  readonly checksumOffset: number;
}

export const NEEDS_CSUM = 1;
export const GsoType = { NONE: 0, TCP4: 1, TCP6: 4, UDP: 5, ECN: 0x80 } as const;

export function writeVirtio(header: VirtioHeader): Uint8Array {
  const view = new DataView(new ArrayBuffer(10));
  view.setUint8(0, header.flags);
  view.setUint8(1, header.gsoType);
  view.setUint16(2, header.headerLength, true);
  view.setUint16(4, header.gsoSize, true);
  view.setUint16(6, header.checksumStart, true);
  view.setUint16(8, header.checksumOffset, true);
  return new Uint8Array(view.buffer);
}

export function readVirtio(bytes: Uint8Array): VirtioHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    flags: view.getUint8(0),
    gsoType: view.getUint8(1),
    headerLength: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    checksumStart: view.getUint16(6, true),
    checksumOffset: view.getUint16(8, true),
  };
}
