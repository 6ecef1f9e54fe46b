/** The 8 random bytes by which each end names one TLS session; all zero means "none". Source: OpenVPN 2.6 `session_id.h`. */
import { isAllZero, sameBytes } from '../bytes/bytes.js';
import { toHex } from '../bytes/hex.js';
import type { RandomFill } from '../crypto/crypto.js';

declare const sessionId: unique symbol;

export type SessionId = Uint8Array & { readonly [sessionId]?: true };

export const SESSION_ID_SIZE = 8;

export function randomSessionId(random: RandomFill): SessionId {
  const id = new Uint8Array(SESSION_ID_SIZE);
  do random(id);
  while (!isSessionId(id));
  return id;
}

/** False for the all-zero id, which a packet may not carry. */
export function isSessionId(bytes: Uint8Array): bytes is SessionId {
  return bytes.length === SESSION_ID_SIZE && !isAllZero(bytes);
}

export function sameSessionId(a: SessionId, b: SessionId): boolean {
  return sameBytes(a, b);
}

/** As upstream's log shows it: `8f3c5a01 77d2e9b4`. */
export function formatSessionId(id: SessionId): string {
  return `${toHex(id.subarray(0, 4))} ${toHex(id.subarray(4))}`;
}
