/**
 * What runs from the agreement to the end of a session: the answers to what the peer asks about the size of packets, and,
 * once everything is up here, the limits of the session's time and `mtu-test`.
 */
import type { Millis, PeerCounters } from '@seikan/core';

import { earliest } from '../context.js';
import type { PacketSizes } from '../packet-sizes.js';
import { type SessionLimit, SessionLimits } from '../session-limits.js';
import type { TunnelLog } from '../tunnel-log.js';
import type { Agreement } from './agreement.js';
import { MtuTest } from './mtu-test.js';

export class RunningTunnel {
  readonly agreement: Agreement;
  readonly #sizes: PacketSizes;
  readonly #log: TunnelLog;
  #limits: SessionLimits | undefined;
  #mtuTest: MtuTest | undefined;

  constructor(agreement: Agreement, sizes: PacketSizes, log: TunnelLog) {
    this.agreement = agreement;
    this.#sizes = sizes;
    this.#log = log;
  }

  connected(now: Millis): void {
    const { options, connection } = this.agreement;
    this.#limits = new SessionLimits(options.timers, now);
    if (!options.data.mtuTest) return;
    this.#mtuTest = new MtuTest({ sizes: this.#sizes, fragments: connection.fragment > 0, log: this.#log }, now);
  }

  /** A message of the data channel that is no farewell. */
  handleMessage(plaintext: Uint8Array): void {
    const measured = this.#sizes.handle(plaintext);
    if (measured !== undefined) this.#mtuTest?.measured(measured);
  }

  /** The limit that is reached, once. */
  handleTimeout(counters: () => PeerCounters | undefined, now: Millis): SessionLimit | undefined {
    this.#mtuTest?.handleTimeout(now);
    const limit = this.#limits?.reached(counters, now);
    if (limit !== undefined) this.#limits = undefined;
    return limit;
  }

  nextTimeout(): Millis | undefined {
    return earliest(this.#limits?.nextTimeout(), this.#mtuTest?.nextTimeout());
  }
}
