import type { Clock } from './ports.js';

/** Node's timers hold no longer delay; who is woken early looks at the time. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** The clock of a running system: monotonic milliseconds, node's timers, which do not keep the process running. */
export function createSystemClock(): Clock {
  return {
    now: () => performance.now(),
    unixTime: () => Math.floor(Date.now() / 1_000),
    alarm: (delay, ring) => {
      const timer = setTimeout(ring, Math.min(delay, LONGEST_DELAY));
      timer.unref();
      return () => clearTimeout(timer);
    },
  };
}
