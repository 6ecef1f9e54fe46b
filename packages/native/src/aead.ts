/**
 * Keyed AEAD contexts of the addon: AES-128/192/256-GCM and ChaCha20-Poly1305. A context is initialised once per key
 * and direction, which makes a packet cost a tenth of what node:crypto's does.
 */
import type { AeadKey, CipherTraits, PacketLayout } from '@seikan/core';

import { loadAddon } from './addon.js';
import type { PacketRun } from './packet-batch.js';

declare const aeadHandle: unique symbol;
type AeadHandle = object & { readonly [aeadHandle]: true };

interface AeadAddon {
  aeadCreate(
    cipher: string,
    key: Uint8Array,
    iv?: Uint8Array,
    aadOffset?: number,
    aadLength?: number,
    counterOffset?: number,
    counterLength?: number,
    tagOffset?: number,
    bodyOffset?: number,
  ): AeadHandle;
  aeadWipe(handle: AeadHandle): void;
  aeadSeal(
    handle: AeadHandle,
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
    out: Uint8Array,
    tag: Uint8Array,
  ): void;
  aeadOpen(
    handle: AeadHandle,
    nonce: Uint8Array,
    aad: Uint8Array,
    ciphertext: Uint8Array,
    out: Uint8Array,
    tag: Uint8Array,
  ): boolean;
  aeadSealBatch(
    handle: AeadHandle,
    slab: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    first: number,
    count: number,
  ): void;
  aeadOpenBatch(
    handle: AeadHandle,
    slab: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    first: number,
    count: number,
    results: Uint8Array,
  ): number;
}

const NATIVE_CIPHERS = new Set(['AES-128-GCM', 'AES-192-GCM', 'AES-256-GCM', 'CHACHA20-POLY1305']);

/** Whether the addon has this AEAD cipher, by OpenVPN's name in upper case. */
export function nativeAead(cipher: string): boolean {
  return NATIVE_CIPHERS.has(cipher);
}

/** The `AeadKey` of core's Crypto port. A forged packet leaves `out` zeroed. Using it after wipe() throws. */
export function createNativeAeadKey(cipher: CipherTraits, key: Uint8Array): AeadKey {
  const native = loadAddon() as AeadAddon;
  const handle = native.aeadCreate(cipher.name, key);
  return {
    seal: (nonce, aad, plaintext, out, tag) => native.aeadSeal(handle, nonce, aad, plaintext, out, tag),
    open: (nonce, aad, ciphertext, tag, out) => native.aeadOpen(handle, nonce, aad, ciphertext, out, tag),
    wipe: () => native.aeadWipe(handle),
  };
}

export interface PacketKeyOptions {
  /** `AES-256-GCM`, `AES-192-GCM`, `AES-128-GCM` or `CHACHA20-POLY1305`. */
  readonly cipher: string;
  /** Exactly the cipher's key size. Copied. */
  readonly key: Uint8Array;
  /** 12 bytes, XORed with the packet's counter: with OpenVPN's 8-byte implicit IV, four zeros come first. Copied. */
  readonly iv: Uint8Array;
  readonly layout: PacketLayout;
}

/** One direction's key that seals or opens whole packets in place, a run of them in one call. */
export class PacketKey {
  readonly #native = loadAddon() as AeadAddon;
  readonly #handle: AeadHandle;

  constructor({ cipher, key, iv, layout }: PacketKeyOptions) {
    this.#handle = this.#native.aeadCreate(
      cipher,
      key,
      iv,
      layout.aadOffset,
      layout.aadLength,
      layout.counterOffset,
      layout.counterLength,
      layout.tagOffset === 'end' ? -1 : layout.tagOffset,
      layout.bodyOffset,
    );
  }

  /**
   * Encrypts the bodies of packets `first` to `first + count - 1` and writes their tags. Heads are written before, the
   * counters among them, never one twice; lengths count head, body and tag. Throws a RangeError on a packet without
   * room for head and tag, with those before it sealed.
   */
  sealBatch(batch: PacketRun, first: number, count: number): void {
    this.#native.aeadSealBatch(this.#handle, batch.slab, batch.offsets, batch.lengths, first, count);
  }

  /**
   * Checks and decrypts packets `first` to `first + count - 1`. results[i] is 1, or 0 for a packet that is forged or
   * too short: its body is zeroed. Returns how many are authentic. Replay is the caller's to check, afterwards.
   */
  openBatch(batch: PacketRun, first: number, count: number, results: Uint8Array): number {
    return this.#native.aeadOpenBatch(this.#handle, batch.slab, batch.offsets, batch.lengths, first, count, results);
  }

  /** The key is gone from memory; every later use throws. Idempotent. */
  wipe(): void {
    this.#native.aeadWipe(this.#handle);
  }
}
