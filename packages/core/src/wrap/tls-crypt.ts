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
import { STATIC_KEY_SIZE } from './static-key.js';

export interface TlsCryptOptions extends WrapOptions {
  readonly crypto: Crypto;
  /** 256 bytes: the shared static key, the client key of tls-crypt-v2, or a dynamic key. Copied. */
  readonly key: Uint8Array;
  readonly role: 'client' | 'server';
}

const TAG_SIZE = 32;
const TAG_AT = CONTROL_HEADER_SIZE + 8;
const BODY_AT = TAG_AT + TAG_SIZE;

export function tlsCryptWrap(options: TlsCryptOptions): ControlWrap {
  const { crypto, role } = options;
  const ids = new WrapPacketIds(options);
  const key = options.key.slice();
  const [normal, inverse] = [key.subarray(0, STATIC_KEY_SIZE / 2), key.subarray(STATIC_KEY_SIZE / 2, STATIC_KEY_SIZE)];
  const [send, receive] = role === 'server' ? [normal, inverse] : [inverse, normal];

  return {
    kind: 'tls-crypt',
    overhead: BODY_AT - CONTROL_HEADER_SIZE,
    wrap(packet: ControlPacket, now: UnixSeconds): Uint8Array {
      const bytes = new Uint8Array(BODY_AT + controlBodySize(packet));
      encodeControlHeader(packet, bytes);
      ids.writeNext(bytes, CONTROL_HEADER_SIZE, now);
      encodeControlBody(packet, bytes.subarray(BODY_AT));
      crypto.sealTlsCrypt(send, bytes);
      return bytes;
    },
    unwrap(bytes: Uint8Array, now: UnixSeconds): ControlPacket | DropReason {
      const header = parseControlHeader(bytes);
      if (typeof header === 'string') return header;
      if (bytes.length < BODY_AT) return 'truncated';
      const body = crypto.openTlsCrypt(receive, bytes);
      if (body === undefined) return 'bad-hmac';
      const dropped = ids.check(
        readUint32(bytes, CONTROL_HEADER_SIZE),
        readUint32(bytes, CONTROL_HEADER_SIZE + 4),
        now,
      );
      return dropped ?? parseControlBody(header, body);
    },
    wipe() {
      key.fill(0);
    },
  };
}
