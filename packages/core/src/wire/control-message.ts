/**
 * The text messages of the control channel after the key exchange (`PUSH_REPLY,…`, `AUTH_FAILED`): each ends in a NUL,
 * and one TLS record may hold several. Source: OpenVPN 2.6.14 `forward.c` (`extract_command_buffer`).
 */
import { decodeText, encodeText } from '../bytes/text.js';

export interface ControlMessages {
  readonly messages: readonly string[];
  /** How many were passed over because of characters that do not print. */
  readonly rejected: number;
}

/** Splits one decrypted record. Line ends before the NUL are taken off; what has no NUL behind it is no message. */
export function splitControlMessages(record: Uint8Array): ControlMessages {
  const messages: string[] = [];
  let rejected = 0;
  for (let at = 0; at < record.length; ) {
    const end = record.indexOf(0, at);
    if (end < 0) break;
    let length = end;
    while (length > at && isLineEnd(record[length - 1])) length -= 1;
    const message = record.subarray(at, length);
    if (!message.every(isPrintable)) rejected += 1;
    else if (message.length > 0) messages.push(decodeText(message));
    at = end + 1;
  }
  return { messages, rejected };
}

export function encodeControlMessage(message: string): Uint8Array {
  return encodeText(`${message}\0`);
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === 0x0a || byte === 0x0d;
}

/** Upstream's CC_PRINT: everything from the blank up except DEL, so UTF-8 passes. */
function isPrintable(byte: number): boolean {
  return byte >= 0x20 && byte !== 0x7f;
}
