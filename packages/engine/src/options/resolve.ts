/**
 * What is decided once the whole configuration is known: device type, ciphers, connections, TLS versions, renewals.
 * Source: options.c options_postprocess_mutate and what it calls (2.6.14).
 */
import type { ClientConfig } from './client-config.js';
import { wholeConfiguration } from './config-error.js';
import { compresses } from './directives/data.js';
import type { Draft, DraftEntry, DraftWrap, Mutable } from './draft.js';
import { copyEntry } from './draft.js';
import type { Connection, WrapOptions } from './options.js';
import { overrideProxies, resolveProxy } from './proxies.js';
import { usage } from './usage.js';

/** `dev-type`, or how the name of `dev` starts. */
export function deviceType(draft: Draft): 'tun' | 'tap' | 'null' {
  const { name } = draft.options.device;
  if (name === undefined)
    return usage(draft, 'dev')(
      'You must define TUN/TAP device (--dev)',
      'It is not said what the tunnel looks like on this host.',
      'Write "dev tun".',
    );
  const types = ['tun', 'tap', 'null'] as const;
  const found = types.find((type) =>
    draft.deviceType === undefined ? name.startsWith(type) : draft.deviceType === type,
  );
  if (found !== undefined) return found;
  const named = draft.deviceType === undefined ? 'dev' : 'dev-type';
  return usage(draft, named)(
    `I don't recognize device ${draft.deviceType ?? name} as a tun or tap device`,
    `"${draft.deviceType ?? name}" names no kind of device.`,
    'Write "dev-type tun", or choose a name that starts with tun or tap.',
  );
}

export function resolveOptions(draft: Draft): void {
  const { options } = draft;
  if (options.action.do === 'run') options.device.type = deviceType(draft);
  resolveTlsVersion(draft);
  resolveCiphers(draft);
  options.connections = connections(draft);
  resolveTls(draft);
  const { compression } = options.data;
  const real = compresses(compression);
  if (compression.migrate && options.mode !== 'server')
    warn(draft, 'compress', 'compress migrate has no effect here: only a server moves its clients');
  if (draft.allowCompression === 'no' && real)
    usage(draft, 'allow-compression')(
      "Compression is not allowed since allow-compression is set to 'stub-only'",
      'The configuration asks for both.',
      'Remove one of the two.',
    );
  if (draft.allowCompression === undefined && (real || (draft.compatible !== 0 && draft.compatible < 20_600)))
    compression.allow = 'asym';
  // Upstream's PRE_PULL_INITIAL_PING_RESTART: a client that hears nothing before the push starts over.
  if (
    options.pull &&
    !draft.given.has('ping-restart') &&
    !draft.given.has('ping-exit') &&
    !draft.given.has('keepalive')
  )
    options.timers.pingTimeout = 120;
  if (options.auth.genToken !== undefined) {
    options.auth.genToken.secret = draft.genTokenSecret;
    if (!draft.genTokenRenewalGiven) options.auth.genToken.renewal = options.tls.renegSec;
  }
}

export function resolveClientConfig(draft: Draft, client: Mutable<ClientConfig>): ClientConfig {
  if (draft.dataCiphers !== undefined) client.dataCiphers = cipherList(draft, draft.dataCiphers);
  return client;
}

function resolveTlsVersion(draft: Draft): void {
  const { tls } = draft.options;
  const given = draft.tls.versionMin;
  const max = tls.versionMax;
  if (given !== undefined) tls.versionMin = given;
  else if (draft.compatible !== 0 && draft.compatible < 20_307) tls.versionMin = '1.0';
  else if (max !== undefined && max < '1.2') tls.versionMin = max;
  if (max !== undefined && max < tls.versionMin)
    usage(draft, 'tls-version-min')(
      '--tls-version-min bigger than --tls-version-max',
      'No version is left.',
      'Raise the one or lower the other.',
    );
}

