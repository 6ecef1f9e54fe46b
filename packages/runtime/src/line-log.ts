/**
 * Log lines as OpenVPN writes them, because other tools read them:
 *
 *   2026-11-21 02:49:36 [us=123456] [client/198.51.100.7:1194] text
 *   1795223308.123456 40 [prefix] text                              machine-readable-output
 *
 * upstream: error.c `x_msg_va` (2.6).
 */
import { closeSync, openSync, writeSync } from 'node:fs';

import type { LogLine, LogOptions } from '@seikan/engine';

/** upstream M_* flags that machine-readable lines carry. */
const FLAGS = { error: 0x10 + 0x20, warning: 0x40, notice: 0x01, debug: 0x80 } as const;

export class LineLog {
  readonly #options: LogOptions;
  readonly #fd: number;
  readonly #owned: boolean;
  #verb: number;
  #last: { readonly verb: number; count: number } | undefined;

  /** Opens the log file if there is one. Throws a system error. `fd` is where lines go without a file. */
  constructor(options: LogOptions, fd = 1) {
    this.#options = options;
    this.#verb = options.verb;
    const { destination } = options;
    this.#owned = destination.to === 'file';
    this.#fd = destination.to === 'file' ? openSync(destination.path, destination.append ? 'a' : 'w', 0o600) : fd;
  }

  get verb(): number {
    return this.#verb;
  }

  set verb(verb: number) {
    this.#verb = verb;
  }

  write(line: LogLine): void {
    if (line.verb > this.#verb || this.#muted(line)) return;
    this.#put(this.#format(line));
  }

  close(): void {
    if (this.#owned) closeSync(this.#fd);
  }

  /** `mute n`: of lines of one kind in a row only the first n. */
  #muted({ verb }: LogLine): boolean {
    const { mute } = this.#options;
    if (mute === 0) return false;
    if (this.#last?.verb !== verb) {
      const suppressed = (this.#last?.count ?? 0) - mute;
      this.#last = { verb, count: 0 };
      if (suppressed > 0)
        this.#put(
          this.#format({
            verb: 0,
            severity: 'notice',
            prefix: undefined,
            text: `${suppressed} variation(s) on previous ${mute} message(s) suppressed by --mute`,
          }),
        );
    }
    this.#last.count += 1;
    return this.#last.count > mute;
  }

  #format({ severity, prefix, text }: LogLine): string {
    const body = prefix === undefined ? text : `${prefix} ${text}`;
    const now = Date.now();
    const micros = String((now % 1000) * 1000).padStart(6, '0');
    if (this.#options.machineReadable)
      return `${Math.floor(now / 1000)}.${micros} ${FLAGS[severity].toString(16)} ${body}\n`;
    if (this.#options.suppressTimestamps) return `${body}\n`;
    return `${formatLocalTime(now)}${this.#verb >= 4 ? ` us=${micros.replace(/^0+(?=\d)/, '')}` : ''} ${body}\n`;
  }

  #put(line: string): void {
    try {
      writeSync(this.#fd, line);
    } catch {
      // A full disk or a closed pipe at the log is no reason to end the tunnel, and there is nowhere to say so.
    }
  }
}

/** Local time as `2026-11-21 02:49:36`. */
export function formatLocalTime(millis: number): string {
  const date = new Date(millis);
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  );
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
