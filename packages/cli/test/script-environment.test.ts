/**
 * What scripts are told, beside OpenVPN's: the same session of a stock peer with a stock one and with ours, every script
 * writing down its arguments and its environment.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { inNetworkNamespace } from '@seikan/testkit';

import { createPki, hasStock, ours, Running, run, stock, temporaryFolder, until } from './program.js';

const UP = 'Initialization Sequence Completed';
const PEM = '--ca ca.crt';
const SERVER = `${PEM} --cert server.crt --key server.key --dev tun --server 10.99.0.0 255.255.255.0 --dh none --lport 11950 --keepalive 2 20`;
const CLIENT = `${PEM} --cert client.crt --key client.key --client --dev tun --nobind --remote 127.0.0.1 11950 --auth-user-pass login --push-peer-info --setenv UV_X y`;
const P2P = '--dev tun --ifconfig 10.99.0.1 10.99.0.2 --lport 11950 --ping 1 --ping-restart 20';
const P2P_CALLER =
  '--dev tun --ifconfig 10.99.0.2 10.99.0.1 --nobind --remote 127.0.0.1 11950 --ping 1 --ping-restart 20';
const OF_A_SERVER = ['client-connect', 'client-disconnect', 'learn-address', 'tls-verify', 'up', 'down', 'route-up'];
const OF_A_CLIENT = ['up', 'down', 'route-up', 'route-pre-down', 'ipchange', 'tls-verify'];
const OF_STATIC = ['up', 'down', 'route-up', 'route-pre-down', 'ipchange'];

interface Case {
  readonly title: string;
  readonly server: string;
  readonly client: string;
  readonly recorded: 'server' | 'client';
  readonly scripts: readonly string[];
  /** Sent to the client, which comes up again. */
  readonly signal?: 'SIGUSR1';
}

const cases: readonly Case[] = [
  {
    title: 'a server with IPv6, a network behind the client, logins in the environment',
    server: `${SERVER} --topology subnet --server-ipv6 fd99::/64 --client-config-dir ccd --auth-user-pass-verify`,
    client: CLIENT,
    recorded: 'server',
    scripts: OF_A_SERVER,
  },
  {
    title: 'a server with net30 and addresses given by hand',
    server: `${SERVER} --topology net30 --server-ipv6 fd99::/64 --client-config-dir by-hand`,
    client: CLIENT,
    recorded: 'server',
    scripts: OF_A_SERVER,
  },
  {
    title: 'a client that is pushed routes, names, an environment and persist-tun, and restarts',
    server: `${SERVER} --topology subnet --server-ipv6 fd99::/64 --config pushes`,
    client: `${CLIENT} --up-restart --setenv opt dns-updown disable`,
    recorded: 'client',
    scripts: OF_A_CLIENT,
    signal: 'SIGUSR1',
  },
  {
    title: 'a client whose tun is made anew when it restarts',
    server: `${SERVER} --topology net30`,
    client: `${CLIENT} --down-pre`,
    recorded: 'client',
    scripts: OF_A_CLIENT,
    signal: 'SIGUSR1',
  },
  {
    title: 'peers with TLS: the one that listens',
    server: `${P2P} ${PEM} --tls-server --dh none --cert server.crt --key server.key --route 10.66.0.0 255.255.0.0`,
    client: `${P2P_CALLER} ${PEM} --tls-client --cert client.crt --key client.key`,
    recorded: 'server',
    scripts: OF_A_CLIENT,
  },
  {
    title: 'peers with TLS: the one that calls',
    server: `${P2P} ${PEM} --tls-server --dh none --cert server.crt --key server.key`,
    client: `${P2P_CALLER} ${PEM} --tls-client --cert client.crt --key client.key`,
    recorded: 'client',
    scripts: OF_A_CLIENT,
  },
  {
    title: 'peers with a static key: the one that listens',
    server: `${P2P} --secret static.key 0 --cipher AES-256-CBC`,
    client: `${P2P_CALLER} --secret static.key 1 --cipher AES-256-CBC`,
    recorded: 'server',
    scripts: OF_STATIC,
  },
  {
    title: 'peers with a static key: the one that calls, and restarts',
    server: `${P2P} --secret static.key 0 --cipher AES-256-CBC`,
    client: `${P2P_CALLER} --secret static.key 1 --cipher AES-256-CBC`,
    recorded: 'client',
    scripts: OF_STATIC,
    signal: 'SIGUSR1',
  },
];

/** What differs from run to run, and not in ours only: our peer info says more, as a 2.7 would. */
const CHANGING =
  /^(time_.*|daemon_pid|daemon_start_time|.*trusted_port|bytes_.*|config|daemon_log_redirect|tun_mtu_max|route_net_gateway.*|PATH|PWD|SHLVL|_|OLDPWD|RECORD)$/;

