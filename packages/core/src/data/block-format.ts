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
import type { BlockKey, CipherTraits, Crypto, RandomFill } from '../crypto/crypto.js';
import type { DirectionKey } from '../keys/data-key.js';
import { LongReplayWindow, ReplayWindow, type ReplayWindowOptions } from '../replay/replay-window.js';
import type { DataDrop } from './data-drop.js';
import {
  type DataOpener,
  type DataSealer,
  type KeyLimit,
  PACKET_ID_LAST,
  PACKET_ID_SOFT,
  packetIdHard,
  packetIdSoft,
} from './data-format.js';
import type { Packet } from './packet.js';

export interface BlockOptions {
  readonly crypto: Crypto;
  /** `undefined` is `cipher none`. */
  readonly cipher: CipherTraits | undefined;
  /** `none` is `auth none`. */
  readonly digest: string;
  readonly key: DirectionKey;
  readonly longPacketId: boolean;
}

const SHORT_ID = 4;
const LONG_ID = 8;

/** What both directions know of the layout. */
class BlockLayout {
  readonly crypto: Crypto;
  readonly mode: CipherTraits['mode'];
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
    this.mode = cipher?.mode ?? 'none';
    this.blockKey = cipher === undefined || cipher.mode === 'none' ? undefined : crypto.blockKey(cipher, key.cipher);
    this.ivSize = this.blockKey === undefined ? 0 : (cipher?.ivSize ?? 0);
    this.digest = digest.toLowerCase() === 'none' ? undefined : digest;
    this.digestSize = this.digest === undefined ? 0 : (crypto.digestSize(this.digest) ?? 0);
    this.hmacKey = key.auth.slice();
    this.longId = longPacketId || this.idInIv;
    if (this.idInIv) this.idSize = 0;
    else this.idSize = this.longId ? LONG_ID : SHORT_ID;
  }

  get idInIv(): boolean {
    return this.mode === 'cfb' || this.mode === 'ofb';
  }

  wipe(): void {
    this.blockKey?.wipe();
    this.hmacKey.fill(0);
  }
}

export class BlockSealer implements DataSealer {
  readonly many = undefined;
  readonly #layout: BlockLayout;
  readonly #random: RandomFill;
  readonly #unixTime: () => UnixSeconds;
  #lastId: number;
  #time = 0;
  #limit: KeyLimit | undefined;

  /** `lastId` is the packet id already used; a new key has used none. */
  constructor(options: BlockOptions, random: RandomFill, unixTime: () => UnixSeconds, lastId = 0) {
    this.#layout = new BlockLayout(options);
    this.#random = random;
    this.#unixTime = unixTime;
    this.#lastId = lastId;
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  seal(packet: Packet, header: Uint8Array): boolean {
    const layout = this.#layout;
    if (!this.#takeId()) return false;

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

  #takeId(): boolean {
    if (this.#layout.longId) {
      // A later time starts the ids again, so they never run out; while the clock stands still behind, the time last used goes on.
      if (this.#time === 0 || this.#lastId === PACKET_ID_LAST) {
        const time = this.#unixTime();
        if (this.#lastId === PACKET_ID_LAST) this.#lastId = 0;
        this.#time = Math.max(time, this.#time + 1);
      }
    } else if (this.#lastId === PACKET_ID_LAST) {
      this.#limit = packetIdHard;
      return false;
    } else if (this.#lastId + 1 >= PACKET_ID_SOFT) this.#limit = packetIdSoft;
    this.#lastId += 1;
    return true;
  }

  #writeId(bytes: Uint8Array, at: number): void {
    writeUint32(bytes, at, this.#lastId);
    if (this.#layout.longId) writeUint32(bytes, at + SHORT_ID, this.#time);
  }
}

export class BlockOpener implements DataOpener {
  readonly many = undefined;
  readonly #layout: BlockLayout;
  readonly #window: ReplayWindow;
  readonly #longWindow: LongReplayWindow;
  #limit: KeyLimit | undefined;

  constructor(options: BlockOptions, replay: ReplayWindowOptions) {
    this.#layout = new BlockLayout(options);
    this.#window = new ReplayWindow(replay);
    this.#longWindow = new LongReplayWindow(replay);
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  open(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined {
    const layout = this.#layout;
    const { bytes, start, end } = packet;
    const macAt = start + headerSize;
    const ivAt = macAt + layout.digestSize;
    let textAt = ivAt + layout.ivSize;
    if (end <= textAt) return 'too-short';

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
    const idAt = layout.idInIv ? ivAt : textAt;
    textAt += layout.idSize;
    if (packet.end <= textAt) return 'too-short';
    packet.start = textAt;

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
