/**
 * Data packets under a block or stream cipher and an HMAC (either may be `none`):
 *
 *   CBC      | header | HMAC | IV | CBC( packet id 4 or 8, payload, PKCS#7 padding ) |
 *   CFB/OFB  | header | HMAC | IV: packet id 4, time 4, zeros | stream( payload ) |
 *   none     | header | HMAC | packet id 4 or 8 | payload |
 *
 * The HMAC covers all that follows it. A packet id of 8 bytes is the long form: id, then the sender's time in seconds;
 * static keys use it, and CFB and OFB always, since the id is their nonce.
 *
 * Source: OpenVPN 2.6 `crypto.c`, openvpn_encrypt_v1 and openvpn_decrypt_v1.
 */
import { readUint32, writeUint32 } from '../bytes/big-endian.js';
import type { Millis, UnixSeconds } from '../bytes/millis.js';
import type { BlockKey, CbcForm, CipherTraits, Crypto, RandomFill } from '../crypto/crypto.js';
import type { DirectionKey } from '../keys/data-key.js';
import { LongReplayWindow, ReplayWindow, type ReplayWindowOptions } from '../replay/replay-window.js';
import type { DataDrop } from './data-drop.js';
import {
  type DataOpener,
  type DataSealer,
  type KeyLimit,
  type ManyOpener,
  type ManySealer,
  PACKET_ID_LAST,
  PACKET_ID_SOFT,
  packetIdHard,
  packetIdSoft,
} from './data-format.js';
import type { Packet } from './packet.js';

export interface BlockOptions {
  readonly crypto: Crypto;
  readonly cipher: CipherTraits | 'none';
  /** `none` is `auth none`. */
  readonly digest: string;
  readonly key: DirectionKey;
  readonly longPacketId: boolean;
}

const SHORT_ID = 4;
const LONG_ID = 8;
/** Of P_DATA_V2, P_DATA_V1, and static keys. */
const HEADER_SIZES = [4, 1, 0];

/** What both directions know of the layout. */
class BlockLayout {
  readonly crypto: Crypto;
  readonly mode: CipherTraits['mode'] | 'none';
  readonly blockKey: BlockKey | undefined;
  readonly ivSize: number;
  readonly digest: string | undefined;
  readonly digestSize: number;
  readonly hmacKey: Uint8Array;
  readonly longId: boolean;
  /** Bytes of the packet id inside the (decrypted) payload; 0 when it travels in the IV. */
  readonly idSize: number;

  constructor({ crypto, cipher, digest, key, longPacketId }: BlockOptions) {
    this.crypto = crypto;
    this.mode = cipher === 'none' ? cipher : cipher.mode;
    this.digest = digest.toLowerCase() === 'none' ? undefined : digest;
    this.digestSize = this.digest === undefined ? 0 : (crypto.digestSize(this.digest) ?? 0);
    this.hmacKey = key.auth.slice();
    this.longId = longPacketId || this.idInIv;
    const idSize = this.longId ? LONG_ID : SHORT_ID;
    this.idSize = this.idInIv ? 0 : idSize;
    const form: CbcForm = { digest: this.digest, macKey: this.hmacKey, idSize, headerSizes: HEADER_SIZES };
    this.blockKey =
      cipher === 'none' ? undefined : crypto.blockKey(cipher, key.cipher, this.mode === 'cbc' ? form : undefined);
    this.ivSize = cipher === 'none' ? 0 : cipher.ivSize;
  }

  get slots(): readonly number[] | undefined {
    return this.blockKey?.slots;
  }

  slot(headerSize: number): number {
    return this.slots?.[HEADER_SIZES.indexOf(headerSize)] as number;
  }

  /** What a plaintext becomes under CBC, the header not counted. */
  sealedLength(length: number): number {
    const { ivSize } = this;
    return this.digestSize + ivSize + (Math.floor((this.idSize + length) / ivSize) + 1) * ivSize;
  }

  get idInIv(): boolean {
    return this.mode === 'cfb' || this.mode === 'ofb';
  }

  wipe(): void {
    this.blockKey?.wipe();
    this.hmacKey.fill(0);
  }
}

export class BlockSealer implements DataSealer, ManySealer {
  readonly many: ManySealer | undefined;
  id = 0;
  idHigh = 0;
  readonly #layout: BlockLayout;
  readonly #random: RandomFill;
  readonly #unixTime: () => UnixSeconds;
  #lastId: number;
  #limit: KeyLimit | undefined;

