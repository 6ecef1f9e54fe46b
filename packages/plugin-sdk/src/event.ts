/**
 * The events as a plugin's author sees them: one variant per event, with arguments and the usual variables parsed.
 *
 * Source: OpenVPN 2.6 manual ("Environmental Variables"), argv per event in include/openvpn-plugin.h and the call sites.
 * Strings may hold escaped bytes (see text.ts); numbers that do not parse are NaN-free: absent variables are `undefined`.
 */

import { base64Decode, base64Text, hexDecode } from './base64.js';
import type { PluginEventName } from './event-name.js';
import { encodeText } from './text.js';

export type Env = Readonly<Record<string, string>>;

/** A client of a server, or the tunnel itself (id 0). `state` is the plugin's own, made by its `client` function. */
export interface Client<State = unknown> {
  readonly id: number;
  readonly state: State;
}

interface Common<Type extends AuthorEvent, State> {
  readonly type: Type;
  /** argv[0] is the plugin's name as configured. */
  readonly argv: readonly string[];
  readonly env: Env;
  /** The bytes of a variable as they came. */
  raw(name: string): Uint8Array | undefined;
  readonly client: Client<State>;
}

/** Events as authors name them. `client-connect` stands for events 9 and 14: deferral is looked after. */
export type AuthorEvent = Exclude<
  PluginEventName,
  'client-connect-v2' | 'client-connect-defer' | 'client-connect-defer-v2'
>;

interface Device {
  readonly device: string;
  readonly tunMtu: number | undefined;
  readonly localAddress: string;
  /** The peer's address with a point-to-point device, the netmask otherwise. */
  readonly remoteOrNetmask: string;
  /** `restart` after SIGUSR1 or a reconnection. */
  readonly cause: 'init' | 'restart';
}

/** Where a packet came from: before authentication (`untrusted_*`) or after (`trusted_*`). */
export interface Peer {
  readonly address: string;
  readonly port: number | undefined;
}

/** A password that carries a challenge's answer (`SCRV1:…`, `CRV1::…`), or a plain one. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly commonName: string | undefined;
  /** The answer to a static challenge (`static-challenge` in the client's config). */
  readonly response: string | undefined;
}

export type PluginEvent<State = unknown> =
  | (Common<'up', State> & Device)
  | (Common<'down', State> & Device & { readonly signal: string | undefined })
  | (Common<'route-predown', State> & Device & { readonly signal: string | undefined })
  | Common<'route-up', State>
  | (Common<'ipchange', State> & { readonly peer: Peer })
  | (Common<'tls-verify', State> & {
      readonly depth: number;
      readonly subject: string;
      /** DER. Absent where the VPN has no OpenSSL. */
      readonly certificate: Uint8Array | undefined;
      readonly serial: string | undefined;
      readonly sha256: string | undefined;
      readonly peer: Peer;
    })
  | (Common<'auth-user-pass-verify', State> & Credentials & { readonly peer: Peer })
  | (Common<'tls-final', State> & { readonly keyingMaterial: Uint8Array | undefined })
  | (Common<'client-connect', State> & {
      readonly commonName: string | undefined;
      readonly username: string | undefined;
      readonly peer: Peer;
      readonly address: string | undefined;
      readonly address6: string | undefined;
    })
  | (Common<'client-disconnect', State> & {
      readonly commonName: string | undefined;
      readonly bytesReceived: number | undefined;
      readonly bytesSent: number | undefined;
      /** Seconds. */
      readonly duration: number | undefined;
    })
  | (Common<'learn-address', State> & {
      readonly operation: 'add' | 'update' | 'delete';
      /** An IP, `network/bits`, or a MAC with `@vlan`. */
      readonly address: string;
      readonly commonName: string | undefined;
    })
  | (Common<'client-crresponse', State> & { readonly response: string });

export type EventOf<Type extends AuthorEvent, State = unknown> = Extract<PluginEvent<State>, { type: Type }>;

/** What a host hands over. */
export interface EventInput {
  readonly event: PluginEventName;
  readonly context: number;
  /** With argv[0]. */
  readonly argv: readonly string[];
  readonly env: Env;
  readonly certificate?: { readonly depth: number; readonly der: Uint8Array };
}

