/**
 * Epoch data packets (OpenVPN 2.7, IV_PROTO bit 10), tag at the end:
 *
 *   | header 4 | epoch 2, counter 6 | ciphertext | tag 16 |
 *
 * Additional data: header and the 8-byte packet id. Nonce: the epoch's 12-byte IV, its first 8 bytes XORed with that id.
 * The counter begins at 1 in each epoch; epochs begin at 1. The sender moves to its next epoch by itself; the receiver
 * holds the current, the retiring and FUTURE_EPOCHS future keys, and follows when a packet authenticates under one.
 *
 * Source: OpenVPN 2.7 `crypto_epoch.c`, `crypto.c` (openvpn_encrypt_aead with epoch keys).
 */
import { readUint16, readUint32, writeUint32 } from '../bytes/big-endian.js';
import type { Millis } from '../bytes/millis.js';
import type { AeadKey, CipherTraits, Crypto, PacketLayout } from '../crypto/crypto.js';
import { deriveEpochKey, nextEpochSecret } from '../keys/epoch-key.js';
import { ReplayWindow, type ReplayWindowOptions } from '../replay/replay-window.js';
import type { DataDrop } from './data-drop.js';
import {
  type DataOpener,
  type DataSealer,
  epochHard,
  epochSoft,
  FORGERIES_HARD,
  FORGERIES_SOFT,
  forgeriesHard,
  forgeriesSoft,
  GCM_LIMIT,
  type KeyLimit,
  type ManyOpener,
  type ManySealer,
  TAG_SIZE,
} from './data-format.js';
import type { Packet } from './packet.js';

export const EPOCH_PACKET_ID_SIZE = 8;
/** How far ahead of the current epoch a packet may be. Upstream: 16 in 2.7, 4 in 2.8. */
export const FUTURE_EPOCHS = 16;
/** No sender goes further, so that the receiver's future keys stay within 16 bits. */
export const LAST_EPOCH = 0xffff - FUTURE_EPOCHS - 1;
export const EPOCH_SOFT = 0xf000;
const COUNTER_LAST = 2 ** 48 - 1;

const LAYOUT: PacketLayout = {
  aadOffset: 0,
  aadLength: 12,
  counterOffset: 4,
  counterLength: 8,
  tagOffset: 'end',
  bodyOffset: 12,
};

/** One epoch's key in one direction. */
class EpochKey {
  readonly epoch: number;
  readonly aead: AeadKey;
  readonly #iv: Uint8Array;
  readonly #nonce: Uint8Array;

