/**
 * One CONNECT through an HTTP proxy.
 *
 *   CONNECT host:port HTTP/1.0        ─▶
 *   custom headers, Host, User-Agent,
 *   Proxy-Authorization               ─▶
 *                                     ◀─  HTTP/1.1 200 …, headers, empty line: the rest is the tunnel's
 *                                     ◀─  HTTP/1.1 407 …, Proxy-Authenticate: … : again, with a login
 *
 * With NTLM, which logs a connection in and not a request, twice on the same one: the first 407 bears the challenge.
 *
 * Source: RFC 9110 section 9.3.6; proxy.c `establish_http_proxy_passthru` (2.6).
 */
import { decodeText, encodeText, toBase64 } from '@seikan/core';

import type { HttpProxy } from '../options/options.js';
import {
  type ProxyChallenge,
  type ProxyDialogue,
  type ProxyLogin,
  type ProxyOutcome,
  type ProxyStep,
  receive,
  refusal,
  send,
} from './dialogue.js';
import { type NtlmRequest, ntlmAuthorization, ntlmNegotiation } from './ntlm.js';

export interface HttpRequest {
  readonly proxy: Pick<HttpProxy, 'authentication' | 'version' | 'agent' | 'headers'>;
  readonly host: string;
  readonly port: number;
}

/** What a proxy may say before the tunnel begins. */
const LONGEST_HEAD = 16_384;
const LONGEST_BODY = 65_536;
/** Of a chunk. */
const LONGEST_LINE = 128;
const CRLF_SIZE = 2;
const LONGEST_CHALLENGE = 2_048;
const [CR, LF] = [0x0d, 0x0a];
const SCHEMES = ['Basic', 'Digest', 'NTLM'] as const;

/** `authorization`: the value of Proxy-Authorization, if the proxy is known to want one. */
export function* throughHttp(request: HttpRequest, authorization: string | undefined): ProxyDialogue {
  const answer =
    authorization === undefined
      ? yield* connect(request)
      : yield* connect(request, [authorizing(authorization)], `${schemeOf(authorization)} Proxy-Authorization`);
  if ('result' in answer) return answer;
  if (authorization !== undefined) return loginRefused;
  const { authentication } = request.proxy;
  if (authentication === 'none' || authentication === 'basic')
    return refusal('HTTP proxy: no support for proxy authentication method');
  const challenge = choose(answer.headers, authentication === 'auto-nct');
  if (typeof challenge === 'string') return refusal(challenge);
  yield say(`HTTP proxy authenticate '${challenge.parameters}'`);
  return { result: 'challenged', challenge };
}

