/**
 * The `Crypto` port of core over node:crypto, its AEAD keys over the addon where that is built: one node:crypto cipher
 * object per packet costs some microseconds, a keyed native context a tenth.
 */
import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  getCipherInfo,
  getHashes,
  timingSafeEqual,
} from 'node:crypto';

import type { AeadKey, BlockKey, CipherTraits, Crypto } from '@seikan/core';

import { addonLoads, loadAddon } from './addon.js';
import { createNativeAeadKey, nativeAead } from './aead.js';

const TAG_SIZE = 16;
const SHA256_SIZE = 32;
/** Longer keys of an HMAC-SHA256 are hashed first. */
const LONGEST_KEY = 64;
const NOTHING = new Uint8Array(0);

/** What each control packet under tls-crypt needs, without a stream of node:crypto for each. */
interface ControlCrypto {
  hmacSha256(key: Uint8Array, first: Uint8Array, second: Uint8Array, out: Uint8Array): void;
  aes256Ctr(key: Uint8Array, iv: Uint8Array, data: Uint8Array, out: Uint8Array): void;
  sealTlsCrypt(half: Uint8Array, packet: Uint8Array): void;
  openTlsCrypt(half: Uint8Array, packet: Uint8Array, body: Uint8Array): boolean;
}

/** Where tls-crypt has what in a control packet and in one half of a key. */
const TAG_AT = 17;
const BODY_AT = TAG_AT + SHA256_SIZE;
const HMAC_KEY_AT = 64;
const IV_SIZE = 16;

export function createCrypto(): Crypto {
  const digestSizes = new Map<string, number | undefined>();
  const ciphers = new Map<string, CipherTraits | undefined>();
  const native = addonLoads();
  const control = native ? (loadAddon() as ControlCrypto) : undefined;
  const hashes = new Set(getHashes().map((name) => name.toLowerCase()));

  return {
    digestSize(digest) {
      const name = digest.toLowerCase();
      if (!digestSizes.has(name)) {
        digestSizes.set(name, hashes.has(name) ? createHash(name).digest().length : undefined);
      }
      return digestSizes.get(name);
    },
    hash(digest, ...parts) {
      const hash = createHash(digest);
      for (const part of parts) hash.update(part);
      return owned(hash.digest());
    },
    hmac(digest, key, ...parts) {
      if (control !== undefined && digest === 'SHA256' && parts.length <= 2 && key.length <= LONGEST_KEY) {
        const tag = new Uint8Array(SHA256_SIZE);
        control.hmacSha256(key, parts[0] ?? NOTHING, parts[1] ?? NOTHING, tag);
        return tag;
      }
      const hmac = createHmac(digest, key);
      for (const part of parts) hmac.update(part);
      return owned(hmac.digest());
    },
    aes256Ctr(key, iv, data) {
      if (control === undefined) return owned(createCipheriv('aes-256-ctr', key, iv).update(data));
      const out = new Uint8Array(data.length);
      control.aes256Ctr(key, iv, data, out);
      return out;
    },
    sealTlsCrypt(half, packet) {
      if (control !== undefined) return control.sealTlsCrypt(half, packet);
      const body = packet.subarray(BODY_AT);
      const tag = this.hmac('SHA256', hmacKeyOf(half), packet.subarray(0, TAG_AT), body);
      packet.set(tag, TAG_AT);
      body.set(this.aes256Ctr(cipherKeyOf(half), tag.subarray(0, IV_SIZE), body));
      return undefined;
    },
    openTlsCrypt(half, packet) {
      if (control !== undefined) {
        const body = new Uint8Array(Math.max(0, packet.length - BODY_AT));
        return control.openTlsCrypt(half, packet, body) ? body : undefined;
      }
      const tag = packet.subarray(TAG_AT, BODY_AT);
      const body = this.aes256Ctr(cipherKeyOf(half), tag.subarray(0, IV_SIZE), packet.subarray(BODY_AT));
      const expected = this.hmac('SHA256', hmacKeyOf(half), packet.subarray(0, TAG_AT), body);
      return this.equal(expected, tag) ? body : undefined;
    },
    equal(a, b) {
      return a.length === b.length && timingSafeEqual(a, b);
    },
    cipher(name) {
      if (!ciphers.has(name)) ciphers.set(name, cipherTraits(name));
      return ciphers.get(name);
    },
    aeadKey: (cipher, key) =>
      native && nativeAead(cipher.name) ? createNativeAeadKey(cipher, key) : createNodeAeadKey(cipher, key),
    blockKey: createBlockKey,
  };
}

