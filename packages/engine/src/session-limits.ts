/** How long a connected session may last: `session-timeout`, and `inactive` without traffic. */
import { earlier, type Millis, type PeerCounters } from '@seikan/core';

import { IdleWatch } from './idle-watch.js';
import type { TimerOptions } from './options/options.js';

export type SessionLimit = 'session-timeout' | 'inactive';

/** As it is logged. */
export const LIMIT_REACHED: Readonly<Record<SessionLimit, string>> = {
  'session-timeout': 'Session timeout, exiting',
  inactive: 'Inactivity timeout (--inactive), exiting',
};

export class SessionLimits {
  readonly #endAt: Millis | undefined;
  readonly #idle: IdleWatch | undefined;

  constructor({ sessionTimeout, inactive, inactiveBytes }: TimerOptions, now: Millis) {
    this.#endAt = sessionTimeout > 0 ? now + sessionTimeout * 1000 : undefined;
    this.#idle = inactive > 0 ? new IdleWatch({ span: inactive * 1000, bytes: inactiveBytes }, now) : undefined;
  }

  /** Which limit is reached, by upstream's word for the signal that follows. */
  reached(counters: () => PeerCounters | undefined, now: Millis): SessionLimit | undefined {
    if (this.#endAt !== undefined && now >= this.#endAt) return 'session-timeout';
    return this.#idle?.isOver(counters(), now) === true ? 'inactive' : undefined;
  }

  nextTimeout(): Millis | undefined {
    return earlier(this.#endAt, this.#idle?.nextLook);
  }
}
