/** Directives about TLS, its credentials, the protection of control packets, and renegotiation. */
import { type DirectiveRow, supported, type Use } from '../directive.js';
import type { Mutable } from '../draft.js';
import type { TlsOptions, TlsVersion } from '../options.js';
import { keyDirection } from './data.js';

const wrapPermissions = ['general', 'connection'] as const;

export const tlsDirectives: readonly DirectiveRow[] = [
  supported('tls-server', [0, 0], ['general'], (use) => {
    use.draft.tls.server = true;
  }),
  supported('tls-client', [0, 0], ['general'], (use) => {
    use.draft.tls.client = true;
  }),
  ...(
    [
      ['ca', 'ca'],
      ['cert', 'cert'],
      ['key', 'key'],
      ['extra-certs', 'extraCerts'],
      ['pkcs12', 'pkcs12'],
    ] as const
  ).map(([name, field]) =>
    supported(name, [1, 1], ['general'], (use) => void (use.options.tls[field] = use.material()), { inline: true }),
  ),
  supported('capath', [1, 1], ['general'], (use) => {
    use.options.tls.capath = use.word(0);
  }),
  supported(
    'dh',
    [1, 1],
    ['general'],
    (use) => {
      use.draft.tls.dh = use.material();
    },
    { inline: true },
  ),
  supported(
    'providers',
    [1, Number.POSITIVE_INFINITY],
    ['general'],
    (use) => {
      if (!use.words.includes('default'))
        use.fail(
          `providers ${use.words.join(' ')}: OpenSSL's default provider cannot be left out`,
          'It is active in every Node process, and algorithms of its own would be used in silence.',
          'Name default too, or choose the providers with OPENSSL_CONF.',
        );
      use.options.tls.providers = [...use.words];
    },
    { note: '`default` must be among them: it is active in every Node process. `legacy` is inside node.' },
  ),
  supported('askpass', [0, 1], ['general'], (use) => {
    use.options.tls.askpass = credentials(use);
  }),
  supported(
    'tls-version-min',
    [1, 2],
    ['general'],
    (use) => {
      const line = `unknown tls-version-min parameter: ${use.word(0)}`;
      if (use.count === 2) use.choice(1, ['or-highest'], line);
      use.draft.tls.versionMin = version(use, line, use.count === 2);
    },
    { note: 'Every version up to 1.3 is there, so `or-highest` only forgives an unknown one.' },
  ),
  supported('tls-version-max', [1, 1], ['general'], (use) => {
    use.options.tls.versionMax = version(use, `unknown tls-version-max parameter: ${use.word(0)}`, false);
  }),
  ...(
    [
      ['tls-cipher', 'cipher'],
      ['tls-ciphersuites', 'ciphersuites'],
      ['tls-groups', 'groups'],
    ] as const
  ).map(([name, field]) => supported(name, [1, 1], ['general'], (use) => void (use.options.tls[field] = use.word(0)))),
  supported('tls-cert-profile', [1, 1], ['general'], (use) => {
    use.options.tls.certProfile = use.choice(
      0,
      ['insecure', 'legacy', 'preferred', 'suiteb'],
      `Invalid certificate profile: ${use.word(0)}`,
    );
  }),
  supported(
    'tls-auth',
    [1, 2],
    wrapPermissions,
    (use) => {
      const wrap = use.context === 'connection' ? use.entry.wrap : use.draft.wrap;
      wrap.tlsAuth = use.material();
      if (!use.inline && use.count === 2) wrap.direction = keyDirection(use, 1);
    },
    { inline: true },
  ),
  supported(
    'tls-crypt',
    [1, 2],
    wrapPermissions,
    (use) => {
      use.ignoreFrom(1);
      const wrap = use.context === 'connection' ? use.entry.wrap : use.draft.wrap;
      wrap.tlsCrypt = use.material();
    },
    { inline: true },
  ),
  supported(
    'tls-crypt-v2',
    [1, 2],
    wrapPermissions,
    (use) => {
      const wrap = use.context === 'connection' ? use.entry.wrap : use.draft.wrap;
      wrap.tlsCryptV2 = use.material();
      if (use.count === 1) return;
      const line = `Unsupported tls-crypt-v2 argument: ${use.word(1)}`;
      use.entry.forceCookie = use.choice(1, ['force-cookie', 'allow-noncookie'], line) === 'force-cookie';
    },
    { inline: true },
  ),
  supported('tls-crypt-v2-verify', [1, 1], ['general'], (use) => {
    use.options.tls.cryptV2Verify = use.word(0);
  }),
  supported(
    'keying-material-exporter',
    [2, Number.POSITIVE_INFINITY],
    ['general'],
    (use) => {
      const label = use.word(0);
      if (!label.startsWith('EXPORTER'))
        use.fail(
          'Keying material exporter label must begin with "EXPORTER"',
          `"${label}" could be one of TLS's own.`,
          'Write it like EXPORTER-my-service.',
          0,
        );
      if (label.startsWith('EXPORTER-OpenVPN-'))
        use.fail(
          `Keying material exporter label must not be '${label}'.`,
          "The tunnel's own keys come from labels that begin so.",
          'Choose another label.',
          0,
        );
      use.options.tls.keyingMaterial = {
        label,
        length: use.number(1, 16, 4_095, 'Invalid keying material exporter length'),
      };
    },
    { note: 'Labels that begin with `EXPORTER-OpenVPN-` are refused.' },
  ),
  supported('tls-timeout', [1, 1], ['tls'], seconds('timeout')),
  supported('hand-window', [1, 1], ['tls'], seconds('handWindow')),
  supported('tran-window', [1, 1], ['tls'], seconds('tranWindow')),
  supported('reneg-sec', [1, 2], ['tls'], (use) => {
    use.options.tls.renegSec = use.positive(0);
    if (use.count === 2) use.options.tls.renegSecMin = use.positive(1);
  }),
  supported('reneg-bytes', [1, 1], ['tls'], (use) => {
    use.options.tls.renegBytes = use.positive(0);
  }),
  supported('reneg-pkts', [1, 1], ['tls'], seconds('renegPackets')),
  supported('single-session', [0, 0], ['general'], (use) => {
    use.options.tls.singleSession = true;
  }),
  supported('tls-exit', [0, 0], ['general'], (use) => {
    use.options.tls.exitOnError = true;
  }),
  supported('push-peer-info', [0, 0], ['general'], (use) => {
    use.options.tls.pushPeerInfo = true;
  }),
  supported('force-tls-key-material-export', [0, Number.POSITIVE_INFINITY], ['general'], (use) => {
    use.ignoreFrom(0);
    use.options.tls.forceKeyMaterialExport = true;
  }),
];

/** A directive that takes a file, inline text, or nothing: then it is asked for. */
export function credentials(use: Use): ReturnType<Use['material']> | { from: 'stdin' } {
  return use.count === 0 || (!use.inline && use.word(0) === 'stdin') ? { from: 'stdin' } : use.material();
}

function seconds(field: 'timeout' | 'handWindow' | 'tranWindow' | 'renegPackets') {
  return (use: Use): void => {
    const tls: Mutable<TlsOptions> = use.options.tls;
    tls[field] = use.positive(0);
  };
}

function version(use: Use, line: string, orHighest: boolean): TlsVersion {
  const versions: readonly TlsVersion[] = ['1.0', '1.1', '1.2', '1.3'];
  const found = versions.find((version) => version === use.word(0));
  return found ?? (orHighest ? '1.3' : use.choice(0, versions, line));
}
