/** What happens to a session in a cell: options of both sides, and an exercise. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Directive } from '#interop/options.js';
import {
  cameBack,
  clientKilled,
  disconnected,
  floated,
  paused,
  renegotiated,
  restarted,
  serverRestarts,
  tokenExpired,
  tokenUsed,
} from './exercises.js';
import type { Place } from './options.js';
import { pushed } from './pushed.js';
import type { Session } from './session.js';

/** The session never comes up, or ends as soon as it has. */
export interface Refusal {
  /** What the person is told. */
  readonly told?: RegExp;
  readonly clientSays?: RegExp;
  readonly serverSays?: RegExp;
}

export interface Event {
  /** What the server's configuration has besides. */
  readonly server?: (place: Place) => Directive[];
  /** Directives that the server's configuration has not. */
  readonly without?: readonly string[];
  /** What the client's profile has besides. */
  readonly profile?: (place: Place) => Directive[];
  /** Words of `openvpn3 config-manage`. */
  readonly overrides?: readonly string[];
  /** What the person types when asked for name and password. */
  readonly login?: readonly string[];
  /** 1 unless it says otherwise. */
  readonly clients?: number;
  readonly refused?: Refusal;
  /** Once the clients are connected. */
  readonly exercise?: (session: Session) => Promise<void>;
  /** The client's counters are of several sessions then. */
  readonly reconnects?: boolean;
  /** The exercise leaves no session to be checked. */
  readonly ends?: boolean;
}

export type EventName = keyof typeof table;

const NOT_ALLOWED = /server pushed compression settings that are not allowed/;

