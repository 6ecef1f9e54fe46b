/**
 * AEAD data packets, tag in front:
 *
 *   | header 1 or 4 | packet id 4 | tag 16 | ciphertext |
 *
 * Additional data: header and packet id; with P_DATA_V1 the packet id alone. Nonce: packet id, then the direction's
 * 8-byte implicit IV. Ids count from 1.
 *
 * Source: OpenVPN 2.6 `crypto.c`, openvpn_encrypt_aead and openvpn_decrypt_aead.
 */
import { readUint32, writeUint32 } from '../bytes/big-endian.js';
import type { Millis } from '../bytes/millis.js';
import type { AeadKey, CipherTraits, Crypto, PacketLayout } from '../crypto/crypto.js';
import type { DirectionKey } from '../keys/data-key.js';
import { ReplayWindow, type ReplayWindowOptions } from '../replay/replay-window.js';
import type { DataDrop } from './data-drop.js';
import {
  type DataOpener,
  type DataSealer,
  FORGERIES_HARD,
  FORGERIES_SOFT,
  forgeriesHard,
  forgeriesSoft,
  GCM_LIMIT,
  GCM_SOFT_LIMIT,
  type KeyLimit,
  type ManyOpener,
  type ManySealer,
  PACKET_ID_LAST,
  PACKET_ID_SOFT,
  packetIdHard,
  packetIdSoft,
  TAG_SIZE,
  usageHard,
  usageSoft,
} from './data-format.js';
import type { Packet } from './packet.js';

export const AEAD_PACKET_ID_SIZE = 4;
const NONCE_SIZE = 12;
const FULL_HEADER_SIZE = 4;

/** With a header of 4 bytes, and with one of 1, which is not authenticated. */
const LAYOUTS: readonly PacketLayout[] = [
  { aadOffset: 0, aadLength: 8, counterOffset: 4, counterLength: 4, tagOffset: 8, bodyOffset: 24 },
  { aadOffset: 1, aadLength: 4, counterOffset: 1, counterLength: 4, tagOffset: 5, bodyOffset: 21 },
];

export class AeadSealer implements DataSealer, ManySealer {
  readonly #key: AeadKey;
  readonly #nonce: Uint8Array;
  readonly #limited: boolean;
  readonly many: ManySealer | undefined;
  readonly idHigh = 0;
  id = 0;
  #lastId: number;
  #blocks = 0;
  #limit: KeyLimit | undefined;

