/**
 * tls-crypt: a control packet's body encrypted, and all of it under an HMAC that is also the IV.
 *
 *   wire | opcode, key id 1 | session id 8 | packet id 4 | time 4 | tag 32 | AES-256-CTR(body) |
 *   tag = HMAC-SHA256(Ka, first 17 bytes, body)      IV = first 16 bytes of the tag
 *
 * Source: OpenVPN 2.6 `tls_crypt.c` (`tls_crypt_wrap`, `tls_crypt_unwrap`).
 */
import { readUint32 } from '../bytes/big-endian.js';
import type { UnixSeconds } from '../bytes/millis.js';
import type { Crypto } from '../crypto/crypto.js';
import {
  CONTROL_HEADER_SIZE,
  type ControlPacket,
  controlBodySize,
  encodeControlBody,
  encodeControlHeader,
  parseControlBody,
  parseControlHeader,
} from '../wire/control-packet.js';
import type { DropReason } from '../wire/drop-reason.js';
import { type ControlWrap, type WrapOptions, WrapPacketIds } from './control-wrap.js';
import { type KeyHalf, keyHalves } from './static-key.js';

export interface TlsCryptOptions extends WrapOptions {
  readonly crypto: Crypto;
  /** 256 bytes: the shared static key, the client key of tls-crypt-v2, or a dynamic key. Copied as far as it is used. */
  readonly key: Uint8Array;
  readonly role: 'client' | 'server';
}

/** Of 64 bytes per half, tls-crypt uses the first 32. */
const KEY_SIZE = 32;
const TAG_SIZE = 32;
const IV_SIZE = 16;
const TAG_AT = CONTROL_HEADER_SIZE + 8;
const BODY_AT = TAG_AT + TAG_SIZE;

export function tlsCryptWrap(options: TlsCryptOptions): ControlWrap {
  const { crypto, key, role } = options;
  const ids = new WrapPacketIds(options);
  const halves = keyHalves(key, role === 'server' ? 'normal' : 'inverse');
  const send = usedPart(halves.send);
  const receive = usedPart(halves.receive);

  return {
    kind: 'tls-crypt',
    overhead: BODY_AT - CONTROL_HEADER_SIZE,
    wrap(packet: ControlPacket, now: UnixSeconds): Uint8Array {
      const bytes = new Uint8Array(BODY_AT + controlBodySize(packet));
      const body = bytes.subarray(BODY_AT);
      encodeControlHeader(packet, bytes);
      ids.writeNext(bytes, CONTROL_HEADER_SIZE, now);
      encodeControlBody(packet, body);
      const tag = crypto.hmac('SHA256', send.hmac, bytes.subarray(0, TAG_AT), body);
      bytes.set(tag, TAG_AT);
      body.set(crypto.aes256Ctr(send.cipher, tag.subarray(0, IV_SIZE), body));
      return bytes;
    },
    unwrap(bytes: Uint8Array, now: UnixSeconds): ControlPacket | DropReason {
      const header = parseControlHeader(bytes);
      if (typeof header === 'string') return header;
      if (bytes.length < BODY_AT) return 'truncated';
      const tag = bytes.subarray(TAG_AT, BODY_AT);
      const body = crypto.aes256Ctr(receive.cipher, tag.subarray(0, IV_SIZE), bytes.subarray(BODY_AT));
      if (!crypto.equal(crypto.hmac('SHA256', receive.hmac, bytes.subarray(0, TAG_AT), body), tag)) return 'bad-hmac';
      const dropped = ids.check(
        readUint32(bytes, CONTROL_HEADER_SIZE),
        readUint32(bytes, CONTROL_HEADER_SIZE + 4),
        now,
      );
      return dropped ?? parseControlBody(header, body);
    },
    wipe() {
      for (const half of [send, receive]) {
        half.cipher.fill(0);
        half.hmac.fill(0);
      }
    },
  };
}

function usedPart({ cipher, hmac }: KeyHalf): KeyHalf {
  return { cipher: cipher.slice(0, KEY_SIZE), hmac: hmac.slice(0, KEY_SIZE) };
}
