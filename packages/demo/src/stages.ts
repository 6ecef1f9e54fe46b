/**
 * The stages of connecting, read from the lines that a client at `verb 4` logs, with the time between them:
 *
 *     2026-11-21 02:49:36 us=123456 TUN/TAP device tun0 opened
 */

export interface Stage {
  readonly name: string;
  /** Milliseconds since the program was started. */
  readonly at: number;
  /** Milliseconds since the stage before. */
  readonly took: number;
  readonly detail: string;
}

const stamp = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) us=(\d+) (.*)$/;

const marks: readonly { readonly name: string; readonly line: RegExp }[] = [
  { name: 'program started, configuration read', line: /^(OpenVPN [\d.]+).* (Seikan \S+)/ },
  { name: 'address resolved, transport open', line: /^(UDPv\d|TCPv\d)\S* link remote: \[AF_INET6?\](\S+)/ },
  { name: "tls-crypt passed, server's certificate verified", line: /^VERIFY OK: depth=0, (.+)/ },
  { name: 'TLS up, keys exchanged, login accepted', line: /^Control Channel: (TLSv[\d.]+), cipher \S+ ([^,]+)/ },
  {
    name: 'configuration pushed by the server',
    line: /^PUSH: Received control message: 'PUSH_REPLY,.*?(ifconfig [^,']+)/,
  },
  { name: 'data channel keyed', line: /^Data Channel: cipher '([^']+)'(?:.*, (aead-epoch))?/ },
  { name: 'device open', line: /^TUN\/TAP device (\S+) opened/ },
  { name: 'addresses and routes set: connected', line: /^Initialization Sequence Completed/ },
];

/** Reads stages from lines as they come; `started` is when the program was started, in Unix milliseconds. */
export class StageReader {
  readonly #started: number;
  readonly #seen = new Set<string>();
  #last: number;

  constructor(started: number) {
    this.#started = started;
    this.#last = started;
  }

  /** The stage that `line` completes, if it does; each comes once. */
  read(line: string): Stage | undefined {
    const parts = stamp.exec(line);
    if (parts === null) return undefined;
    const [year = 0, month = 0, day = 0, hours, minutes, seconds, micros = 0] = parts.slice(1, 8).map(Number);
    const text = parts[8] ?? '';
    for (const { name, line: pattern } of marks) {
      const found = pattern.exec(text);
      if (found === null || this.#seen.has(name)) continue;
      this.#seen.add(name);
      const time = new Date(year, month - 1, day, hours, minutes, seconds, micros / 1000).getTime();
      const stage = {
        name,
        at: time - this.#started,
        took: time - this.#last,
        detail: found
          .slice(1)
          .filter((part) => part !== undefined)
          .join(', '),
      };
      this.#last = time;
      return stage;
    }
    return undefined;
  }
}
