/**
 * Which proxy a connection goes through.
 * Source: options.c options_postprocess_mutate_ce, options_postprocess_verify_ce,
 * options_postprocess_http_proxy_override (2.6.14).
 */
import { wholeConfiguration } from './config-error.js';
import { copyPlain, type Draft, type DraftEntry, type DraftHttpProxy, type Mutable } from './draft.js';
import type { Connection, HttpProxy } from './options.js';
import { usage } from './usage.js';

/** `settings` has its protocol already; its family may become IPv4. */
export function resolveProxy(
  draft: Draft,
  entry: DraftEntry,
  settings: Mutable<Connection>,
): Mutable<Connection>['proxy'] {
  const { protocol } = settings;
  const { httpProxy: http, socksProxy: socks } = entry;
  if (http !== undefined && protocol !== 'tcp-client')
    usage(draft, 'http-proxy')(
      '--http-proxy MUST be used in TCP Client mode (i.e. --proto tcp-client)',
      'An HTTP proxy carries TCP connections only.',
      'Write "proto tcp-client", or use socks-proxy.',
    );
  if (http !== undefined && socks !== undefined)
    usage(draft, 'socks-proxy')(
      '--http-proxy can not be used together with --socks-proxy',
      'A connection goes through one proxy.',
      'Keep one.',
    );
  if (http !== undefined) return httpProxy(draft, http);
  if (socks === undefined) return undefined;
  if (protocol === 'tcp-server')
    usage(draft, 'socks-proxy')(
      '--socks-proxy can not be used in TCP Server mode',
      'Nobody calls through a proxy.',
      'Remove it.',
    );
  if (protocol === 'udp' && settings.family !== 4) {
    const text =
      settings.family === 6
        ? "WARNING: '--proto udp6' is not compatible with '--socks-proxy' today.  Forcing IPv4 mode."
        : "NOTICE: dual-stack mode for '--proto udp' does not work correctly with '--socks-proxy' today.  Forcing IPv4.";
    draft.warnings.push({ level: 'info', text, at: draft.given.get('socks-proxy') ?? wholeConfiguration });
    settings.family = 4;
  }
  return { kind: 'socks', ...copyPlain(socks) };
}

/** `http-proxy-override`: every TCP connection goes through it, and no other is tried. */
export function overrideProxies(draft: Draft, connections: readonly Mutable<Connection>[]): void {
  const { httpProxyOverride: override, httpProxyLogin } = draft;
  if (override === undefined) {
    if (httpProxyLogin !== undefined && connections.every(({ proxy }) => proxy?.kind !== 'http'))
      refuseWithoutProxy(draft, 'http-proxy-user-pass');
    return;
  }
  const overTcp = connections.filter(({ protocol }) => protocol === 'tcp-client');
  if (overTcp.length === 0) {
    const text = 'Note: option http-proxy-override ignored because no TCP-based connection profiles are defined';
    draft.warnings.push({
      level: 'warning',
      text,
      at: draft.given.get('http-proxy-override') ?? wholeConfiguration,
    });
    return;
  }
  for (const connection of connections)
    if (connection.protocol === 'tcp-client') connection.proxy = httpProxy(draft, override);
    else connection.enabled = false;
}

function httpProxy(draft: Draft, http: DraftHttpProxy): Mutable<HttpProxy> {
  const { host } = http;
  if (host === undefined) return refuseWithoutProxy(draft, 'http-proxy-option');
  return copyPlain({ kind: 'http', ...http, host, credentials: draft.httpProxyLogin ?? http.credentials });
}

function refuseWithoutProxy(draft: Draft, directive: string): never {
  return usage(draft, directive)(
    '--http-proxy not specified but other http proxy options present',
    'They are about no proxy.',
    'Write "http-proxy ADDRESS PORT".',
  );
}
