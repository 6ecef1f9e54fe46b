/** What happens around a tunnel that nobody planned: a full disk, a device that is removed, clients that die. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { inNetworkNamespace } from '@seikan/testkit';

import { createPki, end, type Running, Started, temporaryFolder, until } from './program.js';

const UP = 'Initialization Sequence Completed';
const SERVER =
  '--dev tunS --dev-type tun --server 10.99.0.0 255.255.255.0 --topology subnet --dh none --ca ca.crt --cert server.crt --key server.key --lport 11950 --keepalive 1 4 --duplicate-cn --disable-dco --verb 3'.split(
    ' ',
  );
const CLIENT =
  '--client --dev-type tun --remote 127.0.0.1 11950 --nobind --ca ca.crt --cert client.crt --key client.key --remote-cert-tls server --disable-dco --verb 3'.split(
    ' ',
  );

function ip(...args: string[]): string {
  return spawnSync('ip', args, { encoding: 'utf8' }).stdout;
}

/** Devices, addresses and routes of both families in this namespace, without what has a lifetime. */
function network(): string[] {
  return [ip('-o', 'address'), ip('route'), ip('-6', 'route')].map((text) => text.replace(/_lft \w+/g, ''));
}

if (process.getuid?.() === 0) inNetworkNamespace(import.meta.filename, inside);

function inside(): void {
  const folder = temporaryFolder();
  createPki(folder);
  const programs = new Started(folder);
  const start = (name: string, args: readonly string[]): Running => programs.start(`${name}.log`, args);
  let clients = 0;
  const startClient = (name: string, ...more: string[]): Running =>
    start(`${name}-${(clients += 1)}`, [...CLIENT, '--dev', name, '--route', '10.77.0.0', '255.255.0.0', ...more]);

  test('a status file on a full disk is one warning, and the tunnel goes on', async () => {
    const server = start('full', [...SERVER, '--status', '/dev/full', '1']);
    await server.logged('Cannot write /dev/full: No space left on device');
    const client = startClient('tunC', '--status', '/dev/full', '1');
    await client.logged(UP);
    await sleep(6_000); // longer than the client would bear without pings, and several writes long
    await end(client);
    await end(server);
    for (const { log } of [server, client]) {
      assert.equal(log.split('Cannot write').length, 2, log);
      assert.doesNotMatch(log, /Inactivity timeout/);
    }
  });

  for (const removed of ['tunS', 'tunC'])
    test(`${removed} is removed: its process ends with an error and takes its routes back, the other goes on`, async () => {
      const before = network();
      const server = start(`${removed}-server`, SERVER);
      await server.logged(UP);
      const client = startClient('tunC', '--ping-exit', '10');
      await client.logged(UP);
      ip('link', 'delete', removed);
      const [victim, other] = removed === 'tunS' ? [server, client] : [client, server];
      assert.equal(await victim.exit(), 1, victim.log);
      assert.match(victim.log, /the tun device is gone[^]*Exiting due to fatal error/);
      assert.equal(other.child.exitCode, null, other.log);
      await end(other);
      assert.deepEqual(network(), before);
    });

  test('twelve clients come and go, half of them killed: no descriptor, address or route stays', async () => {
    const before = network();
    const server = start('leaks', SERVER);
    await server.logged(UP);
    const held = (): string[] => readdirSync(`/proc/${server.pid}/fd`).toSorted();
    const oneRound = async (round: number): Promise<void> => {
      const four = ['a', 'b', 'c', 'd'].map((name) => startClient(`tun${name}`));
      for (const client of four) await client.logged(UP);
      for (const [index, client] of four.entries()) {
        if (index % 2 === 0) client.kill('SIGKILL');
        else client.kill('SIGTERM');
        await client.exit();
      }
      // One that was killed is missed when its pings stay away, one that left has said nothing without explicit-exit-notify.
      await until(
        'the end of all instances',
        () => server.log.split('client-instance restarting').length === 1 + 4 * (round + 1),
        () => server.log,
      );
    };
    await oneRound(0);
    const descriptors = held();
    for (let round = 1; round < 3; round += 1) await oneRound(round);
    assert.deepEqual(held(), descriptors);
    await end(server);
    assert.deepEqual(network(), before);
  });

  test('a server is killed three times: its client comes back each time, with the descriptors, addresses and routes that it had', async () => {
    const before = network();
    const startServer = (round: number): Running => start(`killed-${round}`, SERVER);
    let server = startServer(0);
    await server.logged(UP);
    const client = startClient('tunK');
    await client.logged(UP);
    const held = (): string[] => {
      const numbers = readdirSync(`/proc/${client.pid}/fd`);
      const descriptors = numbers.map((fd) => readlinkSync(`/proc/${client.pid}/fd/${fd}`).replace(/\d+/g, ''));
      // A device that is made anew has another number.
      const addresses = ip('-o', '-4', 'address', 'show', 'dev', 'tunK').replace(/^\d+: /gm, '');
      return [...descriptors.toSorted(), addresses, ip('-4', 'route', 'show', 'dev', 'tunK')];
    };
    let first: ReturnType<typeof held> | undefined;
    for (let round = 1; round <= 3; round += 1) {
      server.kill('SIGKILL');
      await server.exit();
      await client.logged('Inactivity timeout (--ping-restart), restarting', round);
      server = startServer(round);
      await client.logged(UP, round + 1);
      first ??= held();
      assert.deepEqual(held(), first);
    }
    await end(client);
    await end(server);
    assert.deepEqual(network(), before);
  });
}
