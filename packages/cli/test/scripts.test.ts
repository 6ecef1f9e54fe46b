/**
 * The same two configurations run by openvpn on both ends, then by us on both ends; every script writes down its
 * arguments and its environment, and both records must be equal but for what belongs to a process.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { inNetworkNamespace } from '@seikan/testkit';

import { createPki, hasStock, ours, stock, temporaryFolder, until } from './program.js';

const RECORD = `#!/bin/sh
file=$1
shift
{ echo "script $script_type $*"; env | LC_ALL=C sort | grep -v '^\\(PWD\\|OLDPWD\\|SHLVL\\|_\\|daemon_pid\\|daemon_start_time\\)='; } >> "$file"
`;

interface Case {
  readonly title: string;
  readonly server: string;
  readonly client: string;
  /** A soft restart before the end. */
  readonly restart: boolean;
}

const cases: readonly Case[] = [
  {
    title: 'subnet over UDP with routes, DNS and variables of the configuration',
    server: `proto udp4
server 10.98.0.0 255.255.255.0
topology subnet
server-ipv6 fd00:98::/64
push "route 10.50.0.0 255.255.0.0"
push "route-ipv6 fd00:50::/64"
push "dhcp-option DNS 10.98.0.1"
push "dhcp-option DOMAIN example.org"
push "dns server 1 address 10.98.0.53"
push "dns search-domains a.example b.example"
route 10.60.0.0 255.255.255.0`,
    client: `proto udp4
setenv FOO bar
setenv-safe BAZ qux
route 10.70.0.0 255.255.255.0 vpn_gateway 7
down-pre`,
    restart: false,
  },
  {
    title: 'net30 over TCP, restarted with persist-tun and up-restart',
    server: `proto tcp4-server
server 10.98.0.0 255.255.255.0
topology net30
push "route 10.50.0.0 255.255.0.0"`,
    client: `proto tcp4-client
persist-tun
persist-key
up-restart
connect-retry 1 1`,
    restart: true,
  },
];

if (hasStock) inNetworkNamespace(import.meta.filename, compare);

function compare(): void {
  const folder = temporaryFolder();
  const file = (name: string): string => join(folder, name);
  createPki(folder);
  writeFileSync(file('record'), RECORD);
  chmodSync(file('record'), 0o755);
  const credentials = (name: string): string =>
    `ca ca.crt\ncert ${name}.crt\nkey ${name}.key\nverb 3\ndev tun\nscript-security 2`;

  for (const { title, server, client, restart } of cases) {
    test(title, async () => {
      const records: string[] = [];
      for (const program of [stock, ours]) {
        const name = program === ours ? 'ours' : 'stock';
        const hook = (of: string, ...events: string[]): string =>
          events.map((event) => `${event} "${file('record')} ${file(`${name}.${of}`)}"`).join('\n');
        for (const of of ['server', 'client', 'server.log', 'client.log']) writeFileSync(file(`${name}.${of}`), '');
        writeFileSync(
          file('server.conf'),
          `${server}\n${credentials('server')}\nport 21194\nlocal 127.0.0.1\ndh none\n${hook('server', 'up', 'down')}\n`,
        );
        writeFileSync(
          file('client.conf'),
          `client\nnobind\nremote 127.0.0.1 21194\nremote-cert-tls server\n${client}\n${credentials('client')}\n` +
            `${hook('client', 'up', 'down', 'route-up', 'route-pre-down', 'ipchange', 'tls-verify')}\n`,
        );
        const log = (of: string): string => readFileSync(file(`${name}.${of}.log`), 'utf8');
        const start = (of: string): ChildProcess =>
          spawn(program, ['--config', `${of}.conf`, '--log-append', `${name}.${of}.log`], {
            cwd: folder,
            stdio: 'ignore',
            env: { PATH: process.env['PATH'] },
          });
        const completed = async (of: string, times: number): Promise<void> =>
          await until(
            `${name}'s ${of}`,
            () => log(of).split('Initialization Sequence Completed').length > times,
            () => log(of),
          );
        const serving = start('server');
        await completed('server', 1);
        const connected = start('client');
        await completed('client', 1);
        if (restart) {
          connected.kill('SIGUSR1');
          await completed('client', 2);
        }
        connected.kill('SIGTERM');
        await ended(connected);
        serving.kill('SIGINT');
        await ended(serving);
        assert.deepEqual([connected.exitCode, serving.exitCode], [0, 0], log('client') + log('server'));
        records.push(['server', 'client'].map((of) => readFileSync(file(`${name}.${of}`), 'utf8')).join('==\n'));
      }
      const [theirs = '', mine = ''] = records;
      assert.match(theirs, /^script route-pre-down tun\d 1500 0 10\.98\./m);
      const plain = (text: string): string[] => text.replace(/^(script \S+ |dev=)tun\d/gm, '$1tun').split('\n');
      assert.deepEqual(plain(mine), plain(theirs));
    });
  }
}

async function ended(child: ChildProcess): Promise<void> {
  await until('the end of a process', () => child.exitCode !== null || child.signalCode !== null);
}
