/**
 * The data channel without its ends: commands change the tables, packets go through the decisions, time is an argument.
 * A channel (`inline`, or the loop of a worker) owns one of these and gives it links, tun and listener as `Outlets`.
 *
 *   link ──▶ FromLink ──▶ InternalMultiplexer ──▶ tun, or ToLink of another peer
 *   tun ───▶ FromTun ───▶ InternalMultiplexer ──▶ ToLink ──▶ link
 */
import type {
  ChannelSettings,
  DataChannelCommand,
  DataChannelEvent,
  Millis,
  PeerRef,
  PeerSettings,
} from '@seikan/core';

import type { CounterTable } from './counters.js';
import { ExternalMultiplexer } from './external-multiplexer.js';
import { FromLink } from './from-link.js';
import { FromTun } from './from-tun.js';
import { InternalMultiplexer } from './internal-multiplexer.js';
import { Keepalive, nextDue } from './keepalive.js';
import type { KeyPorts } from './key-slot.js';
import type { Outlets } from './outlets.js';
import type { PacketLane } from './packet-lane.js';
import type { Peer } from './peer.js';
import { Peers } from './peers.js';
import { ToLink, type ToLinkOptions } from './to-link.js';

/** What changes a peer, a key or a route; `sendControl` is the links' business. */
export type PeerCommand = Exclude<DataChannelCommand, { verb: 'sendControl' }>;

export interface DataPlaneOptions {
  readonly settings: ChannelSettings;
  readonly ports: KeyPorts;
  readonly outlets: Outlets;
  /** Of `settings.maxPeers`; this is its writer. */
  readonly counters: CounterTable;
  readonly lane?: PacketLane | undefined;
  readonly cut?: ToLinkOptions['cut'];
}

export class DataPlane {
  readonly peers: Peers;
  readonly external: ExternalMultiplexer;
  readonly internal: InternalMultiplexer;
  readonly fromLink: FromLink;
  readonly fromTun: FromTun;
  readonly toLink: ToLink;
  readonly keepalive: Keepalive;
  readonly #outlets: Outlets;

  constructor({ settings, ports, outlets, counters, lane, cut }: DataPlaneOptions) {
    const { mode, device, maxPeers, clientToClient } = settings;
    const server = mode === 'server';
    this.#outlets = outlets;
    this.peers = new Peers({ maxPeers, headers: mode !== 'static-key', ports, counters });
    this.external = new ExternalMultiplexer(this.peers, mode);
    this.internal = new InternalMultiplexer(settings);
    this.toLink = new ToLink({ peers: this.peers, device, outlets, lane, cut });
    const { peers, external, internal, toLink } = this;
    this.fromLink = new FromLink({
      device,
      server,
      clientToClient: server && clientToClient,
      peers,
      external,
      internal,
      toLink,
      outlets,
    });
    this.fromTun = new FromTun({ device, server, peers, internal, toLink, outlets });
    this.keepalive = new Keepalive(peers, toLink, outlets);
  }

  handle(command: PeerCommand, now: Millis): void {
    if (command.verb === 'newPeer') {
      this.#newPeer(command.peer, command.settings, now);
      return;
    }
    const peer = this.peers.find(command.peer);
    if (peer === undefined) this.#stale();
    else this.#change(peer, command, now);
  }

  /** Wipes every key. */
  close(): void {
    this.peers.clear();
  }

  #change(peer: Peer, command: Exclude<PeerCommand, { verb: 'newPeer' }>, now: Millis): void {
    const { verb } = command;
    switch (verb) {
      case 'setPeer':
        this.peers.change(peer, command.settings);
        this.#outlets.rearm(nextDue(peer));
        return;
      case 'delPeer':
        this.#outlets.event(this.#delPeer(peer));
        return;
      case 'newKey':
        this.peers.installKey(peer, command.keyId, command.key);
        return;
      case 'swapKeys': {
        const slot = peer.slot(command.primary);
        if (slot === undefined) {
          this.#stale();
          return;
        }
        peer.primary = slot;
        this.#outlets.rearm(nextDue(peer));
        return;
      }
      case 'delKey':
        this.peers.removeKey(peer, command.keyId);
        return;
      case 'addRoute':
        this.internal.addRoute(peer, command.route);
        return;
      case 'delRoute':
        this.internal.delRoute(peer, command.route);
        return;
      case 'learnMac':
        this.internal.learn(peer, command.mac);
        return;
      case 'sendMessage':
        this.toLink.message(peer, command.plaintext, now);
        return;
      case 'touchPeer':
        if (peer.heard(now)) this.#outlets.rearm(nextDue(peer));
        return;
      default:
        verb satisfies never;
    }
  }

  #newPeer(ref: PeerRef, settings: PeerSettings, now: Millis): void {
    const peer = this.peers.add(ref, settings, now);
    if (peer === undefined) this.#stale();
    else this.#outlets.rearm(nextDue(peer));
  }

  #delPeer(peer: Peer): DataChannelEvent {
    const counters = peer.counters.read();
    this.internal.removePeer(peer);
    this.peers.remove(peer);
    return { event: 'peerDeleted', peer: peer.ref, counters };
  }

  #stale(): void {
    this.peers.counters.noPeer.addDrop('stale-command');
  }
}
