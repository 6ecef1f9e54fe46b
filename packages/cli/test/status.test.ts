/**
 * The status file of a server beside OpenVPN's, in each version: one client with addresses and a network behind it, one
 * whose login nobody has answered yet. And what SIGUSR2 puts into the log.
 */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { inNetworkNamespace } from '@seikan/testkit';

import { createPki, hasStock, ours, Running, stock, temporaryFolder, until } from './program.js';

const UP = 'Initialization Sequence Completed';
const SERVER =
  '--dev tun --server 10.99.0.0 255.255.255.0 --topology subnet --server-ipv6 fd99::/64 --dh none --ca ca.crt --cert server.crt --key server.key --lport 11940 --client-config-dir ccd --script-security 2 --auth-user-pass-verify ./login via-file --verb 3';
const CLIENT =
  '--client --dev tun --remote 127.0.0.1 11940 --nobind --ca ca.crt --cert client.crt --key client.key --remote-cert-tls server --verb 3';

inNetworkNamespace(import.meta.filename, () => {
  const folder = temporaryFolder();
  createPki(folder);
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  mkdirSync(join(folder, 'ccd'));
  file('ccd/client', 'iroute 10.78.0.0 255.255.0.0\niroute-ipv6 fd78::/48\n');
  file('ada', 'ada\nsecret\n');
  file('bob', 'bob\nsecret\n');
  // ada is let in, nobody ever hears of bob.
  chmodSync(file('login', '#!/bin/sh\ngrep -q ada "$1" || exit 2\n'), 0o755);

  let sessions = 0;

  /** The status file, and the lines that SIGUSR2 has written. */
  async function status(program: string, version: number): Promise<{ written: string[]; logged: string[] }> {
    sessions += 1;
    const path = join(folder, `${sessions}.status`);
    const start = (who: string, args: string, by: string): Running =>
      new Running(args.split(' '), { program: by, cwd: folder, logFile: join(folder, `${sessions}-${who}.log`) });
    const server = start('server', `${SERVER} --status ${path} 1 --status-version ${version}`, program);
    const clients: Running[] = [];
    try {
      await server.logged(UP);
      const ada = start('ada', `${CLIENT} --auth-user-pass ada`, stock);
      clients.push(ada);
      await ada.logged(UP);
      clients.push(start('bob', `${CLIENT} --auth-user-pass bob`, stock));
      await server.logged("authentication deferred for username 'bob'");
      const text = (): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
      // Both by name, which it has after its certificate was seen.
      const rows = (): number => text().match(/^(CLIENT_LIST.)?client[,\t]127/gm)?.length ?? 0;
      await until('both clients in the status file', () => rows() === 2, text);
      const before = server.log.length;
      server.kill('SIGUSR2');
      await until('the status in the log', () => /END\n/.test(server.log.slice(before)));
      const logged = server.log.slice(before).replace(/^\S+ \S+ (event_wait.*\n)?/gm, '');
      return { written: shape(text()), logged: shape(logged) };
    } finally {
      for (const peer of [...clients, server]) {
        peer.kill('SIGTERM');
        await peer.exit();
      }
    }
  }

  for (const version of [1, 2, 3])
    test(`status-version ${version} lists those who are in and those who are not yet, as OpenVPN does`, {
      skip: !hasStock,
    }, async () => {
      const theirs = await status(stock, version);
      assert.ok(theirs.written.length > 10, theirs.written.join('\n'));
      assert.deepEqual(await status(ours, version), theirs);
    });
});

/** Lines without what changes from run to run; the order of clients and routes is that of a hash table. */
function shape(text: string): string[] {
  const lines = text
    .replace(/^(TITLE.OpenVPN \S+).*/m, '$1')
    .replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'TIME')
    .replace(/\b1\d{9}\b/g, 'SECONDS')
    .replace(/127\.0\.0\.1:\d+/g, 'ADDRESS')
    .replace(/([,\t])\d{3,5}([,\t])\d{3,5}([,\t])TIME/g, '$1BYTES$2BYTES$3TIME')
    // A name that nobody has accepted is not shown here.
    .replace(/([,\t])bob([,\t])/g, '$1UNDEF$2')
    .split('\n');
  const rows = /^(CLIENT_LIST|ROUTING_TABLE|client|10\.|fd)/;
  const sorted = lines.filter((line) => rows.test(line)).toSorted();
  return lines.map((line) => (rows.test(line) ? (sorted.shift() ?? '') : line));
}
