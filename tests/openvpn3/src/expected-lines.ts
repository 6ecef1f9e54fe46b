/** Lines of both logs that look like a warning and are none: a pattern, the reason, and the events in which it may appear. */
import type { Cell } from './cell.js';
import type { EventName } from './events.js';

interface Expected {
  readonly side: 'server' | 'client';
  readonly pattern: RegExp;
  readonly why: string;
  /** In all cells when absent. */
  readonly events?: readonly EventName[];
}

const reconnects = ['pause', 'restart-client', 'restart-server', 'next-server', 'kill-server'] as const;
const refusals = ['refuse-name', 'refuse-client-name'] as const;

const expected: readonly Expected[] = [
  {
    side: 'server',
    pattern: /^Note: --cipher is not set/,
    why: 'advice about peers older than 2.4; the cells negotiate',
  },
  {
    side: 'server',
    pattern: /ECONNREFUSED|Connection refused/,
    why: 'one side always ends first, and the other sends until it knows',
  },
  {
    side: 'server',
    pattern: /^MULTI: new connection by client '.*' will cause previous/,
    why: 'the same certificate again, before the old session has ended',
    events: [...reconnects, 'token-expires'],
  },
  {
    side: 'client',
    pattern:
      /Session invalidated: KEEPALIVE_TIMEOUT|NETWORK_EOF_ERROR|Connection refused|Transport Error: .*(refused|reset)/,
    why: 'the server is away',
    events: reconnects,
  },
  {
    side: 'server',
    pattern: /VERIFY X509NAME ERROR|certificate verify failed|TLS alert|TLS_ERROR|TLS Error|SIGUSR1\[soft,tls-error\]/,
    why: 'the refusal',
    events: refusals,
  },
  { side: 'server', pattern: /alert internal error/, why: 'what 27.1 says when it refuses', events: ['refuse-name'] },
  {
    side: 'client',
    pattern: /VERIFY FAIL|certificate verify failed|alert certificate unknown/,
    why: 'the refusal',
    events: refusals,
  },
  {
    side: 'server',
    pattern: /auth-token of 'alice' has expired/,
    why: 'the refusal',
    events: ['token-expires'],
  },
  {
    side: 'server',
    pattern: /TLS Auth Error: Auth Username\/Password verification failed for peer/,
    why: 'the refusal',
    events: ['refuse-password', 'come-back'],
  },
  { side: 'client', pattern: /Authentication failed/, why: 'the refusal', events: ['refuse-password', 'come-back'] },
  {
    side: 'client',
    pattern: /server pushed compression settings that are not allowed/,
    why: 'the refusal',
    events: ['refuse-lz4', 'refuse-comp-lzo'],
  },
  {
    side: 'client',
    pattern: /sorry, 'fragment' directive is not supported/,
    why: 'the refusal',
    events: ['refuse-fragment'],
  },
];

export const expectedInServer = (cell: Cell): RegExp[] => patterns('server', cell);
export const expectedInClients = (cell: Cell): RegExp[] => patterns('client', cell);

function patterns(side: Expected['side'], { event }: Cell): RegExp[] {
  return expected
    .filter((one) => one.side === side && (one.events === undefined || one.events.includes(event)))
    .map(({ pattern }) => pattern);
}
