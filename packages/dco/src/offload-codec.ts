/**
 * What the two kernel families have in common, as values; each family's codec puts them into its own attributes.
 * Codecs are pure: `ovpn.ts` (mainline, Linux 6.16) and `ovpn-dco-v2.ts` (out of tree).
 */
import type { SocketAddress } from '@seikan/native';
import { type Attribute, attributeU32, type MessageWriter } from '@seikan/netconf';

import type { GenericMessage } from './generic-netlink.js';

export type OffloadFamily = 'ovpn' | 'ovpn-dco-v2';
/** `p2p`: one peer. `mp`: many, told apart by peer-id, and towards them by the next hop's VPN address. */
export type OffloadMode = 'p2p' | 'mp';
export type OffloadCipher = 'aes-gcm' | 'chacha20-poly1305';
/** What is sent is sealed under the primary; both open. */
export type KeySlotName = 'primary' | 'secondary';

export interface OffloadPeer {
  /** 24 bits, on packets both ways. */
  readonly peerId: number;
  /** A connected TCP socket, or the UDP socket of all peers: a descriptor of this process. The kernel holds the socket itself. */
  readonly socket: number;
  /** UDP only. */
  readonly remote: SocketAddress | undefined;
  /** The own address that packets leave from; left out, the kernel chooses. */
  readonly local?: string;
  /** `mp` needs one of both, `p2p` takes none. Numeric. */
  readonly vpn4: string | undefined;
  readonly vpn6: string | undefined;
}

/** In seconds; 0 is never. */
export interface OffloadKeepalive {
  readonly peerId: number;
  readonly interval: number;
  readonly timeout: number;
}

/** One direction's material, borrowed until the call returns. */
export interface OffloadKeyHalf {
  readonly cipher: Uint8Array;
  /** 8 bytes. */
  readonly nonceTail: Uint8Array;
}

export interface OffloadKey {
  readonly peerId: number;
  readonly slot: KeySlotName;
  /** 0 to 7. */
  readonly keyId: number;
  readonly cipher: OffloadCipher;
  readonly encrypt: OffloadKeyHalf;
  readonly decrypt: OffloadKeyHalf;
}

export interface Traffic {
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly readPackets: number;
  readonly writtenPackets: number;
}

/** What the kernel knows of a peer. Counters are exact up to 2^53. */
export interface OffloadPeerState {
  readonly peerId: number;
  readonly remote: SocketAddress | undefined;
  readonly vpn4: string | undefined;
  readonly vpn6: string | undefined;
  readonly localPort: number;
  readonly keepaliveInterval: number;
  readonly keepaliveTimeout: number;
  /** Packets of the tunnel. */
  readonly vpn: Traffic;
  /** Datagrams of the link, headers and pings included. */
  readonly link: Traffic;
}

export const deleteReasons = ['teardown', 'userspace', 'expired', 'transport-error', 'transport-disconnect'] as const;
export type DeleteReason = (typeof deleteReasons)[number];

export type OffloadEvent =
  | { readonly event: 'peerDeleted'; readonly peerId: number; readonly reason: DeleteReason }
  /** Nothing more can be sent under the key. */
  | { readonly event: 'keyExhausted'; readonly peerId: number; readonly keyId: number }
  /** The peer was heard, authenticated, from another address and has been moved there. */
  | { readonly event: 'floated'; readonly peerId: number; readonly remote: SocketAddress };

/** Begins a request of the family for the link, its first attribute written. */
export type BeginRequest = (command: number) => MessageWriter;

/** One family's messages. */
export interface OffloadCodec {
  readonly family: OffloadFamily;
  /** The kind of its links in rtnetlink. */
  readonly linkKind: 'ovpn' | 'ovpn-dco';
  newPeer(begin: BeginRequest, peer: OffloadPeer): MessageWriter;
  setKeepalive(begin: BeginRequest, keepalive: OffloadKeepalive): MessageWriter;
  deletePeer(begin: BeginRequest, peerId: number): MessageWriter;
  getPeer(begin: BeginRequest, peerId: number): MessageWriter;
  newKey(begin: BeginRequest, key: OffloadKey): MessageWriter;
  swapKeys(begin: BeginRequest, peerId: number): MessageWriter;
  deleteKey(begin: BeginRequest, peerId: number, slot: KeySlotName): MessageWriter;
  /** Reads an answer to `getPeer`; undefined when it is none. */
  readPeer(message: GenericMessage): OffloadPeerState | undefined;
  /** Reads a notification about the link `index`; undefined when it is about another, or none that is known. */
  readEvent(message: GenericMessage, index: number): OffloadEvent | undefined;
}

/** The first attribute of every message of both families. */
export const LINK_INDEX = 1;

export const SlotNumber = { primary: 0, secondary: 1 } as const;
export const CipherNumber = { 'aes-gcm': 1, 'chacha20-poly1305': 2 } as const;
const LinkData = { mode: 1 } as const;
const ModeNumber = { p2p: 0, mp: 1 } as const;

/** IFLA_INFO_DATA of both kinds of link. */
export function writeLinkMode(mode: OffloadMode): (writer: MessageWriter) => void {
  return (writer) => void writer.attributeU8(LinkData.mode, ModeNumber[mode]);
}

const KeyDirection = { cipherKey: 1, nonceTail: 2 } as const;

export function writeKeyHalf(writer: MessageWriter, type: number, { cipher, nonceTail }: OffloadKeyHalf): void {
  writer.nest(type, (half) =>
    half.attribute(KeyDirection.cipherKey, cipher).attribute(KeyDirection.nonceTail, nonceTail),
  );
}

/** Attributes by type. */
export class AttributeTable {
  readonly #byType = new Map<number, Attribute>();

  constructor(attributes: readonly Attribute[]) {
    for (const attribute of attributes) this.#byType.set(attribute.type, attribute);
  }

  get(type: number): Attribute | undefined {
    return this.#byType.get(type);
  }

  /** `read` of the attribute, or `otherwise` without one. */
  read<Value, Other>(type: number, read: (attribute: Attribute) => Value, otherwise: Other): Value | Other {
    const attribute = this.#byType.get(type);
    return attribute === undefined ? otherwise : read(attribute);
  }
}

export function isAbout(attributes: AttributeTable, index: number): boolean {
  return attributes.read(LINK_INDEX, attributeU32, undefined) === index;
}
