import type { Clock } from './ports.js';

/** The clock of a running system: monotonic milliseconds, node's timers, which do not keep the process running. */
export function createSystemClock(): Clock {
  return {
    now: () => performance.now(),
    unixTime: () => Math.floor(Date.now() / 1_000),
    alarm: (delay, ring) => {
      const timer = setTimeout(ring, delay);
      timer.unref();
      return () => clearTimeout(timer);
    },
  };
}
