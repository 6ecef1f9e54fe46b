/** The process side of a tunnel: a server and a client of ours in one network namespace. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { loadAddon, UnixSocket } from '@seikan/native';
import { inNetworkNamespace } from '@seikan/testkit';

import {
  createPki,
  end,
  hasStock,
  lines,
  ours,
  type Ran,
  run,
  Started,
  stock,
  temporaryFolder,
  until,
} from './program.js';

const UP = 'Initialization Sequence Completed';
const SERVER = `dev tun
proto udp4
port 21195
local 127.0.0.1
server 10.99.0.0 255.255.255.0
topology subnet
dh none
ca ca.crt
cert server.crt
key server.key
keepalive 1 5
verb 3
suppress-timestamps
`;
const CLIENT = `client
dev tun
proto udp4
remote 127.0.0.1 21195
ca ca.crt
cert client.crt
key client.key
remote-cert-tls server
connect-retry 1 1
verb 3
suppress-timestamps
`;

if (process.getuid?.() === 0) inNetworkNamespace(import.meta.filename, inside);

function inside(): void {
  const folder = temporaryFolder();
  const file = (name: string): string => join(folder, name);
  createPki(folder);
  writeFileSync(file('server.conf'), SERVER);
  writeFileSync(file('client.conf'), CLIENT);
  const programs = new Started(folder);
  const start = programs.start.bind(programs);

  test('without root only the main thread keeps CAP_NET_ADMIN, in at most 10 tasks, and writes its status on', async () => {
    const args = ['--config', 'server.conf', '--status', 'status', '1', '--status-version', '2'];
    const server = start('root.log', [...args, '--user', 'nobody', '--group', 'nogroup', '--persist-key']);
    await server.logged('Capabilities retained');
    const tasks = readdirSync(`/proc/${server.pid}/task`).map((task) =>
      readFileSync(`/proc/${server.pid}/task/${task}/status`, 'utf8'),
    );
    assert.ok(tasks.length <= 10, `${tasks.length} tasks`);
    const nobody = spawnSync('id', ['-u', 'nobody'], { encoding: 'utf8' }).stdout.trim();
    for (const status of tasks) {
      const isMain = status.includes(`\nPid:\t${server.pid}\n`);
      assert.equal(/^Uid:\t(\d+)/m.exec(status)?.[1], nobody);
      const expected = isMain ? '0000000000001000' : '0000000000000000';
      for (const kind of ['CapEff', 'CapPrm'])
        assert.equal(new RegExp(`^${kind}:\t(\\w+)`, 'm').exec(status)?.[1], expected);
    }
    const before = readFileSync(file('status'), 'utf8');
    await until('a new status', () => readFileSync(file('status'), 'utf8') !== before);
    assert.match(readFileSync(file('status'), 'utf8'), /^TITLE,OpenVPN 2\.6\.14 [\s\S]*\nEND\n$/);
    // Keys that root alone can read are not read again.
    server.kill('SIGUSR1');
    await server.logged('SIGUSR1[hard,] received, process restarting');
    if ((statSync('/dev/net/tun').mode & 0o006) === 0o006) {
      await server.logged(UP, 2);
      await end(server);
    } else assert.equal(await server.exit(), 1); // only root can open a tun here
    assert.doesNotMatch(server.log, /server\.key|cannot open status/);
  });

  test('a daemon has its pid file when its parent ends, logs on, and ends with 0', async () => {
    const args = ['--config', 'server.conf', '--daemon', 'vpn', '--log', file('daemon.log'), '--writepid', 'pid'];
    const parent = spawnSync(ours, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
    assert.deepEqual([parent.status, parent.stdout, parent.stderr], [0, '', '']);
    const pid = Number(readFileSync(file('pid'), 'utf8'));
    const log = (): string => readFileSync(file('daemon.log'), 'utf8');
    await until(UP, () => log().includes(UP), log);
    assert.equal(log().split('library versions').length, 2);
    const fds = [0, 1, 2].map((fd) => spawnSync('readlink', [`/proc/${pid}/fd/${fd}`], { encoding: 'utf8' }).stdout);
    assert.deepEqual(fds, Array(3).fill('/dev/null\n'));
    const session = (of: string): string | undefined =>
      readFileSync(`/proc/${of}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ')[3];
    assert.equal(session(String(pid)), String(pid));
    assert.notEqual(session('self'), String(pid));
    process.kill(pid, 'SIGTERM');
    await until('the end of the daemon', () => !existsSync(`/proc/${pid}`));
    assert.match(log(), /SIGTERM\[hard,\] received, process exiting\n$/);
  });

  test('what goes wrong after a daemon has left is said in its log', async () => {
    writeFileSync(file('bad.key'), 'no key', { mode: 0o600 });
    const args = ['--config', 'server.conf', '--key', 'bad.key', '--daemon', '--log', file('bad.log')];
    const parent = spawnSync(ours, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
    assert.equal(parent.status, 0);
    const log = (): string => readFileSync(file('bad.log'), 'utf8');
    await until('the error', () => log().includes('Exiting due to fatal error'), log);
    assert.match(log(), /^Cannot load private key file bad\.key$/m);
  });

  test("systemd is told of each stage, and Debian's units' options keep the process where it is", async () => {
    const path = file('notify');
    const manager = boundDatagram(path);
    const told: string[] = [];
    const listen = (): void => {
      const bytes = new Uint8Array(500);
      for (let length = manager.receive(bytes, 0, 500, []); length > 0; length = manager.receive(bytes, 0, 500, []))
        told.push(new TextDecoder().decode(bytes.subarray(0, length)));
    };
    const server = start(
      'unit.log',
      [
        '--daemon',
        'ovpn-x',
        '--status',
        'unit.status',
        '10',
        '--cd',
        folder,
        '--config',
        file('server.conf'),
        '--writepid',
        'unit.pid',
      ],
      { NOTIFY_SOCKET: path },
    );
    await until('systemd to know', () => {
      listen();
      return told.length >= 3;
    });
    assert.deepEqual(told, [
      'READY=0',
      `READY=1\nSTATUS=Pre-connection initialization successful\nMAINPID=${server.pid}`,
      `STATUS=${UP}`,
    ]);
    assert.equal(readFileSync(file('unit.pid'), 'utf8').trim(), String(server.pid));
    await end(server);
    manager.close();
  });

  test('a tun holds the packets of some milliseconds, or as many as txqueuelen says', async () => {
    const server = start('queue-server.log', ['--config', 'server.conf']);
    await server.logged(UP);
    const client = start('queue-client.log', ['--config', 'client.conf', '--nobind', '--txqueuelen', '321']);
    await client.logged(UP);
    const { stdout } = spawnSync('ip', ['-json', 'link', 'show', 'type', 'tun'], { encoding: 'utf8' });
    const lengths = (JSON.parse(stdout) as { txqlen: number }[]).map(({ txqlen }) => txqlen);
    assert.deepEqual(
      lengths.toSorted((one, other) => one - other),
      [321, 4_000],
    );
    await end(client);
    await end(server);
  });

  test('a client shows its counters on SIGUSR2 and in its status file; SIGHUP reads the configuration again', async () => {
    const server = start('server.log', ['--config', 'server.conf']);
    await server.logged(UP);
    const client = start('client.log', ['--config', 'client.conf', '--nobind', '--status', 'client.status', '1']);
    await client.logged(UP);
    client.kill('SIGUSR2');
    await client.logged('END');
    const block = client.log.slice(client.log.indexOf('OpenVPN STATISTICS')).split('\n').slice(0, 8);
    assert.deepEqual(
      block.map((line) => line.split(',')[0]),
      [
        'OpenVPN STATISTICS',
        'Updated',
        'TUN/TAP read bytes',
        'TUN/TAP write bytes',
        'TCP/UDP read bytes',
        'TCP/UDP write bytes',
        'Auth read bytes',
        'END',
      ], // prettier-ignore
    );
    const sent = Number(block[5]?.split(',')[1]);
    assert.ok(sent > 1_000 && sent < 100_000, block.join('\n'));
    await until('the status file', () =>
      /^TCP\/UDP read bytes,[1-9]/m.test(readFileSync(file('client.status'), 'utf8')),
    );
    assert.equal(statSync(file('client.status')).mode & 0o777, 0o600);

    writeFileSync(file('client.conf'), `${CLIENT}push-peer-info\nsetenv UV_AGAIN yes\n`);
    client.kill('SIGHUP');
    await client.logged(UP, 2);
    assert.match(client.log, /^SIGHUP\[hard,\] received, process restarting$/m);
    await server.logged('peer info: UV_AGAIN=yes');
    writeFileSync(file('client.conf'), CLIENT);

    client.kill('SIGUSR1');
    await client.logged(UP, 3);
    assert.match(client.log, /^SIGUSR1\[hard,\] received, process restarting$/m);
    await end(client);
    await end(server);
  });

  test('a list of revoked certificates is read again before the next handshake; with none in its file nobody comes in', async () => {
    revocations(folder);
    const server = start('crl.log', ['--config', 'server.conf', '--crl-verify', 'live.crl']);
    await server.logged(UP);
    const client = start('crl-client.log', ['--config', 'client.conf', '--nobind']);
    await client.logged(UP);
    await server.logged('CRL: loaded 1 CRLs from file live.crl');
    const list = readFileSync(file('live.crl'));
    rmSync(file('live.crl'));
    client.kill('SIGUSR1');
    await client.logged(UP, 2);
    assert.match(server.log, /WARNING: Failed to stat CRL file, not reloading CRL\./);
    writeFileSync(file('live.crl'), 'no list at all');
    client.kill('SIGUSR1');
    await server.logged('VERIFY ERROR: CRL not loaded');
    assert.match(server.log, /CRL: cannot read CRL from file live\.crl/);
    writeFileSync(file('live.crl'), list);
    await client.logged(UP, 3);
    // Changed while nobody comes, and the server begins anew with what it had read: that counts as changed too.
    await end(client);
    writeFileSync(file('live.crl'), readFileSync(file('revoked.crl')));
    server.kill('SIGUSR1');
    await server.logged(UP, 2);
    const revoked = start('crl-revoked.log', ['--config', 'client.conf', '--nobind']);
    await server.logged('error=certificate revoked');
    await end(revoked);
    await end(server);
  });

  test('lladdr gives a tap its hardware address', async () => {
    const words =
      '--dev tap7 --lladdr 02:11:22:33:44:55 --ifconfig 10.5.0.1 255.255.255.0 --tls-server --dh none --ca ca.crt --cert server.crt --key server.key --lport 0';
    const peer = start('lladdr.log', words.split(' '));
    await peer.logged('TUN/TAP link layer address set to 02:11:22:33:44:55');
    const { stdout } = spawnSync('ip', ['-o', 'link', 'show', 'tap7'], { encoding: 'utf8' });
    assert.match(stdout, /link\/ether 02:11:22:33:44:55/);
    await end(peer);
  });

  test('mktun and rmtun make and remove a device with its owner and hardware address, as openvpn does', {
    skip: !hasStock,
  }, () => {
    const made = (program: string): unknown[] => {
      const args = ['--dev', 'tap8', '--lladdr', '02:11:22:33:44:66', '--user', 'nobody', '--group', 'nogroup'];
      const here = (): string =>
        spawnSync('ip', ['-d', '-json', 'link', 'show', 'tap8'], { encoding: 'utf8' }).stdout.replace(
          /"ifindex":\d+,/,
          '',
        );
      const notes = (ran: Ran): string[] => lines(ran).filter((line) => /^TUN|^Persist/.test(line));
      const [first, middle] = [run(program, ['--mktun', ...args], folder), here()];
      const wrong = run(program, ['--mktun', '--dev', 'tap8', '--dev-type', 'tun'], folder);
      const last = run(program, ['--rmtun', ...args], folder);
      const refusal = lines(wrong).filter((line) => /^ERROR|^Exiting/.test(line));
      return [first.status, notes(first), middle, wrong.status, refusal, last.status, notes(last), here()];
    };
    const theirs = made(stock);
    assert.match(String(theirs[2]), /02:11:22:33:44:66.*nobody/s);
    assert.deepEqual(made(ours), theirs);
  });

  test('a server is reached at a link-local address with its zone', async () => {
    const shell = (line: string): string => spawnSync('sh', ['-c', line], { encoding: 'utf8' }).stdout.trim();
    shell(
      'ip link add zone0 type veth peer name zone1 && ip link set zone0 up && ip link set zone1 up && ip addr add fe80::7/64 dev zone0 nodad',
    );
    const words = (text: string): string[] => text.split(' ');
    const keys = (name: string): string => `--ca ca.crt --cert ${name}.crt --key ${name}.key --verb 3`;
    const server = start(
      'zone.log',
      words(`--dev tun --proto udp6 --lport 21196 --server 10.98.0.0 255.255.255.0 --dh none ${keys('server')}`),
    );
    await server.logged(UP);
    const client = start(
      'zone-client.log',
      words(`--client --dev tun --nobind --remote fe80::7%zone0 21196 ${keys('client')}`),
    );
    await client.logged(UP);
    await end(client);
    await end(server);
    shell('ip link del zone0');
  });

  test('a folder of revoked serials is looked into at each handshake', async () => {
    spawnSync('mkdir', [file('serials')]);
    const server = start('dir.log', ['--config', 'server.conf', '--crl-verify', 'serials', 'dir']);
    await server.logged(UP);
    const client = start('dir-client.log', ['--config', 'client.conf', '--nobind']);
    await client.logged(UP);
    const { stdout } = spawnSync('openssl', ['x509', '-in', file('client.crt'), '-noout', '-serial'], {
      encoding: 'utf8',
    });
    const serial = BigInt(`0x${stdout.trim().split('=')[1] ?? ''}`).toString();
    writeFileSync(file(`serials/${serial}`), '');
    client.kill('SIGUSR1');
    await server.logged(`certificate serial number ${serial} is revoked`);
    await end(client);
    await end(server);
  });
}

/** A bound datagram socket, as systemd has one. */
function boundDatagram(path: string): UnixSocket {
  const native = loadAddon() as {
    unixCreate(type: string): number;
    unixBind(fd: number, name: string, abstract: boolean): void;
  };
  const fd = native.unixCreate('datagram');
  native.unixBind(fd, path, false);
  return new UnixSocket(fd);
}

/** `live.crl` without anybody, `revoked.crl` with the client. */
function revocations(folder: string): void {
  const config = join(folder, 'ca.cnf');
  writeFileSync(
    config,
    `[ca]\ndefault_ca=x\n[x]\ndatabase=${folder}/index\ncrlnumber=${folder}/number\ndefault_md=sha256\ndefault_crl_days=9\n`,
  );
  writeFileSync(join(folder, 'index'), '');
  writeFileSync(join(folder, 'number'), '01\n');
  const ca = (...args: string[]): void => {
    const ran = spawnSync('openssl', ['ca', '-config', config, '-cert', 'ca.crt', '-keyfile', 'ca.key', ...args], {
      cwd: folder,
      encoding: 'utf8',
    });
    assert.equal(ran.status, 0, ran.stderr);
  };
  ca('-gencrl', '-out', 'live.crl');
  ca('-revoke', 'client.crt');
  ca('-gencrl', '-out', 'revoked.crl');
}
