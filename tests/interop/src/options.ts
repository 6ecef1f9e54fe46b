/**
 * OpenVPN's options for both sides of a cell. The server gets them as a configuration file with inline blocks,
 * the client as arguments, so that every run exercises both ways in.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cell, Wrap } from './cell.js';
import { serverAddress } from './network.js';
import type { Pki } from './pki.js';

export type Directive = readonly [name: string, ...values: string[]];

export interface Sides {
  readonly server: readonly Directive[];
  readonly client: readonly Directive[];
}

export const tunnelServer = { ipv4: '10.77.0.1', ipv6: 'fd00:77::1' } as const;
/** Only the p2p modes fix the client's address; a pool's choice is read from the interface. */
export const tunnelPeer = { ipv4: '10.77.0.2', ipv6: 'fd00:77::2' } as const;

/** Both sides' options for a cell, without the program's name; `folder` takes scripts. */
export function optionsOf(cell: Cell, { pki, folder }: { pki: Pki; folder: string }): Sides {
  const shared = sharedOptions(cell);
  const wrap = wrapOptions(cell.wrap, pki, cell.event === 'refuse-wrap-key');
  const event = eventOptions(cell, { pki, folder });
  const identity = (name: string): Directive[] => [
    ['ca', pki.file('ca.crt')],
    ['cert', pki.file(`${name}.crt`)],
    ['key', pki.file(`${name}.key`)],
  ];
  const certificate = { 'refuse-revoked': 'revoked', 'refuse-expired': 'expired', 'refuse-purpose': 'server' } as const;
  const clientName = cell.event in certificate ? certificate[cell.event as keyof typeof certificate] : 'client';
  const udp = cell.proto.startsWith('udp');
  const ip = cell.proto.endsWith('6') ? 'ipv6' : 'ipv4';
  const family = cell.proto.slice(-1);
  const link = {
    server: [
      ['proto', udp ? `udp${family}` : `tcp${family}-server`],
      ['local', serverAddress[ip]],
      ['port', '1194'],
    ] satisfies Directive[],
    client: [
      ['proto', udp ? `udp${family}` : `tcp${family}-client`],
      ['remote', serverAddress[ip], '1194'],
      ['nobind'],
    ] satisfies Directive[],
  };
  const device = cell.event === 'tap' ? 'tap' : 'tun';
  if (cell.event === 'static-key')
    return {
      server: [['dev', device], ...link.server, ...pointToPoint('server'), ...shared.server, ...event.server],
      client: [['dev', device], ...link.client, ...pointToPoint('client'), ...shared.client, ...event.client],
    };
  const mode: Sides =
    cell.event === 'p2p'
      ? {
          server: [['tls-server'], ...pointToPoint('server')],
          client: [['tls-client'], ...pointToPoint('client')],
        }
      : {
          server: [
            ['topology', 'subnet'],
            ['server', '10.77.0.0', '255.255.255.0'],
            ['server-ipv6', 'fd00:77::/64'],
          ],
          client: [['client']],
        };
  return {
    server: [
      ['dev', device],
      ...link.server,
      ...mode.server,
      ...identity('server'),
      ['dh', 'none'],
      ['remote-cert-tls', 'client'],
      ...wrap.server,
      ...shared.server,
      ...event.server,
    ],
    client: [
      ['dev', device],
      ...link.client,
      ...mode.client,
      ...identity(clientName),
      ['remote-cert-tls', 'server'],
      ...wrap.client,
      ...shared.client,
      ...event.client,
    ],
  };
}

/** Arguments as OpenVPN takes them: each directive as --name and its values. */
export function asArguments(directives: readonly Directive[]): string[] {
  return directives.flatMap(([name, ...values]) => [`--${name}`, ...values]);
}

const inlined = new Set(['ca', 'cert', 'key', 'tls-auth', 'tls-crypt', 'tls-crypt-v2', 'secret', 'crl-verify']);

/** Writes a configuration file for `asConfig`'s text; returns its path. */
export function asConfigFile(directives: readonly Directive[], folder: string): string {
  const path = join(folder, 'server.conf');
  writeFileSync(path, asConfig(directives), { mode: 0o600 });
  return path;
}

