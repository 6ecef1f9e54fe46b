/** What the key exchange leaves behind for the data channel: the material of one key id, both directions. */
import type { Millis } from '../bytes/millis.js';
import type { CipherTraits, Crypto } from '../crypto/crypto.js';
import { type KeyDirection, type KeyHalf, keyHalves } from '../wrap/static-key.js';
import { EPOCH_SECRET_SIZE } from './epoch-key.js';

export type DataFormat = 'aead' | 'epoch' | 'block';

/** One direction's key material, copied by the channel when it is installed. */
export interface DirectionKey {
  /** Exactly the cipher's key size; with `epoch` the 32-byte epoch secret E1. */
  readonly cipher: Uint8Array;
  /** `aead`: the 8-byte implicit IV. `block`: the HMAC key of the digest's size. `epoch`: empty. */
  readonly auth: Uint8Array;
}

export interface DataKey {
  readonly format: DataFormat;
  /** OpenVPN's name: `AES-256-GCM`. */
  readonly cipher: string;
  /** HMAC digest of the `block` format (`SHA1`, `none`); ignored by the others. */
  readonly digest: string;
  readonly send: DirectionKey;
  readonly receive: DirectionKey;
  /** Upstream's `replay-window n t`: packets and milliseconds. */
  readonly replayWindow: number;
  readonly replayTime: Millis;
  /** Packet ids carry the wall-clock time too (static key mode). */
  readonly longPacketId: boolean;
}

export interface DataKeyOptions {
  readonly crypto: Crypto;
  /** 256 bytes: exported, from the PRF, or a static key. */
  readonly material: Uint8Array;
  /** A TLS client is `normal` (it sends with key 0), a TLS server `inverse`; static keys as configured. */
  readonly direction: KeyDirection;
  /** `none` has to be said: a cipher that does not exist is no reason to send plain text. */
  readonly cipher: CipherTraits | 'none';
  /** `auth`, for ciphers that are not AEAD; `none` is without an HMAC. The options have made sure that it exists. */
  readonly digest: string;
  /** Both ends agreed on `aead-epoch`. AEAD only. */
  readonly epoch: boolean;
  readonly replayWindow: number;
  readonly replayTime: Millis;
  readonly longPacketId: boolean;
}

const IMPLICIT_IV_SIZE = 8;

/** Cuts the material to what the cipher needs, into copies that the caller wipes (`wipeDataKey`) once they are installed. */
export function deriveDataKey(options: DataKeyOptions): DataKey {
  const { crypto, material, direction, cipher, digest, epoch, replayWindow, replayTime, longPacketId } = options;
  const plain = cipher === 'none';
  const format = plain || cipher.mode !== 'aead' ? 'block' : epoch ? 'epoch' : 'aead';
  const keySize = plain ? 0 : cipher.keySize;
  const cipherSize = format === 'epoch' ? EPOCH_SECRET_SIZE : keySize;
  const authSizes = {
    aead: IMPLICIT_IV_SIZE,
    epoch: 0,
    block: digest === 'none' ? 0 : (crypto.digestSize(digest) ?? 0),
  };
  const cut = (half: KeyHalf): DirectionKey => ({
    cipher: half.cipher.slice(0, cipherSize),
    auth: half.hmac.slice(0, authSizes[format]),
  });
  const { send, receive } = keyHalves(material, direction);
  return {
    format,
    cipher: plain ? cipher : cipher.name,
    digest,
    send: cut(send),
    receive: cut(receive),
    replayWindow,
    replayTime,
    longPacketId,
  };
}

export function wipeDataKey({ send, receive }: DataKey): void {
  for (const { cipher, auth } of [send, receive]) {
    cipher.fill(0);
    auth.fill(0);
  }
}
