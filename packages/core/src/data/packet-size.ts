/**
 * What a data packet costs on the wire, and the sizes that follow from `mssfix` and `fragment`.
 *
 *   outer packet = | IP 20 or 40 | UDP 8 or TCP 20 | [length 2] | header 0, 1 or 4 | crypto | payload |
 *   payload      = | [fragment 4] | [compression 0 or 1] | [Ethernet 32] | IP packet |
 *
 * In CBC the packet id belongs to the payload, and the ciphertext is a whole number of blocks with at least one byte
 * of padding.
 *
 * Source: OpenVPN 2.6 `mtu.c`, `mss.c` (frame_calculate_mssfix, frame_calculate_fragment).
 */
import type { CipherTraits } from '../crypto/crypto.js';
import type { DataFormat } from '../keys/data-key.js';
import { AEAD_PACKET_ID_SIZE } from './aead-format.js';
import type { CompressionFraming } from './data-channel.js';
import { TAG_SIZE } from './data-format.js';
import { EPOCH_PACKET_ID_SIZE } from './epoch-format.js';
import { FRAGMENT_HEADER_SIZE } from './fragment.js';
import { occMagic } from './messages.js';

export interface PacketShape {
  /** Family and protocol of the link. */
  readonly family: 4 | 6;
  readonly transport: 'udp' | 'tcp';
  /** Bytes before each packet on its way to a proxy. */
  readonly relayHeaderSize?: number;
  /** 4 with peer-id (P_DATA_V2), 1 without, 0 with a static key. */
  readonly headerSize: 0 | 1 | 4;
  readonly format: DataFormat;
  /** `undefined` is `cipher none`. */
  readonly cipher: CipherTraits | undefined;
  /** Bytes of the HMAC of the `block` format; 0 for `auth none`. */
  readonly digestSize: number;
  readonly longPacketId: boolean;
  readonly compression: CompressionFraming;
  readonly fragment: boolean;
  readonly device: 'tun' | 'tap';
}

/**
 * What the number of `mssfix` or `fragment` limits: `payload` the UDP payload (the bare number), `mtu` the outer IP
 * packet, `fixed` (mssfix only) the inner IP packet.
 */
export interface SizeLimit {
  readonly size: number;
  readonly mode: 'payload' | 'mtu' | 'fixed';
}

/** Upstream's default, unless `tun-mtu` is not 1500. */
export const defaultMssfix: SizeLimit = { size: 1_492, mode: 'mtu' };

const IPV4_AND_TCP = 40;
const STREAM_HEADER_SIZE = 2;
/** Upstream's tun-mtu-extra for tap: an Ethernet header with tags, and some air. */
const TAP_EXTRA = 32;

/** `PeerSettings.mssClamp` for a limit; 0 when there is no room or no limit. */
export function mssClamp(limit: SizeLimit, shape: PacketShape): number {
  if (limit.size === 0) return 0;
  if (limit.mode === 'fixed') return Math.max(0, limit.size - IPV4_AND_TCP);
  let inside = IPV4_AND_TCP + packetIdInPayload(shape);
  if (shape.device === 'tap') inside += TAP_EXTRA;
  if (shape.compression === 'lzo-no' || shape.compression === 'stub') inside += 1;
  if (shape.fragment) inside += FRAGMENT_HEADER_SIZE;
  return Math.max(0, plaintextRoom(limit, shape) - inside);
}

/** `PeerSettings.fragmentSize` for a limit: one fragment with its header; 0 when there is no limit or no room. */
export function fragmentSize(limit: SizeLimit, shape: PacketShape): number {
  if (limit.size === 0) return 0;
  return Math.max(0, plaintextRoom(limit, shape) - packetIdInPayload(shape));
}

/** Bytes around an IP packet, with every header inside and outside; CBC padding not counted. */
export function packetOverhead(shape: PacketShape): number {
  return headerOverhead(shape) + datagramOverhead(shape) + packetIdInPayload(shape);
}

/** Bytes around a message of the data channel (its magic is one of them), as the link carries it; CBC padding not counted. */
export function messageOverhead(shape: PacketShape): number {
  const stream = shape.transport === 'tcp' ? STREAM_HEADER_SIZE : 0;
  const framing = shape.compression === 'lzo-no' || shape.compression === 'stub' ? 1 : 0;
  const fragment = shape.fragment ? FRAGMENT_HEADER_SIZE : 0;
  return headerOverhead(shape) - stream + packetIdInPayload(shape) + framing + fragment + occMagic.length;
}

/** How much may be encrypted in one packet, the packet id included in CBC. */
function plaintextRoom(limit: SizeLimit, shape: PacketShape): number {
  const outside = headerOverhead(shape) + (limit.mode === 'mtu' ? datagramOverhead(shape) : 0);
  const room = limit.size - outside;
  if (shape.cipher?.mode !== 'cbc') return room;
  const { blockSize } = shape.cipher;
  return room - (room % blockSize) - 1;
}

function headerOverhead(shape: PacketShape): number {
  const stream = shape.transport === 'tcp' ? STREAM_HEADER_SIZE : 0;
  return stream + (shape.relayHeaderSize ?? 0) + shape.headerSize + cryptoOverhead(shape);
}

function cryptoOverhead({ format, cipher, digestSize, longPacketId }: PacketShape): number {
  switch (format) {
    case 'aead':
      return AEAD_PACKET_ID_SIZE + TAG_SIZE;
    case 'epoch':
      return EPOCH_PACKET_ID_SIZE + TAG_SIZE;
    case 'block': {
      if (cipher === undefined) return digestSize + (longPacketId ? 8 : 4);
      // Upstream counts a long id of CFB and OFB beside the IV that carries it.
      const id = cipher.mode === 'cbc' ? 0 : 8;
      return digestSize + cipher.ivSize + id;
    }
    default:
      return format satisfies never;
  }
}

function packetIdInPayload({ format, cipher, longPacketId }: PacketShape): number {
  if (format !== 'block' || cipher?.mode !== 'cbc') return 0;
  return longPacketId ? 8 : 4;
}

function datagramOverhead({ family, transport }: PacketShape): number {
  return (family === 4 ? 20 : 40) + (transport === 'udp' ? 8 : 20);
}
