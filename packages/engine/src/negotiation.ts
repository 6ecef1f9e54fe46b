/**
 * What two peers agree on before data flows: protocol capabilities (IV_PROTO), the data cipher (NCP), key derivation.
 * upstream: ssl_ncp.c, push.c `prepare_push_reply`, ssl.c `push_peer_info` (2.6, 2.7).
 */

import { parseOptionsString } from '@seikan/core';

/** Bits of IV_PROTO; bit 0 is reserved. upstream: ssl.h, IV_PROTO_*. */
export const Capability = {
  dataV2: 1 << 1,
  requestPush: 1 << 2,
  keyExport: 1 << 3,
  authPendingKeyword: 1 << 4,
  ncpP2p: 1 << 5,
  dnsOption: 1 << 6,
  exitNotify: 1 << 7,
  authFailTemp: 1 << 8,
  dynamicTlsCrypt: 1 << 9,
  dataEpoch: 1 << 10,
  dnsOptionV2: 1 << 11,
  pushUpdate: 1 << 12,
} as const;

/** What was agreed for the data keys of one session. */
export interface Negotiated {
  readonly cipher: string;
  /** HMAC digest of non-AEAD ciphers. */
  readonly digest: string;
  readonly keyDerivation: 'tls-ekm' | 'prf';
  readonly epoch: boolean;
  readonly exitNotify: boolean;
  readonly dynamicTlsCrypt: boolean;
}

/** The lines `KEY=value` of a peer-info text, as a map; later lines win. */
export type PeerInfo = ReadonlyMap<string, string>;

/** IV_PROTO of a peer, 0 when absent or no number. Any bit implies DATA_V2. */
export function capabilitiesOf(peerInfo: PeerInfo): number {
  const text = peerInfo.get('IV_PROTO');
  if (text === undefined || !/^\d{1,9}$/.test(text)) return 0;
  const bits = Number(text);
  return bits > 0 ? bits | Capability.dataV2 : 0;
}

export function can(capabilities: number, capability: number): boolean {
  return (capabilities & capability) !== 0;
}

/**
 * The ciphers that a peer says it can: IV_CIPHERS, or for IV_NCP=2 the two AES-GCM; and the `cipher` of its options
 * string, which is all that older ones say ("poor man's NCP").
 */
export function peerCiphers(peerInfo: PeerInfo, optionsString: string): readonly string[] {
  const listed = peerInfo.get('IV_CIPHERS');
  const ciphers = listed?.split(':').filter((name) => name.length > 0) ?? [];
  if (listed === undefined && Number(peerInfo.get('IV_NCP') ?? 0) >= 2) ciphers.push('AES-256-GCM', 'AES-128-GCM');
  const own = parseOptionsString(optionsString).get('cipher');
  if (own !== undefined && !ciphers.includes(own)) ciphers.push(own);
  return ciphers;
}

/** The server's choice: the first of its own list that the peer knows; `undefined` means no shared cipher. */
export function chooseCipher(own: readonly string[], peer: readonly string[]): string | undefined {
  const known = new Set(peer.map((name) => name.toUpperCase()));
  return own.find((name) => known.has(name.toUpperCase()));
}
