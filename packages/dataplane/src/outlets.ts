/** Where the decisions of the packet path lead: the implementer's links, tun and listener. */
import type { DataChannelEvent, DataDrop, Endpoint, LinkId, Millis, Packet } from '@seikan/core';

export interface Outlets {
  /** Takes a sealed datagram, borrowed until it returns. */
  toLink(link: LinkId, to: Endpoint, packet: Packet): DataDrop | undefined;
  /** Takes a packet (tap: a frame), borrowed until it returns. */
  toTun(packet: Packet): DataDrop | undefined;
  /**
   * An event whose bytes are lent (`control`, `message`) is delivered at once, after all that came before it. Any other
   * waits until the packet is done with: nothing changes under the packet path.
   */
  event(event: DataChannelEvent): void;
  /** Whether an event that a peer can cause at will (a float, a learned address) may be caused now. */
  mayReport(): boolean;
  /** A deadline has come forward to `at`. Deadlines that only move back are found at the old one. */
  rearm(at: Millis): void;
}
