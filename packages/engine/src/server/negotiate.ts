/**
 * A server's choice for one client: cipher, key derivation, formats. The client learns it from the push reply.
 * upstream: multi.c `multi_client_set_protocol_options`, ssl_ncp.c (2.6).
 */

import { dataCiphers } from '../local-hello.js';
import { Capability, can, chooseCipher, type Negotiated, peerCiphers } from '../negotiation.js';
import type { ClientConfig } from '../options/client-config.js';
import type { Instance } from './instance.js';
import type { Top } from './top.js';

export interface ServerChoice {
  readonly data: Negotiated;
  /** The client takes a peer-id. */
  readonly dataV2: boolean;
  readonly tunMtu: number;
}

/** The choice, or what the client offered when there is no shared cipher. */
export function negotiate(top: Top, instance: Instance, config: ClientConfig): ServerChoice | string {
  const { options, crypto, abilities } = top.settings;
  const { capabilities } = instance;
  const peerOptions = instance.context.session.active?.primary.peerHello?.options ?? '';
  const offered = peerCiphers(instance.peerInfo, peerOptions);
  const own = dataCiphers(config, crypto);
  const known = config.fallback && crypto.cipher(config.cipher) !== undefined ? config.cipher : undefined;
  const cipher = chooseCipher(own, offered) ?? known;
  if (cipher === undefined) return offered.join(':');

  const keyExport = can(capabilities, Capability.keyExport);
  const [connection] = options.connections;
  const theirMtu = Number(instance.peerInfo.get('IV_MTU') ?? 0);
  const wanted = connection?.tunMtu ?? 1500;
  return {
    dataV2: can(capabilities, Capability.dataV2),
    // A peer that does not say what it can take keeps the default (8.6).
    tunMtu: theirMtu > 0 ? Math.min(wanted, theirMtu) : wanted,
    data: {
      cipher,
      digest: options.data.auth,
      keyDerivation: keyExport ? 'tls-ekm' : 'prf',
      epoch:
        keyExport &&
        abilities.epoch &&
        can(capabilities, Capability.dataEpoch) &&
        crypto.cipher(cipher)?.mode === 'aead',
      exitNotify: can(capabilities, Capability.exitNotify),
      dynamicTlsCrypt: can(capabilities, Capability.dynamicTlsCrypt),
    },
  };
}
