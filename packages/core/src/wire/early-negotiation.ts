/**
 * What both ends say of themselves before TLS: a client marks its packet ids, a server answers in its reset's payload.
 *
 *   payload | type 2 | length 2 | value … | …      type 1, length 2: flags; bit 0: send the wrapped client key again
 *
 * Source: OpenVPN 2.6 `ssl_pkt.h` (EARLY_NEG_*), `ssl.c` (`parse_early_negotiation_tlvs`).
 */
import { readUint16, readUint32 } from '../bytes/big-endian.js';
import { CONTROL_HEADER_SIZE } from './control-packet.js';
import type { DropReason } from './drop-reason.js';

/** A client that understands the answer sends packet ids from one more than this. */
export const EARLY_NEGOTIATION_START = 0x0f00_0000;

export interface EarlyNegotiation {
  /** The server kept no state: the client's next packet must be CONTROL_WKC_V1, with its wrapped key. */
  readonly resendWrappedKey: boolean;
}

const TYPE_FLAGS = 1;
const FLAG_RESEND_WRAPPED_KEY = 1;

/** Looks at the packet id of a tls-crypt datagram, which is in the clear (but not authentic yet). */
export function announcesEarlyNegotiation(datagram: Uint8Array): boolean {
  if (datagram.length < CONTROL_HEADER_SIZE + 4) return false;
  return (readUint32(datagram, CONTROL_HEADER_SIZE) & 0xff00_0000) === EARLY_NEGOTIATION_START;
}

/** Reads the payload of a HARD_RESET_SERVER_V2; unknown types are passed over, an empty payload says nothing. */
export function parseEarlyNegotiation(payload: Uint8Array): EarlyNegotiation | DropReason {
  let resendWrappedKey = false;
  for (let at = 0; at < payload.length; ) {
    if (payload.length - at < 4) return 'truncated';
    const type = readUint16(payload, at);
    const length = readUint16(payload, at + 2);
    at += 4;
    if (payload.length - at < length) return 'truncated';
    if (type === TYPE_FLAGS) {
      if (length !== 2) return 'bad-early-negotiation';
      resendWrappedKey = (readUint16(payload, at) & FLAG_RESEND_WRAPPED_KEY) !== 0;
    }
    at += length;
  }
  return { resendWrappedKey };
}

export function encodeEarlyNegotiation({ resendWrappedKey }: EarlyNegotiation): Uint8Array {
  return resendWrappedKey ? Uint8Array.of(0, TYPE_FLAGS, 0, 2, 0, FLAG_RESEND_WRAPPED_KEY) : new Uint8Array();
}
