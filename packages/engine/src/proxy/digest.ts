/**
 * The Digest scheme of HTTP, as far as a CONNECT needs it: MD5 and MD5-sess, quality of protection `auth`.
 * Source: RFC 2617 section 3.2; httpdigest.c (2.6).
 */
import { type Crypto, encodeText, toHex } from '@seikan/core';

import type { ProxyLogin } from './dialogue.js';

export interface DigestRequest {
  readonly login: ProxyLogin;
  /** Behind `Digest ` in the proxy's header. */
  readonly challenge: string;
  readonly method: string;
  readonly uri: string;
  /** Drawn at random by the caller. */
  readonly clientNonce: string;
  readonly crypto: Pick<Crypto, 'hash'>;
}

/** What stands behind `Proxy-Authorization: `; undefined when the challenge lacks what it must have, or asks for what is not known. */
export function digestAuthorization(request: DigestRequest): string | undefined {
  const { login, method, uri, clientNonce, crypto } = request;
  const challenge = parseChallenge(request.challenge);
  const [realm, nonce, opaque] = ['realm', 'nonce', 'opaque'].map((name) => challenge.get(name));
  const algorithm = challenge.get('algorithm');
  if (realm === undefined || nonce === undefined) return undefined;
  const session = algorithm?.toLowerCase() === 'md5-sess';
  if (algorithm !== undefined && algorithm.toLowerCase() !== 'md5' && !session) return undefined;
  const offered = challenge.get('qop');
  // Before RFC 2617 there was no quality of protection.
  const qop = offered?.split(',').some((word) => word.trim().toLowerCase() === 'auth');
  if (qop === false) return undefined;

  const md5 = (...parts: readonly Uint8Array[]): Uint8Array => crypto.hash('MD5', ...parts);
  const hex = (...words: readonly string[]): string => toHex(md5(encodeText(words.join(':'))));
  const user = md5(encodeText(`${login.username}:${unescaped(realm)}:${login.password}`));
  // The bytes of the first sum, not its digits: so do RFC 2617's own code, OpenVPN and Squid.
  const secret = session ? toHex(md5(user, encodeText(`:${nonce}:${clientNonce}`))) : toHex(user);
  const what = hex(method, uri);
  const count = '00000001';
  const response = qop === true ? hex(secret, nonce, count, clientNonce, 'auth', what) : hex(secret, nonce, what);
  const fields = [
    `username="${escapeQuoted(login.username)}"`,
    `realm="${realm}"`,
    `nonce="${nonce}"`,
    `uri="${uri}"`,
    ...(qop === true ? ['qop=auth', `nc=${count}`] : []),
    ...(qop === true || session ? [`cnonce="${clientNonce}"`] : []),
    `response="${response}"`,
    ...(opaque === undefined ? [] : [`opaque="${opaque}"`]),
    ...(algorithm === undefined ? [] : [`algorithm=${session ? 'MD5-sess' : 'MD5'}`]),
  ];
  return `Digest ${fields.join(', ')}`;
}

/** `name=token, name="quoted \" text"`: values as they stand between the quotes, escapes kept. */
function parseChallenge(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [, name = '', quoted, token = ''] of text.matchAll(/([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))/g)) {
    const key = name.toLowerCase();
    if (!found.has(key)) found.set(key, quoted ?? token);
  }
  return found;
}

function unescaped(quoted: string): string {
  return quoted.replace(/\\(.)/g, '$1');
}

function escapeQuoted(text: string): string {
  return text.replace(/["\\]/g, '\\$&');
}