/** One run of a script: its name and arguments, then its variables. */
function readRecords(path: string): string[] {
  const records = readFileSync(path, 'utf8').split(/^### /m).slice(1);
  const texts = records.map((record) => {
    const [head = '', ...variables] = record.trimEnd().split('\n');
    const kept = variables.filter((line) => !CHANGING.test(line.slice(0, line.indexOf('='))));
    const plain = head.replace(/(\[AF_INET\]\S+) \d+$/, '$1 PORT');
    return [plain, ...kept.toSorted()].join('\n').replace(/\/\S*\/openvpn_\w+\.tmp/g, 'FILE');
  });
  // OpenVPN forgets a client's addresses in the order of its hash table.
  const forgets = (text: string): boolean => text.startsWith('learn-address delete');
  const sorted = texts.filter(forgets).toSorted();
  return texts.map((text) => (forgets(text) ? (sorted.shift() ?? '') : text));
}

inNetworkNamespace(import.meta.filename, () => {
  const folder = temporaryFolder();
  createPki(folder);
  const file = (name: string, text: string): void => writeFileSync(join(folder, name), text, { mode: 0o600 });
  file('login', 'ada\nsecret\n');
  file(
    'pushes',
    'push "route 10.98.0.0 255.255.0.0"\npush "dhcp-option DNS 10.99.0.1"\npush "dhcp-option DOMAIN x.example"\npush "route-ipv6 fd98::/64"\npush "setenv-safe GREETING hello"\npush "persist-tun"\n',
  ); // prettier-ignore
  for (const [name, text] of [
    ['ccd', 'iroute 10.78.0.0 255.255.0.0\npush "route 10.66.0.0 255.255.0.0"\n'],
    ['by-hand', 'ifconfig-push 10.99.0.50 10.99.0.49\nifconfig-ipv6-push fd99::50/64 fd99::9\niroute-ipv6 fd78::/48\n'],
  ] as const) {
    mkdirSync(join(folder, name));
    file(join(name, 'client'), text);
  }
  const recorder = join(folder, 'record');
  writeFileSync(recorder, `#!/bin/sh\n{ echo "### $*"; env; } >>"$RECORD"\n`);
  chmodSync(recorder, 0o755);
  if (hasStock) run(stock, ['--genkey', 'secret', 'static.key'], folder);

  let sessions = 0;

  /** The records of one session. */
  async function session({ server, client, recorded, scripts, signal }: Case, program: string): Promise<string[]> {
    sessions += 1;
    const record = join(folder, `${sessions}.record`);
    writeFileSync(record, '');
    const command = (script: string): string[] => [`--${script}`, `'${recorder}' ${script}`];
    const own = ['--script-security', '3', '--setenv', 'RECORD', record, ...scripts.flatMap(command)];
    const start = (text: string, side: 'server' | 'client'): Running => {
      // The only script with a parameter of its own.
      const verify = [...command('auth-user-pass-verify'), 'via-env'];
      const words = text.split(' ').flatMap((word) => (word === '--auth-user-pass-verify' ? verify : word));
      const isRecorded = side === recorded;
      return new Running([...words, ...(isRecorded ? own : []), '--verb', '3'], {
        program: isRecorded ? program : stock,
        cwd: folder,
        logFile: join(folder, `${sessions}-${side}.log`),
      });
    };
    const isServer = server.includes('--server ');
    const running: Running[] = [];
    const begin = (text: string, side: 'server' | 'client'): Running => {
      const peer = start(text, side);
      running.push(peer);
      return peer;
    };
    try {
      const listening = begin(server, 'server');
      await listening.logged(isServer ? UP : 'link remote: [AF_UNSPEC]');
      const calling = begin(client, 'client');
      await calling.logged(UP);
      if (!isServer) await listening.logged(UP);
      if (signal !== undefined) {
        calling.kill(signal);
        await calling.logged(UP, 2);
      }
      if (recorded === 'server' && isServer)
        await until(
          'all addresses are learnt',
          () => readFileSync(record, 'utf8').split('learn-address add').length > 3,
        );
    } finally {
      if (recorded === 'client') running.reverse();
      for (const peer of running) {
        peer.kill('SIGTERM');
        await peer.exit();
      }
    }
    return readRecords(record);
  }

  for (const subject of cases)
    test(`scripts see what OpenVPN's see: ${subject.title}`, { skip: !hasStock }, async () => {
      const theirs = await session(subject, stock);
      assert.ok(theirs.length > 3, theirs.join('\n'));
      assert.deepEqual(await session(subject, ours), theirs);
    });
});