const table = {
  steady: {},
  cookie: {
    server: ({ pki }) => [['tls-crypt-v2', pki.file('tls-crypt-v2-server.key'), 'force-cookie']],
  },
  'reneg-server': {
    server: () => [['reneg-sec', '8']],
    // It sends under a new key after half of this, or after its hand-window (60 s): too late, by default.
    profile: () => [['reneg-sec', '10']],
    exercise: renegotiated,
  },
  'reneg-client': {
    server: () => [['reneg-sec', '0']],
    profile: () => [['reneg-sec', '7']],
    exercise: renegotiated,
  },
  token: {
    server: (place) => [...asking(place), ['auth-gen-token', '0', '120']],
    profile: () => [['auth-user-pass'], ['reneg-sec', '7']],
    login: ['alice', 'secret'],
    exercise: tokenUsed,
  },
  'clients-5': { clients: 5, server: () => [['duplicate-cn']] },
  pause: { exercise: paused, reconnects: true },
  'restart-client': { exercise: restarted, reconnects: true },
  'exit-client': { server: () => [['keepalive', '60', '180']], exercise: disconnected, ends: true },
  'kill-client': { server: () => [['keepalive', '1', '3']], exercise: clientKilled, ends: true },
  'restart-server': {
    server: () => [['explicit-exit-notify', '1']],
    exercise: serverRestarts('SIGTERM', /RESTART/),
    reconnects: true,
  },
  'next-server': {
    server: () => [['explicit-exit-notify', '2']],
    exercise: serverRestarts('SIGTERM', /RESTART/),
    reconnects: true,
  },
  'kill-server': {
    server: () => [['keepalive', '1', '4']],
    exercise: serverRestarts('SIGKILL'),
    reconnects: true,
  },
  float: { server: () => [['keepalive', '1', '20']], exercise: floated },
  'comp-lzo': {
    server: () => [['comp-lzo', 'no']],
    profile: () => [['comp-lzo', 'no']],
    overrides: ['--allow-compression', 'asym'],
  },
  'push-comp-lzo': {
    server: () => [
      ['comp-lzo', 'no'],
      ['push', 'comp-lzo no'],
    ],
    overrides: ['--allow-compression', 'asym'],
  },
  'refuse-comp-lzo': {
    server: () => [
      ['comp-lzo', 'no'],
      ['push', 'comp-lzo no'],
    ],
    refused: { clientSays: NOT_ALLOWED },
  },
  'stub-v2': {
    server: () => [
      ['compress', 'stub-v2'],
      ['push', 'compress stub-v2'],
    ],
  },
  'refuse-lz4': {
    server: () => [['push', 'compress lz4-v2']],
    refused: { clientSays: NOT_ALLOWED },
  },
  'refuse-fragment': {
    server: () => [['fragment', '500']],
    profile: () => [['fragment', '500']],
    refused: { clientSays: /'fragment' directive is not supported/ },
  },
  fingerprint: {
    without: ['ca'],
    server: ({ pki }) => [['peer-fingerprint', fingerprint(pki.file('client.crt'))]],
  },
  'client-fingerprint': {
    profile: ({ pki }) => [['peer-fingerprint', fingerprint(pki.file('server.crt'))]],
  },
  'x509-name': {
    server: () => [['verify-x509-name', 'client', 'name']],
    profile: () => [['verify-x509-name', 'server', 'name']],
  },
  'refuse-name': {
    profile: () => [['verify-x509-name', 'office', 'name']],
    refused: { clientSays: /Certificate verification failed/ },
  },
  'refuse-client-name': {
    server: () => [['verify-x509-name', 'office', 'name']],
    refused: { serverSays: /VERIFY X509NAME ERROR: .*CN=client, must be office/ },
  },
  'refuse-password': {
    server: (place) => asking(place),
    profile: () => [['auth-user-pass']],
    login: ['alice', 'wrong'],
    // The reason goes over the wire; neither version shows it.
    refused: { told: /User authentication failed/, serverSays: /'AUTH_FAILED,the password has changed'/ },
  },
  'come-back': {
    server: (place) => asking(place, 'TEMP[backoff 3]:the directory is away'),
    profile: () => [['auth-user-pass']],
    login: ['alice', 'secret'],
    exercise: cameBack,
    reconnects: true,
  },
  'token-expires': {
    server: (place) => [...asking(place), ['hand-window', '4'], ['auth-gen-token', '12', '8']],
    profile: () => [['auth-user-pass'], ['reneg-sec', '7']],
    login: ['alice', 'secret'],
    exercise: tokenExpired,
    reconnects: true,
  },
  'pushed-dhcp': pushed(
    [
      'dhcp-option DNS 10.77.0.1',
      'dhcp-option DNS6 fd00:77::1',
      'dhcp-option DOMAIN corp.example',
      'dhcp-option DOMAIN-SEARCH lab.example',
    ],
    {
      resolver: [
        /^nameserver 10\.77\.0\.1$/m,
        /^nameserver fd00:77::1$/m,
        /^search .*corp\.example/m,
        /^search .*lab\.example/m,
      ],
    },
  ),
  'pushed-dns': pushed(['dns server 0 address 10.77.0.1 fd00:77::1', 'dns search-domains lab.example'], {
    resolver: [/^nameserver 10\.77\.0\.1$/m, /^nameserver fd00:77::1$/m, /^search .*lab\.example/m],
  }),
  'pushed-routes': pushed(
    ['route 10.60.0.0 255.255.0.0', 'route 10.61.0.1 255.255.255.255 vpn_gateway 7', 'route-ipv6 fd60::/48'],
    {
      routes: [
        /^10\.60\.0\.0\/16 via 10\.77\.0\.1 dev tun0/m,
        /^10\.61\.0\.1 via 10\.77\.0\.1 dev tun0/m,
        /^fd60::\/48 .*dev tun0/m,
      ],
    },
  ),
  'pushed-gateway': pushed(['redirect-gateway def1 ipv6'], {
    routes: [
      /^0\.0\.0\.0\/1 .*dev tun0/m,
      /^128\.0\.0\.0\/1 .*dev tun0/m,
      /^::\/1 .*dev tun0/m,
      /^8000::\/1 .*dev tun0/m,
    ],
  }),
  'pushed-block': pushed(['redirect-gateway def1', 'block-ipv6', 'block-outside-dns'], {
    said: [/\[block-ipv6\]/, /\[block-outside-dns\]/],
  }),
  'pushed-mtu': pushed(
    ['mssfix 1200'],
    { said: [/\[tun-mtu\] \[1400\]/, /\[mssfix\] \[1200\]/], links: [/tun0: .* mtu 1400/] },
    [
      ['tun-mtu', '1400'],
      ['mssfix', '1200'],
    ],
  ),
} as const satisfies Readonly<Record<string, Event>>;

export const events: Readonly<Record<EventName, Event>> = table;

/** A script that knows one login, writes a line for each call, and says why it refuses; `first`: it refuses all the first time. */
function asking({ folder }: Place, first = ''): Directive[] {
  const script = join(folder, 'verify-login');
  const text = [
    '#!/bin/sh',
    `if [ -n "${first}" ] && [ ! -e "${folder}/asked" ]; then`,
    `  echo "${first}" >"$auth_failed_reason_file"; echo asked >"${folder}/asked"; exit 1`,
    'fi',
    `echo asked >>"${folder}/asked"`,
    '[ "$(tr \'\\n\' : <"$1")" = alice:secret: ] && exit 0',
    'echo "the password has changed" >"$auth_failed_reason_file"',
    'exit 1',
    '',
  ].join('\n');
  writeFileSync(script, text, { mode: 0o700 });
  return [
    ['script-security', '2'],
    ['auth-user-pass-verify', script, 'via-file'],
  ];
}

function fingerprint(certificate: string): string {
  return new X509Certificate(readFileSync(certificate)).fingerprint256;
}
