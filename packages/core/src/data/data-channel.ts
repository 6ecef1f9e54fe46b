/**
 * The data channel seen from the control side: peers, keys and routes are *installed* into it and it moves packets
 * on its own. Three implementers: `inline` (this process, plain TypeScript), `worker` (a thread over native batches)
 * and `kernel` (ovpn / ovpn-dco-v2). One compliance suite runs against all of them.
 *
 * Rules of the seam (ARCHITECTURE.md, "The seam"): commands and events are one FIFO each; a key is installed before
 * any control packet that lets the peer use it; each message names (peer, generation) and stale ones are dropped;
 * a key is installed once, in one channel; data for a key that is not installed is a counted drop.
 */
import type { Endpoint } from '../bytes/endpoint.js';
import type { Millis } from '../bytes/millis.js';
import type { DataKey } from '../keys/data-key.js';
import type { KeyId } from '../wire/opcode.js';

declare const linkId: unique symbol;
declare const peerId: unique symbol;

/** One socket: a UDP socket, a TCP listener, or one TCP connection. A positive number chosen by whoever opens it, or a negative one by the channel for a connection it accepts; never reused. */
export type LinkId = number & { readonly [linkId]?: true };
/** 24 bits on the wire; also the index of a peer in the channel's table. 0xffffff is "no peer-id". */
export type PeerId = number & { readonly [peerId]?: true };

/** A peer in the table. `index` is reused after delPeer; `generation` (from 1, per index) never is, so stale messages show. */
export interface PeerRef {
  readonly index: PeerId;
  readonly generation: number;
}

/** What a channel is told once, when it is made. */
export interface ChannelSettings {
  /**
   * `p2p`: one peer (index 0), found by link alone. `server`: many, found by peer-id or real address.
   * `static-key`: as p2p, but without a control channel: packets carry no opcode byte and key 0 opens them all.
   */
  readonly mode: 'p2p' | 'server' | 'static-key';
  readonly device: 'tun' | 'tap';
  /** Size of the peer table; upstream's max-clients. */
  readonly maxPeers: number;
  readonly clientToClient: boolean;
  /** tap: how many MAC addresses are learned behind one peer; upstream's max-routes-per-client. */
  readonly maxLearned: number;
  /** tap: an address is learned when control allows it (`learnMac`), not when it is seen; its frames are dropped until then. */
  readonly asksToLearn: boolean;
}

export interface PeerSettings {
  readonly link: LinkId;
  readonly remote: Endpoint;
  /** The peer-id written on packets to this peer; `undefined` sends P_DATA_V1. */
  readonly sendPeerId: PeerId | undefined;
  /** The peer-id expected on packets from it; `undefined` (p2p only) takes any and P_DATA_V1 too. */
  readonly receivePeerId: PeerId | undefined;
  /** Whether an authenticated packet from another address moves the peer. UDP only. */
  readonly float: boolean;
  /** Send a ping after so long without sending anything; 0 is never. */
  readonly pingInterval: Millis;
  /** Report `peerTimeout` after so long without hearing an authenticated packet; 0 is never. */
  readonly pingTimeout: Millis;
  /** Clamp the MSS of TCP SYNs to this many bytes of inner TCP payload for IPv4 (IPv6: 20 less); 0 is off. */
  readonly mssClamp: number;
  /** Largest plaintext of one fragment including its 4-byte header, or 0 without `fragment`. */
  readonly fragmentSize: number;
  readonly compression: CompressionFraming;
  /** p2p: drop tun packets whose destination is the peer's own real address (off with `allow-recursive-routing`). */
  readonly guardRecursion: boolean;
  /** Answer the IPv6 packets of the local host (p2p) or of the peer (server) with ICMPv6 "no route to destination". */
  readonly blockIpv6: boolean;
}

/** How the byte (or bytes) that name a compression are framed. Nothing is ever compressed on send. */
export type CompressionFraming = 'none' | 'lzo-no' | 'stub' | 'stub-v2';

/** A network behind a peer: its own address (host route), or an `iroute`. MAC addresses are found inside the channel. */
export interface PeerRoute {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, host bits zero. */
  readonly network: Uint8Array;
  readonly bits: number;
}

export type DataChannelCommand =
  | { readonly verb: 'sendControl'; readonly link: LinkId; readonly to: Endpoint; readonly bytes: Uint8Array }
  | { readonly verb: 'newPeer'; readonly peer: PeerRef; readonly settings: PeerSettings }
  | { readonly verb: 'setPeer'; readonly peer: PeerRef; readonly settings: Partial<PeerSettings> }
  /** Answered by `peerDeleted` with the final counters. Its keys and routes go with it. */
  | { readonly verb: 'delPeer'; readonly peer: PeerRef }
  | { readonly verb: 'newKey'; readonly peer: PeerRef; readonly keyId: KeyId; readonly key: DataKey }
  /** From now on the peer's packets are sealed under this key. Idempotent. */
  | { readonly verb: 'swapKeys'; readonly peer: PeerRef; readonly primary: KeyId }
  | { readonly verb: 'delKey'; readonly peer: PeerRef; readonly keyId: KeyId }
  /** The latest owner of a route wins, as upstream's multi_learn_addr does. */
  | { readonly verb: 'addRoute'; readonly peer: PeerRef; readonly route: PeerRoute }
  | { readonly verb: 'delRoute'; readonly peer: PeerRef; readonly route: PeerRoute }
  /** tap, with `asksToLearn`: the peer owns this address from now on. 6 bytes. */
  | { readonly verb: 'learnMac'; readonly peer: PeerRef; readonly mac: Uint8Array }
  /** An OCC message (type and payload; the channel puts the 16-byte magic before it), sent under the primary key. */
  | { readonly verb: 'sendMessage'; readonly peer: PeerRef; readonly plaintext: Uint8Array }
  /** An accepted control packet counts as a sign of life. */
  | { readonly verb: 'touchPeer'; readonly peer: PeerRef };

