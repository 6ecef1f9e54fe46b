/** Log lines of several machines, in OpenVPN's words and at its levels: other programs look for them. Source: 2.6.14's log. */
import type { Crypto, DropReason, Endpoint, KeyFailure, PeerId, SessionId } from '@seikan/core';

import type { ReplacedKey } from './context.js';
import type { Negotiated, PeerInfo } from './negotiation.js';
import type { TimerOptions, WrapOptions } from './options/options.js';
import { afInet, type TunnelLog } from './tunnel-log.js';

/** Somebody's hard reset, or the answer to ours. */
export function initialPacket(from: Endpoint, sessionId: SessionId): string {
  const hex = Array.from(sessionId, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `TLS: Initial packet from ${afInet(from)}, sid=${hex.slice(0, 8)} ${hex.slice(8)}`;
}

/** `reason` as the data channel says it; upstream says 0 for a connection that was closed. */
export function connectionReset(reason: string): string {
  return `Connection reset, restarting [${reason === 'closed by the peer' ? '0' : reason}]`;
}

/** With `single-session`. */
export function noSecondSession(from: Endpoint): string {
  return `TLS Error: Cannot accept new session request from ${afInet(from)} due to session context expire or --single-session`;
}

/** A control packet that was wrapped with another key, or none. */
export function logWrongKey(log: TunnelLog, wrap: WrapOptions, reason: DropReason, from: Endpoint): void {
  if (reason === 'bad-hmac' && wrap.tlsAuth !== undefined) {
    log.error('Authenticate/Decrypt packet error: packet HMAC authentication failed');
    log.error(`TLS Error: incoming packet authentication failed from ${afInet(from)}`);
    return;
  }
  // Its owner may have no such key at all.
  const isShort = reason === 'truncated' && wrap.tlsCrypt !== undefined;
  if (reason !== 'bad-hmac' && !isShort) return;
  log.error(`tls-crypt unwrap error: packet ${isShort ? 'too short' : 'authentication failed'}`);
  log.error(`TLS Error: tls-crypt unwrapping failed from ${afInet(from)}`);
}

export function logSoftReset(log: TunnelLog, { age, bytes, packets, limits }: ReplacedKey): void {
  const seconds = `${Math.floor(age / 1000)}/${Math.floor(limits.after / 1000)}`;
  log.info(3, `TLS: soft reset sec=${seconds} bytes=${bytes}/${limits.bytes || -1} pkts=${packets}/${limits.packets}`);
}

/** Why a key was not agreed on. */
export function logFailure(log: TunnelLog, { reason, tls }: KeyFailure): void {
  if (tls !== undefined) {
    if (/unsupported protocol|protocol version|no protocols available/.test(tls.reason))
      log.error('TLS error: Unsupported protocol. Compare tls-version-min and tls-version-max of both ends.');
    if (/no shared cipher|no suitable|handshake failure/.test(tls.reason))
      log.error('TLS error: nothing in common. Compare tls-cipher, tls-ciphersuites, tls-groups and the certificates.');
    log.error(`OpenSSL: ${tls.reason}`);
    if (tls.alert !== undefined) log.error(`TLS alert ${tls.alert.direction}: ${tls.alert.name}`);
    log.error('TLS_ERROR: BIO read tls_read_plaintext error');
  }
  log.error(`TLS Error: ${reason}`);
  log.error('TLS Error: TLS handshake failed');
}

export interface AgreedChannel {
  readonly negotiated: Negotiated;
  readonly peerId: PeerId | undefined;
  readonly timers: TimerOptions;
  /** How often, as `explicit-exit-notify` says; 0 without it. */
  readonly exitNotify: number;
}

/** What both ends agreed on. */
export function logDataChannel(log: TunnelLog, channel: AgreedChannel, crypto: Crypto): void {
  if (!log.shows(2)) return;
  const { negotiated, peerId, timers, exitNotify } = channel;
  const { epoch, cipher, digest } = negotiated;
  const auth = crypto.cipher(cipher)?.mode === 'aead' ? '' : `, auth '${digest}'`;
  log.info(
    2,
    `Data Channel: cipher '${cipher}'${auth}${peerId === undefined ? '' : `, peer-id: ${peerId}`}${epoch ? ', aead-epoch' : ''}`,
  );

  const { ping, pingTimeout, pingAction, inactive, sessionTimeout } = timers;
  const times = [
    ping > 0 ? `ping ${ping}` : '',
    pingTimeout > 0 ? `ping-${pingAction} ${pingTimeout}` : '',
    inactive > 0 ? `inactive ${inactive}` : '',
    sessionTimeout > 0 ? `session-timeout ${sessionTimeout}` : '',
  ].filter((text) => text !== '');
  if (times.length > 0) log.info(2, `Timers: ${times.join(', ')}`);

  const flags = protocolFlags(negotiated).join(' ');
  const options = [
    exitNotify > 0 ? `explicit-exit-notify ${exitNotify}` : '',
    flags === '' ? '' : `protocol-flags ${flags}`,
  ].filter((text) => text !== '');
  if (options.length > 0) log.info(2, `Protocol options: ${options.join(', ')}`);
}

/** The words of `protocol-flags`. */
export function protocolFlags({ exitNotify, keyDerivation, dynamicTlsCrypt, epoch }: Negotiated): string[] {
  return [
    ...(exitNotify ? ['cc-exit'] : []),
    ...(keyDerivation === 'tls-ekm' ? ['tls-ekm'] : []),
    ...(dynamicTlsCrypt ? ['dyn-tls-crypt'] : []),
    ...(epoch ? ['aead-epoch'] : []),
  ];
}

export function logPeerInfo(log: TunnelLog, peerInfo: PeerInfo): void {
  for (const [name, value] of peerInfo) log.info(1, `peer info: ${name}=${value}`);
}