/** The text of a configuration in which files of keys and certificates are inline blocks. */
export function asConfig(directives: readonly Directive[]): string {
  const lines = directives.flatMap(([name, ...values]) => {
    const [first, second] = values;
    const direction = second !== undefined && (name === 'tls-auth' || name === 'secret');
    if (first !== undefined && inlined.has(name) && (direction || second === undefined)) {
      return [
        ...(direction ? [`key-direction ${second}`] : []),
        `<${name}>`,
        readFileSync(first, 'utf8').trimEnd(),
        `</${name}>`,
      ];
    }
    return [[name, ...values.map((value) => (/[\s"#;]/.test(value) ? `"${value}"` : value))].join(' ')];
  });
  return `${lines.join('\n')}\n`;
}

function sharedOptions({ client, server, cipher, event, proto }: Cell): Sides {
  // A static key and a 2.5 peer in p2p mode do not negotiate: both are told the cipher.
  const fixed = event === 'static-key' || (event === 'p2p' && (client === 'stock-2.5' || server === 'stock-2.5'));
  const common: Directive[] = [
    ['verb', '4'],
    ['suppress-timestamps'],
    ...(event === 'static-key' ? [] : [['data-ciphers', cipher] satisfies Directive]),
    ...(fixed ? [['cipher', cipher] satisfies Directive] : []),
    // SHA256 with one CBC cipher; the default, SHA1, with the other and for tls-auth beside AEAD
    ...(cipher === 'AES-256-CBC' || event === 'static-key' ? [['auth', 'SHA256'] satisfies Directive] : []),
  ];
  const exitNotify: Directive[] =
    proto.startsWith('udp') && event !== 'static-key' ? [['explicit-exit-notify', '1']] : [];
  return { server: [...common, ...exitNotify], client: [...common, ...exitNotify] };
}

/** `wrong`: the client has another key than the server. */
export function wrapOptions(wrap: Wrap, pki: Pki, wrong = false): Sides {
  switch (wrap) {
    case 'none':
      return { server: [], client: [] };
    case 'tls-auth':
      return {
        server: [['tls-auth', pki.file('tls-auth.key'), '0']],
        client: [['tls-auth', pki.file(wrong ? 'other.key' : 'tls-auth.key'), '1']],
      };
    case 'tls-crypt':
      return {
        server: [['tls-crypt', pki.file('tls-crypt.key')]],
        client: [['tls-crypt', pki.file(wrong ? 'other.key' : 'tls-crypt.key')]],
      };
    case 'tls-crypt-v2':
      return {
        server: [['tls-crypt-v2', pki.file('tls-crypt-v2-server.key')]],
        client: [['tls-crypt-v2', pki.file(wrong ? 'other-v2.key' : 'tls-crypt-v2.key')]],
      };
    default:
      return wrap satisfies never;
  }
}

function pointToPoint(side: 'server' | 'client'): Directive[] {
  const [own, other] = side === 'server' ? [tunnelServer, tunnelPeer] : [tunnelPeer, tunnelServer];
  return [
    ['ifconfig', own.ipv4, other.ipv4],
    ['ifconfig-ipv6', `${own.ipv6}/64`, other.ipv6],
  ];
}

function eventOptions(cell: Cell, { pki, folder }: { pki: Pki; folder: string }): Sides {
  const keepalive: Directive = ['keepalive', '1', '10'];
  const both = (...directives: Directive[]): Sides => ({ server: [keepalive, ...directives], client: directives });
  switch (cell.event) {
    case 'steady':
    case 'float':
    case 'tap':
    case 'soft-restart':
    case 'restart-client':
    case 'kill-client':
    case 'refuse-expired':
    case 'refuse-purpose':
    case 'refuse-wrap-key':
      return both();
    case 'restart-server':
    case 'kill-server':
      return { server: [['keepalive', '1', '4']], client: [['connect-retry', '1']] };
    case 'reneg-client':
      return { server: [keepalive, ['reneg-sec', '0']], client: [['reneg-sec', '5']] };
    case 'reneg-server':
      return { server: [keepalive, ['reneg-sec', '5']], client: [['reneg-sec', '0']] };
    case 'loss-10':
    case 'loss-30':
      return { server: [['keepalive', '1', '30']], client: [] };
    case 'fragment':
      return both(['fragment', '500'], ['mssfix', '0']);
    case 'stub-v2':
      return both(['compress', 'stub-v2']);
    case 'migrate':
      return { server: [keepalive, ['compress', 'migrate']], client: [['comp-lzo', 'no']] };
    case 'p2p':
      return { server: [keepalive], client: [keepalive] };
    case 'static-key': {
      const options = (side: 'client' | 'server'): Directive[] => [
        ['secret', pki.file('static.key'), side === 'server' ? '0' : '1'],
        keepalive,
        ...(cell[side] === 'stock-2.7' ? [['allow-deprecated-insecure-static-crypto'] satisfies Directive] : []),
      ];
      return { server: options('server'), client: options('client') };
    }
    case 'clients-50':
      return { server: [keepalive, ['duplicate-cn'], ['max-clients', '60']], client: [] };
    case 'token':
    case 'refuse-password': {
      const script = join(folder, 'verify-login');
      // one line per call, so that a run can tell a token from a password
      const text = `#!/bin/sh\necho asked >>"${folder}/asked"\n[ "$(tr '\\n' : <"$1")" = alice:secret: ]\n`;
      writeFileSync(script, text, { mode: 0o700 });
      return {
        server: [
          keepalive,
          ['script-security', '2'],
          ['auth-user-pass-verify', script, 'via-file'],
          ['auth-gen-token'],
        ],
        client: [
          ['auth-user-pass', pki.file(cell.event === 'token' ? 'login' : 'bad-login')],
          ['auth-nocache'],
          ['reneg-sec', cell.event === 'token' ? '5' : '0'],
        ],
      };
    }
    case 'refuse-revoked':
      return { server: [keepalive, ['crl-verify', pki.file('crl.pem')]], client: [] };
    case 'refuse-cipher':
      return {
        server: [keepalive],
        client: [['data-ciphers', cell.cipher === 'AES-256-GCM' ? 'AES-128-GCM' : 'AES-256-GCM']],
      };
    default:
      return cell.event satisfies never;
  }
}
