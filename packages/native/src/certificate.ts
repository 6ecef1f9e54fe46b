import type { PeerCertificate } from '@seikan/core';

import { opensslRoom } from './openssl-room.js';

/**
 * Reads one certificate (DER, or the first of PEM text) as verification would see it; its depth is 0.
 * Throws OpenSSL's reason when there is none.
 */
export function readCertificate(certificate: Uint8Array | string): PeerCertificate {
  const bytes = typeof certificate === 'string' ? new TextEncoder().encode(certificate) : certificate;
  return opensslRoom().readCertificate(bytes);
}
