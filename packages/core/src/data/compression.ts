/**
 * How a plaintext says that it is not compressed. Nothing is ever compressed on send, nothing is decompressed.
 *
 *   lzo-no    | 0xfa | payload |                                    `comp-lzo no`
 *   stub      | 0xfb | payload without its first byte | that byte |  `compress`, `compress stub`
 *   stub-v2   | payload |, or | 0x50 | 0x00 | payload | when the payload begins with 0x50
 *
 * 0x66 and 0x69 in front are LZO and LZ4; after 0x50, 1 is LZ4 and 2 LZO. OpenVPN 2.x escapes with 0x50 0x0a,
 * which is taken for 0x50 0x00.
 *
 * Source: OpenVPN 2.6 `comp.h`, `compstub.c`, `comp.c`.
 */
import type { CompressionFraming } from './data-channel.js';
import type { DataDrop } from './data-drop.js';
import type { Packet } from './packet.js';

const NOT_COMPRESSED = 0xfa;
const NOT_COMPRESSED_SWAPPED = 0xfb;
const LZO = 0x66;
const LZ4 = 0x69;
const V2_MARK = 0x50;
const V2_UNCOMPRESSED = 0x00;
const V2_LZ4 = 0x01;
const V2_LZO = 0x02;
const V2_UNCOMPRESSED_QUIRK = 0x0a;

/** The most bytes that `frameUncompressed` adds. */
export const COMPRESSION_OVERHEAD = { none: 0, 'lzo-no': 1, stub: 1, 'stub-v2': 2 } as const;

/** Frames a plaintext of at least one byte, in place. */
export function frameUncompressed(packet: Packet, framing: CompressionFraming): void {
  const { bytes } = packet;
  switch (framing) {
    case 'none':
      return;
    case 'lzo-no':
      packet.start -= 1;
      bytes[packet.start] = NOT_COMPRESSED;
      return;
    case 'stub':
      bytes[packet.end] = bytes[packet.start] as number;
      bytes[packet.start] = NOT_COMPRESSED_SWAPPED;
      packet.end += 1;
      return;
    case 'stub-v2':
      if (bytes[packet.start] !== V2_MARK) return;
      packet.start -= 2;
      bytes[packet.start] = V2_MARK;
      bytes[packet.start + 1] = V2_UNCOMPRESSED;
      return;
    default:
      framing satisfies never;
  }
}

/** Takes the framing off, in place. */
export function unframe(packet: Packet, framing: CompressionFraming): DataDrop | undefined {
  if (framing === 'none') return undefined;
  if (packet.length === 0) return 'bad-compression';
  const first = packet.bytes[packet.start] as number;
  return framing === 'stub-v2' ? unframeV2(packet, first) : unframeV1(packet, first);
}

function unframeV1(packet: Packet, first: number): DataDrop | undefined {
  switch (first) {
    case NOT_COMPRESSED:
      packet.start += 1;
      return undefined;
    case NOT_COMPRESSED_SWAPPED:
      packet.end -= 1;
      if (packet.length > 0) packet.bytes[packet.start] = packet.bytes[packet.end] as number;
      return undefined;
    case LZO:
    case LZ4:
      return 'compressed';
    default:
      return 'bad-compression';
  }
}

function unframeV2(packet: Packet, first: number): DataDrop | undefined {
  if (first !== V2_MARK) return undefined;
  if (packet.length < 2) return 'bad-compression';
  switch (packet.bytes[packet.start + 1]) {
    case V2_UNCOMPRESSED:
    case V2_UNCOMPRESSED_QUIRK:
      packet.start += 2;
      return undefined;
    case V2_LZ4:
    case V2_LZO:
      return 'compressed';
    default:
      return 'bad-compression';
  }
}
