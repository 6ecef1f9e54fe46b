/**
 * One CONNECT through an HTTP proxy.
 *
 *   CONNECT host:port HTTP/1.0        ─▶
 *   custom headers, Host, User-Agent,
 *   Proxy-Authorization               ─▶
 *                                     ◀─  HTTP/1.1 200 …, headers, empty line: the rest is the tunnel's
 *                                     ◀─  HTTP/1.1 407 …, Proxy-Authenticate: … : again, with a login
 *
 * Source: RFC 9110 section 9.3.6; proxy.c `establish_http_proxy_passthru` (2.6).
 */
import { decodeText, encodeText, toBase64 } from '@seikan/core';

import type { HttpProxy } from '../options/options.js';
import {
  type ProxyChallenge,
  type ProxyDialogue,
  type ProxyLogin,
  type ProxyStep,
  receive,
  refusal,
  send,
} from './dialogue.js';

export interface HttpRequest {
  readonly proxy: Pick<HttpProxy, 'authentication' | 'version' | 'agent' | 'headers'>;
  readonly host: string;
  readonly port: number;
  /** The value of Proxy-Authorization, if the proxy is known to want one. */
  readonly authorization: string | undefined;
}

/** What a proxy may say before the tunnel begins. */
const LONGEST_HEAD = 16_384;
const LONGEST_CHALLENGE = 2_048;
const [CR, LF] = [0x0d, 0x0a];

export function* throughHttp(request: HttpRequest): ProxyDialogue {
  const { proxy, host, port, authorization } = request;
  const lines = [`CONNECT ${connectTarget(host, port)} HTTP/${proxy.version}`, ...proxy.headers];
  if (!proxy.headers.some((line) => /^host:/i.test(line))) lines.push(`Host: ${host}`);
  if (proxy.agent !== undefined) lines.push(`User-Agent: ${proxy.agent}`);
  for (const line of lines) yield say(`Send to HTTP proxy: '${line}'`);
  if (authorization !== undefined) {
    yield say(`Attempting ${schemeOf(authorization)} Proxy-Authorization`);
    lines.push(`Proxy-Authorization: ${authorization}`);
  }
  yield send(encodeText(`${lines.join('\r\n')}\r\n\r\n`));

  const head = yield* readHead();
  if (head === undefined) return refusal('HTTP proxy returned bad status');
  const [status = '', ...headers] = head;
  yield say(`HTTP proxy returned: '${status}'`);
  const code = /^HTTP\/\d\.\d (\d{3})(?: |$)/.exec(status)?.[1];
  if (code === '200') return { result: 'through', relay: undefined };
  if (code !== '407') return refusal('HTTP proxy returned bad status');

  yield say('Proxy requires authentication');
  if (authorization !== undefined) return refusal('HTTP proxy: the login was refused', true);
  if (proxy.authentication === 'none' || proxy.authentication === 'basic')
    return refusal('HTTP proxy: no support for proxy authentication method');
  const challenge = choose(headers, proxy.authentication === 'auto-nct');
  if (typeof challenge === 'string') return refusal(challenge);
  yield say(`HTTP proxy authenticate '${challenge.parameters}'`);
  return { result: 'challenged', challenge };
}

/** An IPv6 address stands in brackets. */
export function connectTarget(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The value of Proxy-Authorization in the Basic scheme. */
export function basicAuthorization({ username, password }: ProxyLogin): string {
  return `Basic ${toBase64(encodeText(`${username}:${password}`))}`;
}

/** Upstream's D_PROXY. */
function say(text: string): ProxyStep {
  return { step: 'log', verb: 2, severity: 'notice', text };
}

function schemeOf(authorization: string): string {
  return authorization.slice(0, authorization.indexOf(' '));
}

/** The lines of an answer up to the empty one, byte by byte, since the next byte may be the tunnel's. Undefined: too long. */
function* readHead(): Generator<ProxyStep, readonly string[] | undefined, Uint8Array> {
  const bytes = new Uint8Array(LONGEST_HEAD);
  const lines: string[] = [];
  let start = 0;
  for (let size = 0; size < LONGEST_HEAD; size += 1) {
    const [byte] = yield receive(1);
    bytes[size] = byte ?? 0;
    if (byte !== LF) continue;
    const end = bytes[size - 1] === CR && size > start ? size - 1 : size;
    if (end === start) return lines;
    lines.push(printable(decodeText(bytes.subarray(start, end))));
    start = size + 1;
  }
  return undefined;
}

/** Goes into the log. */
function printable(text: string): string {
  return text.replace(/[^ -~]/g, '?');
}

/** The first scheme that is known, the stronger one before the weaker; or why there is none. */
function choose(headers: readonly string[], noClearText: boolean): ProxyChallenge | string {
  const offers = headers.flatMap((line): ProxyChallenge[] => {
    const offer = /^Proxy-Authenticate:\s*(Basic|Digest)\b\s*(.*)$/i.exec(line);
    const parameters = offer?.[2] ?? '';
    if (offer === null || parameters.length > LONGEST_CHALLENGE) return [];
    return [{ scheme: offer[1]?.toLowerCase() === 'basic' ? 'Basic' : 'Digest', parameters }];
  });
  const digest = offers.find(({ scheme }) => scheme === 'Digest');
  if (digest !== undefined) return digest;
  const [basic] = offers;
  if (basic === undefined) return 'HTTP proxy: do not recognize the authentication method required by proxy';
  if (noClearText) return 'HTTP proxy: support for basic auth and other cleartext proxy auth methods is disabled';
  return basic;
}
