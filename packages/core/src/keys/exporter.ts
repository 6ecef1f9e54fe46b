/**
 * What OpenVPN takes out of a TLS session by its exporter (RFC 5705, without context).
 *
 * Source: OpenVPN 2.6 `ssl_common.h` (EXPORTER-OpenVPN-*), `tls_crypt.c` (`tls_session_generate_dynamic_tls_crypt_key`),
 * `ssl_ncp.c` (`p2p_ncp_set_options`).
 */
import { xorBytes } from '../bytes/bytes.js';
import type { TlsConnection } from '../tls/tls.js';

const DATA_KEYS_LABEL = 'EXPORTER-OpenVPN-datakeys';
const DYNAMIC_WRAP_LABEL = 'EXPORTER-OpenVPN-dynamic-tls-crypt';
const P2P_PEER_ID_LABEL = 'EXPORTER-OpenVPN-p2p-peerid';
const KEY_MATERIAL_SIZE = 256;

type Exporter = Pick<TlsConnection, 'exportKeyingMaterial'>;

/** 256 bytes in the shape of a static key; the caller wipes them. */
export function exportDataKeys(tls: Exporter): Uint8Array {
  return tls.exportKeyingMaterial(DATA_KEYS_LABEL, KEY_MATERIAL_SIZE);
}

/**
 * The tls-crypt key of renegotiations (dynamic tls-crypt): 256 bytes, the caller wipes them.
 * `original` is the key that wraps the first negotiation: the tls-auth or tls-crypt static key, or the client key Kc.
 */
export function exportDynamicWrapKey(tls: Exporter, original: Uint8Array | undefined): Uint8Array {
  const exported = tls.exportKeyingMaterial(DYNAMIC_WRAP_LABEL, KEY_MATERIAL_SIZE);
  if (original === undefined) return exported;
  const key = xorBytes(exported, original);
  exported.fill(0);
  return key;
}

/** The peer-id of a point-to-point session, the same on both ends. */
export function exportP2pPeerId(tls: Exporter): number {
  const [high = 0, middle = 0, low = 0] = tls.exportKeyingMaterial(P2P_PEER_ID_LABEL, 3);
  return (high << 16) | (middle << 8) | low;
}
