/**
 * Reads both sides' logs after a cell: no unexpected warning, and the cipher and key derivation that the cell is
 * about. Expected warnings are data: a pattern, the reason, and the cells in which it may appear.
 */
import { type Cell, type Derivation, derivationOf, type EventName } from './cell.js';
import type { Implementation } from './peers.js';

interface Allowed {
  readonly pattern: RegExp;
  readonly why: string;
  /** Only in cells of which this holds; in all when absent. */
  readonly when?: (cell: Cell) => boolean;
}

const suspicious =
  /WARNING|DEPRECATED|\berror\b|\bfailed\b|failure|cannot|Bad |unknown|replay|dropp|corrupt|truncat|invalid|mismatch|out of|refus|assert|abort|exception/i;

/** verb 4 prints every option on a line of its own, names like mute_replay_warnings among them. */
const optionDump = /^ {2}\w+ = /;

const on =
  (...events: readonly EventName[]) =>
  ({ event }: Cell): boolean =>
    events.includes(event);
const either =
  (implementation: Implementation) =>
  ({ client, server }: Cell): boolean =>
    client === implementation || server === implementation;
const restarts = on('restart-client', 'restart-server', 'kill-client', 'kill-server', 'soft-restart');
const losses = on('loss-10', 'loss-30');
const refusedLater = on('refuse-revoked', 'refuse-expired', 'refuse-purpose');

export const allowed: readonly Allowed[] = [
  { pattern: /ECONNREFUSED|Connection refused/, why: 'one side always ends first, and the other sends until it knows' },
  {
    pattern: /SIGUSR1\[connection failed\(soft\),connection-failed\]/,
    why: 'a TCP client calls while its server is away, and calls again',
    when: restarts,
  },
  { pattern: /^Note: --cipher is not set/, why: 'advice about peers older than 2.4; the cells negotiate' },
  {
    pattern: /^MULTI: new connection by client '.*' will cause previous/,
    why: 'the same certificate again: after a restart, or a handshake that the losses ended',
    when: (cell) => restarts(cell) || losses(cell),
  },
  { pattern: /^DEPRECATED OPTION: The option --secret/, why: 'the mode of the cell', when: on('static-key') },
  {
    pattern: /not initialized \(yet\), dropping packet/,
    why: 'a server has its keys, and sends what its tun device says, before a client has read the push reply',
  },
  { pattern: /with invalid or missing SID/, why: 'a retransmission that met its own answer', when: losses },
  {
    pattern: /TLS key negotiation failed to occur|TLS handshake failed|SIGUSR1\[soft,tls-error\]/,
    why: 'at 30 % a handshake may use up its hand-window; the session starts again, as stock does',
    when: losses,
  },
  { pattern: /with invalid or missing SID/, why: 'a client that talks to a session just refused', when: refusedLater },
  {
    pattern: /MULTI: packet dropped due to output saturation/,
    why: "a TCP client's queue is full: the bulk transfer is to fill it",
    when: ({ proto }) => proto.startsWith('tcp'),
  },
  { pattern: /certificate has expired/i, why: 'the refusal', when: on('refuse-expired') },
  {
    pattern: /VERIFY (EKU )?ERROR|TLS_ERROR|TLS Error|OpenSSL: error|SIGUSR1\[soft,tls-error\]/,
    why: 'the refusal',
    when: refusedLater,
  },
  {
    pattern: /TLS Auth Error: Auth Username\/Password verification failed/,
    why: 'the refusal',
    when: on('refuse-password'),
  },
  {
    pattern: /authentication failed|unwrap|client key authentication error|can not extract/,
    why: 'the refusal',
    when: on('refuse-wrap-key'),
  },
  { pattern: /no shared cipher/, why: 'the refusal', when: on('refuse-cipher') },
  {
    pattern: /--cipher is not set\. Previous|may cache passwords in memory|'(link|tun)-mtu' is used inconsistently/,
    why: '2.5 warns of what later releases do by default, and computes a link-mtu that they only pretend to',
    when: either('stock-2.5'),
  },
  {
    pattern: /^DEPRECATION: No tls-client or tls-server option/,
    why: 'the mode of the cell',
    when: on('static-key'),
  },
  {
    pattern: /Failed running command \(--auth-user-pass-verify\)|SIGTERM\[soft,auth-failure\]/,
    why: 'the refusal',
    when: on('refuse-password', 'refuse-cipher'),
  },
  {
    pattern: /Fatal TLS error \(check_tls_errors_co\), restarting/,
    why: 'the refusal closes a TCP connection at once',
    when: on('refuse-revoked', 'refuse-expired', 'refuse-purpose', 'refuse-wrap-key'),
  },
  { pattern: /SIGUSR1\[soft,tls-error\]/, why: 'the refusal', when: on('refuse-wrap-key') },
];

export interface LogProblem {
  readonly side: string;
  readonly line: string;
}

/** The lines that look like a warning and are on no list. */
export function unexpectedLines(cell: Cell, side: string, lines: readonly string[]): LogProblem[] {
  const permitted = allowed.filter(({ when }) => when === undefined || when(cell)).map(({ pattern }) => pattern);
  return suspiciousLines(lines, permitted).map((line) => ({ side, line }));
}

/** The lines that look like a warning and match none of `permitted`. */
export function suspiciousLines(lines: readonly string[], permitted: readonly RegExp[]): string[] {
  return lines.filter(
    (line) => !optionDump.test(line) && suspicious.test(line) && !permitted.some((pattern) => pattern.test(line)),
  );
}

/** What the push reply says about the derivation; undefined when the log shows no push reply. */
export function loggedDerivation(lines: readonly string[]): Derivation | undefined {
  // a later reply may carry a fresh token and nothing else
  const push = lines.findLast((line) => /'PUSH_REPLY,.*,peer-id /.test(line));
  if (push === undefined) return undefined;
  if (push.includes('aead-epoch')) return 'epoch';
  return /tls-ekm/.test(push) ? 'exporter' : 'prf';
}

/** The data channel's ciphers that a log names, in order. */
export function loggedCiphers(lines: readonly string[]): string[] {
  return lines.flatMap((line) => /Data Channel: [Cc]ipher '([^']+)'/.exec(line)?.[1] ?? []);
}

/** Throws when a log shows another cipher or another derivation than the cell's. */
export function checkNegotiated(cell: Cell, logs: Readonly<Record<'server' | 'client', readonly string[]>>): void {
  const expected = derivationOf(cell);
  const seen: string[] = [];
  for (const [side, lines] of Object.entries(logs)) {
    const derivation = loggedDerivation(lines);
    if (derivation !== undefined && derivation !== expected)
      throw new Error(`${side}: keys by ${derivation}, expected ${expected}`);
    const ciphers = loggedCiphers(lines);
    seen.push(...ciphers);
    const other = ciphers.find((cipher) => cipher !== cell.cipher);
    if (other !== undefined) throw new Error(`${side}: data channel uses ${other}`);
  }
  if (seen.length === 0) throw new Error('no log names the data channel cipher');
}
