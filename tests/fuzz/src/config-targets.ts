/** OpenVPN's configuration language: files, command lines, a client's own file, and what a server pushes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import {
  ConfigError,
  type Configuration,
  directiveTable,
  encodePushReply,
  PushReader,
  parseArguments,
  parseClientConfig,
  parseConfig,
} from '@seikan/engine';

import type { FuzzTarget } from './fuzz.js';
import { bytesOf, textOf } from './inputs.js';

const noFiles = { read: (): undefined => undefined };

interface Cases {
  readonly bases: Readonly<Record<string, string>>;
  readonly cases: readonly { readonly base: string; readonly text: string }[];
}

/** The configurations that openvpn itself was asked about. */
function recordedConfigurations(): string[] {
  const path = new URL('../../../packages/engine/test/vectors/config-cases.json', import.meta.url);
  const { bases, cases }: Cases = JSON.parse(readFileSync(path, 'utf8'));
  return cases.map(({ base, text }) => `${bases[base] ?? ''}${text}\n`);
}

/** A refusal says where and what to do; anything else that is thrown is a finding. */
function labelOf(parse: () => Configuration): string {
  let parsed: Configuration;
  try {
    parsed = parse();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    assert.ok(error.line >= 0 && error.column >= 0, error.message);
    assert.ok(error.upstream.length > 0 && error.upstream.length < 10_000, error.upstream);
    return `refused ${directiveTable.has(error.directive) ? error.directive : 'what nobody knows'}`;
  }
  const { options, warnings } = parsed;
  assert.ok(options.connections.length >= (options.action.do === 'run' ? 1 : 0));
  assert.ok(warnings.length < 10_000);
  return `${options.mode} ${options.action.do} ${options.tls.role} ${Math.min(warnings.length, 3)}`;
}

const configuration: FuzzTarget = {
  name: 'configuration',
  seeds: () => recordedConfigurations().map(bytesOf),
  run: (input) => labelOf(() => parseConfig(textOf(input), 'fuzzed.conf', noFiles)),
};

/** Arguments are separated by NUL, which no argument can hold. */
const commandLine: FuzzTarget = {
  name: 'command-line',
  seeds: () =>
    [
      ['--config', 'a.conf', '--verb', '3'],
      ['--client', '--dev', 'tun', '--remote', 'a', '--ca', 'x', '--cert', 'y', '--key', 'z'],
      ['--genkey', 'tls-crypt-v2-client', 'file'],
      ['--show-ciphers'],
      ['a.conf'],
    ].map((words) => bytesOf(words.join('\0'))),
  run: (input) => labelOf(() => parseArguments(textOf(input).split('\0'), noFiles)),
};

const CREDENTIALS = 'ca ca\ncert cert\nkey key\n';
const server = parseConfig(
  `dev tun\nserver 10.8.0.0 255.255.255.0\nserver-ipv6 fd00::/64\ndh none\n${CREDENTIALS}`,
  'server.conf',
  noFiles,
).options;

/** A line that cannot be used is a warning: nothing about one client may end the server. */
const clientConfig: FuzzTarget = {
  name: 'client-config',
  seeds: () =>
    [
      'ifconfig-push 10.8.0.9 10.8.0.10\niroute 192.168.1.0 255.255.255.0\npush "route 10.0.0.0 255.0.0.0"\n',
      'ifconfig-ipv6-push fd00::9/64\niroute-ipv6 2001:db8::/48\npush-reset\ndisable\n',
      'push-remove route\ndata-ciphers AES-128-GCM\ninactive 60 100\ncomp-lzo no\nconfig other\n',
    ].map(bytesOf),
  run(input) {
    const { client, warnings } = parseClientConfig(textOf(input), 'ccd/fuzzed', { options: server, files: noFiles });
    const { ifconfigPush, ifconfigIpv6Push, iroutes, iroutesIpv6, disable } = client;
    const given = [ifconfigPush, ifconfigIpv6Push].map((value) => value !== undefined);
    return [...given, iroutes.length > 0, iroutesIpv6.length > 0, disable, Math.min(warnings.length, 3)].join(' ');
  },
};

const client = parseConfig(`client\ndev tun\nremote a\n${CREDENTIALS}`, 'client.conf', noFiles).options;
const [connection] = client.connections;

/** A server may push anything: it is never an exception, and never changes what a server may not say. */
const pushReply: FuzzTarget = {
  name: 'push-reply',
  seeds: () => {
    const options = [
      ['route 10.0.0.0 255.0.0.0', 'dhcp-option DNS 10.8.0.1', 'ifconfig 10.8.0.2 255.255.255.0', 'topology subnet'],
      ['ifconfig-ipv6 fd00::2/64 fd00::1', 'peer-id 3', 'cipher AES-256-GCM', 'protocol-flags cc-exit tls-ekm'],
      ['auth-token SESS_ID_AT_x', 'tun-mtu 1400', 'ping 10', 'ping-restart 60', 'redirect-gateway def1 ipv6'],
      Array.from({ length: 60 }, (_, n) => `route 10.${n}.0.0 255.255.0.0`),
      ['dns server 1 address 10.8.0.1', 'dns search-domains a b', 'up /bin/sh', 'explicit-exit-notify'],
    ];
    return options.map((list) => {
      const reply = encodePushReply(list);
      assert.ok('messages' in reply);
      return bytesOf(reply.messages.join('\0'));
    });
  },
  run(input) {
    assert.ok(connection);
    const reader = new PushReader(client, connection);
    const outcomes: string[] = [];
    for (const message of textOf(input).split('\0')) {
      const read = reader.read(message);
      outcomes.push(read.outcome);
      if (read.outcome !== 'done') continue;
      const { options, peerId, warnings } = read.pulled;
      assert.deepEqual(options.scripts, client.scripts);
      assert.deepEqual(options.process, client.process);
      assert.deepEqual(options.tls, client.tls);
      assert.deepEqual(options.verify, client.verify);
      assert.ok(peerId === undefined || (Number.isInteger(peerId) && peerId >= 0 && peerId <= 0xff_ffff));
      return `${outcomes.length > 1 ? 'long ' : ''}done ${options.routing.routes.length > 0} ${Math.min(warnings.length, 2)} ${peerId !== undefined}`;
    }
    return [...new Set(outcomes)].join(' ');
  },
};

export const configTargets: readonly FuzzTarget[] = [configuration, commandLine, clientConfig, pushReply];
