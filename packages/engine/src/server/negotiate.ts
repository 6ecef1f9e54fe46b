/**
 * A server's choice for one client: cipher, key derivation, formats. The client learns it from the push reply.
 * upstream: multi.c `multi_client_set_protocol_options`, ssl_ncp.c (2.6).
 */

import { dataCiphers } from '../local-hello.js';
import { Capability, can, fixedCipher, listedCiphers, type Negotiated } from '../negotiation.js';
import type { ClientConfig } from '../options/client-config.js';
import type { Instance } from './instance.js';
import type { Top } from './top.js';

export interface ServerChoice {
  readonly data: Negotiated;
  /** The client takes a peer-id. */
  readonly dataV2: boolean;
}

/** The choice, or what a client is told that cannot be served, which is logged. */
export function negotiate(top: Top, instance: Instance, config: ClientConfig): ServerChoice | string {
  const { crypto, abilities, options } = top.settings;
  const { capabilities } = instance;
  const cipher = chooseCipher(top, instance, config);
  if (cipher === undefined) return 'Data channel cipher negotiation failed (no shared cipher)';
  const keyExport = can(capabilities, Capability.keyExport);
  if (!keyExport && options.tls.forceKeyMaterialExport) {
    instance.log.error(
      'PUSH: client does not support Keying Material Exporters (RFC 5705), which --force-tls-key-material-export asks for',
    );
    return 'Client incompatible with this server. Keying Material Exporters (RFC 5705) support missing. Upgrade to a client that supports this feature (OpenVPN 2.6.0+).';
  }
  return {
    dataV2: can(capabilities, Capability.dataV2),
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

/** The first of our own that the client lists, or has fixed; the fallback is for those who say nothing at all. */
function chooseCipher({ settings: { crypto } }: Top, instance: Instance, config: ClientConfig): string | undefined {
  const { log, peerInfo } = instance;
  const listed = listedCiphers(peerInfo);
  const fixed = fixedCipher(instance.context.session.active?.primary.peerHello?.options ?? '');
  const cipher = dataCiphers(config, crypto).find((name) => listed.includes(name) || name === fixed);
  if (cipher !== undefined) return cipher;
  if (listed.length > 0 || fixed !== undefined) {
    const theirs =
      listed.length > 0 ? `client supported ciphers '${listed.join(':')}'` : `client supports cipher '${fixed}'`;
    const own = config.dataCiphers.join(':');
    log.notice(`PUSH: No common cipher between server and client. Server data-ciphers: '${own}', ${theirs}`);
    return undefined;
  }
  log.notice('PUSH: No NCP or OCC cipher data received from peer.');
  if (config.fallback && crypto.cipher(config.cipher) !== undefined) {
    log.notice(`Using data channel cipher '${config.cipher}' since --data-ciphers-fallback is set.`);
    return config.cipher;
  }
  log.notice(
    'Use --data-ciphers-fallback with the cipher the client is using if you want to allow the client to connect',
  );
  return undefined;
}
