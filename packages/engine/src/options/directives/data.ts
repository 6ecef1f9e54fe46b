/** Directives about keepalive and the data channel: pings, ciphers, replay, compression. */
import { type DirectiveRow, supported, type Use } from '../directive.js';
import type { Mutable } from '../draft.js';
import type { CompressionOptions, KeyDirection, TimerOptions } from '../options.js';

export const dataDirectives: readonly DirectiveRow[] = [
  supported('keepalive', [2, 2], ['general'], (use) => {
    use.draft.helpers.keepalive = { interval: use.number(0), timeout: use.number(1) };
  }),
  supported('ping', [1, 1], ['timer'], (use) => {
    timers(use).ping = use.positive(0);
  }),
  supported('ping-exit', [1, 1], ['timer'], (use) => {
    timers(use).pingTimeout = use.positive(0);
    timers(use).pingAction = 'exit';
  }),
  supported('ping-restart', [1, 1], ['timer'], (use) => {
    timers(use).pingTimeout = use.positive(0);
    timers(use).pingAction = 'restart';
  }),
  supported(
    'ping-timer-rem',
    [0, 0],
    ['timer'],
    (use) => {
      timers(use).pingTimerRemote = true;
    },
    { note: 'With TLS always so: a peer that is waited for is never missed before it has called.' },
  ),
  supported('inactive', [1, 2], ['timer'], (use) => {
    timers(use).inactive = use.positive(0);
    if (use.count === 1) return;
    const bytes = use.number(1, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    timers(use).inactiveBytes = Math.max(0, bytes);
    if (bytes > 2_147_483_647)
      use.warn(
        `WARNING: '--inactive' with a 'bytes' value >2 Gbyte was silently ignored in older versions.  If  your VPN exits unexpectedly with 'Inactivity timeout' in ${use.positive(0)} seconds, revisit this value.`,
      );
  }),
  supported('session-timeout', [1, 1], ['timer'], (use) => {
    timers(use).sessionTimeout = use.positive(0);
  }),
  supported('auth', [1, 1], ['general'], (use) => {
    use.options.data.auth = use.word(0);
  }),
  supported('cipher', [1, 1], ['ncp', 'instance'], (use) => {
    if (use.draft.client !== undefined) use.draft.client.cipher = use.word(0);
    else use.draft.cipher = use.word(0);
  }),
  supported('data-ciphers-fallback', [1, 1], ['general', 'instance'], (use) => {
    if (use.draft.client !== undefined) {
      use.draft.client.cipher = use.word(0);
      use.draft.client.fallback = true;
      return;
    }
    use.draft.cipher = use.word(0);
    use.options.data.fallback = true;
  }),
  ...['data-ciphers', 'ncp-ciphers'].map((name) =>
    supported(
      name,
      [1, 1],
      ['general', 'instance'],
      (use) => {
        if (name === 'ncp-ciphers')
          use.warn("Note: Treating option '--ncp-ciphers' as  '--data-ciphers' (renamed in OpenVPN 2.5).", 'info');
        use.draft.dataCiphers = use.word(0);
      },
      {
        note: 'Ciphers that `--show-ciphers` names: none with blocks of 64 bits (SWEET32), and not `none`. Others are refused unless marked with `?`.',
      },
    ),
  ),
  supported(
    'secret',
    [1, 2],
    ['general'],
    (use) => {
      use.warn('DEPRECATED OPTION: The option --secret is deprecated.');
      if (!use.inline && use.count === 2) use.draft.wrap.direction = keyDirection(use, 1);
      use.options.data.secret = { key: use.material(), direction: undefined };
    },
    { inline: true },
  ),
  supported('key-direction', [1, 1], ['general', 'connection'], (use) => {
    const wrap = use.context === 'connection' ? use.entry.wrap : use.draft.wrap;
    wrap.direction = keyDirection(use, 0);
  }),
  supported('replay-window', [0, 2], ['general'], (use) => {
    if (use.count === 0)
      use.fail(
        'replay-window option is missing window size parameter',
        'Nothing follows.',
        'Write "replay-window 64 15".',
      );
    use.options.data.replayWindow = use.number(
      0,
      0,
      65_536,
      `replay-window window size parameter (${use.word(0)}) must be between 0 and 65536`,
    );
    if (use.count === 1) return;
    use.options.data.replayTime = use.number(
      1,
      0,
      600,
      `replay-window time window parameter (${use.word(1)}) must be between 0 and 600`,
    );
  }),
  supported(
    'disable-occ',
    [0, 0],
    ['general'],
    (use) => {
      use.options.data.occ = false;
    },
    { note: 'Options strings are then neither asked for nor compared; a peer that asks is answered.' },
  ),
  supported(
    'allow-compression',
    [1, 1],
    ['general'],
    (use) => {
      const allow = use.choice(
        0,
        ['no', 'asym', 'yes'],
        `bad allow-compression option: ${use.word(0)} -- must be 'yes', 'no', or 'asym'`,
      );
      if (allow === 'no') {
        if (compresses(use.options.data.compression))
          use.fail(
            "'--allow-compression no' conflicts with  enabling compression",
            'Compression was asked for above.',
            'Remove one of the two.',
          );
      } else if (use.draft.allowCompression === 'no')
        use.fail(
          `Cannot set allow-compression to '${allow}' after set to 'no'`,
          'It was forbidden above.',
          'Remove one of the two.',
        );
      if (allow === 'yes') use.warn('allow-compression yes is read as asym: nothing is ever compressed on sending');
      use.draft.allowCompression = allow === 'no' ? 'no' : 'asym';
      use.options.data.compression.allow = use.draft.allowCompression;
    },
    { note: '`yes` is read as `asym`: nothing is ever compressed on sending.' },
  ),
  supported(
    'comp-lzo',
    [0, 1],
    ['compression'],
    (use) => {
      const line = `bad comp-lzo option: ${use.word(0)} -- must be 'yes', 'no', or 'adaptive'`;
      const mode = use.count === 0 ? 'adaptive' : use.choice(0, ['yes', 'no', 'adaptive'], line);
      compress(use, mode === 'no' ? 'lzo-no' : 'lzo');
    },
    { note: 'Framing only: nothing is compressed, and what the peer compressed is dropped and counted.' },
  ),
  supported('comp-noadapt', [0, 0], ['compression'], () => undefined, {
    note: 'Without effect: nothing is ever compressed.',
  }),
  supported(
    'compress',
    [0, 1],
    ['compression'],
    (use) => {
      const line = `bad comp option: ${use.word(0)}`;
      const algorithm =
        use.count === 0 ? 'stub' : use.choice(0, ['stub', 'stub-v2', 'migrate', 'lzo', 'lz4', 'lz4-v2'], line);
      if (algorithm === 'migrate') {
        if (use.context === 'client' || use.context === 'pull')
          use.fail(line, 'It is for all clients of a server.', "Write it into the server's own configuration.");
        Object.assign(compression(use), MIGRATION);
      } else compress(use, algorithm);
    },
    {
      note: 'Framing only, as with `comp-lzo`. `migrate`: a server without compression that tells clients which still have it to stop.',
    },
  ),
];

/** `0` or `1`; see KeyDirection. */
export function keyDirection(use: Use, index: number): KeyDirection {
  const line = `Unknown key direction '${use.word(index)}' -- must be '0' or '1'`;
  return use.choice(index, ['0', '1'], line) === '0' ? 0 : 1;
}

function timers(use: Use): Mutable<TimerOptions> {
  return use.draft.client?.timers ?? use.options.timers;
}

function compression(use: Use): Mutable<CompressionOptions> {
  return use.draft.client?.compression ?? use.options.data.compression;
}

/** Whether the peer is told that packets may come compressed. */
export function compresses({ algorithm }: CompressionOptions): boolean {
  return algorithm === 'lzo' || algorithm === 'lz4' || algorithm === 'lz4-v2';
}

const MIGRATION: Partial<CompressionOptions> = { algorithm: 'none', framing: 'none', migrate: true };

const framings = {
  lzo: 'lzo-no',
  'lzo-no': 'lzo-no',
  lz4: 'stub',
  stub: 'stub',
  'lz4-v2': 'stub-v2',
  'stub-v2': 'stub-v2',
} as const;

function compress(use: Use, algorithm: keyof typeof framings): void {
  const target = compression(use);
  target.algorithm = algorithm;
  target.migrate = false;
  target.framing = framings[algorithm];
  if (compresses(target))
    use.warn(
      'WARNING: Compression for receiving enabled. Compression has been used in the past to break encryption. Sent packets are not compressed unless "allow-compression yes" is also set.',
    );
}