/** The typed event of an input. `type` is its event as authors name it. */
export function parseEvent<State>(type: AuthorEvent, input: EventInput, client: Client<State>): PluginEvent<State> {
  const { env } = input;
  const [, ...args] = input.argv;
  // Last in each event: a literal that begins with a spread takes ten times as long (V8 11.3).
  const common = {
    argv: input.argv,
    env,
    raw: (name: string) => (env[name] === undefined ? undefined : encodeText(env[name])),
    client,
  };
  const device = (): Device => ({
    device: args[0] ?? '',
    tunMtu: number(args[1]),
    localAddress: args[3] ?? '',
    remoteOrNetmask: args[4] ?? '',
    cause: args[5] === 'restart' ? 'restart' : 'init',
  });
  const commonName = env['common_name'];

  switch (type) {
    case 'up':
      return { type, ...device(), ...common };
    case 'down':
    case 'route-predown':
      return { type, signal: env['signal'], ...device(), ...common };
    case 'route-up':
      return { type, ...common };
    case 'ipchange':
      return { type, peer: linkPeer(args[0] ?? ''), ...common };
    case 'tls-verify': {
      const depth = number(args[0]) ?? 0;
      return {
        type,
        depth,
        subject: args[1] ?? '',
        certificate: input.certificate?.der,
        serial: env[`tls_serial_hex_${depth}`],
        sha256: env[`tls_digest_sha256_${depth}`],
        peer: peer(env, 'untrusted'),
        ...common,
      };
    }
    case 'auth-user-pass-verify':
      return { type, commonName, peer: peer(env, 'untrusted'), ...credentials(env), ...common };
    case 'tls-final':
      return { type, keyingMaterial: hexDecode(env['exported_keying_material'] ?? ''), ...common };
    case 'client-connect':
      return {
        type,
        commonName,
        username: env['username'],
        peer: peer(env, 'trusted'),
        address: env['ifconfig_pool_remote_ip'],
        address6: env['ifconfig_pool_remote_ip6'],
        ...common,
      };
    case 'client-disconnect':
      return {
        type,
        commonName,
        bytesReceived: number(env['bytes_received']),
        bytesSent: number(env['bytes_sent']),
        duration: number(env['time_duration']),
        ...common,
      };
    case 'learn-address': {
      const operation = args[0] === 'add' || args[0] === 'update' ? args[0] : 'delete';
      return { ...common, type, operation, address: args[1] ?? '', commonName: args[2] };
    }
    case 'client-crresponse': {
      const sent = env['crresponse'] ?? '';
      return { type, response: base64Text(sent) ?? sent, ...common };
    }
    default:
      return type satisfies never;
  }
}

/**
 * Splits a password that answers a static challenge: `SCRV1:base64(password):base64(response)`.
 * Anything else is the password itself, without a response.
 */
export function parseStaticChallenge(password: string): { password: string; response: string | undefined } {
  const parts = password.split(':');
  if (parts.length !== 3 || parts[0] !== 'SCRV1') return { password, response: undefined };
  const [first, second] = [base64Decode(parts[1] ?? ''), base64Decode(parts[2] ?? '')];
  if (first === undefined || second === undefined) return { password, response: undefined };
  return { password: base64Text(parts[1] ?? '') ?? '', response: base64Text(parts[2] ?? '') };
}

function credentials(env: Env): Omit<Credentials, 'commonName'> {
  return { username: env['username'] ?? '', ...parseStaticChallenge(env['password'] ?? '') };
}

function peer(env: Env, trust: 'trusted' | 'untrusted'): Peer {
  return { address: env[`${trust}_ip`] ?? env[`${trust}_ip6`] ?? '', port: number(env[`${trust}_port`]) };
}

/** `[AF_INET]10.99.0.2 42416`, `[AF_INET6]2001:db8::1 1194`. */
function linkPeer(text: string): Peer {
  const [address = '', port] = text.replace(/^\[AF_INET6?\]/, '').split(' ');
  return { address, port: number(port) };
}

function number(text: string | undefined): number | undefined {
  if (text === undefined || !/^-?\d+$/.test(text)) return undefined;
  return Number(text);
}
