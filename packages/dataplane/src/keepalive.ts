/**
 * The two timers of every peer: a ping when nothing was sent for a while, `peerTimeout` when nothing was heard. Deadlines
 * are not kept but computed, so the packet path only notes the time; an early alarm finds nothing due and looks again.
 *
 * Source: OpenVPN 2.6 `ping.c`, `ping-inl.h`.
 */
import type { Millis } from '@seikan/core';

import type { Outlets } from './outlets.js';
import type { Peer } from './peer.js';
import type { Peers } from './peers.js';
import type { ToLink } from './to-link.js';

export class Keepalive {
  readonly #peers: Peers;
  readonly #toLink: ToLink;
  readonly #outlets: Outlets;

  constructor(peers: Peers, toLink: ToLink, outlets: Outlets) {
    this.#peers = peers;
    this.#toLink = toLink;
    this.#outlets = outlets;
  }

  /** Does what is due. */
  handleTimeout(now: Millis): void {
    for (const peer of this.#peers.list) {
      if (pingDue(peer) <= now) {
        this.#toLink.ping(peer, now);
        // Also when the link did not take it: the next one is due an interval from now.
        peer.lastSent = now;
      }
      if (timeoutDue(peer) <= now) {
        peer.timedOut = true;
        this.#outlets.event({ event: 'peerTimeout', peer: peer.ref });
      }
    }
  }

  /** When something is due next; Infinity for never. */
  nextTimeout(): Millis {
    let next = Number.POSITIVE_INFINITY;
    for (const peer of this.#peers.list) next = Math.min(next, nextDue(peer));
    return next;
  }
}

/** When something is due for this peer; Infinity for never. */
export function nextDue(peer: Peer): Millis {
  return Math.min(pingDue(peer), timeoutDue(peer));
}

function pingDue({ settings, primary, lastSent }: Peer): Millis {
  return settings.pingInterval > 0 && primary !== undefined
    ? lastSent + settings.pingInterval
    : Number.POSITIVE_INFINITY;
}

function timeoutDue({ settings, timedOut, lastHeard }: Peer): Millis {
  return settings.pingTimeout > 0 && !timedOut ? lastHeard + settings.pingTimeout : Number.POSITIVE_INFINITY;
}
