/** What the data channel is told of a peer, from the effective options and what was negotiated. */
import {
  type Crypto,
  type Endpoint,
  fragmentSize,
  type LinkId,
  messageOverhead,
  mssClamp,
  occMagic,
  type PacketShape,
  type PeerId,
  type PeerSettings,
} from '@seikan/core';
import type { Negotiated } from './negotiation.js';
import type { ClientConfig } from './options/client-config.js';
import type { Connection, Options } from './options/options.js';
import { PacketSizes } from './packet-sizes.js';

export interface PeerSettingsInput {
  readonly options: Options;
  readonly connection: Connection;
  readonly negotiated: Negotiated;
  readonly link: LinkId;
  readonly remote: Endpoint;
  /** Undefined: P_DATA_V1 both ways. */
  readonly peerId: PeerId | undefined;
  readonly crypto: Crypto;
  /** What a server has settled for this client, in place of its own options. */
  readonly settled?: Pick<ClientConfig, 'timers' | 'compression'>;
}

export function peerSettings(input: PeerSettingsInput): PeerSettings {
  const { options, connection, link, remote, peerId } = input;
  const { timers } = input.settled ?? options;
  const isServer = options.mode === 'server';
  const shape = packetShape(input);
  const { fragment, fragmentIncludesTransport, mssfix } = connection;
  const limit = { size: fragment, mode: fragmentIncludesTransport ? ('mtu' as const) : ('payload' as const) };
  return {
    link,
    remote,
    sendPeerId: peerId,
    receivePeerId: isServer ? peerId : undefined,
    float: isServer || connection.float,
    pingInterval: timers.ping * 1000,
    pingTimeout: timers.pingTimeout * 1000,
    mssClamp: mssClamp({ size: mssfix.size, mode: mssfix.measure === 'packet' ? 'payload' : mssfix.measure }, shape),
    fragmentSize: fragment > 0 ? fragmentSize(limit, shape) : 0,
    compression: shape.compression,
    guardRecursion: options.mode === 'p2p' && !options.device.allowRecursiveRouting,
    blockIpv6: options.routing.blockIpv6,
  };
}

/** Who answers the peer's questions about the size of packets. */
export function packetSizes(input: PeerSettingsInput, send: (plaintext: Uint8Array) => void): PacketSizes {
  const overhead = messageOverhead(packetShape(input));
  return new PacketSizes({
    overhead,
    largest: overhead - occMagic.length + input.connection.tunMtu,
    send,
  });
}

/** Before each UDP packet to a SOCKS proxy. upstream: SOCKS_UDPv4_HEADROOM. */
const SOCKS_HEADER_SIZE = 10;

function packetShape(input: PeerSettingsInput): PacketShape {
  const { options, connection, negotiated, remote, peerId, crypto } = input;
  const cipher = crypto.cipher(negotiated.cipher);
  return {
    family: remote.family,
    transport: connection.protocol === 'udp' ? 'udp' : 'tcp',
    relayHeaderSize: connection.protocol === 'udp' && connection.proxy !== undefined ? SOCKS_HEADER_SIZE : 0,
    headerSize: options.tls.role === 'none' ? 0 : peerId === undefined ? 1 : 4,
    format: cipher?.mode !== 'aead' ? 'block' : negotiated.epoch ? 'epoch' : 'aead',
    cipher,
    digestSize: negotiated.digest === 'none' ? 0 : (crypto.digestSize(negotiated.digest) ?? 0),
    longPacketId: options.tls.role === 'none',
    compression: (input.settled ?? options.data).compression.framing,
    fragment: connection.fragment > 0,
    device: options.device.type === 'tap' ? 'tap' : 'tun',
  };
}
