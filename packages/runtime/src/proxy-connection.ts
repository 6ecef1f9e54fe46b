/**
 * Makes a connection through a proxy: a socket here, the conversation itself is the engine's.
 *
 *   connect ─▶ dialogue ─▶ through
 *      ▲          │ challenged: once, with a login (NTLM's own challenge is answered inside the dialogue)
 *      └──────────┘
 *
 * upstream: socket.c `phase2_tcp_client`, `phase2_socks_client`; proxy.c, socks.c (2.6).
 */
import { randomBytes } from 'node:crypto';

import type { Crypto } from '@seikan/core';
import {
  basicAuthorization,
  connectTarget,
  digestAuthorization,
  type HttpRequest,
  type LinkFailure,
  type LogLine,
  type NtlmRequest,
  type OpenedLink,
  type ProxyAsk,
  type ProxyChallenge,
  type ProxyDialogue,
  type ProxyLogin,
  type ProxyOutcome,
  throughHttp,
  throughHttpByNtlm,
  throughSocks,
} from '@seikan/engine';
import {
  type Descriptor,
  errorText,
  type TcpOptions,
  TcpSocket,
  Watch,
  type WatchEvents,
  WOULD_BLOCK,
} from '@seikan/native';

import { reasonOf } from './materials.js';
import type { ProxyLogins } from './proxy-logins.js';

export interface ProxyConnectionOptions {
  readonly ask: ProxyAsk;
  readonly protocol: 'tcp' | 'udp';
  readonly socket: TcpOptions;
  readonly logins: ProxyLogins;
  readonly crypto: Pick<Crypto, 'hash' | 'hmac'>;
  readonly log: (line: LogLine) => void;
  /** Keeps a socket out of the tunnel. */
  readonly protect: ((socket: Descriptor, remote: string) => Promise<void>) | undefined;
  /** Nobody waits for it any more. */
  readonly cancelled: AbortSignal;
}

/** The caller closes `socket`. */
export interface ProxiedConnection extends Pick<OpenedLink, 'relay'> {
  readonly socket: TcpSocket;
}

/** Never throws: what goes wrong is the answer. */
export async function connectThroughProxy(
  options: ProxyConnectionOptions,
): Promise<ProxiedConnection | (LinkFailure & { readonly error: string })> {
  const { ask } = options;
  const reason = ask.options.kind === 'http' ? 'HTTP proxy error' : 'socks-error';
  // Both of them may be over; AbortSignal.any keeps the one from holding the other for ever.
  const ended = AbortSignal.any([options.cancelled, AbortSignal.timeout(ask.timeout)]);
  try {
    return ask.options.kind === 'http' ? await overHttp(options, ended) : await overSocks(options, ended);
  } catch (error) {
    if (error instanceof ProxyError) return { error: error.message, reason: error.reason ?? reason };
    return { error: reasonOf(error), reason };
  }
}

class ProxyError extends Error {
  readonly reason: LinkFailure['reason'];

  constructor(message: string, reason?: LinkFailure['reason']) {
    super(message);
    this.reason = reason;
  }
}

async function overHttp(options: ProxyConnectionOptions, ended: AbortSignal): Promise<ProxiedConnection> {
  const { ask } = options;
  const proxy = ask.options;
  if (proxy.kind !== 'http') throw new TypeError('no HTTP proxy');
  const request = { proxy, host: ask.host, port: ask.port };
  const first = await converse(options, await firstAttempt(options, request), ended);
  if (!('result' in first)) return first;
  if (first.result !== 'challenged') return refuse(options, first);
  const second = await converse(options, await answer(options, request, first.challenge), ended);
  return 'result' in second ? refuse(options, second) : second;
}

async function firstAttempt(options: ProxyConnectionOptions, request: HttpRequest): Promise<ProxyDialogue> {
  switch (request.proxy.authentication) {
    case 'basic':
      return throughHttp(request, basicAuthorization(await login(options)));
    case 'ntlm2':
      return throughHttpByNtlm(request, await ntlm(options));
    case 'none':
    case 'auto':
    case 'auto-nct':
      return throughHttp(request, undefined);
    default:
      throw new Error(request.proxy.authentication satisfies never);
  }
}

async function answer(
  options: ProxyConnectionOptions,
  request: HttpRequest,
  { scheme, parameters }: ProxyChallenge,
): Promise<ProxyDialogue> {
  switch (scheme) {
    case 'Basic':
      return throughHttp(request, basicAuthorization(await login(options)));
    case 'NTLM':
      return throughHttpByNtlm(request, await ntlm(options));
    case 'Digest': {
      const authorization = digestAuthorization({
        login: await login(options),
        challenge: parameters,
        method: 'CONNECT',
        uri: connectTarget(request.host, request.port),
        clientNonce: randomBytes(12).toString('base64url'),
        crypto: options.crypto,
      });
      if (authorization !== undefined) return throughHttp(request, authorization);
      throw new ProxyError(
        'HTTP proxy: digest auth failed, malformed response from server: realm= or nonce= missing, or unknown algorithm',
      );
    }
    default:
      throw new Error(scheme satisfies never);
  }
}

async function ntlm(options: ProxyConnectionOptions): Promise<NtlmRequest> {
  return { login: await login(options), nonce: randomBytes(8), time: Date.now(), crypto: options.crypto };
}