export type DataChannelEvent =
  /** A control packet (opcode byte and all). The bytes are lent until the handler returns. */
  | { readonly event: 'control'; readonly link: LinkId; readonly from: Endpoint; readonly bytes: Uint8Array }
  /** A TCP connection was accepted on a listening link, or one made by us is up. */
  | {
      readonly event: 'linkUp';
      readonly link: LinkId;
      readonly listener: LinkId | undefined;
      readonly remote: Endpoint;
    }
  /**
   * A connection on a shared port does not speak OpenVPN: the link is gone, the socket's descriptor is the receiver's, and
   * `begun` was read from it.
   */
  | { readonly event: 'linkForeign'; readonly link: LinkId; readonly fd: number; readonly begun: Uint8Array }
  /** A link is gone: closed by the peer, reset, a bad length, or the socket failed. */
  | { readonly event: 'linkDown'; readonly link: LinkId; readonly reason: string }
  /**
   * A datagram could not be read or sent; the link goes on. `text` as OpenVPN logs it. `unreachable`: there is no route
   * for it. At most one a second and link.
   */
  | { readonly event: 'linkError'; readonly link: LinkId; readonly text: string; readonly unreachable: boolean }
  | { readonly event: 'tunDown'; readonly reason: string }
  /** The channel failed as a whole: its keys, links and tun are gone. It begins anew with the next link or tun. */
  | { readonly event: 'channelDown'; readonly reason: string }
  /** The peer was authenticated at another address, which no other peer holds, and has been moved there. */
  | { readonly event: 'float'; readonly peer: PeerRef; readonly to: Endpoint; readonly link: LinkId }
  /** An authenticated packet came from an address that another peer holds: control decides (setPeer or delPeer). */
  | {
      readonly event: 'floatConflict';
      readonly peer: PeerRef;
      readonly to: Endpoint;
      readonly link: LinkId;
      readonly holder: PeerRef;
    }
  | { readonly event: 'peerTimeout'; readonly peer: PeerRef }
  /** The channel carries the peer no longer, or refused it: the kernel let go of it, or its connection failed there. */
  | { readonly event: 'peerLost'; readonly peer: PeerRef; readonly reason: string }
  | { readonly event: 'peerDeleted'; readonly peer: PeerRef; readonly counters: PeerCounters }
  /** The first authenticated packet under a key: the peer has it too, so that packets to it may be sealed under it. */
  | { readonly event: 'keyConfirmed'; readonly peer: PeerRef; readonly keyId: KeyId }
  /** A key is near its end: renegotiate. `hard`: nothing more is sent under it. */
  | {
      readonly event: 'keyLimit';
      readonly peer: PeerRef;
      readonly keyId: KeyId;
      readonly limit: 'packet-id' | 'usage' | 'epoch' | 'forgeries';
      readonly hard: boolean;
    }
  /** An OCC message (after its 16-byte magic: type and payload), e.g. the EXIT of a peer without cc-exit. Lent. */
  | { readonly event: 'message'; readonly peer: PeerRef; readonly plaintext: Uint8Array }
  /** tap: a MAC address was seen behind a peer, for the first time or after it was behind another; once for a peer that waits for `learnMac`. 6 bytes, the receiver's. */
  | { readonly event: 'learned'; readonly peer: PeerRef; readonly mac: Uint8Array };

/**
 * Exact up to 2^53; one writer each. Link bytes and packets count authenticated data datagrams whole; tun bytes count the
 * IP packets or Ethernet frames in them (so no ping), whether they crossed the tun or went to another peer:
 * `tunRead` towards the peer, `tunWritten` from it.
 */
export interface PeerCounters {
  readonly linkRead: number;
  readonly linkWritten: number;
  readonly tunRead: number;
  readonly tunWritten: number;
  readonly packetsRead: number;
  readonly packetsWritten: number;
  /** Drops by reason, only those that happened. */
  readonly drops: Readonly<Record<string, number>>;
}

/**
 * A data channel as the runtime holds it. Links and the tun are given as `Link` and `Tun` of the implementer's kind
 * (file descriptors for `worker`, `inline` and `kernel`, in-memory ends in tests); a channel owns what it was given.
 */
export interface DataChannel<Link, Tun> {
  openLink(link: LinkId, source: Link): void;
  closeLink(link: LinkId): void;
  /** Closes the tun attached before. While no peer is there (a restart with persist-tun), packets are read and dropped, counted. */
  attachTun(tun: Tun): void;
  /** Closes the tun. */
  detachTun(): void;
  handle(command: DataChannelCommand): void;
  readCounters(peer: PeerRef): PeerCounters | undefined;
  /** Drops that belong to no peer, by reason. */
  readDrops(): Readonly<Record<string, number>>;
  /** Wipes every key, closes what it owns. Idempotent. */
  close(): Promise<void>;
}