  /** `lastId` is the packet id already used; a new key has used none. */
  constructor(options: BlockOptions, random: RandomFill, unixTime: () => UnixSeconds, lastId = 0) {
    this.#layout = new BlockLayout(options);
    this.#random = random;
    this.#unixTime = unixTime;
    this.#lastId = lastId;
    this.many = this.#layout.slots === undefined ? undefined : this;
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  seal(packet: Packet, header: Uint8Array): boolean {
    const layout = this.#layout;
    if (!this.take(1)) return false;

    const { bytes } = packet;
    let at = packet.start;
    if (layout.idSize > 0) {
      at -= layout.idSize;
      this.#writeId(bytes, at);
    }
    if (layout.blockKey !== undefined) {
      const ivAt = at - layout.ivSize;
      const iv = bytes.subarray(ivAt, at);
      if (layout.idInIv) {
        iv.fill(0);
        this.#writeId(bytes, ivAt);
      } else this.#random(iv);
      const ciphertext = layout.blockKey.encrypt(iv, bytes.subarray(at, packet.end));
      bytes.set(ciphertext, at);
      packet.end = at + ciphertext.length;
      at = ivAt;
    }
    if (layout.digest !== undefined) {
      const mac = layout.crypto.hmac(layout.digest, layout.hmacKey, bytes.subarray(at, packet.end));
      at -= layout.digestSize;
      bytes.set(mac, at);
    }
    at -= header.length;
    bytes.set(header, at);
    packet.start = at;
    return true;
  }

  wipe(): void {
    this.#layout.wipe();
  }

  take(count: number): boolean {
    if (this.#limit?.hard === true) return false;
    const used = this.#lastId + count > PACKET_ID_LAST;
    if (this.#layout.longId) {
      // A later time starts the ids again, so they never run out; while the clock stands still behind, the time last used goes on.
      if (this.idHigh === 0 || used) {
        if (used) this.#lastId = 0;
        this.idHigh = Math.max(this.#unixTime(), this.idHigh + 1);
      }
    } else if (used) {
      this.#limit = packetIdHard;
      return false;
    } else if (this.#lastId + count >= PACKET_ID_SOFT) this.#limit = packetIdSoft;
    this.id = this.#lastId + 1;
    this.#lastId += count;
    return true;
  }

  sealedLength({ segments, segmentLength, lastLength }: Packet): number {
    const layout = this.#layout;
    const last = layout.sealedLength(lastLength);
    return segments === 1 ? last : (segments - 1) * layout.sealedLength(segmentLength) + last;
  }

  slot(headerSize: number): number {
    return this.#layout.slot(headerSize);
  }

  #writeId(bytes: Uint8Array, at: number): void {
    writeUint32(bytes, at, this.id);
    if (this.#layout.longId) writeUint32(bytes, at + SHORT_ID, this.idHigh);
  }
}

export class BlockOpener implements DataOpener, ManyOpener {
  readonly many: ManyOpener | undefined;
  readonly keyedByEpoch = false;
  readonly #layout: BlockLayout;
  readonly #window: ReplayWindow;
  readonly #longWindow: LongReplayWindow;
  #limit: KeyLimit | undefined;

  constructor(options: BlockOptions, replay: ReplayWindowOptions) {
    this.#layout = new BlockLayout(options);
    this.#window = new ReplayWindow(replay);
    this.#longWindow = new LongReplayWindow(replay);
    this.many = this.#layout.slots === undefined ? undefined : this;
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  open(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined {
    const layout = this.#layout;
    const { bytes, start, end } = packet;
    const macAt = start + headerSize;
    const ivAt = macAt + layout.digestSize;
    const textAt = ivAt + layout.ivSize;
    if (packet.length < this.least(headerSize)) return 'too-short';

    if (layout.digest !== undefined) {
      const mac = layout.crypto.hmac(layout.digest, layout.hmacKey, bytes.subarray(ivAt, end));
      if (!layout.crypto.equal(mac, bytes.subarray(macAt, ivAt))) return 'bad-auth';
    }
    if (layout.blockKey !== undefined) {
      const plaintext = layout.blockKey.decrypt(bytes.subarray(ivAt, textAt), bytes.subarray(textAt, end));
      if (plaintext === undefined) return 'bad-auth';
      bytes.set(plaintext, textAt);
      packet.end = textAt + plaintext.length;
    }
    packet.start = textAt;
    return this.#judge(packet, layout.idInIv ? ivAt : textAt, now);
  }

  slotOf(packet: Packet, headerSize: number): number | DataDrop {
    return packet.length < this.least(headerSize) ? 'too-short' : this.#layout.slot(headerSize);
  }

  least(headerSize: number): number {
    return headerSize + this.#layout.digestSize + this.#layout.ivSize + 1;
  }

  accept(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined {
    const { digestSize, ivSize } = this.#layout;
    packet.start += headerSize + digestSize + ivSize;
    // Each byte of the padding says its length.
    packet.end -= packet.bytes[packet.end - 1] as number;
    return this.#judge(packet, packet.start, now);
  }

  /** Nothing is counted: a forged HMAC says nothing of the key. */
  refuse(): void {}

  /** Of what was decrypted from `packet.start` on: behind its id stands the plaintext. */
  #judge(packet: Packet, idAt: number, now: Millis): DataDrop | undefined {
    const layout = this.#layout;
    const { bytes } = packet;
    const start = packet.start + layout.idSize;
    if (packet.end <= start) return 'too-short';
    packet.start = start;

    const id = readUint32(bytes, idAt);
    if (!layout.longId && id >= PACKET_ID_SOFT) this.#limit = packetIdSoft;
    const verdict = layout.longId
      ? this.#longWindow.accept(id, readUint32(bytes, idAt + SHORT_ID), now)
      : this.#window.accept(id, now);
    return verdict === 'accepted' ? undefined : verdict;
  }

  wipe(): void {
    this.#layout.wipe();
  }
}