async function overSocks(options: ProxyConnectionOptions, ended: AbortSignal): Promise<ProxiedConnection> {
  const { ask, protocol } = options;
  const { host, port, endpoint } = ask;
  const known = ask.options.credentials === undefined ? undefined : await login(options);
  const outcome = await converse(options, throughSocks({ protocol, host, port, login: known, proxy: endpoint }), ended);
  return 'result' in outcome ? refuse(options, outcome) : outcome;
}

async function login({ ask, logins }: ProxyConnectionOptions): Promise<ProxyLogin> {
  const { kind, credentials } = ask.options;
  const answer = await logins.login(credentials, kind === 'http' ? 'HTTP Proxy' : 'SOCKS Proxy');
  if ('error' in answer) throw new ProxyError(answer.error);
  return answer;
}

function refuse({ ask, logins }: ProxyConnectionOptions, outcome: ProxyOutcome): never {
  if (outcome.result !== 'refused') throw new ProxyError('HTTP proxy: asks for a login again');
  if (outcome.login) logins.forget(ask.options.credentials);
  throw new ProxyError(outcome.text ?? '');
}

/** A new connection to the proxy, and what became of it. */
async function converse(
  { ask, socket: settings, log, protect }: ProxyConnectionOptions,
  dialogue: ProxyDialogue,
  ended: AbortSignal,
): Promise<ProxiedConnection | Exclude<ProxyOutcome, { result: 'through' }>> {
  const { endpoint } = ask;
  const where = `[AF_INET${endpoint.family === 6 ? '6' : ''}]${endpoint.address}:${endpoint.port}`;
  const socket = dial(() => TcpSocket.connect(endpoint, settings), where);
  let keep = false;
  try {
    await protect?.(socket.descriptor, endpoint.address);
    await ready(socket, { writable: true }, ended, `TCP: connect to ${where} failed: Connection timed out`);
    const result = socket.connectResult();
    if (result < 0) throw new ProxyError(`TCP: connect to ${where} failed: ${errorText(result)}`, 'connection-failed');
    log({ verb: 1, severity: 'notice', prefix: undefined, text: `TCP connection established with ${where}` });

    const outcome = await talk(socket, dialogue, { log, ended });
    if (outcome.result !== 'through') return outcome;
    keep = true;
    return { socket, relay: outcome.relay };
  } finally {
    if (!keep) socket.close();
  }
}

function dial(connect: () => TcpSocket, where: string): TcpSocket {
  try {
    return connect();
  } catch (error) {
    throw new ProxyError(`TCP: connect to ${where} failed: ${reasonOf(error)}`, 'connection-failed');
  }
}

interface Surroundings {
  readonly log: (line: LogLine) => void;
  readonly ended: AbortSignal;
}

async function talk(socket: TcpSocket, dialogue: ProxyDialogue, { log, ended }: Surroundings): Promise<ProxyOutcome> {
  for (let next = dialogue.next(new Uint8Array(0)); ; ) {
    if (next.done === true) return next.value;
    const { value } = next;
    switch (value.step) {
      case 'log':
        log({ ...value, prefix: undefined });
        next = dialogue.next(new Uint8Array(0));
        break;
      case 'send':
        await write(socket, value.bytes, ended);
        next = dialogue.next(new Uint8Array(0));
        break;
      case 'receive':
        next = dialogue.next(await read(socket, value.size, ended));
        break;
      default:
        throw new Error(value satisfies never);
    }
  }
}

/** What is asked of a proxy holds secrets: wiped when it has left. */
async function write(socket: TcpSocket, bytes: Uint8Array, ended: AbortSignal): Promise<void> {
  try {
    for (let at = 0; at < bytes.length; ) {
      const count = socket.writeBytes(bytes, at, bytes.length - at);
      if (count === WOULD_BLOCK) await ready(socket, { writable: true }, ended, WRITE_EXPIRED);
      else if (count < 0) throw new ProxyError(`proxy_send: TCP port write failed on send(): ${errorText(count)}`);
      else at += count;
    }
  } finally {
    bytes.fill(0);
  }
}

async function read(socket: TcpSocket, size: number, ended: AbortSignal): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; ) {
    const count = socket.read(bytes, at, size - at);
    if (count === WOULD_BLOCK) await ready(socket, { readable: true }, ended, READ_EXPIRED);
    else if (count <= 0)
      throw new ProxyError(
        `recv_line: TCP port read failed on recv(): ${count === 0 ? 'closed by the proxy' : errorText(count)}`,
      );
    else at += count;
  }
  return bytes;
}

const READ_EXPIRED = 'recv_line: TCP port read timeout expired';
const WRITE_EXPIRED = 'proxy_send: TCP port write timeout expired';

function ready(socket: TcpSocket, events: WatchEvents, ended: AbortSignal, expired: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (then: () => void) => (): void => {
      watch.close();
      ended.removeEventListener('abort', onEnd);
      then();
    };
    const onEnd = finish(() => reject(new ProxyError(expired)));
    const watch = new Watch(socket.descriptor.fd, events, finish(resolve));
    if (ended.aborted) onEnd();
    else ended.addEventListener('abort', onEnd);
  });
}
