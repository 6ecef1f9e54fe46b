/**
 * What this end and the other have agreed on, once: from a server's push, from a p2p peer's own announcement, or from
 * the configuration alone. Renegotiations keep to it.
 *
 * upstream: init.c `do_deferred_options`, ssl_ncp.c `p2p_mode_ncp` (2.6).
 */
import {
  type Crypto,
  cipherOrNone,
  type DataKey,
  deriveDataKey,
  exportP2pPeerId,
  type KeyState,
  type PeerId,
  parsePeerInfo,
  type StaticKey,
  toHex,
} from '@seikan/core';

import { dataCiphers } from '../local-hello.js';
import { Capability, can, capabilitiesOf, fixedCipher, type Negotiated } from '../negotiation.js';
import type { Connection, Options } from '../options/options.js';
import type { PulledOptions } from '../options/pull.js';

export interface Agreement {
  /** Own and pulled options together. */
  readonly options: Options;
  readonly connection: Connection;
  readonly negotiated: Negotiated;
  readonly peerId: PeerId | undefined;
  /** Of what the tun depends on: unchanged on a reconnect, the tun can stay. */
  readonly digest: string;
}

/** The agreement, or why the push cannot be used, in upstream's words. */
export function agreeOnPush(
  own: Options,
  pulled: PulledOptions,
  theirOptions: string,
  crypto: Crypto,
): Agreement | string {
  const { options, connection, protocolFlags, peerId } = pulled;
  const ciphers = dataCiphers(own.data, crypto);
  if (pulled.cipher !== undefined && !ciphers.includes(pulled.cipher)) {
    return `Error: negotiated cipher not allowed - ${pulled.cipher} not in ${ciphers.join(':')}`;
  }
  // A server that does not negotiate says its cipher in its options string; one that does not even do that has ours.
  const theirs = fixedCipher(theirOptions);
  let fixed: string | undefined;
  if (theirs === undefined) fixed = own.data.fallback ? own.data.cipher : undefined;
  else if (ciphers.includes(theirs)) fixed = theirs;
  const cipher = pulled.cipher ?? fixed;
  if (cipher === undefined || crypto.cipher(cipher) === undefined) {
    return theirs === undefined
      ? 'OPTIONS ERROR: failed to negotiate cipher with server. Configure --data-ciphers-fallback if you want to connect to this server.'
      : `OPTIONS ERROR: failed to negotiate cipher with server.  Add the server's cipher ('${theirs}') to --data-ciphers (currently '${ciphers.join(':')}') if you want to connect to this server.`;
  }
  if (protocolFlags.has('aead-epoch') && crypto.cipher(cipher)?.mode !== 'aead') {
    return `OPTIONS ERROR: the server pushed aead-epoch with a cipher that is none: ${cipher}`;
  }
  return {
    options,
    connection,
    peerId,
    digest: toHex(crypto.hash('SHA256', new TextEncoder().encode(pulled.digestInput))),
    negotiated: {
      cipher,
      digest: options.data.auth,
      keyDerivation: protocolFlags.has('tls-ekm') ? 'tls-ekm' : 'prf',
      epoch: protocolFlags.has('aead-epoch'),
      exitNotify: protocolFlags.has('cc-exit'),
      dynamicTlsCrypt: protocolFlags.has('dyn-tls-crypt'),
    },
  };
}

/** For peers that cannot export keys. */
const FIXED_PEER_ID: PeerId = 0x76706e;

/**
 * Both ends know both lists; the TLS server's order counts. Without a cipher that both have there is no agreement, unless
 * the configuration names one for that case. `result` is for the log, in upstream's words.
 */
export function agreeAsPeers(
  options: Options,
  connection: Connection,
  key: KeyState,
  crypto: Crypto,
): { readonly agreement: Agreement | undefined; readonly result: string } {
  const peerInfo = parsePeerInfo(key.peerHello?.peerInfo ?? '');
  const capabilities = capabilitiesOf(peerInfo);
  const negotiable = can(capabilities, Capability.ncpP2p);
  const exporting = negotiable && can(capabilities, Capability.keyExport);
  const own = dataCiphers(options.data, crypto);
  const theirs = peerInfo.get('IV_CIPHERS')?.split(':') ?? [];
  const [first, second] = options.tls.role === 'server' ? [own, theirs] : [theirs, own];
  const common = negotiable ? first.find((name) => second.includes(name)) : undefined;
  const { fallback, cipher: ownCipher } = options.data;
  const known = fallback && crypto.cipher(ownCipher) !== undefined ? ownCipher : undefined;
  const exported = exporting ? exportP2pPeerId(key.connection) : FIXED_PEER_ID;
  const peerId = negotiable && can(capabilities, Capability.dataV2) ? exported : undefined;
  const cipher = common ?? known;
  const named = common ?? `(not negotiated, fallback-cipher: ${known ?? 'none'})`;
  const result = `TLS_export=${Number(exporting)}, DATA_v2=${Number(peerId !== undefined)}, peer-id ${peerId ?? -1}, cipher=${named}`;
  if (cipher === undefined) return { agreement: undefined, result };
  const agreement: Agreement = {
    options,
    connection,
    peerId,
    digest: '',
    negotiated: {
      cipher,
      digest: options.data.auth,
      keyDerivation: exporting ? 'tls-ekm' : 'prf',
      epoch: false,
      exitNotify: negotiable && can(capabilities, Capability.exitNotify),
      dynamicTlsCrypt: negotiable && can(capabilities, Capability.dynamicTlsCrypt),
    },
  };
  return { agreement, result };
}

/** Static key mode: the configuration says it all. */
export function agreeOnStaticKey(options: Options, connection: Connection): Agreement {
  return {
    options,
    connection,
    peerId: undefined,
    digest: '',
    negotiated: {
      cipher: options.data.cipher,
      digest: options.data.auth,
      keyDerivation: 'prf',
      epoch: false,
      exitNotify: false,
      dynamicTlsCrypt: false,
    },
  };
}

/** The data key of static key mode; its packet ids carry the time, since the key outlives every process. */
export function staticDataKey({ data }: Options, material: StaticKey, crypto: Crypto): DataKey {
  const direction = data.secret?.direction;
  const cipher = cipherOrNone(crypto, data.cipher);
  if (cipher === undefined)
    throw new Error(`the configuration names a cipher that does not exist here: ${data.cipher}`);
  return deriveDataKey({
    crypto,
    material,
    direction: direction === undefined ? 'bidirectional' : direction === 0 ? 'normal' : 'inverse',
    cipher,
    digest: data.auth,
    epoch: false,
    replayWindow: data.replayWindow,
    replayTime: data.replayTime * 1000,
    longPacketId: true,
  });
}