function resolveCiphers(draft: Draft): void {
  const { data, pull, mode } = draft.options;
  if (draft.dataCiphers !== undefined) data.dataCiphers = cipherList(draft, draft.dataCiphers);
  const cipherGiven = draft.cipher !== undefined;
  data.cipher = draft.cipher === undefined ? 'BF-CBC' : spelledCipher(draft.cipher);
  const older = (version: number): boolean => draft.compatible !== 0 && draft.compatible < version;
  if (older(20_400)) data.fallback = true;
  if ((cipherGiven || older(20_400)) && older(20_500) && !data.dataCiphers.includes(data.cipher)) {
    if (isAvailable(draft, data.cipher)) data.dataCiphers.push(data.cipher);
    else warn(draft, 'compat-mode', `cipher ${data.cipher} is not available and not added to --data-ciphers`);
  }
  if (!pull && mode !== 'server') {
    if (cipherGiven) data.fallback = true;
  } else if (!cipherGiven && !older(20_400)) {
    const text =
      "Note: --cipher is not set. OpenVPN versions before 2.5 defaulted to BF-CBC as fallback when cipher negotiation failed in this case. If you need this fallback please add '--data-ciphers-fallback BF-CBC' to your configuration and/or add BF-CBC to --data-ciphers.";
    draft.warnings.push({ level: 'info', text, at: wholeConfiguration });
  } else if (!data.fallback && !data.dataCiphers.includes(data.cipher))
    warn(
      draft,
      'cipher',
      `DEPRECATED OPTION: --cipher set to '${draft.cipher ?? data.cipher}' but missing in --data-ciphers (${data.dataCiphers.join(':')}). OpenVPN ignores --cipher for cipher negotiations. `,
    );
}

/** Data ciphers that are available everywhere. */
const commonCiphers: ReadonlySet<string> = new Set([
  'AES-256-GCM',
  'AES-192-GCM',
  'AES-128-GCM',
  'CHACHA20-POLY1305',
  'AES-256-CBC',
  'AES-192-CBC',
  'AES-128-CBC',
]);

export function isAvailable({ crypto }: Draft, name: string): boolean {
  return commonCiphers.has(name) || crypto?.cipher(name) !== undefined;
}

/** What to do about a cipher that is not available. */
export const otherCiphers = `Use one of ${[...commonCiphers].join(', ')}, or another that --show-ciphers names.`;

/** Upstream's spelling of a cipher's name, whatever its case. */
function spelledCipher(name: string): string {
  return name === 'none' ? name : name.toUpperCase();
}

/** Source: ssl_ncp.c mutate_ncp_cipher_list. At most 127 characters; `?` marks names that may be missing. */
function cipherList(draft: Draft, text: string): string[] {
  const at = draft.given.has('data-ciphers') ? 'data-ciphers' : 'ncp-ciphers';
  const list: string[] = [];
  const unsupported: string[] = [];
  for (const word of text.split(':')) {
    if (word === '') continue;
    const optional = word.startsWith('?');
    const name = spelledCipher(optional ? word.slice(1) : word);
    if (isAvailable(draft, name)) list.push(name);
    else if (optional) warn(draft, at, `Unsupported optional cipher in --data-ciphers: ${word.slice(1)}`);
    else unsupported.push(word);
  }
  if (unsupported.length > 0 || list.length === 0 || list.join(':').length > 127)
    usage(draft, at)(
      '--data-ciphers list contains unsupported ciphers or is too long.',
      unsupported.length > 0
        ? `Not available here: ${unsupported.join(', ')}.`
        : 'No cipher, or more than 127 characters.',
      `${otherCiphers} Write ? in front of a name that may be missing.`,
    );
  return list;
}

function connections(draft: Draft): Mutable<Connection>[] {
  const entries =
    draft.blocks.length > 0
      ? draft.blocks
      : draft.remotes.length > 0
        ? draft.remotes.map(({ host, port, protocol, family }) => {
            const entry = copyEntry(draft.entry);
            entry.settings.remote = host;
            if (port !== undefined) entry.settings.remotePort = port;
            if (protocol !== undefined) entry.protocol = protocol;
            if (family !== undefined) entry.settings.family = family;
            return entry;
          })
        : [draft.entry];
  const all = entries.map((entry) => connection(draft, entry));
  overrideProxies(draft, all);
  return all;
}

