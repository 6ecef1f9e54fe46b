/** Directives about scripts, the process and its log, and the one-shot actions. */
import { type DirectiveRow, supported, type Use } from '../directive.js';
import type { Action } from '../options.js';

const script = ['script'] as const;

/** Scripts whose command is one parameter: directive and field. */
const scripts = [
  ['up', 'up'],
  ['down', 'down'],
  ['route-up', 'routeUp'],
  ['route-pre-down', 'routePreDown'],
  ['client-connect', 'clientConnect'],
  ['client-disconnect', 'clientDisconnect'],
  ['learn-address', 'learnAddress'],
  ['client-crresponse', 'clientCrresponse'],
] as const;

const persists = [
  ['persist-tun', 'tun', 'persist'],
  ['persist-key', 'key', 'persist'],
  ['persist-remote-ip', 'remoteIp', 'persist-ip'],
] as const;

const shows = [
  ['show-ciphers', 'show-ciphers'],
  ['show-digests', 'show-digests'],
  ['show-tls', 'show-tls'],
  ['show-engines', 'show-engines'],
  ['show-curves', 'show-groups'],
  ['show-groups', 'show-groups'],
] as const;

/** upstream: plugin.h MAX_PLUGINS */
const mostPlugins = 16;

export const processDirectives: readonly DirectiveRow[] = [
  ...scripts.map(([name, field]) =>
    supported(name, [1, Number.POSITIVE_INFINITY], script, (use) => {
      const { scripts } = use.options;
      scripts[field] = command(use, 1, scripts[field]);
    }),
  ),
  supported('ipchange', [1, Number.POSITIVE_INFINITY], script, (use) => {
    const { scripts } = use.options;
    scripts.ipchange = command(use, 1, scripts.ipchange).replaceAll(',', ' ');
  }),
  supported('tls-verify', [1, Number.POSITIVE_INFINITY], script, (use) => {
    const { verify } = use.options;
    verify.script = command(use, 1, verify.script).replaceAll(',', ' ');
  }),
  supported('auth-user-pass-verify', [1, Number.POSITIVE_INFINITY], script, (use) => {
    const { auth } = use.options;
    const line = "second parm to --auth-user-pass-verify must be 'via-env' or 'via-file'";
    const text = command(use, 2, auth.verify?.command);
    if (use.count === 1)
      use.fail(
        "--auth-user-pass-verify requires a second parameter ('via-env' or 'via-file')",
        'It is not said how the script gets the password.',
        'Add via-file.',
      );
    auth.verify = { command: text, method: use.choice(1, ['via-env', 'via-file'], line) };
  }),
  supported(
    'plugin',
    [1, Number.POSITIVE_INFINITY],
    ['plugin'],
    (use) => {
      const [name = '', ...parameters] = use.words;
      if (use.options.plugins.length === mostPlugins)
        use.fail(
          `plugin add failed: ${name}`,
          `There are more than ${mostPlugins} plugins.`,
          'Remove those that are not needed.',
        );
      use.options.plugins.push({ name, parameters });
    },
    { note: 'Also a TypeScript file (`./acme.ts`) or an installed package, see docs/plugins.md.' },
  ),
  supported('down-pre', [0, 0], ['general'], (use) => void (use.options.scripts.downPre = true)),
  supported('up-delay', [0, 0], ['general'], (use) => void (use.options.scripts.upDelay = true)),
  supported('up-restart', [0, 0], ['general'], (use) => void (use.options.scripts.upRestart = true)),
  supported('script-security', [1, 1], ['general'], (use) => {
    const level = use.number(0);
    use.options.scripts.security = level <= 0 ? 0 : level === 1 ? 1 : level === 2 ? 2 : 3;
  }),
  supported('setenv', [1, 2], ['general'], setenv),
  supported('setenv-safe', [1, 2], ['setenv'], (use) => {
    use.options.environment.push({ name: `OPENVPN_${use.word(0)}`, value: use.optional(1) ?? '' });
  }),
  ...persists.map(([name, field, permission]) =>
    supported(name, [0, 0], [permission], (use) => void (use.options.persist[field] = true), {
      note: name === 'persist-key' ? 'Always so, as in 2.7.' : '',
    }),
  ),
  supported('persist-local-ip', [0, 0], ['persist-ip'], () => undefined, {
    note: 'Always so: a local address is not looked up again.',
  }),
  supported('cd', [1, 1], ['general'], (use) => {
    const { process } = use.options;
    const path = use.word(0);
    process.cd = path.startsWith('/') || process.cd === undefined ? path : `${process.cd}/${path}`;
  }),
  supported('chroot', [1, 1], ['general'], (use) => void (use.options.process.chroot = use.word(0))),
  supported('user', [1, 1], ['general'], (use) => void (use.options.process.user = use.word(0))),
  supported('group', [1, 1], ['general'], (use) => void (use.options.process.group = use.word(0))),
  supported('nice', [1, 1], ['nice'], (use) => void (use.options.process.nice = use.number(0))),
  supported('mlock', [0, 0], ['general'], (use) => void (use.options.process.mlock = true)),
  supported('writepid', [1, 1], ['general'], (use) => void (use.options.process.writePid = use.word(0))),
  supported('remap-usr1', [1, 1], ['general'], (use) => {
    use.options.process.remapUsr1 = use.choice(
      0,
      ['SIGHUP', 'SIGTERM'],
      "--remap-usr1 parm must be 'SIGHUP' or 'SIGTERM'",
    );
  }),
  supported('daemon', [0, 1], ['general'], (use) => {
    const { process, log } = use.options;
    if (process.daemon) {
      if (use.count === 1)
        use.warn(
          `WARNING: Multiple --daemon directives specified, ignoring --daemon ${use.word(0)}. (Note that initscripts sometimes add their own --daemon directive.)`,
        );
      return;
    }
    process.daemon = true;
    process.programName = use.optional(0) ?? process.programName;
    if (log.destination.to === 'stdout') log.destination = { to: 'syslog' };
  }),
  supported('syslog', [0, 1], ['general'], (use) => {
    use.options.process.programName = use.optional(0) ?? use.options.process.programName;
    if (use.options.log.destination.to === 'stdout') use.options.log.destination = { to: 'syslog' };
  }),
  ...['log', 'log-append'].map((name) =>
    supported(name, [1, 1], ['general'], (use) => {
      use.options.log.destination = { to: 'file', path: use.word(0), append: name === 'log-append' };
    }),
  ),
  supported('errors-to-stderr', [0, 0], ['messages'], (use) => void (use.options.log.errorsToStderr = true)),
  supported('suppress-timestamps', [0, 0], ['general'], (use) => void (use.options.log.suppressTimestamps = true)),
  supported('machine-readable-output', [0, 0], ['general'], (use) => void (use.options.log.machineReadable = true)),
  supported('verb', [1, 1], ['messages'], (use) => void (use.options.log.verb = use.positive(0))),
  supported('mute', [1, 1], ['messages'], (use) => void (use.options.log.mute = use.positive(0))),
  supported('status', [1, 2], ['general'], (use) => {
    use.options.log.status = {
      file: use.word(0),
      interval: use.count === 2 ? use.positive(1) : (use.options.log.status?.interval ?? 60),
    };
  }),
  supported('status-version', [1, 1], ['general'], (use) => {
    const version = use.number(0, 1, 3, '--status-version must be 1 to 3');
    use.options.log.statusVersion = version === 1 ? 1 : version === 2 ? 2 : 3;
  }),
  ...['echo', 'parameter'].map((name) =>
    supported(name, [0, Number.POSITIVE_INFINITY], ['echo'], (use) => {
      if (use.draft.client === undefined) use.options.log.echo.push(use.words.join(' '));
      else use.warn(`--${name} has no effect in a file about one client`);
    }),
  ),
  supported('ignore-unknown-option', [1, Number.POSITIVE_INFINITY], ['general'], (use) => {
    use.options.pulling.ignoreUnknown.push(...use.words.map((word) => word.replace(/^--/, '')));
  }),
  supported(
    'compat-mode',
    [1, 2],
    ['general'],
    (use: Use) => {
      use.ignoreFrom(1);
      const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})/.exec(use.word(0));
      if (match === null)
        use.fail(
          `cannot parse version number for --compat-mode: ${use.word(0)}`,
          `"${use.word(0)}" is no version.`,
          'Write it like 2.4.9.',
          0,
        );
      use.draft.compatible = Number(match[1]) * 10_000 + Number(match[2]) * 100 + Number(match[3]);
    },
    { note: 'BF-CBC, which it implies before 2.4.0, is not available here.' },
  ),
  supported('help', [0, Number.POSITIVE_INFINITY], ['general'], (use) => action(use, { do: 'help' })),
  supported('version', [0, 0], ['general'], (use) => action(use, { do: 'version' })),
  supported('test-crypto', [0, 0], ['general'], (use) => action(use, { do: 'test-crypto' })),
  supported('mktun', [0, 0], ['general'], (use) => action(use, { do: 'mktun' })),
  supported('rmtun', [0, 0], ['general'], (use) => action(use, { do: 'rmtun' })),
  ...shows.map(([name, what]) =>
    supported(name, [0, 0], ['general'], (use) => action(use, { do: what, argument: undefined })),
  ),
  supported('show-gateway', [0, 1], ['general'], (use) =>
    action(use, { do: 'show-gateway', argument: use.optional(0) }),
  ),
  supported('genkey', [0, 3], ['general'], (use) => {
    const kind =
      use.count === 0
        ? 'secret'
        : use.choice(
            0,
            ['secret', 'tls-auth', 'tls-crypt', 'tls-crypt-v2-server', 'tls-crypt-v2-client', 'auth-token'],
            `unknown --genkey type: ${use.word(0)}`,
          );
    const type = kind === 'tls-auth' || kind === 'tls-crypt' ? 'secret' : kind;
    action(use, { do: 'genkey', type, file: use.optional(1), metadata: use.optional(2), serverKey: undefined });
  }),
];

