/**
 * The token that a server with `auth-gen-token` gives a client in the place of its password.
 *
 *   "SESS_ID_AT_" base64( session id 12 | issued 8 | renewed 8 | HMAC-SHA256 32 )
 *   HMAC over: user name, session id, issued, renewed        times: seconds since 1970
 *
 * Source: OpenVPN 2.6 `auth_token.c` (`generate_auth_token`, `verify_auth_token`).
 */
import { fromBase64, toBase64 } from '../bytes/base64.js';
import { readUint64, writeUint64 } from '../bytes/big-endian.js';
import { concatBytes } from '../bytes/bytes.js';
import type { UnixSeconds } from '../bytes/millis.js';
import { encodeText } from '../bytes/text.js';
import type { Crypto } from '../crypto/crypto.js';

export interface AuthToken {
  /** 12 random bytes, kept through all renewals. */
  readonly sessionId: Uint8Array;
  /** When the client logged in with its password. */
  readonly issued: UnixSeconds;
  /** When this token was made. */
  readonly renewed: UnixSeconds;
}

/** A token whose HMAC is right; whether its time has come is `isTokenCurrent`'s question. */
export interface VerifiedAuthToken extends AuthToken {
  /** It was made for the empty user name, whatever name came with it. */
  readonly emptyUser: boolean;
}

export interface AuthTokenSecret {
  readonly crypto: Crypto;
  /** `authTokenHmacKey` of the secret file. */
  readonly hmacKey: Uint8Array;
}

const PREFIX = 'SESS_ID_AT_';
export const TOKEN_SESSION_ID_SIZE = 12;
const SIGNED_SIZE = TOKEN_SESSION_ID_SIZE + 8 + 8;
const TOKEN_SIZE = SIGNED_SIZE + 32;

/** Whether a password claims to be a token; then it is never shown to a script as a password. */
export function isAuthToken(password: string): boolean {
  return password.startsWith(PREFIX);
}

export function signAuthToken({ crypto, hmacKey }: AuthTokenSecret, username: string, token: AuthToken): string {
  const signed = new Uint8Array(SIGNED_SIZE);
  signed.set(token.sessionId);
  writeUint64(signed, TOKEN_SESSION_ID_SIZE, token.issued);
  writeUint64(signed, TOKEN_SESSION_ID_SIZE + 8, token.renewed);
  return PREFIX + toBase64(concatBytes(signed, crypto.hmac('SHA256', hmacKey, encodeText(username), signed)));
}

/** `undefined`: it is no token of this secret for this user name, nor for the empty one. */
export function verifyAuthToken(
  { crypto, hmacKey }: AuthTokenSecret,
  username: string,
  password: string,
): VerifiedAuthToken | undefined {
  if (!isAuthToken(password)) return undefined;
  const bytes = fromBase64(password.slice(PREFIX.length));
  if (bytes?.length !== TOKEN_SIZE) return undefined;
  const signed = bytes.subarray(0, SIGNED_SIZE);
  const mac = bytes.subarray(SIGNED_SIZE);
  const ownUser = crypto.equal(crypto.hmac('SHA256', hmacKey, encodeText(username), signed), mac);
  const emptyUser = !ownUser && crypto.equal(crypto.hmac('SHA256', hmacKey, signed), mac);
  if (!ownUser && !emptyUser) return undefined;
  return {
    sessionId: signed.slice(0, TOKEN_SESSION_ID_SIZE),
    issued: readUint64(signed, TOKEN_SESSION_ID_SIZE),
    renewed: readUint64(signed, TOKEN_SESSION_ID_SIZE + 8),
    emptyUser,
  };
}

/**
 * Whether a genuine token is still accepted: it was made less than two renewal intervals ago, and the login lies
 * within `lifetime` seconds (0 is for ever). `initial`: it is the very token that this session was given first,
 * which clients that never take a renewal go on sending.
 */
export function isTokenCurrent(
  { issued, renewed }: AuthToken,
  options: {
    readonly now: UnixSeconds;
    readonly renewal: number;
    readonly lifetime: number;
    readonly initial: boolean;
  },
): boolean {
  const { now, renewal, lifetime, initial } = options;
  if (renewed < issued) return false;
  if (lifetime > 0 && now - issued > lifetime) return false;
  return initial || (now >= renewed && now < renewed + 2 * renewal);
}
