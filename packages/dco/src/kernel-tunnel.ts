/**
 * One offloaded link of the kernel: peers, keys, counters and what the kernel reports. The interface is what the `kernel`
 * data channel and the netcfg service use; `NetlinkTunnel` speaks to the kernel by either family.
 *
 * Each call has had its effect when it returns, and throws a NetlinkError with the kernel's words when it is refused. The
 * kernel forgets peers by itself: what concerns a peer that it no longer has is an ENOENT.
 */
import { type MessageWriter, NetlinkConnection, NetlinkError, openGenericPort } from '@seikan/netconf';

import { type GenericFamily, type GenericRequests, genericRequest, parseGeneric } from './generic-netlink.js';
import {
  type KeySlotName,
  LINK_INDEX,
  type OffloadCodec,
  type OffloadEvent,
  type OffloadFamily,
  type OffloadKeepalive,
  type OffloadKey,
  type OffloadPeer,
  type OffloadPeerState,
} from './offload-codec.js';

export interface KernelTunnel {
  readonly family: OffloadFamily;
  /** The link's. */
  readonly index: number;
  readonly name: string;
  newPeer(peer: OffloadPeer): void;
  setKeepalive(keepalive: OffloadKeepalive): void;
  deletePeer(peerId: number): void;
  /** Undefined when the kernel has no such peer. */
  readPeer(peerId: number): OffloadPeerState | undefined;
  newKey(key: OffloadKey): void;
  swapKeys(peerId: number): void;
  deleteKey(peerId: number, slot: KeySlotName): void;
  /** Called once. */
  listen(receiver: OffloadReceiver): void;
  /** Stops listening; the link stays. Idempotent. */
  close(): void;
}

export interface OffloadReceiver {
  event(event: OffloadEvent): void;
  /** Notifications were lost or cannot be read: peers may be gone without a word. */
  failure(error: Error): void;
}

export interface NetlinkTunnelOptions {
  readonly requests: GenericRequests;
  readonly codec: OffloadCodec;
  readonly family: GenericFamily;
  readonly link: { readonly index: number; readonly name: string };
}

const PEERS_GROUP = 'peers';

export class NetlinkTunnel implements KernelTunnel {
  readonly family: OffloadFamily;
  readonly index: number;
  readonly name: string;
  readonly #requests: GenericRequests;
  readonly #codec: OffloadCodec;
  readonly #genericFamily: GenericFamily;
  readonly #begin: (command: number) => MessageWriter;
  #notifications: NetlinkConnection | undefined;

  constructor({ requests, codec, family, link }: NetlinkTunnelOptions) {
    this.family = codec.family;
    this.index = link.index;
    this.name = link.name;
    this.#requests = requests;
    this.#codec = codec;
    this.#genericFamily = family;
    this.#begin = (command) => genericRequest(family.id, command).attributeU32(LINK_INDEX, link.index);
  }

  listen(receiver: OffloadReceiver): void {
    const { id, name, groups } = this.#genericFamily;
    const group = groups.get(PEERS_GROUP);
    if (group === undefined) throw new Error(`generic netlink family ${name} has no group "${PEERS_GROUP}"`);
    this.#notifications = new NetlinkConnection(openGenericPort([group]), {
      notification: (message) => {
        if (message.type !== id) return;
        const event = this.#codec.readEvent(parseGeneric(message), this.index);
        if (event !== undefined) receiver.event(event);
      },
      failure: (error) => receiver.failure(error),
    });
  }

  newPeer(peer: OffloadPeer): void {
    this.#request(`new peer ${peer.peerId}`, this.#codec.newPeer(this.#begin, peer));
  }

  setKeepalive(keepalive: OffloadKeepalive): void {
    this.#request(`set peer ${keepalive.peerId}`, this.#codec.setKeepalive(this.#begin, keepalive));
  }

  deletePeer(peerId: number): void {
    this.#request(`delete peer ${peerId}`, this.#codec.deletePeer(this.#begin, peerId));
  }

  readPeer(peerId: number): OffloadPeerState | undefined {
    try {
      const [answer] = this.#request(`read peer ${peerId}`, this.#codec.getPeer(this.#begin, peerId));
      return answer === undefined ? undefined : this.#codec.readPeer(parseGeneric(answer));
    } catch (error) {
      if (error instanceof NetlinkError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  newKey(key: OffloadKey): void {
    this.#request(`new key ${key.keyId} of peer ${key.peerId}`, this.#codec.newKey(this.#begin, key));
  }

  swapKeys(peerId: number): void {
    this.#request(`swap keys of peer ${peerId}`, this.#codec.swapKeys(this.#begin, peerId));
  }

  deleteKey(peerId: number, slot: KeySlotName): void {
    this.#request(`delete ${slot} key of peer ${peerId}`, this.#codec.deleteKey(this.#begin, peerId, slot));
  }

  close(): void {
    this.#notifications?.close();
  }

  #request(what: string, writer: MessageWriter) {
    return this.#requests.request(`${this.name}: ${what}`, writer);
  }
}
