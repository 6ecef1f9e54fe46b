/**
 * The keys of the epoch data format: each epoch's secret gives its cipher key, its implicit IV and the next secret.
 *
 *   Expand-Label(secret, label, length) = HKDF-Expand-SHA256(secret, | length 2 | n 1 | "ovpn " label n | 0 |, length)
 *
 * Source: RFC 8446 section 7.1 (with another prefix); OpenVPN 2.7 `crypto_epoch.c`.
 */
import { writeUint16 } from '../bytes/big-endian.js';
import { concatBytes } from '../bytes/bytes.js';
import { encodeText } from '../bytes/text.js';
import type { CipherTraits, Crypto } from '../crypto/crypto.js';

export const EPOCH_SECRET_SIZE = 32;

export interface EpochKey {
  readonly cipher: Uint8Array;
  /** 12 bytes: xored with the packet id in its first 8. */
  readonly implicitIv: Uint8Array;
}

export function deriveEpochKey(crypto: Crypto, secret: Uint8Array, { keySize, ivSize }: CipherTraits): EpochKey {
  return {
    cipher: expandLabel(crypto, secret, 'data_key', keySize),
    implicitIv: expandLabel(crypto, secret, 'data_iv', ivSize),
  };
}

export function nextEpochSecret(crypto: Crypto, secret: Uint8Array): Uint8Array {
  return expandLabel(crypto, secret, 'datakey upd', EPOCH_SECRET_SIZE);
}

/** At most 255 blocks of 32 bytes; the labels are ours, so that is not asked. */
export function expandLabel(crypto: Crypto, secret: Uint8Array, label: string, length: number): Uint8Array {
  const name = encodeText(`ovpn ${label}`);
  const info = concatBytes(new Uint8Array(2), Uint8Array.of(name.length), name, Uint8Array.of(0));
  writeUint16(info, 0, length);
  const out = new Uint8Array(length);
  let block = new Uint8Array();
  for (let at = 0, count = 1; at < length; at += block.length, count += 1) {
    block = new Uint8Array(crypto.hmac('SHA256', secret, block, info, Uint8Array.of(count)));
    out.set(block.subarray(0, length - at), at);
  }
  return out;
}