function connection(draft: Draft, entry: DraftEntry): Mutable<Connection> {
  const { options, helpers } = draft;
  const settings: Mutable<Connection> = { ...entry.settings };
  const serves =
    helpers.server !== undefined || helpers.serverBridge !== undefined || helpers.serverBridgeDhcp !== undefined;
  const protocol =
    entry.protocol === 'tcp' ? (serves ? 'tcp-server' : helpers.client ? 'tcp-client' : undefined) : entry.protocol;
  if (protocol === undefined)
    return usage(draft, 'proto')(
      '--proto tcp is ambiguous in this context. Please specify --proto tcp-server or --proto tcp-client',
      'Neither "client" nor "server" says who calls whom.',
      'Write "proto tcp-client" or "proto tcp-server".',
    );
  settings.protocol = protocol;
  const wantsBind = settings.localAddress !== undefined || entry.localPortGiven || entry.bindGiven;
  if (entry.bindGiven && entry.nobindGiven)
    usage(draft, 'nobind')("--bind and --nobind can't be used together", 'They say opposite things.', 'Keep one.');
  const usesSocks = protocol === 'udp' && entry.socksProxy !== undefined;
  settings.bind = !entry.nobindGiven && (wantsBind || !(protocol === 'tcp-client' || usesSocks || options.pull));
  if (entry.nobindGiven && settings.localAddress !== undefined)
    usage(draft, 'local')(
      "--local and --nobind don't make sense when used together",
      'The one binds, the other does not.',
      'Keep one.',
    );
  if (entry.nobindGiven && entry.localPortGiven)
    usage(draft, 'lport')(
      "--lport and --nobind don't make sense when used together",
      'The one binds, the other does not.',
      'Keep one.',
    );
  if (!settings.bind) settings.localPort = 0;
  settings.proxy = resolveProxy(draft, entry, settings);
  if (draft.protocolForce !== undefined) settings.enabled = sameProtocol(draft.protocolForce, protocol);
  if (options.device.type === 'tap' && !entry.tunMtuExtraGiven) settings.tunMtuExtra = 32;
  if (!entry.mssfixGiven) {
    if (settings.fragment > 0) settings.mssfix = { size: settings.fragment, measure: 'mtu' };
    else if (settings.linkMtu === undefined)
      settings.mssfix =
        settings.tunMtu === 1_500 ? { size: 1_492, measure: 'mtu' } : { size: settings.tunMtu, measure: 'fixed' };
  }
  settings.wrap = wrap(draft, entry);
  if (protocol !== 'udp' && settings.explicitExitNotify > 0) {
    warn(draft, 'explicit-exit-notify', 'NOTICE: --explicit-exit-notify ignored for --proto tcp');
    settings.explicitExitNotify = 0;
  }
  return settings;
}

function sameProtocol(forced: string, protocol: string): boolean {
  return forced === protocol || (forced === 'tcp' && protocol !== 'udp');
}

/** A block's own key replaces the common ones together with their direction. */
function wrap(draft: Draft, entry: DraftEntry): WrapOptions {
  const own = entry.wrap;
  const hasOwn = own.tlsAuth !== undefined || own.tlsCrypt !== undefined || own.tlsCryptV2 !== undefined;
  const keys: DraftWrap = hasOwn ? own : draft.wrap;
  return {
    tlsAuth: keys.tlsAuth === undefined ? undefined : { key: keys.tlsAuth, direction: keys.direction },
    tlsCrypt: keys.tlsCrypt,
    tlsCryptV2: keys.tlsCryptV2 === undefined ? undefined : { key: keys.tlsCryptV2, forceCookie: entry.forceCookie },
  };
}

function resolveTls(draft: Draft): void {
  const { options } = draft;
  const { server, client } = draft.tls;
  const { secret } = options.data;
  if (secret !== undefined) secret.direction = draft.wrap.direction;
  options.tls.role = server ? 'server' : client ? 'client' : 'none';
  const dh = draft.tls.dh;
  if (server) {
    if (dh === undefined)
      usage(draft, 'dh')(
        'You must define DH file (--dh)',
        'A TLS server says whether it offers finite-field Diffie-Hellman.',
        'Write "dh none": elliptic curves are used then.',
      );
    options.tls.dh = dh?.from === 'file' && dh.path === 'none' ? undefined : dh;
  } else if (dh !== undefined)
    warn(
      draft,
      'dh',
      "WARNING: Ignoring option 'dh' in tls-client mode, please only include this in your server configuration",
    );
  const { verify, tls } = options;
  if (tls.ca === undefined && tls.capath === undefined && verify.peerFingerprints.length > 0)
    draft.warnings.push({
      level: 'info',
      text: 'Using certificate fingerprint to verify peer (no CA option set). ',
      at: wholeConfiguration,
    });
}

function warn(draft: Draft, directive: string, text: string): void {
  draft.warnings.push({ level: 'warning', text, at: draft.given.get(directive) ?? wholeConfiguration });
}
