/**
 * The counters of a tunnel with one peer, as the status file and SIGUSR2 show them.
 * upstream: sig.c `print_status` (2.6).
 */
import type { Millis, PeerCounters, UnixSeconds } from '@seikan/core';

import type { LogOptions } from '../options/options.js';
import type { EngineOutput, Time } from '../output.js';

export interface StatisticsSettings {
  readonly status: LogOptions['status'];
  readonly emit: (output: EngineOutput) => void;
  /** What the data channel has counted, if there is a peer. */
  readonly counters: () => PeerCounters | undefined;
  /** Local time as `2026-11-21 02:49:36`. */
  readonly formatTime: (time: UnixSeconds) => string;
}

export class Statistics {
  readonly #settings: StatisticsSettings;
  /** Bytes of control packets, which the data channel does not count. */
  #control = { read: 0, written: 0 };
  #writeAt: Millis | undefined;

  constructor(settings: StatisticsSettings) {
    this.#settings = settings;
  }

  start(now: Millis): void {
    if (this.#settings.status !== undefined) this.#writeAt = now;
  }

  controlRead(bytes: number): void {
    this.#control.read += bytes;
  }

  controlWritten(bytes: number): void {
    this.#control.written += bytes;
  }

  sessionEnded(): void {
    this.#control = { read: 0, written: 0 };
  }

  /** The last state is written; nothing follows. */
  stop(time: Time): void {
    this.#write(time);
    this.#writeAt = undefined;
  }

  handleTimeout(time: Time): void {
    if (this.#writeAt !== undefined && time.now >= this.#writeAt) this.#write(time);
  }

  nextTimeout(): Millis | undefined {
    return this.#writeAt;
  }

  text({ wallClock }: Time): string {
    const { counters, formatTime } = this.#settings;
    const { linkRead = 0, linkWritten = 0, tunRead = 0, tunWritten = 0 } = counters() ?? {};
    return [
      'OpenVPN STATISTICS',
      `Updated,${formatTime(wallClock)}`,
      `TUN/TAP read bytes,${tunRead}`,
      `TUN/TAP write bytes,${tunWritten}`,
      `TCP/UDP read bytes,${linkRead + this.#control.read}`,
      `TCP/UDP write bytes,${linkWritten + this.#control.written}`,
      // Differs from OpenVPN 2.x: as they came, not without their headers.
      `Auth read bytes,${linkRead}`,
      'END',
      '',
    ].join('\n');
  }

  #write(time: Time): void {
    const { status, emit } = this.#settings;
    if (status === undefined) return;
    this.#writeAt = time.now + Math.max(1, status.interval) * 1000;
    emit({ output: 'write-file', path: status.file, text: this.text(time) });
  }
}
