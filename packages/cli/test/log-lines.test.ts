/**
 * The log beside OpenVPN's: the same session between two stock peers and between two of ours, at each level. What both
 * say they say from the same `--verb` on, and what stock says at the first two levels ours says too, but for a list.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { inNetworkNamespace } from '@seikan/testkit';

import { createPki, hasStock, ours, Running, stock, temporaryFolder } from './program.js';

const LEVELS = [1, 2, 3] as const;
const SIDES = ['server', 'client'] as const;
const TLS = '--ca ca.crt --dev tun';
const SERVER = `${TLS} --cert server.crt --key server.key --server 10.99.0.0 255.255.255.0 --topology subnet --dh none --lport 11940 --keepalive 2 10 --auth-user-pass-verify /bin/true via-env --script-security 3 --auth-gen-token 0 --client-config-dir ccd`;
const CLIENT = `${TLS} --cert client.crt --key client.key --client --nobind --remote-cert-tls server --verify-x509-name server name --auth-user-pass login`;
const TRANSPORTS = {
  udp: ['--explicit-exit-notify 1', '--remote 127.0.0.1 11940 --explicit-exit-notify 1'],
  tcp: ['--proto tcp-server', '--proto tcp-client --remote 127.0.0.1 11940'],
} as const;

/** What stock alone says at level 1 or 2, and what each says in words of its own. */
const otherwise: readonly { readonly line: RegExp; readonly why: string }[] = [
  { line: /: (OpenVPN|library versions|DCO version)/, why: 'the banner' },
  { line: /: (WARNING|NOTE|Note|DEPRECATED|Could not determine)/, why: 'advice; the options have tests of their own' },
  { line: /Validating certificate extended|\+\+ Certificate has EKU/, why: 'ours says VERIFY EKU OK or ERROR' },
  { line: /event_wait/, why: 'how its loop ends' },
  { line: /peer info: IV_(GUI_VER|SSL|PLAT_VER)/, why: 'ours says what it is' },
  { line: /(read|write) UDPv4|Connection refused/, why: 'depends on who ends first' },
  {
    line: /^server: (SENT CONTROL .*RESTART|SIGTERM)|Delayed exit|server-exit/,
    why: 'how a server says goodbye',
  },
  {
    line: /TCPv4_(SERVER|CLIENT) link|Connection reset|client-instance|connection-reset/,
    why: 'depends on who ends first',
  },
];

/** A line without what changes from run to run. */
function shape(line: string): string {
  return (
    line
      .replace(/^\S+ \S+ (us=\d+ )?/, '')
      .replace(/^(client\/)?127\.0\.0\.1:\d+ /, 'CLIENT ')
      .replace(/'[^']*'/g, "'…'")
      .replace(/sid=.*/, 'sid=…')
      // Two of ours agree on it.
      .replace(', aead-epoch', '')
      .replace(/\d+/g, '#')
      .replace(/dev tun#.*|for tun#.*/, 'tun')
      .slice(0, 60)
  );
}

inNetworkNamespace(import.meta.filename, () => {
  const folder = temporaryFolder();
  createPki(folder);
  mkdirSync(join(folder, 'ccd'));
  writeFileSync(join(folder, 'ccd/client'), 'push "route 10.98.0.0 255.255.255.0"\niroute 10.97.0.0 255.255.255.0\n');
  writeFileSync(join(folder, 'login'), 'somebody\nsecret\n', { mode: 0o600 });

  /** The logs of one session. */
  async function session(
    program: string,
    name: string,
    [server, client]: readonly [string, string],
  ): Promise<string[]> {
    const start = (text: string, side: string): Running =>
      new Running(text.split(' '), { program, cwd: folder, logFile: join(folder, `${name}-${side}.log`) });
    const listening = start(`${SERVER} ${server}`, 'server');
    await listening.logged('Initialization Sequence Completed');
    const calling = start(`${CLIENT} ${client}`, 'client');
    await calling.logged('Initialization Sequence Completed');
    // A stock server's last lines come a second later.
    if (!server.endsWith('--verb 1')) await listening.logged('Data Channel: ');
    for (const peer of [calling, listening]) {
      peer.kill('SIGTERM');
      await peer.exit();
    }
    return [listening.log, calling.log];
  }

  for (const [transport, options] of Object.entries(TRANSPORTS)) {
    test(`a session over ${transport} is logged as OpenVPN logs it, at its levels`, { skip: !hasStock }, async () => {
      /** By side and shape: the first level at which each program said it. */
      const first = new Map<string, { stock?: number; ours?: number }>();
      for (const level of LEVELS) {
        for (const [who, program] of [
          ['stock', stock],
          ['ours', ours],
        ] as const) {
          const [server, client] = options;
          const verb = `--verb ${level}`;
          const logs = await session(program, `${transport}-${who}-${level}`, [
            `${server} ${verb}`,
            `${client} ${verb}`,
          ]);
          for (const [index, side] of SIDES.entries()) {
            for (const line of (logs[index] ?? '').split('\n').filter((text) => text !== '')) {
              const key = `${side}: ${shape(line)}`;
              if (otherwise.some((entry) => entry.line.test(key))) continue;
              const seen = first.get(key) ?? {};
              seen[who] ??= level;
              first.set(key, seen);
            }
          }
        }
      }
      const differing = Array.from(first, ([line, seen]) => ({ line, ...seen })).filter(
        (entry) =>
          (entry.stock !== undefined && entry.ours !== undefined && entry.stock !== entry.ours) ||
          (entry.ours === undefined && (entry.stock ?? 9) <= 2) ||
          (entry.stock === undefined && (entry.ours ?? 9) <= 2),
      );
      assert.deepEqual(differing, []);
      assert.ok(first.size > 25, [...first.keys()].join('\n'));
    });
  }

  test('at verb 0 only warnings and what is fatal are logged, as by OpenVPN', { skip: !hasStock }, async () => {
    const told = async (program: string): Promise<string[][]> => {
      const start = (text: string, name: string): Running =>
        new Running(`${text} --verb 0`.split(' '), { program, cwd: folder, logFile: join(folder, `zero-${name}.log`) });
      const server = start(SERVER, 'server');
      // The last line that there is of a server: it comes with the socket.
      await server.logged('Could not determine IPv4/IPv6 protocol');
      const lost = start(
        `${CLIENT.replace(' --auth-user-pass login', '')} --remote 127.0.0.1 9 --connect-timeout 1 --connect-retry-max 1`,
        'lost',
      );
      assert.equal(await lost.exit(), 1);
      server.kill('SIGTERM');
      assert.equal(await server.exit(), 0);
      return [server, lost].map(({ log }) => log.trimEnd().split('\n').map(shape).toSorted());
    };
    const theirs = await told(stock);
    assert.ok(theirs.flat().some((line) => line.startsWith('All connections have been connect-retry-max')));
    assert.deepEqual(await told(ours), theirs);
  });
});
