/**
 * SOCKS5: a connection to the peer, or a relay for UDP packets.
 *
 *   | 5 | 1 | method |                                    ─▶      ◀─  | 5 | method |
 *   | 1 | n | name | n | password |                       ─▶      ◀─  | 1 | 0 |                 method 2 only
 *   | 5 | command | 0 | kind | address | port 2 |         ─▶      ◀─  | 5 | 0 | 0 | kind | address | port 2 |
 *
 * Commands: 1 connect, 3 UDP associate. Kinds of address: 1 IPv4, 3 name with its length before it, 4 IPv6.
 * Source: RFC 1928, RFC 1929; socks.c (2.6).
 */
import { concatBytes, type Endpoint, encodeText, readUint16 } from '@seikan/core';

import { formatIpv4, formatIpv6 } from '../options/address.js';
import { afInet } from '../tunnel-log.js';
import {
  type ProxyDialogue,
  type ProxyLogin,
  type ProxyOutcome,
  type ProxyStep,
  receive,
  refusal,
  send,
} from './dialogue.js';

export interface SocksRequest {
  /** `udp`: where to is said in each packet. */
  readonly protocol: 'tcp' | 'udp';
  /** The proxy looks names up. */
  readonly host: string;
  readonly port: number;
  readonly login: ProxyLogin | undefined;
  /** Where the proxy was reached: its relay may stand at "the same address". */
  readonly proxy: Endpoint;
}

const VERSION = 5;
const METHOD = { none: 0, login: 2 } as const;
const COMMAND = { connect: 1, udpAssociate: 3 } as const;
const KIND = { ipv4: 1, name: 3, ipv6: 4 } as const;
const LOGIN_VERSION = 1;
/** What a length of one byte can say. */
const LONGEST_TEXT = 255;

const replies: readonly string[] = [
  'succeeded',
  'general SOCKS server failure',
  'connection not allowed by ruleset',
  'network unreachable',
  'host unreachable',
  'connection refused',
  'TTL expired',
  'command not supported',
  'address type not supported',
];

export function* throughSocks(request: SocksRequest): ProxyDialogue {
  const { protocol, host, port, login, proxy } = request;
  const method = login === undefined ? METHOD.none : METHOD.login;
  yield send(Uint8Array.of(VERSION, 1, method));
  const [version, chosen] = yield receive(2);
  if (version !== VERSION) return refusal('socks_handshake: Socks proxy returned bad status');
  if (chosen !== method) return refusal('socks_handshake: Socks proxy returned unexpected auth', true);
  if (login !== undefined) {
    const refused = yield* logIn(login);
    if (refused !== undefined) return refused;
  }

  const name = encodeText(host);
  if (protocol === 'tcp' && name.length > LONGEST_TEXT)
    return refusal('SOCKS proxy: the name of the server exceeds 255 characters');
  yield send(
    protocol === 'udp'
      ? Uint8Array.of(VERSION, COMMAND.udpAssociate, 0, KIND.ipv4, 0, 0, 0, 0, 0, 0)
      : concatBytes(
          Uint8Array.of(VERSION, COMMAND.connect, 0, KIND.name, name.length),
          name,
          Uint8Array.of(port >>> 8, port & 0xff),
        ),
  );

  const [answered, reply = 0xff, , kind] = yield receive(4);
  if (answered !== VERSION || reply !== 0) {
    const why = replies[reply];
    return refusal(`recv_socks_reply: Socks proxy returned bad reply${why === undefined ? '' : ` (${why})`}`);
  }
  const bound = yield* readAddress(kind, proxy);
  if (bound === undefined) return refusal('recv_socks_reply: Socks proxy returned bad address type');
  if (protocol === 'tcp') return { result: 'through', relay: undefined };
  if (bound === 'name' || bound.port === 0)
    return refusal('establish_socks_proxy_udpassoc: Socks proxy did not answer with an address');
  yield { step: 'log', verb: 1, severity: 'notice', text: `SOCKS proxy wants us to send UDP to ${afInet(bound)}` };
  return { result: 'through', relay: bound };
}

function* logIn({ username, password }: ProxyLogin): Generator<ProxyStep, ProxyOutcome | undefined, Uint8Array> {
  const [name, secret] = [encodeText(username), encodeText(password)];
  const fits = [name, secret].every(({ length }) => length <= LONGEST_TEXT);
  if (!fits)
    return refusal('SOCKS username and/or password exceeds 255 characters.  Authentication not possible.', true);
  const message = concatBytes(Uint8Array.of(LOGIN_VERSION, name.length), name, Uint8Array.of(secret.length), secret);
  yield send(message);
  message.fill(0);
  secret.fill(0);
  const [version, status] = yield receive(2);
  // Some answer with the version of SOCKS.
  if ((version === LOGIN_VERSION || version === VERSION) && status === 0) return undefined;
  return refusal('socks_username_password_auth: server refused the authentication', true);
}

/** Undefined: no such kind. The address of all zeros means the proxy's own. */
function* readAddress(
  kind: number | undefined,
  proxy: Endpoint,
): Generator<ProxyStep, Endpoint | 'name' | undefined, Uint8Array> {
  switch (kind) {
    case KIND.ipv4: {
      const bytes = yield receive(4 + 2);
      const address = formatIpv4(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0));
      return placed({ family: 4, address, port: readUint16(bytes, 4) }, '0.0.0.0', proxy);
    }
    case KIND.ipv6: {
      const bytes = yield receive(16 + 2);
      const address = formatIpv6(bytes.subarray(0, 16));
      return placed({ family: 6, address, port: readUint16(bytes, 16) }, '::', proxy);
    }
    case KIND.name: {
      const [length = 0] = yield receive(1);
      yield receive(length + 2);
      return 'name';
    }
    default:
      return undefined;
  }
}

function placed(bound: Endpoint, anywhere: string, proxy: Endpoint): Endpoint {
  return bound.address === anywhere ? { ...proxy, port: bound.port } : bound;
}
