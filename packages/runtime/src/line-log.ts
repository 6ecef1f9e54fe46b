/**
 * Log lines as OpenVPN writes them, because other tools read them:
 *
 *   2026-11-21 02:49:36 [us=123456] [client/198.51.100.7:1194] text
 *   1795223308.123456 40 [prefix] text                              machine-readable-output
 *   <29>Nov 21 02:49:36 openvpn[123]: [prefix] text                 syslog, a datagram each
 *
 * Lines of one turn are written together, at its end or the end of the process.
 *
 * upstream: error.c `x_msg_va` (2.6).
 */
import { closeSync, openSync, writeSync } from 'node:fs';

import { atTurnEnd } from '@seikan/dataplane';
import type { LogLine, LogOptions } from '@seikan/engine';
import { UnixSocket } from '@seikan/native';

/** upstream M_* flags that machine-readable lines carry. */
const FLAGS = { error: 0x10 + 0x20, warning: 0x40, notice: 0x01, debug: 0x80 } as const;

/** RFC 5424 severities; the facility is daemon. */
const SYSLOG_FACILITY = 3;
const SYSLOG_SEVERITY = { error: 3, warning: 4, notice: 5, debug: 7 } as const;

/** Where lines go that have no file: descriptors, so that tests may give their own. */
export interface LogOutlets {
  readonly output: number;
  readonly errors: number;
  readonly syslogSocket: string;
}

const OUTLETS: LogOutlets = { output: 1, errors: 2, syslogSocket: '/dev/log' };

export class LineLog {
  readonly #options: LogOptions;
  #mute: number;
  readonly #outlets: LogOutlets;
  readonly #programName: string;
  readonly #file: number | undefined;
  #syslog: UnixSocket | undefined;
  /** Lines that are not written yet, and to where. */
  #waiting = '';
  #waitingFor = 0;
  /** The last second that was written, and its text. */
  #second = -1;
  #secondText = '';
  #verb: number;
  #last: { readonly verb: number; count: number } | undefined;

  /**
   * Opens the log file if there is one; `again` keeps what an earlier run of this process wrote to it. Throws a system
   * error. `programName` is what syslog shows.
   */
  constructor(
    options: LogOptions,
    {
      programName = 'openvpn',
      again = false,
      outlets = OUTLETS,
    }: {
      readonly programName?: string | undefined;
      readonly again?: boolean;
      readonly outlets?: LogOutlets;
    } = {},
  ) {
    this.#options = options;
    this.#verb = options.verb;
    this.#mute = options.mute;
    this.#outlets = outlets;
    this.#programName = programName;
    const { destination } = options;
    this.#file =
      destination.to === 'file'
        ? openSync(destination.path, destination.append || again ? 'a' : 'w', 0o600)
        : undefined;
    process.on('exit', this.flush);
  }

  /** A server has pushed other levels. */
  setLevels({ verb, mute }: Pick<LogOptions, 'verb' | 'mute'>): void {
    this.#verb = verb;
    this.#mute = mute;
  }