function setenv(use: Use): void {
  const name = use.word(0);
  const value = use.optional(1);
  if (name === 'GENERIC_CONFIG')
    use.fail(
      'this is a generic configuration and cannot directly be used',
      'It says so itself.',
      'Ask for a profile made for you.',
    );
  else if (name === 'PUSH_PEER_INFO' && value === undefined) use.options.tls.pushPeerInfo = true;
  else if (name === 'REMOTE_RANDOM_HOSTNAME' && value === undefined) use.options.connecting.randomHostname = true;
  else if (name === 'SERVER_POLL_TIMEOUT' && value !== undefined) use.entry.settings.connectTimeout = use.positive(1);
  else {
    if (name === 'FORWARD_COMPATIBLE' && value === '1') use.draft.forwardCompatible = true;
    use.options.environment.push({ name, value: value ?? '' });
  }
}

/** A command is one parameter; `most` counts it and what may follow. */
function command(use: Use, most: number, before: string | undefined): string {
  if (use.count > most)
    use.fail(
      `the --${use.name} directive should have at most ${most} parameter${most >= 2 ? 's' : ''}.  To pass a list of arguments as one of the parameters, try enclosing them in double quotes ("").`,
      'The command and its arguments are one parameter.',
      'Put the whole command into quotation marks.',
      most,
    );
  if (before !== undefined)
    use.warn(`Multiple --${use.name} scripts defined.  The previously configured script is overridden.`);
  return use.word(0);
}

/** The first action wins, as upstream ends at it. */
function action(use: Use, asked: Action): void {
  if (use.options.action.do === 'run') use.options.action = asked;
}
