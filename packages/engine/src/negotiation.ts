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

/** IV_PROTO of a peer, 0 when absent or no number. */
export function capabilitiesOf(peerInfo: PeerInfo): number {
  return leadingNumber(peerInfo.get('IV_PROTO')) ?? 0;
}

export function can(capabilities: number, capability: number): boolean {
  return (capabilities & capability) !== 0;
}

/** A number with whatever stands behind it, as upstream's `sscanf` reads it; none below 0. */
export function leadingNumber(text: string | undefined): number | undefined {
  const digits = /^\s*\+?(\d{1,9})/.exec(text ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Whether a peer takes a cipher that is pushed. upstream: ssl_ncp.c `tls_peer_supports_ncp`. */
export function takesCipher(peerInfo: PeerInfo): boolean {
  return peerInfo.has('IV_CIPHERS') || (leadingNumber(peerInfo.get('IV_NCP')) ?? 0) >= 2;
}

/** The ciphers that a peer says it can: IV_CIPHERS, or for IV_NCP=2 the two AES-GCM; older ones say none here. */
export function listedCiphers(peerInfo: PeerInfo): readonly string[] {
  const listed = peerInfo.get('IV_CIPHERS');
  if (listed !== undefined) return listed.split(':').filter((name) => name.length > 0);
  return takesCipher(peerInfo) ? ['AES-256-GCM', 'AES-128-GCM'] : [];
}

/** The cipher in a peer's options string, all that older ones say ("poor man's NCP"). */
export function fixedCipher(optionsString: string): string | undefined {
  const cipher = parseOptionsString(optionsString).get('cipher');
  return cipher === '[null-cipher]' ? 'none' : cipher;
}
