/**
 * tls-auth: a control packet in the clear under an HMAC with a shared key.
 *
 *   wire | opcode, key id 1 | session id 8 | HMAC n | packet id 4 | time 4 | body |
 *   HMAC |           over: packet id, time, opcode, session id, body               |
 *
 * Source: OpenVPN 2.6 `crypto.c` (`openvpn_encrypt_v1` without cipher), `ssl_pkt.c` (`swap_hmac`).
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
import { type KeyDirection, keyHalves, type StaticKey } from './static-key.js';

export interface TlsAuthOptions extends WrapOptions {
  readonly crypto: Crypto;
  /** The `auth` digest. The options have made sure that it exists. */
  readonly digest: string;
  /** Copied as far as it is used. */
  readonly staticKey: StaticKey;
  readonly direction: KeyDirection;
}

export function tlsAuthWrap({ crypto, digest, staticKey, direction, ...options }: TlsAuthOptions): ControlWrap {
  const macSize = crypto.digestSize(digest);
  if (macSize === undefined) throw new RangeError(`no such digest: ${digest}`);
  const ids = new WrapPacketIds(options);
  const halves = keyHalves(staticKey, direction);
  const sendKey = halves.send.hmac.slice(0, macSize);
  const receiveKey = halves.receive.hmac.slice(0, macSize);
  const idAt = CONTROL_HEADER_SIZE + macSize;
  const bodyAt = idAt + 8;
  const mac = (key: Uint8Array, bytes: Uint8Array) =>
    crypto.hmac(
      digest,
      key,
      bytes.subarray(idAt, bodyAt),
      bytes.subarray(0, CONTROL_HEADER_SIZE),
      bytes.subarray(bodyAt),
    );

  return {
    kind: 'tls-auth',
    overhead: macSize + 8,
    wrap(packet: ControlPacket, now: UnixSeconds): Uint8Array {
      const bytes = new Uint8Array(bodyAt + controlBodySize(packet));
      encodeControlHeader(packet, bytes);
      ids.writeNext(bytes, idAt, now);
      encodeControlBody(packet, bytes.subarray(bodyAt));
      bytes.set(mac(sendKey, bytes), CONTROL_HEADER_SIZE);
      return bytes;
    },
    unwrap(bytes: Uint8Array, now: UnixSeconds): ControlPacket | DropReason {
      const header = parseControlHeader(bytes);
      if (typeof header === 'string') return header;
      if (bytes.length < bodyAt) return 'truncated';
      if (!crypto.equal(mac(receiveKey, bytes), bytes.subarray(CONTROL_HEADER_SIZE, idAt))) return 'bad-hmac';
      const dropped = ids.check(readUint32(bytes, idAt), readUint32(bytes, idAt + 4), now);
      return dropped ?? parseControlBody(header, bytes.subarray(bodyAt));
    },
    wipe() {
      sendKey.fill(0);
      receiveKey.fill(0);
    },
  };
}
