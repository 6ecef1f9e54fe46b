/**
 * DNS of a tunnel on the host where our client runs. /etc and /run are the test's own (inNetworkNamespace): the machine's
 * resolv.conf is never seen here.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

import { Connection, DbusInterface, ObjectTree, requestName } from '@seikan/dbus';
import { inNetworkNamespace, startBus } from '@seikan/testkit';

import { createPki, Running, temporaryFolder, until } from './program.js';

const UP = 'Initialization Sequence Completed';
const RESOLV_CONF = '/etc/resolv.conf';
const ORIGINAL = '# mine\nnameserver 192.0.2.53\nsearch home.example\noptions edns0\n';

inNetworkNamespace(import.meta.filename, () => {
  const folder = temporaryFolder();
  createPki(folder);
  const onlyRoot = !/\b4294967295\b/.test(readFileSync('/proc/self/uid_map', 'utf8'));
  const started: Running[] = [];
  const start = (
    name: string,
    args: readonly string[],
    more: { namespace?: string; env?: Record<string, string> } = {},
  ) => {
    const running = new Running(args, { cwd: folder, logFile: join(folder, `${name}.log`), ...more });
    started.push(running);
    return running;
  };
  const client = (
    name: string,
    args = '',
    more: { namespace?: string; env?: Record<string, string>; remote?: string } = {},
  ) =>
    start(
      name,
      `--client --dev tun --remote ${more.remote ?? '127.0.0.1'} 11940 --nobind --ca ca.crt --cert client.crt --key client.key --remote-cert-tls server --connect-retry 1 1 --verb 3 ${args}`
        .trim()
        .split(' '),
      more,
    );
  const end = async (running: Running, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    running.kill(signal);
    await running.exit();
  };
  const resolver = (): string => readFileSync(RESOLV_CONF, 'utf8');

  before(async () => {
    const pushes = ['dhcp-option DNS 10.99.0.1', 'dhcp-option DOMAIN vpn.example'].flatMap((text) => ['--push', text]);
    const common =
      '--dev tun --server 10.99.0.0 255.255.255.0 --topology subnet --dh none --ca ca.crt --cert server.crt --key server.key --lport 11940 --keepalive 5 60'.split(
        ' ',
      );
    await start('server', [...common, ...pushes]).logged(UP);
  });
  after(() => {
    // A test that fails leaves its client behind.
    for (const running of started) running.kill('SIGKILL');
  });
  beforeEach(() => {
    rmSync(RESOLV_CONF, { force: true });
    writeFileSync(RESOLV_CONF, ORIGINAL);
  });

  test('pushed servers and domains are in force while the tunnel is up, and the very file of before comes back', async () => {
    const { ino } = statSync(RESOLV_CONF);
    const running = client('plain');
    await running.logged(UP);
    assert.match(running.log, /DNS of tun\d+: servers 10\.99\.0\.1; domains vpn\.example \(file\)/);
    const lines = resolver().split('\n');
    assert.ok(lines.indexOf('nameserver 10.99.0.1') < lines.indexOf('nameserver 192.0.2.53'), resolver());
    assert.ok(lines.includes('search vpn.example home.example'), resolver());
    await end(running);
    assert.equal(resolver(), ORIGINAL);
    assert.equal(statSync(RESOLV_CONF).ino, ino);
  });

  test('a restart with persist-tun resolves without the tunnel, and has its servers again afterwards', async () => {
    const running = client('restart', '--persist-tun');
    await running.logged(UP);
    running.kill('SIGUSR1');
    await running.logged(UP, 2);
    const { log } = running;
    const order = ['DNS of tun', 'taken back', 'SIGUSR1[hard,]', 'Restart pause', 'Preserving previous', '(file)'];
    let at = 0;
    for (const text of order) {
      const found = log.indexOf(text, at);
      assert.ok(found >= 0, `${text} is missing or too early in\n${log}`);
      at = found + 1;
    }
    assert.match(resolver(), /nameserver 10\.99\.0\.1/);
    await end(running);
    assert.equal(resolver(), ORIGINAL);
  });

  test('dns-updown disable and pull-filter leave everything as it is; an up script too, unless dns-updown forces it', async () => {
    const up = join(folder, 'up.sh');
    writeFileSync(up, `#!/bin/sh\nenv | grep '^foreign_option' >${folder}/told\n`);
    chmodSync(up, 0o755);
    const script = `--script-security 2 --up ${up}`;
    for (const [name, args, touched] of [
      ['disabled', '--dns-updown disable', false],
      ['filtered', '--pull-filter ignore dhcp-option', false],
      ['script', script, false],
      ['forced', `${script} --dns-updown force`, true],
    ] as const) {
      const running = client(name, args);
      await running.logged(UP);
      assert.equal(resolver() !== ORIGINAL, touched, name);
      await end(running);
      assert.equal(resolver(), ORIGINAL, name);
    }
    assert.match(readFileSync(join(folder, 'told'), 'utf8'), /foreign_option_1=dhcp-option DNS 10\.99\.0\.1/);
  });

  test('what a killed client left is taken back by the next, before it looks up its server', async () => {
    const killed = client('killed');
    await killed.logged(UP);
    await end(killed, 'SIGKILL');
    assert.match(resolver(), /nameserver 10\.99\.0\.1/);
    const next = client('next', '--dns-updown disable', { remote: 'nowhere.invalid' });
    await next.logged('Cannot resolve host address');
    assert.equal(resolver(), ORIGINAL);
    await end(next);
  });

  test('a process that gives up its privileges could not take it back: it says so and leaves it', {
    skip: onlyRoot && 'there is no other user here',
  }, async () => {
    const running = client('dropped', '--user nobody --group nogroup');
    await running.logged(UP);
    assert.match(running.log, /DNS is left as it is: with user, group or chroot/);
    assert.equal(resolver(), ORIGINAL);
    await end(running);
  });

  test('where systemd-resolved keeps the file, it is told of the link and the file stays', async () => {
    class Resolved {
      readonly calls: unknown[][] = [];
    }
    const resolved = new Resolved();
    const manager = new DbusInterface<Resolved>('org.freedesktop.resolve1.Manager')
      .method(
        'SetLinkDNS',
        { in: { index: 'i', servers: 'a(iay)' } },
        ({ calls }, a) => void calls.push(['dns', a.index, a.servers]),
      )
      .method(
        'SetLinkDomains',
        { in: { index: 'i', domains: 'a(sb)' } },
        ({ calls }, a) => void calls.push(['domains', a.domains]),
      )
      .method(
        'SetLinkDefaultRoute',
        { in: { index: 'i', on: 'b' } },
        ({ calls }, a) => void calls.push(['default', a.on]),
      )
      .method('SetLinkDNSSEC', { in: { index: 'i', mode: 's' } }, () => undefined)
      .method('SetLinkDNSOverTLS', { in: { index: 'i', mode: 's' } }, () => undefined)
      .method('RevertLink', { in: { index: 'i' } }, ({ calls }, a) => void calls.push(['revert', a.index]));
    const bus = await startBus();
    const service = await Connection.open({ address: bus.address });
    const tree = new ObjectTree(service);
    tree.export('/org/freedesktop/resolve1', manager, resolved);
    await requestName(service, 'org.freedesktop.resolve1');
    mkdirSync('/run/systemd/resolve', { recursive: true });
    writeFileSync('/run/systemd/resolve/stub-resolv.conf', 'nameserver 127.0.0.53\n');
    rmSync(RESOLV_CONF);
    symlinkSync('/run/systemd/resolve/stub-resolv.conf', RESOLV_CONF);
    const running = client('resolved', '', { env: { DBUS_SYSTEM_BUS_ADDRESS: bus.address } });
    await running.logged(UP);
    const [first, ...others] = resolved.calls;
    const index = first?.[1];
    assert.deepEqual(first, ['dns', index, [[2, Uint8Array.of(10, 99, 0, 1)]]]);
    assert.deepEqual(others, [
      [
        'domains',
        [
          ['vpn.example', false],
          ['.', true],
        ],
      ],
      ['default', true],
    ]);
    assert.equal(resolver(), 'nameserver 127.0.0.53\n');
    await end(running);
    assert.deepEqual(resolved.calls.at(-1), ['revert', index]);
    service.close();
    await bus.close();
  });

  test('in a network namespace of ip-netns only its own file is written, never the host’s', async () => {
    const ip = (...args: string[]): void => assert.equal(spawnSync('ip', args).status, 0, args.join(' '));
    for (const name of ['without', 'with']) {
      ip('netns', 'add', name);
      ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
      ip('link', 'set', name, 'up');
      ip('-n', name, 'link', 'set', 'lo', 'up');
      ip('-n', name, 'link', 'set', 'eth0', 'up');
    }
    ip('address', 'add', '10.9.1.1/30', 'dev', 'without');
    ip('address', 'add', '10.9.2.1/30', 'dev', 'with');
    ip('-n', 'without', 'address', 'add', '10.9.1.2/30', 'dev', 'eth0');
    ip('-n', 'with', 'address', 'add', '10.9.2.2/30', 'dev', 'eth0');
    mkdirSync('/etc/netns/with', { recursive: true });
    const own = '/etc/netns/with/resolv.conf';
    writeFileSync(own, ORIGINAL);

    const shared = client('without', '', { namespace: 'without', remote: '10.9.1.1' });
    await shared.logged(UP);
    assert.match(shared.log, /DNS is left as it is: \/etc\/resolv\.conf belongs to another network namespace/);
    const alone = client('with', '', { namespace: 'with', remote: '10.9.2.1' });
    await alone.logged(UP);
    await until('the namespace’s own file', () => readFileSync(own, 'utf8').includes('nameserver 10.99.0.1'));
    assert.equal(resolver(), ORIGINAL);
    await end(shared);
    await end(alone);
    assert.equal(readFileSync(own, 'utf8'), ORIGINAL);
    assert.equal(existsSync(`${RESOLV_CONF}.seikan`), false);
  });
});