export function* throughHttpByNtlm(request: HttpRequest, ntlm: NtlmRequest): ProxyDialogue {
  const first = yield* connect(
    request,
    [KEEP_ALIVE, authorizing(ntlmNegotiation(ntlm.login))],
    'NTLM Proxy-Authorization phase 1',
  );
  if ('result' in first) return first;
  const challenge = valuesOf(first.headers, 'Proxy-Authenticate').flatMap(
    (value) => /^NTLM\s+(\S+)$/i.exec(value)?.[1] ?? [],
  );
  const authorization = ntlmAuthorization(ntlm, challenge[0] ?? '');
  if (authorization === undefined) return refusal('HTTP proxy: no NTLM challenge in its answer');
  yield say('Received NTLM Proxy-Authorization phase 2 response');
  if (!(yield* skipBody(first.headers))) return refusal('HTTP proxy: its answer to NTLM is too long');
  const second = yield* connect(request, [KEEP_ALIVE, authorizing(authorization)], 'NTLM Proxy-Authorization phase 3');
  return 'result' in second ? second : loginRefused;
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

const loginRefused = refusal('HTTP proxy: the login was refused', true);

/** Of HTTP/1.0, where nobody else is meant. */
const KEEP_ALIVE = 'Proxy-Connection: Keep-Alive';

function schemeOf(authorization: string): string {
  return authorization.slice(0, authorization.indexOf(' '));
}

function authorizing(value: string): string {
  return `Proxy-Authorization: ${value}`;
}

/**
 * Sends the request, its `secrets` behind what is logged, and reads the head of what comes back: that of a 407, or how
 * it ended. `attempt` is what the secrets are for.
 */
function* connect(
  { proxy, host, port }: HttpRequest,
  secrets: readonly string[] = [],
  attempt?: string,
): Generator<ProxyStep, ProxyOutcome | { readonly headers: readonly string[] }, Uint8Array> {
  const lines = [`CONNECT ${connectTarget(host, port)} HTTP/${proxy.version}`, ...proxy.headers];
  if (!proxy.headers.some((line) => /^host:/i.test(line))) lines.push(`Host: ${host}`);
  if (proxy.agent !== undefined) lines.push(`User-Agent: ${proxy.agent}`);
  for (const line of lines) yield say(`Send to HTTP proxy: '${line}'`);
  if (attempt !== undefined) yield say(`Attempting ${attempt}`);
  yield send(encodeText(`${[...lines, ...secrets].join('\r\n')}\r\n\r\n`));

  const head = yield* readHead();
  if (head === undefined) return refusal('HTTP proxy returned bad status');
  const [status = '', ...headers] = head;
  yield say(`HTTP proxy returned: '${status}'`);
  const code = /^HTTP\/\d\.\d (\d{3})(?: |$)/.exec(status)?.[1];
  if (code === '200') return { result: 'through', relay: undefined };
  if (code !== '407') return refusal('HTTP proxy returned bad status');
  yield say('Proxy requires authentication');
  return { headers };
}

/** The lines of an answer up to the empty one. Undefined: too long. */
function* readHead(): Generator<ProxyStep, readonly string[] | undefined, Uint8Array> {
  const lines: string[] = [];
  for (let left = LONGEST_HEAD; ; ) {
    const line = yield* readLine(left);
    if (line === undefined || line.text === '') return line && lines;
    lines.push(line.text);
    left -= line.size;
  }
}

/** Byte by byte, since the next one may be the tunnel's. `size` is with its end; undefined: more than `limit`. */
function* readLine(limit: number): Generator<ProxyStep, { text: string; size: number } | undefined, Uint8Array> {
  const bytes: number[] = [];
  while (bytes.length < limit) {
    const [byte = 0] = yield receive(1);
    bytes.push(byte);
    if (byte !== LF) continue;
    const end = bytes.at(-2) === CR ? -2 : -1;
    return { text: printable(decodeText(Uint8Array.from(bytes.slice(0, end)))), size: bytes.length };
  }
  return undefined;
}

/** What stands between a 407 and the next answer on the same connection. False: it is too long, or no end is named. */
function* skipBody(headers: readonly string[]): Generator<ProxyStep, boolean, Uint8Array> {
  const [encoding] = valuesOf(headers, 'Transfer-Encoding');
  if (encoding === undefined) {
    const [length = '0'] = valuesOf(headers, 'Content-Length');
    return yield* skip(/^\d+$/.test(length) ? Number(length) : undefined, 0);
  }
  if (encoding.toLowerCase() !== 'chunked') return false;
  // A chunk costs its line, too.
  for (let left = LONGEST_BODY; left > 0; left -= LONGEST_LINE) {
    const line = yield* readLine(LONGEST_LINE);
    const digits = /^[\da-f]+/i.exec(line?.text ?? '')?.[0];
    const size = digits === undefined ? undefined : Number.parseInt(digits, 16);
    if (size === 0) return (yield* readHead()) !== undefined;
    if (!(yield* skip(size, CRLF_SIZE))) return false;
  }
  return false;
}

function* skip(size: number | undefined, end: number): Generator<ProxyStep, boolean, Uint8Array> {
  if (size === undefined || size > LONGEST_BODY) return false;
  if (size > 0) yield receive(size + end);
  return true;
}

/** Goes into the log. */
function printable(text: string): string {
  return text.replace(/[^ -~]/g, '?');
}

/** Of every header of that name. */
function valuesOf(headers: readonly string[], name: string): string[] {
  return headers.flatMap((line) => {
    const colon = line.indexOf(':');
    return line.slice(0, colon).toLowerCase() === name.toLowerCase() ? [line.slice(colon + 1).trim()] : [];
  });
}

/** The first scheme that hides the password, else Basic; or why there is none. */
function choose(headers: readonly string[], noClearText: boolean): ProxyChallenge | string {
  const offers = valuesOf(headers, 'Proxy-Authenticate').flatMap((value): ProxyChallenge[] => {
    const [, name = '', parameters = ''] = /^([^\s,]+)\s*(.*)$/.exec(value) ?? [];
    const scheme = SCHEMES.find((known) => known.toLowerCase() === name.toLowerCase());
    return scheme === undefined || parameters.length > LONGEST_CHALLENGE ? [] : [{ scheme, parameters }];
  });
  const offer = offers.find(({ scheme }) => scheme !== 'Basic') ?? offers[0];
  if (offer === undefined) return 'HTTP proxy: do not recognize the authentication method required by proxy';
  if (noClearText && offer.scheme === 'Basic')
    return 'HTTP proxy: support for basic auth and other cleartext proxy auth methods is disabled';
  return offer;
}
