/**
 * The two directions of one data-channel key, whatever its format: `aead`, `epoch` or `block`.
 *
 * Both work in place. The header in front of every datagram (opcode and key id, then the peer-id or not; nothing at all
 * in static key mode) is the same for all packets of a key, so it is given as bytes:
 *
 *   P_DATA_V2  | opcode 5 bits, key id 3 bits | peer-id 24 bits |
 *   P_DATA_V1  | opcode 5 bits, key id 3 bits |
 */
import type { Millis } from '../bytes/millis.js';
import type { DataDrop } from './data-drop.js';
import type { Packet } from './packet.js';

/** A limit that a key has reached. `hard`: it is of no more use in this direction. */
export interface KeyLimit {
  readonly limit: 'packet-id' | 'usage' | 'epoch' | 'forgeries';
  readonly hard: boolean;
}

export interface DataSealer {
  /**
   * Turns the plaintext in `packet` into a datagram behind `header`, with the next packet id.
   * False: the key is used up (`limit` is hard) and the packet is as it was.
   * `packet` has HEADROOM and TAILROOM around the plaintext.
   */
  seal(packet: Packet, header: Uint8Array): boolean;
  /** The last limit reached: one of a few constants, to be compared by identity. */
  readonly limit: KeyLimit | undefined;
  /** For callers that seal many packets in one call, where format and `Crypto` have it. */
  readonly many: ManySealer | undefined;
  wipe(): void;
}

/** Sealing in two steps: ids are taken for each packet, then all are sealed by the implementer of `Crypto`. */
export interface ManySealer {
  /** Takes the ids of `count` packets with `blocks` 16-byte blocks in all: `id` is the first. False: the key is used up. */
  take(count: number, blocks: number): boolean;
  /** The low and the high 32 bits of the id last taken first; in the long form of `block` the sender's time is the high half. */
  readonly id: number;
  readonly idHigh: number;
  /** Bytes of the datagrams that come out of `packet`, their headers not counted. */
  sealedLength(packet: Packet): number;
  /** The number of the key (`AeadKey.slots`, `BlockKey.slots`) for packets with such a header, after `take`. */
  slot(headerSize: number): number;
}

export interface DataOpener {
  /** Turns a datagram with a header of `headerSize` bytes into its plaintext: authenticates, decrypts, refuses replays. */
  open(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined;
  readonly limit: KeyLimit | undefined;
  /** For callers that open many datagrams in one call, where format and `Crypto` have it. */
  readonly many: ManyOpener | undefined;
  wipe(): void;
}

/** Opening in three steps: a key is found for each datagram, all are opened by the implementer of `Crypto`, then judged. */
export interface ManyOpener {
  /** The number of the key (`AeadKey.slots`, `BlockKey.slots`) that opens the datagram, or why none will. */
  slotOf(packet: Packet, headerSize: number): number | DataDrop;
  /** Whether the two bytes behind the header choose the key, beside the header. */
  readonly keyedByEpoch: boolean;
  /** The length of the shortest datagram that holds anything. */
  least(headerSize: number): number;
  /** Of an authentic datagram, in the order of arrival: replays are refused, and `packet` becomes the plaintext. */
  accept(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined;
  /** Of a forged one. */
  refuse(): void;
}

export const packetIdSoft: KeyLimit = { limit: 'packet-id', hard: false };
export const packetIdHard: KeyLimit = { limit: 'packet-id', hard: true };
export const usageSoft: KeyLimit = { limit: 'usage', hard: false };
export const usageHard: KeyLimit = { limit: 'usage', hard: true };
export const epochSoft: KeyLimit = { limit: 'epoch', hard: false };
export const epochHard: KeyLimit = { limit: 'epoch', hard: true };
export const forgeriesSoft: KeyLimit = { limit: 'forgeries', hard: false };
export const forgeriesHard: KeyLimit = { limit: 'forgeries', hard: true };

export const TAG_SIZE = 16;

/** Renegotiate from here on (2^32 is the end of the 32-bit ids). Source: OpenVPN 2.6 `packet_id.h`, PACKET_ID_WRAP_TRIGGER. */
export const PACKET_ID_SOFT = 0xff00_0000;
export const PACKET_ID_LAST = 0xffff_ffff;

/** Of one GCM key, packets and 16-byte blocks together: 2^36 - 1 (RFC 5288 analysis, OpenVPN 2.7 `cipher_get_aead_limits`). */
export const GCM_LIMIT = 2 ** 36 - 1;
export const GCM_SOFT_LIMIT = 2 ** 36 - 2 ** 33;

export const FORGERIES_SOFT = 2 ** 35;
export const FORGERIES_HARD = 2 ** 36;