/** tls-crypt uses the first half of each key. */
function cipherKeyOf(half: Uint8Array): Uint8Array {
  return half.subarray(0, 32);
}

function hmacKeyOf(half: Uint8Array): Uint8Array {
  return half.subarray(HMAC_KEY_AT, HMAC_KEY_AT + 32);
}

/** node gives Buffers; pure code compares with Uint8Array and must not meet Buffer's own subarray and slice. */
function owned(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** OpenSSL's own names of data ciphers, not its aliases (`aes256`, `id-aes256-GCM`), key wraps, and modes that the protocol never had. */
const DATA_CIPHER = /^(?!id-)[a-z0-9-]+-(?:cbc|cfb[18]?|ofb|gcm)$|^chacha20-poly1305$/;
/** An IV is as long as a block: those of 64 bits repeat within gigabytes (SWEET32). */
const SHORTEST_IV = 12;

/** What a data cipher is, by its name in any case; `undefined`: OpenSSL has none of that name, or it is none for packets. */
export function cipherTraits(name: string): CipherTraits | undefined {
  const known = name.toLowerCase();
  const info = DATA_CIPHER.test(known) ? getCipherInfo(known) : undefined;
  if (info === undefined) return undefined;
  const { mode, keyLength, ivLength = 0, blockSize = 1 } = info;
  if (ivLength < SHORTEST_IV) return undefined;
  const canonical = name.toUpperCase();
  if (mode === 'gcm') return { name: canonical, mode: 'aead', keySize: keyLength, ivSize: 12, blockSize: 16 };
  if (canonical === 'CHACHA20-POLY1305')
    return { name: canonical, mode: 'aead', keySize: 32, ivSize: 12, blockSize: 1 };
  if (mode === 'cbc') return { name: canonical, mode, keySize: keyLength, ivSize: ivLength, blockSize };
  if (mode === 'cfb' || mode === 'ofb')
    return { name: canonical, mode, keySize: keyLength, ivSize: ivLength, blockSize: 1 };
  return undefined;
}

/** The twin of `createNativeAeadKey`: for AEAD ciphers that the addon does not know, and where there is no addon. */
export function createNodeAeadKey(cipher: CipherTraits, key: Uint8Array): AeadKey {
  // node's types know GCM and ChaCha20-Poly1305 under different names; at run time both take authTagLength.
  const name = cipher.name.toLowerCase() as CipherGCMTypes;
  const options = { authTagLength: TAG_SIZE };
  const held = key.slice();
  return {
    seal(nonce, aad, plaintext, out, tag) {
      const sealing = createCipheriv(name, held, nonce, options);
      sealing.setAAD(aad);
      out.set(sealing.update(plaintext));
      sealing.final();
      tag.set(sealing.getAuthTag());
    },
    open(nonce, aad, ciphertext, tag, out) {
      const opening = createDecipheriv(name, held, nonce, options);
      opening.setAAD(aad);
      opening.setAuthTag(tag);
      const plaintext = opening.update(ciphertext);
      try {
        opening.final();
      } catch {
        plaintext.fill(0);
        return false;
      }
      out.set(plaintext);
      return true;
    },
    wipe: () => held.fill(0),
  };
}

function createBlockKey(cipher: CipherTraits, key: Uint8Array): BlockKey {
  const name = cipher.name.toLowerCase();
  const held = key.slice();
  return {
    encrypt(iv, plaintext) {
      const sealing = createCipheriv(name, held, iv);
      return owned(Buffer.concat([sealing.update(plaintext), sealing.final()]));
    },
    decrypt(iv, ciphertext) {
      const opening = createDecipheriv(name, held, iv);
      const head = opening.update(ciphertext);
      try {
        return owned(Buffer.concat([head, opening.final()]));
      } catch {
        return undefined;
      }
    },
    wipe: () => held.fill(0),
  };
}
