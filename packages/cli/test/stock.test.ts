/** Single behaviours that show only against a stock peer; the interop matrix has the combinations. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { inNetworkNamespace } from '@seikan/testkit';

import { createPki, hasStock, ours, Running, stock, temporaryFolder, until } from './program.js';

const UP = 'Initialization Sequence Completed';
const SERVER =
  '--dev tun --server 10.99.0.0 255.255.255.0 --topology subnet --dh none --ca ca.crt --cert server.crt --key server.key --lport 11940 --keepalive 1 60'.split(
    ' ',
  );
const CLIENT =
  '--client --dev tun --remote 127.0.0.1 11940 --nobind --ca ca.crt --cert client.crt --key client.key --remote-cert-tls server'.split(
    ' ',
  );

inNetworkNamespace(import.meta.filename, () => {
  const folder = temporaryFolder();
  createPki(folder);
  const file = (name: string): string => join(folder, name);
  const start = (program: string, logFile: string, args: readonly string[]): Running =>
    new Running(args, { program, cwd: folder, logFile: file(logFile) });
  const end = async (...peers: Running[]): Promise<void> => {
    for (const peer of peers) {
      peer.kill('SIGTERM');
      await peer.exit();
    }
  };
  const skip = hasStock ? false : 'no openvpn to compare with';

  test('push-peer-info tells a server what openvpn tells it', { skip }, async () => {
    const server = start(stock, 'info.log', [...SERVER, '--verb', '4']);
    await server.logged(UP);
    const told: string[][] = [];
    for (const [program, log] of [
      [stock, 'info-stock.log'],
      [ours, 'info-ours.log'],
    ] as const) {
      const before = server.log.length;
      const variables = ['--setenv', 'UV_SITE', 'lab', '--setenv', 'IV_SSO', 'webauth', '--setenv', 'IV_OTHER', '1'];
      const client = start(program, log, [...CLIENT, '--push-peer-info', ...variables]);
      await client.logged(UP);
      const lines = server.log.slice(before).matchAll(/peer info: (\w+)=(.*)/g);
      told.push(Array.from(lines, ([, name = '', value = '']) => `${name}=${value}`));
      await end(client);
    }
    await end(server);
    const [byStock = [], byOurs = []] = told;
    const names = (list: readonly string[]): string[] => list.map((line) => line.split('=')[0] ?? '').toSorted();
    // Our own name is told always.
    assert.deepEqual(
      names(byOurs).filter((name) => name !== 'IV_GUI_VER'),
      names(byStock),
    );
    assert.ok(byOurs.includes(`IV_PLAT_VER=${release()}`), byOurs.join('\n'));
    assert.ok(
      byOurs.some((line) => line.startsWith('IV_SSL=OpenSSL_')),
      byOurs.join('\n'),
    );
    assert.ok(byOurs.includes('UV_SITE=lab'));
  });

  for (const [name, program] of [
    ['ours', ours],
    ['stock', stock],
  ] as const) {
    test(`opt-verify: ${name} refuses whose options string is another, after the login`, { skip }, async () => {
      const login = ['--script-security', '2', '--auth-user-pass-verify', '/bin/echo script ran for', 'via-env'];
      const server = start(program, `occ-${name}.log`, [...SERVER, '--opt-verify', '--verb', '3', ...login]);
      await server.logged(UP);
      writeFileSync(file('login'), 'ada\nsecret\n', { mode: 0o600 });
      const line = 'Option inconsistency warnings triggering disconnect due to --opt-verify';
      let refused = 0;
      for (const [caller, options, isGood] of [
        [stock, [], true],
        [stock, ['--tun-mtu', '1400'], false],
        [stock, ['--cipher', 'AES-128-CBC'], false],
        [stock, ['--data-ciphers', 'AES-128-GCM'], true],
        [stock, ['--disable-occ'], true],
        [ours, [], true],
        [ours, ['--fragment', '1300'], false],
      ] as const) {
        const said = options.join('');
        const client = start(caller, `occ-${name}-client${said}.log`, [
          ...CLIENT,
          '--auth-user-pass',
          file('login'),
          ...options,
        ]);
        if (isGood) await client.logged(UP);
        else await client.exit();
        assert.equal(client.log.includes('AUTH_FAILED'), !isGood, said);
        if (!isGood) refused += 1;
        await server.logged(line, refused);
        assert.equal(server.log.split(line).length - 1, refused, said);
        await end(client);
      }
      await end(server);
    });
  }

  for (const [limit, role] of [
    ['--reneg-pkts 8', 'client'],
    ['--reneg-bytes 400', 'server'],
  ] as const) {
    test(`${limit} of our ${role} renegotiates with a stock peer`, { skip }, async () => {
      const own = [...limit.split(' '), '--reneg-sec', '0'];
      const name = `${limit.slice(2, 12)}-${role}`;
      const server = start(role === 'server' ? ours : stock, `${name}-s.log`, [
        ...SERVER,
        '--verb',
        '3',
        ...(role === 'server' ? own : ['--reneg-sec', '0']),
      ]);
      await server.logged(UP);
      const client = start(role === 'client' ? ours : stock, `${name}-c.log`, [
        ...CLIENT,
        '--verb',
        '3',
        ...(role === 'client' ? own : ['--reneg-sec', '0']),
      ]);
      // Pings alone go over the tunnel, one a second each way.
      await client.logged('Control Channel: TLS', 3);
      assert.doesNotMatch(client.log, /SIGUSR1/);
      await end(client, server);
    });
  }

  for (const role of ['client', 'server'] as const) {
    test(`the tunnel goes on when a renegotiation of our ${role} with a stock peer gets no answer`, {
      skip,
    }, async () => {
      const timers = ['--hand-window', '4', '--tran-window', '60', '--verb', '3'];
      const own = [...timers, '--reneg-sec', '8'];
      const others = [...timers, '--reneg-sec', '0'];
      const server = start(role === 'server' ? ours : stock, `keep-${role}-s.log`, [
        ...SERVER,
        ...(role === 'server' ? own : others),
      ]);
      await server.logged(UP);
      const client = start(role === 'client' ? ours : stock, `keep-${role}-c.log`, [
        ...CLIENT,
        ...(role === 'client' ? own : others),
      ]);
      await client.logged(UP);
      const renegotiator = role === 'client' ? client : server;
      const before = renegotiator.log.split('Control Channel: TLS').length - 1;
      nft('add table inet control');
      nft('add chain inet control in { type filter hook input priority 0; }');
      // Everything but P_DATA_V2 (opcode 9 in the first five bits).
      nft('add rule inet control in udp dport 11940 @th,64,5 != 9 drop');
      nft('add rule inet control in udp sport 11940 @th,64,5 != 9 drop');
      await renegotiator.logged('TLS Error: TLS handshake failed');
      nft('delete table inet control');
      await renegotiator.logged('Control Channel: TLS', before + 1);
      assert.equal(client.log.split(UP).length, 2);
      assert.doesNotMatch(client.log + server.log, /SIGUSR1|process restarting|Closing TUN/);
      await end(client, server);
    });
  }

  const secret = ['--secret', 'static.key', '--cipher', 'AES-256-CBC', '--dev', 'tun', '--verb', '7'];
  const left = [...secret, '--lport', '11950', '--ifconfig', '10.98.0.1', '10.98.0.2', '--ping', '1'];
  const right = ['--rport', '11950', '--ifconfig', '10.98.0.2', '10.98.0.1', '--lport', '11951', '--ping', '1'];

  test('with a static key both ends tell each other their options; disable-occ keeps ours from asking', {
    skip,
  }, async () => {
    writeFileSync(file('static.key'), staticKey());
    const calling = [...secret, '--remote', '127.0.0.1', ...right];
    const peer = start(stock, 'occ-stock.log', [...left, '--float', '--verb', '9', '--tun-mtu', '1400']);
    const asking = start(ours, 'occ-ours.log', calling);
    await peer.logged('RECEIVED OCC_REPLY');
    await asking.logged("WARNING: 'tun-mtu' is used inconsistently, local='tun-mtu 1500', remote='tun-mtu 1400'");
    await end(asking);
    const asked = peer.log.split('RECEIVED OCC_REQUEST').length;
    const silent = start(ours, 'occ-silent.log', [...calling, '--disable-occ']);
    await silent.logged(UP);
    // As long as it would take to ask: the stock peer's own request comes every 10 s and is answered.
    const replies = peer.log.split('RECEIVED OCC_REPLY').length;
    peer.kill('SIGUSR1');
    await until(
      'another reply',
      () => peer.log.split('RECEIVED OCC_REPLY').length > replies,
      () => silent.log,
    );
    assert.equal(peer.log.split('RECEIVED OCC_REQUEST').length, asked);
    assert.doesNotMatch(silent.log, /inconsistently/);
    await end(silent, peer);
  });

  test('a peer with a static key is told that we leave once a second, as it may not have heard it', {
    skip,
  }, async () => {
    writeFileSync(file('static.key'), staticKey());
    const peer = start(stock, 'leave-stock.log', [...left, '--float']);
    const leaving = start(ours, 'leave-ours.log', [
      ...secret,
      '--remote',
      '127.0.0.1',
      ...right,
      '--explicit-exit-notify',
      '8',
    ]);
    await leaving.logged(UP);
    nft('add table inet deaf');
    nft('add chain inet deaf in { type filter hook input priority 0; }');
    nft('add rule inet deaf in udp dport 11950 drop');
    leaving.kill('SIGTERM');
    await leaving.logged('SIGTERM received, sending exit notification to peer');
    nft('delete table inet deaf');
    await peer.logged('OCC exit message received by peer');
    assert.equal(await leaving.exit(), 0);
    assert.match(leaving.log, /SIGTERM\[soft,exit-with-notification\] received, process exiting/);
    await end(peer);
  });

  test('with float a peer that died comes back from another port; with single-session it does not', {
    skip,
  }, async () => {
    const keys = (name: string): string[] => ['--ca', 'ca.crt', '--cert', `${name}.crt`, '--key', `${name}.key`];
    const common = ['--dev', 'tun', '--ping', '1', '--ping-restart', '60', '--verb', '3'];
    const listening = [...common, ...keys('server'), '--tls-server', '--dh', 'none', '--lport', '11960', '--float'];
    const own = ['--nobind', '--remote', '127.0.0.1', '11960', '--ifconfig', '10.97.0.2', '10.97.0.1'];
    const calling = [...common, ...keys('client'), '--tls-client', ...own];
    for (const single of [[], ['--single-session']]) {
      const name = `return${single.length}`;
      const waiting = start(ours, `${name}.log`, [...listening, '--ifconfig', '10.97.0.1', '10.97.0.2', ...single]);
      await waiting.logged('UDPv4 link remote: [AF_UNSPEC]');
      const first = start(stock, `${name}-first.log`, calling);
      await first.logged(UP);
      await waiting.logged(UP);
      first.kill('SIGKILL');
      await first.exit();
      const second = start(stock, `${name}-second.log`, calling);
      if (single.length === 0) {
        await second.logged(UP);
        await waiting.logged('[client] Peer Connection Initiated', 2);
        const ping = spawnSync('ping', ['-c', '1', '-w', '10', '10.97.0.2'], { encoding: 'utf8' });
        assert.equal(ping.status, 0, waiting.log);
      } else {
        await waiting.logged('TLS Error: Cannot accept new session request from [AF_INET]127.0.0.1:');
        assert.doesNotMatch(second.log, /Peer Connection Initiated/);
      }
      assert.doesNotMatch(waiting.log, /SIGUSR1/);
      await end(second, waiting);
    }
  });

  test('a tun is opened before the peer is heard, with up-delay after', { skip }, async () => {
    writeFileSync(file('static.key'), staticKey());
    for (const [option, order] of [
      ['--up-restart', ['TUN/TAP device', 'Peer Connection Initiated', UP]],
      ['--up-delay', ['Peer Connection Initiated', 'TUN/TAP device', UP]],
    ] as const) {
      const waiting = start(ours, `up${option}.log`, [...left, '--float', option]);
      await waiting.logged('UDPv4 link remote: [AF_UNSPEC]');
      const peer = start(stock, `up${option}-peer.log`, [...secret, '--remote', '127.0.0.1', ...right]);
      await waiting.logged(UP);
      const at = order.map((text) => waiting.log.indexOf(text));
      assert.ok(!at.includes(-1), waiting.log);
      assert.deepEqual(
        at,
        at.toSorted((a, b) => a - b),
        `${option}\n${waiting.log}`,
      );
      await end(peer, waiting);
    }
  });
});

function nft(command: string): void {
  const ran = spawnSync('nft', [command], { encoding: 'utf8' });
  assert.equal(ran.status, 0, ran.stderr);
}

/** 256 bytes that mean nothing. */
function staticKey(): string {
  const lines = Array.from({ length: 16 }, (_, line) => `${line.toString(16)}${line.toString(16)}`.repeat(16));
  return `-----BEGIN OpenVPN Static key V1-----\n${lines.join('\n')}\n-----END OpenVPN Static key V1-----\n`;
}
