/**
 * What we say of ourselves in the key method 2 message: the options string, and as client the peer info.
 * upstream: ssl.c `push_peer_info` (2.6).
 */
import { type Crypto, encodeText } from '@seikan/core';

import { Capability } from './negotiation.js';
import type { Connection, Options } from './options/options.js';
import { largestTunMtu } from './tun-mtu.js';

/** What this build is, for IV_ variables. */
export interface Product {
  /** The OpenVPN version that servers may rely on: features are told by IV_PROTO, but some look at this. */
  readonly openvpnVersion: string;
  readonly name: string;
  readonly version: string;
  readonly platform: string;
}

/** What `push-peer-info` tells of the host. */
export interface HostFacts {
  /** The MAC address of the device that the default route goes through, `52:54:00:12:34:56`. */
  readonly hardwareAddress: string | undefined;
  readonly tlsLibrary: string;
  /** The release of the operating system's kernel. */
  readonly platformVersion: string;
}

export interface ChannelAbilities {
  /** The data channel speaks the epoch format. */
  readonly epoch: boolean;
  /** The kernel carries it: data v2 packets with AEAD ciphers, and nothing around them. */
  readonly offload: boolean;
}

/** IV_PROTO as we announce it. */
export function localCapabilities(options: Options, abilities: ChannelAbilities, crypto: Crypto): number {
  let bits = Capability.dataV2 | Capability.keyExport | Capability.exitNotify | Capability.dynamicTlsCrypt;
  if (options.pull)
    bits |= Capability.requestPush | Capability.authPendingKeyword | Capability.authFailTemp | Capability.dnsOptionV2;
  else bits |= Capability.ncpP2p;
  // Epoch keys are AEAD only: with another cipher in the list the choice would be the server's alone.
  if (abilities.epoch && dataCiphers(options.data, crypto).every((name) => crypto.cipher(name)?.mode === 'aead'))
    bits |= Capability.dataEpoch;
  return bits;
}

/** Our data ciphers that exist here, in upstream's spelling, without the `?` of optional ones. */
export function dataCiphers(
  { dataCiphers: configured }: { readonly dataCiphers: readonly string[] },
  crypto: Crypto,
): readonly string[] {
  return configured
    .map((name) => (name.startsWith('?') ? name.slice(1) : name))
    .filter((name) => crypto.cipher(name) !== undefined);
}

export interface PeerInfoInput {
  readonly options: Options;
  readonly connection: Connection;
  readonly product: Product;
  readonly abilities: ChannelAbilities;
  readonly crypto: Crypto;
  /** Asked for only with `push-peer-info`. */
  readonly hostFacts: () => HostFacts;
}

/** Bytes, with a NUL. */
const MAX_PEER_INFO = 1_536;

/**
 * The peer info of a client, or of a p2p peer, which tells no more than what is negotiated unless `push-peer-info` is set:
 * lines `KEY=value`.
 */
export function peerInfoText({ options, connection, product, abilities, crypto, hostFacts }: PeerInfoInput): string {
  const ciphers = dataCiphers(options.data, crypto);
  const { pushPeerInfo } = options.tls;
  const { pull } = options;
  const isTalkative = pull || pushPeerInfo;
  const lines: string[] = [];
  if (isTalkative) lines.push(`IV_VER=${product.openvpnVersion}`, `IV_PLAT=${product.platform}`, 'IV_TCPNL=1');
  if (pull) lines.push(`IV_MTU=${largestTunMtu(connection)}`);
  if (pull && ciphers.includes('AES-128-GCM') && ciphers.includes('AES-256-GCM')) lines.push('IV_NCP=2');
  lines.push(`IV_CIPHERS=${ciphers.join(':')}`, `IV_PROTO=${localCapabilities(options, abilities, crypto)}`);
  if (isTalkative && !abilities.offload) lines.push('IV_LZO_STUB=1', 'IV_COMP_STUB=1', 'IV_COMP_STUBv2=1');
  if (pushPeerInfo) {
    const { hardwareAddress, tlsLibrary, platformVersion } = hostFacts();
    if (hardwareAddress !== undefined) lines.push(`IV_HWADDR=${hardwareAddress}`);
    lines.push(`IV_SSL=${tlsLibrary}`, `IV_PLAT_VER=${platformVersion}`);
  }
  if (isTalkative) lines.push(`IV_GUI_VER=${product.name}_${product.version}`);
  // What the configuration sets comes last and wins: a front end's own name, the user's own variables.
  for (const { name, value } of options.environment) {
    const isPrivate = name.startsWith('UV_') || name === 'IV_PLAT_VER';
    const isFrontEnd = name === 'IV_GUI_VER' || name === 'IV_SSO';
    if (!(isPrivate ? pushPeerInfo : isFrontEnd && isTalkative)) continue;
    // As upstream does: a message that is longer than a peer's buffer ends the session.
    const line = `${name}=${value}`;
    if (encodeText(`${[...lines, line].join('\n')}\n`).length < MAX_PEER_INFO) lines.push(line);
  }
  return `${lines.join('\n')}\n`;
}
