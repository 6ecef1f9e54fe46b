/**
 * The counters of a tunnel with one peer, as the status file and SIGUSR2 show them.
 * upstream: sig.c `print_status` (2.6).
 */
import type { PeerCounters, UnixSeconds } from '@seikan/core';

/** Bytes of control packets, which the data channel does not count. */
export interface ControlBytes {
  readonly read: number;
  readonly written: number;
}

export function formatStatistics(
  counters: PeerCounters | undefined,
  control: ControlBytes,
  now: UnixSeconds,
  formatTime: (time: UnixSeconds) => string,
): string {
  const { linkRead = 0, linkWritten = 0, tunRead = 0, tunWritten = 0 } = counters ?? {};
  return [
    'OpenVPN STATISTICS',
    `Updated,${formatTime(now)}`,
    `TUN/TAP read bytes,${tunRead}`,
    `TUN/TAP write bytes,${tunWritten}`,
    `TCP/UDP read bytes,${linkRead + control.read}`,
    `TCP/UDP write bytes,${linkWritten + control.written}`,
    // Differs from OpenVPN 2.x: as they came, not without their headers.
    `Auth read bytes,${linkRead}`,
    'END',
    '',
  ].join('\n');
}
