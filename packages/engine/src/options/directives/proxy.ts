/**
 * Directives about a proxy on the way to the peer.
 * Source: options.c add_option, init_http_proxy_options_once, parse_http_proxy_override; proxy.c http_proxy_new (2.6.14).
 */
import { type DirectiveRow, supported, type Use } from '../directive.js';
import { type DraftHttpProxy, newHttpProxy } from '../draft.js';
import type { Credentials } from '../options.js';
import { credentials } from './tls.js';

const common = ['general', 'connection'] as const;
const MOST_HEADERS = 10;

export const proxyDirectives: readonly DirectiveRow[] = [
  supported(
    'http-proxy',
    [1, 4],
    common,
    (use) => {
      if (use.count === 1)
        use.fail('http-proxy port number not defined', 'A proxy has an address and a port.', 'Write both.');
      const proxy = httpProxy(use);
      proxy.host = use.word(0);
      proxy.port = use.port(1);
      const third = use.optional(2);
      proxy.credentials = undefined;
      if (third === undefined) proxy.authentication = 'none';
      else if (third === 'auto' || third === 'auto-nct') proxy.authentication = third;
      else {
        proxy.authentication = use.count === 4 ? method(use, 3) : 'basic';
        proxy.credentials = loginFile(third);
      }
    },
    {
      note: '`auto` and `auto-nct` know Basic, Digest and NTLM version 2. `ntlm` is refused: version 1, which OpenVPN 2.7 dropped.',
    },
  ),
  supported(
    'http-proxy-user-pass',
    [1, Number.POSITIVE_INFINITY],
    ['general'],
    (use) => {
      use.ignoreFrom(1);
      use.draft.httpProxyLogin = credentials(use);
    },
    { inline: true },
  ),
  supported('http-proxy-option', [1, 3], common, (use) => {
    const proxy = httpProxy(use);
    const [type, name] = [use.word(0), use.optional(1)];
    if (type === 'VERSION' && use.count === 2) proxy.version = headerText(use, 1);
    else if (type === 'AGENT' && use.count === 2) proxy.agent = headerText(use, 1);
    else if (name !== undefined && ['EXT1', 'EXT2', 'CUSTOM-HEADER'].includes(type)) {
      if (proxy.headers.length >= MOST_HEADERS)
        use.fail(
          `Cannot use more than ${MOST_HEADERS} http-proxy-option CUSTOM-HEADER : '${type}'`,
          'OpenVPN takes no more.',
          'Remove some.',
        );
      proxy.headers.push(use.count === 3 ? `${headerText(use, 1)}: ${headerText(use, 2)}` : headerText(use, 1));
    } else
      use.fail(
        `Bad http-proxy-option or missing or extra parameter: '${type}'`,
        'It is none that OpenVPN knows.',
        'Write VERSION and a number, AGENT and a text, or CUSTOM-HEADER with a name and a text.',
        0,
      );
  }),
  supported('http-proxy-override', [2, 3], ['general'], (use) => {
    use.draft.httpProxyOverride = {
      ...newHttpProxy(),
      host: use.word(0),
      port: use.port(1),
      authentication: use.optional(2) === 'nct' ? 'auto-nct' : 'auto',
      agent: 'OpenVPN-Autoproxy/1.0',
    };
  }),
  supported('socks-proxy', [1, 3], common, (use) => {
    const file = use.optional(2);
    use.entry.socksProxy = {
      host: use.word(0),
      port: use.count > 1 ? use.port(1) : 1_080,
      credentials: file === undefined ? undefined : loginFile(file),
    };
  }),
];

/** The entry's HTTP proxy, which its other directives may name first. */
function httpProxy({ entry }: Use): DraftHttpProxy {
  entry.httpProxy ??= newHttpProxy();
  return entry.httpProxy;
}

/** An empty name leaves it to `http-proxy-user-pass`. */
function loginFile(path: string): Credentials | undefined {
  if (path === '') return undefined;
  return path === 'stdin' ? { from: 'stdin' } : { from: 'file', path };
}

function method(use: Use, index: number): 'none' | 'basic' | 'ntlm2' {
  const name = use.word(index);
  if (name === 'ntlm')
    return use.fail(
      `ERROR: HTTP authentication method 'ntlm' is not supported`,
      'The first version of NTLM rests on DES: whoever sees one login knows the password. OpenVPN 2.7 dropped it.',
      'Write ntlm2.',
      index,
    );
  return use.choice(index, ['none', 'basic', 'ntlm2'], `ERROR: unknown HTTP authentication method: '${name}'`);
}

/** Control characters would end the header. */
function headerText(use: Use, index: number): string {
  const text = use.word(index);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (!/[\0-\x1f\x7f]/.test(text)) return text;
  return use.fail(
    `Bad http-proxy-option or missing or extra parameter: '${use.word(0)}'`,
    'A control character would end the line of the request.',
    'Remove it.',
    index,
  );
}