  constructor(crypto: Crypto, cipher: CipherTraits, secret: Uint8Array, epoch: number) {
    const derived = deriveEpochKey(crypto, secret, cipher);
    this.epoch = epoch;
    this.#iv = derived.implicitIv;
    this.aead = crypto.aeadKey(cipher, derived.cipher, { iv: this.#iv, layouts: [LAYOUT] });
    this.#nonce = this.#iv.slice();
    derived.cipher.fill(0);
  }

  /** The nonce of the packet whose id stands at `idAt`; the same array every time. */
  nonce(bytes: Uint8Array, idAt: number): Uint8Array {
    for (let i = 0; i < EPOCH_PACKET_ID_SIZE; i += 1) {
      this.#nonce[i] = (this.#iv[i] as number) ^ (bytes[idAt + i] as number);
    }
    return this.#nonce;
  }

  get slot(): number | undefined {
    return this.aead.slots?.[0];
  }

  wipe(): void {
    this.aead.wipe();
    this.#iv.fill(0);
    this.#nonce.fill(0);
  }
}

/** The chain of secrets, walked one epoch at a time and only forward. */
class EpochChain {
  readonly #crypto: Crypto;
  readonly #cipher: CipherTraits;
  #secret: Uint8Array;
  #epoch = 1;

  constructor(crypto: Crypto, cipher: CipherTraits, secret: Uint8Array) {
    this.#crypto = crypto;
    this.#cipher = cipher;
    this.#secret = secret.slice();
  }

  /** The key of the epoch that the chain stands at; the chain moves on. */
  take(): EpochKey {
    const key = new EpochKey(this.#crypto, this.#cipher, this.#secret, this.#epoch);
    this.#step();
    return key;
  }

  /** Moves to `epoch`, which is not behind. */
  skipTo(epoch: number): void {
    while (this.#epoch < epoch) this.#step();
  }

  wipe(): void {
    this.#secret.fill(0);
  }

  #step(): void {
    const next = nextEpochSecret(this.#crypto, this.#secret);
    this.#secret.fill(0);
    this.#secret = next;
    this.#epoch += 1;
  }
}

export class EpochSealer implements DataSealer, ManySealer {
  readonly many: ManySealer | undefined;
  /** The counter's low 32 bits; above them the rest of it, and the epoch. */
  id = 0;
  idHigh = 0;
  readonly #chain: EpochChain;
  readonly #usageLimit: number;
  #key: EpochKey;
  #counter = 0;
  #blocks = 0;
  #limit: KeyLimit | undefined;

  /** `usageLimit`: packets and 16-byte blocks under one epoch; upstream's is the cipher's own. */
  constructor(
    crypto: Crypto,
    cipher: CipherTraits,
    secret: Uint8Array,
    usageLimit = cipher.blockSize > 1 ? GCM_LIMIT : COUNTER_LAST,
  ) {
    this.#chain = new EpochChain(crypto, cipher, secret);
    this.#usageLimit = usageLimit;
    this.#key = this.#chain.take();
    this.many = this.#key.slot === undefined ? undefined : this;
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  get epoch(): number {
    return this.#key.epoch;
  }

  /** Moves up to `epoch` (the peer's), never down. */
  raise(epoch: number): void {
    if (epoch <= this.#key.epoch) return;
    this.#key.wipe();
    this.#chain.skipTo(epoch);
    this.#key = this.#chain.take();
    this.#counter = 0;
    this.#blocks = 0;
    if (epoch >= EPOCH_SOFT) this.#limit = epochSoft;
  }

  seal(packet: Packet, header: Uint8Array): boolean {
    if (!this.take(1, packet.blocks)) return false;

    const { bytes, start, end } = packet;
    const idAt = start - EPOCH_PACKET_ID_SIZE;
    const headerAt = idAt - header.length;
    bytes.set(header, headerAt);
    writeUint32(bytes, idAt, this.idHigh);
    writeUint32(bytes, idAt + 4, this.id);

    const plaintext = bytes.subarray(start, end);
    const nonce = this.#key.nonce(bytes, idAt);
    this.#key.aead.seal(
      nonce,
      bytes.subarray(headerAt, start),
      plaintext,
      plaintext,
      bytes.subarray(end, end + TAG_SIZE),
    );
    packet.start = headerAt;
    packet.end = end + TAG_SIZE;
    return true;
  }

  take(count: number, blocks: number): boolean {
    if (this.#counter + count + this.#blocks + blocks >= this.#usageLimit || this.#counter + count > COUNTER_LAST) {
      if (this.#key.epoch >= LAST_EPOCH) {
        this.#limit = epochHard;
        return false;
      }
      this.raise(this.#key.epoch + 1);
    }
    const first = this.#counter + 1;
    this.#counter += count;
    this.#blocks += blocks;
    this.id = first >>> 0;
    this.idHigh = this.#key.epoch * 0x1_0000 + Math.floor(first / 0x1_0000_0000);
    return true;
  }

  slot(): number {
    return this.#key.slot as number;
  }

  sealedLength(packet: Packet): number {
    return packet.plainLength + packet.segments * (EPOCH_PACKET_ID_SIZE + TAG_SIZE);
  }

  wipe(): void {
    this.#key.wipe();
    this.#chain.wipe();
  }
}

/** One epoch on the receiving side; the window lives as long as its key. */
interface ReceiveEpoch {
  readonly key: EpochKey;
  readonly window: ReplayWindow;
  blocks: number;
}

export class EpochOpener implements DataOpener, ManyOpener {
  readonly many: ManyOpener | undefined;
  readonly keyedByEpoch = true;
  readonly #chain: EpochChain;
  readonly #sealer: EpochSealer;
  readonly #replay: ReplayWindowOptions;
  readonly #usageLimit: number;
  #current: ReceiveEpoch;
  #retiring: ReceiveEpoch | undefined;
  /** The epochs right after the current one, as far as a packet has made us derive them: at most FUTURE_EPOCHS. */
  #future: ReceiveEpoch[] = [];
  #forgeries: number;
  #limit: KeyLimit | undefined;

  /** `sealer` is the other direction of the same key: it never stays behind the peer's epoch. */
  constructor(
    crypto: Crypto,
    cipher: CipherTraits,
    secret: Uint8Array,
    replay: ReplayWindowOptions,
    sealer: EpochSealer,
    forgeries = 0,
  ) {
    this.#chain = new EpochChain(crypto, cipher, secret);
    this.#sealer = sealer;
    this.#replay = replay;
    this.#usageLimit = cipher.blockSize > 1 ? GCM_LIMIT : Number.POSITIVE_INFINITY;
    this.#forgeries = forgeries;
    this.#current = this.#nextEpoch();
    this.many = this.#current.key.slot === undefined ? undefined : this;
  }

  get limit(): KeyLimit | undefined {
    return this.#limit;
  }

  get epoch(): number {
    return this.#current.key.epoch;
  }

  open(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined {
    const epoch = this.#epochOf(packet, headerSize);
    if (typeof epoch === 'string') return epoch;

    const { bytes, start, end } = packet;
    const idAt = start + headerSize;
    const textAt = idAt + EPOCH_PACKET_ID_SIZE;
    const tagAt = end - TAG_SIZE;
    const ciphertext = bytes.subarray(textAt, tagAt);
    const nonce = epoch.key.nonce(bytes, idAt);
    const aad = bytes.subarray(start, textAt);
    if (!epoch.key.aead.open(nonce, aad, ciphertext, bytes.subarray(tagAt, end), ciphertext)) {
      this.refuse();
      return 'bad-auth';
    }
    return this.accept(packet, headerSize, now);
  }

  least(headerSize: number): number {
    return headerSize + EPOCH_PACKET_ID_SIZE + TAG_SIZE + 1;
  }

  slotOf(packet: Packet, headerSize: number): number | DataDrop {
    const epoch = this.#epochOf(packet, headerSize);
    return typeof epoch === 'string' ? epoch : (epoch.key.slot as number);
  }

  accept(packet: Packet, headerSize: number, now: Millis): DataDrop | undefined {
    const { bytes } = packet;
    const idAt = packet.start + headerSize;
    // Packets that were opened together may have retired an epoch in the meantime.
    const epoch = this.#find(readUint16(bytes, idAt));
    if (epoch === undefined) return 'bad-epoch';
    packet.start = idAt + EPOCH_PACKET_ID_SIZE;
    packet.end -= TAG_SIZE;
    if (epoch.key.epoch > this.epoch) this.#moveTo(epoch);

    const counter = readUint16(bytes, idAt + 2) * 0x1_0000_0000 + readUint32(bytes, idAt + 4);
    const verdict = epoch.window.accept(counter, now);
    if (verdict !== 'accepted') return verdict;

    epoch.blocks += packet.blocks;
    // The peer follows our epoch, so raising it is how we ask for fresh keys.
    if (epoch.window.highest + epoch.blocks > this.#usageLimit && epoch.key.epoch < LAST_EPOCH) {
      this.#sealer.raise(epoch.key.epoch + 1);
    }
    return undefined;
  }

  refuse(): void {
    this.#forgeries += 1;
    if (this.#forgeries >= FORGERIES_HARD) this.#limit = forgeriesHard;
    else if (this.#forgeries >= FORGERIES_SOFT) this.#limit = forgeriesSoft;
  }

  wipe(): void {
    this.#chain.wipe();
    this.#current.key.wipe();
    this.#retiring?.key.wipe();
    for (const { key } of this.#future) key.wipe();
  }

  #nextEpoch(): ReceiveEpoch {
    return { key: this.#chain.take(), window: new ReplayWindow(this.#replay), blocks: 0 };
  }

  #find(epoch: number): ReceiveEpoch | undefined {
    const ahead = epoch - this.epoch;
    if (ahead === 0) return this.#current;
    if (ahead < 0) return this.#retiring?.key.epoch === epoch ? this.#retiring : undefined;
    if (ahead > FUTURE_EPOCHS || epoch > LAST_EPOCH) return undefined;
    while (this.#future.length < ahead) this.#future.push(this.#nextEpoch());
    return this.#future[ahead - 1];
  }

  #moveTo(epoch: ReceiveEpoch): void {
    const passed = epoch.key.epoch - this.epoch;
    for (const skipped of this.#future.splice(0, passed)) if (skipped !== epoch) skipped.key.wipe();
    this.#retiring?.key.wipe();
    this.#retiring = this.#current;
    this.#current = epoch;
    this.#sealer.raise(epoch.key.epoch);
    if (epoch.key.epoch >= EPOCH_SOFT) this.#limit ??= epochSoft;
  }

  #epochOf(packet: Packet, headerSize: number): ReceiveEpoch | DataDrop {
    if (packet.length < this.least(headerSize)) return 'too-short';
    if (this.#limit?.hard === true) return 'key-exhausted';
    return this.#find(readUint16(packet.bytes, packet.start + headerSize)) ?? 'bad-epoch';
  }
}
