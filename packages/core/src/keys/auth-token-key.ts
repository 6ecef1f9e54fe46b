/** The file with the server's secret for `auth-gen-token`: PEM of 128 bytes, of which [64, 96) is the HMAC key. Source: OpenVPN 2.6 `auth_token.c`. */
import { encodePem, parsePem } from '../bytes/pem.js';

const PEM_NAME = 'OpenVPN auth-token server key';

export const AUTH_TOKEN_KEY_SIZE = 128;

/** `undefined`: not such a file. More bytes than needed are allowed, as upstream allows them. */
export function parseAuthTokenKey(pem: string): Uint8Array | undefined {
  const bytes = parsePem(PEM_NAME, pem);
  return bytes !== undefined && bytes.length >= AUTH_TOKEN_KEY_SIZE ? bytes : undefined;
}

export function encodeAuthTokenKey(key: Uint8Array): string {
  return encodePem(PEM_NAME, key);
}

/** The 32 bytes that tokens are signed with (HMAC-SHA256); borrowed from `key`. */
export function authTokenHmacKey(key: Uint8Array): Uint8Array {
  return key.subarray(64, 96);
}
