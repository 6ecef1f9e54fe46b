/** Where a client or a p2p peer is on its way, and until when. */
import type { Millis } from '@seikan/core';

export type Phase =
  /** `connecting`: the Connector is at work. */
  | { readonly name: 'idle' | 'connecting' | 'closing' | 'ended' }
  /** The first packet of the server is awaited so long. `missed`: ping-restart or ping-exit is the nearer limit. */
  | { readonly name: 'calling'; readonly until: Millis; readonly missed: boolean }
  | { readonly name: 'negotiating' | 'pulling' }
  /** `awaiting`: with up-delay, a static-key peer's first packet comes before the tun. */
  | { readonly name: 'awaiting' | 'configuring' | 'connected' }
  /** p2p: everything is up here; the peer may take until `until`. */
  | { readonly name: 'settling'; readonly until: Millis; readonly routeErrors: readonly string[] }
  | { readonly name: 'pausing'; readonly until: Millis }
  /** EXIT was sent; it is said again at `until`, or, with none `left`, the process ends. */
  | { readonly name: 'leaving'; readonly until: Millis; readonly left: number };

/** Stock peers look at their state once a second. */
export const SETTLING: Millis = 1_500;
/** The least pause with `auth-retry nointeract`, whatever ended: nobody is there to stop a wrong password. */
export const UNATTENDED_PAUSE: Millis = 10_000;
/** From one EXIT to the next, and from the last to the end. */
export const EXIT_NOTICE: Millis = 1_000;
