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
import type { AeadKey, CipherTraits, Crypto } from '../crypto/crypto.js';
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

export class AeadSealer implements DataSealer {
  readonly #key: AeadKey;
  readonly #nonce: Uint8Array;
  readonly #limited: boolean;
  #lastId: number;
  #blocks = 0;
  #limit: KeyLimit | undefined;

  /** `lastId` is the packet id already used; a new key has used none. */
  constructor(crypto: Crypto, cipher: CipherTraits, key: DirectionKey, lastId = 0) {
    this.#key = crypto.aeadKey(cipher, key.cipher);
    this.#nonce = nonceOf(key);
    this.#limited = cipher.blockSize > 1;
    this.#lastId = lastId;
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  seal(packet: Packet, header: Uint8Array): boolean {
    const id = this.#take(packet.length);
    if (id === 0) return false;

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

  /** The next packet id, or 0 when the key is used up. */
  #take(size: number): number {
    if (this.#limit?.hard === true) return 0;
    if (this.#lastId === PACKET_ID_LAST) {
      this.#limit = packetIdHard;
      return 0;
    }
    const id = this.#lastId + 1;
    this.#blocks += Math.ceil(size / 16);
    if (this.#limited && id + this.#blocks > GCM_SOFT_LIMIT) {
      if (id + this.#blocks > GCM_LIMIT) {
        this.#limit = usageHard;
        return 0;
      }
      this.#limit = usageSoft;
    } else if (id >= PACKET_ID_SOFT) this.#limit = packetIdSoft;
    this.#lastId = id;
    return id;
  }
}

export class AeadOpener implements DataOpener {
  readonly #key: AeadKey;
  readonly #nonce: Uint8Array;
  readonly #limited: boolean;
  readonly #window: ReplayWindow;
  #blocks = 0;
  #forgeries: number;
  #limit: KeyLimit | undefined;

  /** `forgeries` is how many packets have already failed under this key. */
  constructor(crypto: Crypto, cipher: CipherTraits, key: DirectionKey, replay: ReplayWindowOptions, forgeries = 0) {
    this.#key = crypto.aeadKey(cipher, key.cipher);
    this.#nonce = nonceOf(key);
    this.#limited = cipher.blockSize > 1;
    this.#window = new ReplayWindow(replay);
    this.#forgeries = forgeries;
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  open(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined {
    const { bytes, start, end } = packet;
    const idAt = start + headerSize;
    const tagAt = idAt + AEAD_PACKET_ID_SIZE;
    const textAt = tagAt + TAG_SIZE;
    if (end <= textAt) return 'too-short';
    if (this.#limit?.hard === true) return 'key-exhausted';

    const id = readUint32(bytes, idAt);
    writeUint32(this.#nonce, 0, id);
    const ciphertext = bytes.subarray(textAt, end);
    const aad = bytes.subarray(headerSize === FULL_HEADER_SIZE ? start : idAt, tagAt);
    if (!this.#key.open(this.#nonce, aad, ciphertext, bytes.subarray(tagAt, textAt), ciphertext)) {
      this.#countForgery();
      return 'bad-auth';
    }
    packet.start = textAt;
    return this.accept(id, end - textAt, now);
  }

  /** What follows authentication: the replay window and the usage count. For callers that decrypt in batches. */
  accept(id: number, size: number, now: Millis): DataDrop | undefined {
    const verdict = this.#window.accept(id, now);
    if (verdict !== 'accepted') return verdict;
    this.#blocks += Math.ceil(size / 16);
    if (this.#limit === undefined) {
      if (id >= PACKET_ID_SOFT) this.#limit = packetIdSoft;
      else if (this.#limited && this.#window.highest + this.#blocks > GCM_SOFT_LIMIT) this.#limit = usageSoft;
    }
    return undefined;
  }

  wipe(): void {
    this.#key.wipe();
    this.#nonce.fill(0);
  }

  #countForgery(): void {
    this.#forgeries += 1;
    if (this.#forgeries >= FORGERIES_HARD) this.#limit = forgeriesHard;
    else if (this.#forgeries >= FORGERIES_SOFT) this.#limit = forgeriesSoft;
  }
}

function nonceOf(key: DirectionKey): Uint8Array {
  const nonce = new Uint8Array(NONCE_SIZE);
  nonce.set(key.auth, NONCE_SIZE - key.auth.length);
  return nonce;
}