  write(line: LogLine): void {
    if (line.verb > this.#verb || this.#muted(line)) return;
    this.#put(line);
  }

  /** Lists and keys: text as it is, to where the log goes. */
  print(text: string): void {
    this.flush();
    writeWhole(this.#file ?? this.#outlets.output, text);
  }

  close(): void {
    this.flush();
    process.off('exit', this.flush);
    if (this.#file !== undefined) closeSync(this.#file);
    this.#syslog?.close();
    this.#syslog = undefined;
  }

  /** `mute n`: of lines of one level in a row only the first n. What is for everybody has no level to be muted with. */
  #muted({ verb, severity }: LogLine): boolean {
    const mute = this.#mute;
    if (mute === 0) return false;
    const kind = verb > 1 || (verb === 1 && severity === 'error') ? verb : undefined;
    if (kind === undefined || this.#last?.verb !== kind) {
      const suppressed = (this.#last?.count ?? 0) - mute;
      this.#last = kind === undefined ? undefined : { verb: kind, count: 0 };
      if (suppressed > 0) this.#note(`${suppressed} variation(s) on previous ${mute} message(s) suppressed by --mute`);
    }
    if (this.#last === undefined) return false;
    this.#last.count += 1;
    if (this.#last.count === mute + 1) this.#note('NOTE: --mute triggered...');
    return this.#last.count > mute;
  }

  #note(text: string): void {
    this.#put({ verb: 1, severity: 'notice', prefix: undefined, text });
  }

  #put(line: LogLine): void {
    if (this.#options.destination.to === 'syslog') {
      this.#toSyslog(line);
      return;
    }
    const toErrors = line.severity === 'error' && line.verb === 0 && this.#options.errorsToStderr;
    const fd = this.#file ?? (toErrors ? this.#outlets.errors : this.#outlets.output);
    if (fd !== this.#waitingFor) this.flush();
    if (this.#waiting === '') atTurnEnd(this.flush);
    this.#waitingFor = fd;
    this.#waiting += this.#format(line);
  }

  /** Writes what waits for the end of the turn: call it before something else is written to the same place. */
  readonly flush = (): void => {
    if (this.#waiting === '') return;
    const text = this.#waiting;
    this.#waiting = '';
    try {
      writeWhole(this.#waitingFor, text);
    } catch {
      // A full disk or a closed pipe at the log is no reason to end the tunnel, and there is nowhere to say so.
    }
  };

  #format({ severity, prefix, text }: LogLine): string {
    const body = harmless(prefix === undefined ? text : `${prefix} ${text}`);
    const now = Date.now();
    const micros = (now % 1000) * 1000;
    if (this.#options.machineReadable) {
      const fraction = String(micros).padStart(6, '0');
      return `${Math.floor(now / 1000)}.${fraction} ${FLAGS[severity].toString(16)} ${body}\n`;
    }
    if (this.#options.suppressTimestamps) return `${body}\n`;
    return `${this.#localTime(now)}${this.#verb >= 4 ? ` us=${micros}` : ''} ${body}\n`;
  }

  /** Many lines are of one second. */
  #localTime(now: number): string {
    const second = Math.floor(now / 1000);
    if (this.#second !== second) {
      this.#second = second;
      this.#secondText = formatLocalTime(now);
    }
    return this.#secondText;
  }

  /** Never waits: a line is lost when the socket takes none now, and the socket is opened again after it was replaced. */
  #toSyslog({ severity, prefix, text }: LogLine): void {
    const priority = SYSLOG_FACILITY * 8 + SYSLOG_SEVERITY[severity];
    const head = `<${priority}>${syslogTime(new Date())} ${this.#programName}[${process.pid}]: `;
    const body = harmless(prefix === undefined ? text : `${prefix} ${text}`);
    const bytes = new TextEncoder().encode(`${head}${body}`);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      try {
        this.#syslog ??= UnixSocket.connect({ path: this.#outlets.syslogSocket }, { type: 'datagram' });
      } catch {
        return; // nobody logs on this machine
      }
      if (this.#syslog.send(bytes) >= 0) return;
      this.#syslog.close();
      this.#syslog = undefined;
    }
  }
}

/** What a peer says may stand in a line, but not begin one or steer a terminal. */
function harmless(text: string): string {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f)
      return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f]/g, '?');
  }
  return text;
}

/** Local time as `2026-11-21 02:49:36`. */
export function formatLocalTime(millis: number): string {
  const date = new Date(millis);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(date)}`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** RFC 3164: `Nov  1 02:49:36`. */
function syslogTime(date: Date): string {
  return `${MONTHS[date.getMonth()] ?? ''} ${String(date.getDate()).padStart(2)} ${clock(date)}`;
}

function clock(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** A pipe may take a part only. */
function writeWhole(fd: number, text: string): void {
  let at = writeSync(fd, text);
  if (at === Buffer.byteLength(text)) return;
  const bytes = Buffer.from(text);
  while (at < bytes.length) at += writeSync(fd, bytes, at);
}