  /** `lastId` is the packet id already used; a new key has used none. */
  constructor(crypto: Crypto, cipher: CipherTraits, key: DirectionKey, lastId = 0) {
    this.#nonce = nonceOf(key);
    this.#key = crypto.aeadKey(cipher, key.cipher, { iv: this.#nonce, layouts: LAYOUTS });
    this.many = this.#key.slots === undefined ? undefined : this;
    this.#limited = cipher.blockSize > 1;
    this.#lastId = lastId;
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  seal(packet: Packet, header: Uint8Array): boolean {
    if (!this.take(1, packet.blocks)) return false;

    const { id } = this;
    const { bytes, start, end } = packet;
    const tagAt = start - TAG_SIZE;
    const idAt = tagAt - AEAD_PACKET_ID_SIZE;
    const headerAt = idAt - header.length;
    bytes.set(header, headerAt);
    writeUint32(bytes, idAt, id);
    writeUint32(this.#nonce, 0, id);

    const plaintext = bytes.subarray(start, end);
    const aad = bytes.subarray(header.length === FULL_HEADER_SIZE ? headerAt : idAt, tagAt);
    this.#key.seal(this.#nonce, aad, plaintext, plaintext, bytes.subarray(tagAt, start));
    packet.start = headerAt;
    return true;
  }

  wipe(): void {
    this.#key.wipe();
    this.#nonce.fill(0);
  }

  take(count: number, blocks: number): boolean {
    if (this.#limit?.hard === true) return false;
    const last = this.#lastId + count;
    if (last > PACKET_ID_LAST) {
      this.#limit = packetIdHard;
      return false;
    }
    this.#blocks += blocks;
    if (this.#limited && last + this.#blocks > GCM_SOFT_LIMIT) {
      if (last + this.#blocks > GCM_LIMIT) {
        this.#limit = usageHard;
        return false;
      }
      this.#limit = usageSoft;
    } else if (last >= PACKET_ID_SOFT) this.#limit = packetIdSoft;
    this.id = this.#lastId + 1;
    this.#lastId = last;
    return true;
  }

  slot(headerSize: number): number {
    return slotIn(this.#key, headerSize);
  }

  sealedLength(packet: Packet): number {
    return packet.plainLength + packet.segments * (AEAD_PACKET_ID_SIZE + TAG_SIZE);
  }
}

export class AeadOpener implements DataOpener, ManyOpener {
  readonly #key: AeadKey;
  readonly #nonce: Uint8Array;
  readonly #limited: boolean;
  readonly #window: ReplayWindow;
  readonly many: ManyOpener | undefined;
  readonly keyedByEpoch = false;
  #blocks = 0;
  #forgeries: number;
  #limit: KeyLimit | undefined;

  /** `forgeries` is how many packets have already failed under this key. */
  constructor(crypto: Crypto, cipher: CipherTraits, key: DirectionKey, replay: ReplayWindowOptions, forgeries = 0) {
    this.#nonce = nonceOf(key);
    this.#key = crypto.aeadKey(cipher, key.cipher, { iv: this.#nonce, layouts: LAYOUTS });
    this.many = this.#key.slots === undefined ? undefined : this;
    this.#limited = cipher.blockSize > 1;
    this.#window = new ReplayWindow(replay);
    this.#forgeries = forgeries;
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  open(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined {
    const unusable = this.#check(packet, headerSize);
    if (unusable !== undefined) return unusable;

    const { bytes, start, end } = packet;
    const idAt = start + headerSize;
    const tagAt = idAt + AEAD_PACKET_ID_SIZE;
    const textAt = tagAt + TAG_SIZE;
    writeUint32(this.#nonce, 0, readUint32(bytes, idAt));
    const ciphertext = bytes.subarray(textAt, end);
    const aad = bytes.subarray(headerSize === FULL_HEADER_SIZE ? start : idAt, tagAt);
    if (!this.#key.open(this.#nonce, aad, ciphertext, bytes.subarray(tagAt, textAt), ciphertext)) {
      this.refuse();
      return 'bad-auth';
    }
    return this.accept(packet, headerSize, now);
  }

  least(headerSize: number): number {
    return headerSize + AEAD_PACKET_ID_SIZE + TAG_SIZE + 1;
  }

  slotOf(packet: Packet, headerSize: number): number | DataDrop {
    return this.#check(packet, headerSize) ?? slotIn(this.#key, headerSize);
  }

  accept(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined {
    const idAt = packet.start + headerSize;
    const id = readUint32(packet.bytes, idAt);
    packet.start = idAt + AEAD_PACKET_ID_SIZE + TAG_SIZE;
    const verdict = this.#window.accept(id, now);
    if (verdict !== 'accepted') return verdict;
    this.#blocks += packet.blocks;
    if (this.#limit === undefined) {
      if (id >= PACKET_ID_SOFT) this.#limit = packetIdSoft;
      else if (this.#limited && this.#window.highest + this.#blocks > GCM_SOFT_LIMIT) this.#limit = usageSoft;
    }
    return undefined;
  }

  refuse(): void {
    this.#forgeries += 1;
    if (this.#forgeries >= FORGERIES_HARD) this.#limit = forgeriesHard;
    else if (this.#forgeries >= FORGERIES_SOFT) this.#limit = forgeriesSoft;
  }

  wipe(): void {
    this.#key.wipe();
    this.#nonce.fill(0);
  }

  #check(packet: Packet, headerSize: number): DataDrop | undefined {
    if (packet.length < this.least(headerSize)) return 'too-short';
    return this.#limit?.hard === true ? 'key-exhausted' : undefined;
  }
}

function slotIn({ slots = [] }: AeadKey, headerSize: number): number {
  return slots[headerSize === FULL_HEADER_SIZE ? 0 : 1] as number;
}

function nonceOf(key: DirectionKey): Uint8Array {
  const nonce = new Uint8Array(NONCE_SIZE);
  nonce.set(key.auth, NONCE_SIZE - key.auth.length);
  return nonce;
}
