import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { inNetworkNamespace } from '@seikan/testkit';

import { type DnsSettings, findDnsKind, isDomain, plainDns } from '#src/dns/dns-backend.js';
import { ResolvConfFile } from '#src/dns/resolv-conf-file.js';
import { parseResolvConf } from '#src/dns/resolv-conf-text.js';
import { ResolvconfError, ResolvconfProgram } from '#src/dns/resolvconf-program.js';

const ORIGINAL = `# my comment
nameserver 192.0.2.53
nameserver 192.0.2.54
search lan.example home.example
options timeout:1
sortlist 1.2.3.0
`;

const vpn: DnsSettings = { servers: [{ address: '10.20.0.1' }], searchDomains: ['corp.example'], scope: 'global' };

inNetworkNamespace(import.meta.filename, () => {
  const root = mkdtempSync(join(tmpdir(), 'seikan-dns-'));
  let folder: string;
  let path: string;
  let stateFolder: string;
  let file: ResolvConfFile;
  let number = 0;

  beforeEach(() => {
    folder = join(root, String(number++));
    mkdirSync(folder);
    path = join(folder, 'resolv.conf');
    stateFolder = join(folder, 'state');
    writeFileSync(path, ORIGINAL);
    file = new ResolvConfFile({ path, stateFolder });
  });

  after(() => rmSync(root, { recursive: true }));

  const settingLines = () =>
    readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => !/^(#|$)/.test(line));

  test('merges as the original netcfg does, and the very same file comes back', async () => {
    const { ino } = statSync(path);
    assert.deepEqual(await file.apply('tun0', vpn), { warnings: [] });
    assert.deepEqual(settingLines(), [
      'search corp.example lan.example home.example',
      'nameserver 10.20.0.1',
      'nameserver 192.0.2.53',
      'nameserver 192.0.2.54',
      'options timeout:1',
      'sortlist 1.2.3.0',
    ]);
    assert.equal(statSync(path).mode & 0o777, 0o644);
    await file.revert('tun0');
    assert.equal(readFileSync(path, 'utf8'), ORIGINAL);
    assert.equal(statSync(path).ino, ino);
    assert.deepEqual(readdirSync(folder).toSorted(), ['resolv.conf', 'state']);
    assert.deepEqual(readdirSync(stateFolder), []);
    await file.revert('tun0');
    assert.equal(readFileSync(path, 'utf8'), ORIGINAL);
  });

  test("the newest tunnel comes first; each goes by itself; new settings replace a tunnel's own in its place", async () => {
    await file.apply('tun0', vpn);
    await file.apply('tun1', {
      servers: [{ address: 'fd20::1' }, { address: '10.20.0.1' }],
      searchDomains: ['two.example'],
      scope: 'global',
    });
    assert.deepEqual(settingLines().slice(0, 3), [
      'search two.example corp.example lan.example home.example',
      'nameserver fd20::1',
      'nameserver 10.20.0.1',
    ]);
    await file.apply('tun0', { ...vpn, servers: [{ address: '10.20.0.9' }] });
    assert.deepEqual(settingLines().slice(1, 4), [
      'nameserver fd20::1',
      'nameserver 10.20.0.1',
      'nameserver 10.20.0.9',
    ]);
    await file.revert('tun1');
    assert.deepEqual(settingLines().slice(0, 3), [
      'search corp.example lan.example home.example',
      'nameserver 10.20.0.9',
      'nameserver 192.0.2.53',
    ]);
    await file.revert('tun0');
    assert.equal(readFileSync(path, 'utf8'), ORIGINAL);
  });

  test('a server that somebody adds meanwhile is kept; a file that somebody puts there is the new original', async () => {
    await file.apply('tun0', vpn);
    writeFileSync(path, `${readFileSync(path, 'utf8')}nameserver 192.0.2.99\n`);
    await file.apply('tun1', { ...vpn, servers: [{ address: '10.30.0.1' }] });
    assert.deepEqual(settingLines().slice(1, 6), [
      'nameserver 10.30.0.1',
      'nameserver 10.20.0.1',
      'nameserver 192.0.2.53',
      'nameserver 192.0.2.54',
      'nameserver 192.0.2.99',
    ]);
    rmSync(path);
    writeFileSync(path, 'nameserver 203.0.113.53\n');
    await file.revert('tun1');
    assert.deepEqual(settingLines(), ['search corp.example', 'nameserver 10.20.0.1', 'nameserver 203.0.113.53']);
    rmSync(path);
    writeFileSync(path, 'nameserver 203.0.113.54\n');
    await file.revert('tun0');
    assert.equal(readFileSync(path, 'utf8'), 'nameserver 203.0.113.54\n');
    assert.equal(existsSync(`${path}.seikan`), false);
  });

  test('a symbolic link is kept aside, and what it points to is not written', async () => {
    mkdirSync(join(folder, 'run'));
    writeFileSync(join(folder, 'run', 'stub'), 'nameserver 127.0.0.53\n');
    rmSync(path);
    symlinkSync('run/stub', path);
    await file.apply('tun0', vpn);
    assert.deepEqual(settingLines(), ['search corp.example', 'nameserver 10.20.0.1', 'nameserver 127.0.0.53']);
    assert.equal(readFileSync(join(folder, 'run', 'stub'), 'utf8'), 'nameserver 127.0.0.53\n');
    await file.revert('tun0');
    assert.equal(readlinkSync(path), 'run/stub');
  });

  test('without a file there is none afterwards', async () => {
    rmSync(path);
    await file.apply('tun0', vpn);
    assert.deepEqual(settingLines(), ['search corp.example', 'nameserver 10.20.0.1']);
    await file.revert('tun0');
    assert.equal(existsSync(path), false);
  });

  test('a file that is a mount point, as in containers, is written in place and back', async () => {
    const mounted = join(folder, 'from-the-host');
    writeFileSync(mounted, ORIGINAL);
    execFileSync('mount', ['--bind', mounted, path]);
    await file.apply('tun0', vpn);
    assert.equal(settingLines()[1], 'nameserver 10.20.0.1');
    await file.apply('tun1', { ...vpn, servers: [{ address: '10.30.0.1' }] });
    assert.equal(settingLines()[1], 'nameserver 10.30.0.1');
    await file.revert('tun0');
    await file.revert('tun1');
    assert.equal(readFileSync(mounted, 'utf8'), ORIGINAL);
    assert.equal(existsSync(`${path}.seikan`), false);
    execFileSync('umount', [path]);
  });

  test('what a killed process left goes with the next recovery, and with the next change', async () => {
    const program = fileURLToPath(new URL('dns-client.js', import.meta.url));
    for (const next of [() => file.recover(), () => file.apply('tun5', vpn)]) {
      const killed = spawn(process.execPath, [program, path, stateFolder, 'tun3', '10.3.0.1', '0', 'die']);
      assert.deepEqual(await once(killed, 'exit'), [null, 'SIGKILL']);
      assert.equal(settingLines()[1], 'nameserver 10.3.0.1');
      await next();
      assert.equal(readFileSync(path, 'utf8').includes('10.3.0.1'), false);
      assert.equal(existsSync(join(stateFolder, 'tun3.json')), false);
    }
    await file.revert('tun5');
    assert.equal(readFileSync(path, 'utf8'), ORIGINAL);
  });

  test("several processes at once do not lose each other's settings, nor the original", async () => {
    const program = fileURLToPath(new URL('dns-client.js', import.meta.url));
    await file.apply('tun0', vpn);
    const others = [1, 2, 3, 4].map((n) =>
      spawn(process.execPath, [program, path, stateFolder, `tun${n}`, `10.${n}.0.1`, '4'], { stdio: 'inherit' }),
    );
    for (const exited of await Promise.all(others.map((other) => once(other, 'exit'))))
      assert.deepEqual(exited, [0, null]);
    assert.deepEqual(settingLines().slice(0, 3), [
      'search corp.example lan.example home.example',
      'nameserver 10.20.0.1',
      'nameserver 192.0.2.53',
    ]);
    await file.revert('tun0');
    assert.equal(readFileSync(path, 'utf8'), ORIGINAL);
    assert.deepEqual(readdirSync(stateFolder), []);
  });

  test('a lock of a dead process is broken, records that others could have written are refused', async () => {
    mkdirSync(stateFolder);
    writeFileSync(join(stateFolder, 'lock'), '{"boot":"another","pid":1,"started":"5"}');
    await file.apply('tun0', vpn);
    await file.revert('tun0');
    chmodSync(stateFolder, 0o777);
    await assert.rejects(file.apply('tun0', vpn), /others can write here/);
    assert.equal(readFileSync(path, 'utf8'), ORIGINAL);
  });

  test('a device that is no file name is refused', async () => {
    await assert.rejects(file.apply('../evil', vpn), /not a device name/);
    assert.equal(readFileSync(path, 'utf8'), ORIGINAL);
  });

  test('nothing that a peer sends becomes a line of its own', () => {
    const { servers, searchDomains, warnings } = plainDns({
      servers: [{ address: '10.0.0.1\noptions rotate' }, { address: '10.0.0.2' }, { address: 'dns.example' }],
      searchDomains: ['corp.example\nnameserver 6.6.6.6', 'a b', '', '-x', 'ok.example.', `${'a.'.repeat(130)}a`],
      scope: 'global',
    });
    assert.deepEqual(servers, ['10.0.0.2']);
    assert.deepEqual(searchDomains, ['ok.example.']);
    assert.equal(warnings.length, 7);
    assert.equal(isDomain('_ldap._tcp.corp.example'), true);
  });

  test('what a plain resolver cannot do is said', () => {
    const { servers, warnings } = plainDns({
      servers: [
        { address: '10.0.0.1', port: 53 },
        { address: '10.0.0.2', port: 5_353 },
      ],
      searchDomains: [],
      scope: 'tunnel',
      dnssec: 'yes',
      transport: 'dot',
    });
    assert.deepEqual(servers, ['10.0.0.1']);
    assert.equal(warnings.length, 4);
  });

  test('reads resolv.conf as the C library does', () => {
    assert.deepEqual(
      parseResolvConf(
        'domain old.example\nsearch a.example  b.example\n;x\nnameserver\t10.0.0.1 # no\nnameserver 10.0.0.1\n options ndots:2 \n',
      ),
      { servers: ['10.0.0.1'], searchDomains: ['a.example', 'b.example'], others: [' options ndots:2 '] },
    );
    assert.deepEqual(parseResolvConf('search a.example\ndomain b.example\n').searchDomains, ['b.example']);
  });

  test('finds out who keeps the file', async () => {
    assert.equal(await findDnsKind(path), 'file');
    for (const [target, kind] of [
      ['../run/systemd/resolve/stub-resolv.conf', 'systemd-resolved'],
      ['/run/resolvconf/resolv.conf', 'resolvconf'],
      ['/etc/resolvconf/run/resolv.conf', 'resolvconf'],
      ['/run/NetworkManager/resolv.conf', 'file'],
    ] as const) {
      rmSync(path);
      symlinkSync(target, path);
      assert.equal(await findDnsKind(path), kind, target);
    }
    rmSync(path);
    assert.equal(await findDnsKind(path), 'file');
    writeFileSync(path, '# Generated by resolvconf\nnameserver 10.0.0.1\n');
    assert.equal(await findDnsKind(path), 'resolvconf');
  });

  test('resolvconf gets what a tunnel brings, and is told when it ends', async () => {
    const program = join(folder, 'resolvconf');
    const log = join(folder, 'log');
    writeFileSync(program, `#!/bin/sh\necho "$@" >> ${log}\n[ "$1" = -d ] || cat >> ${log}\n`, { mode: 0o755 });
    const backend = new ResolvconfProgram({ program, stateFolder });
    await backend.apply('tun0', { ...vpn, servers: [{ address: '10.20.0.1' }, { address: 'fd20::1' }] });
    await backend.revert('tun0');
    await backend.revert('tun0');
    assert.equal(
      readFileSync(log, 'utf8'),
      '-a tun0.seikan\nnameserver 10.20.0.1\nnameserver fd20::1\nsearch corp.example\n-d tun0.seikan\n',
    );
    writeFileSync(
      join(stateFolder, 'tun8.json'),
      '{"owner":{"boot":"b","pid":1,"started":"1"},"order":0,"servers":[],"searchDomains":[]}',
    );
    await backend.recover();
    assert.match(readFileSync(log, 'utf8'), /-d tun8\.seikan\n$/);
    assert.deepEqual(readdirSync(stateFolder), []);
  });

  test('a resolvconf that refuses, or is not there, is an error with its words', async () => {
    const program = join(folder, 'resolvconf');
    writeFileSync(program, '#!/bin/sh\necho "no such thing" >&2\nexit 3\n', { mode: 0o755 });
    const backend = new ResolvconfProgram({ program, stateFolder });
    await assert.rejects(backend.apply('tun0', vpn), (error: ResolvconfError) => {
      assert.ok(error instanceof ResolvconfError);
      assert.equal(error.message, `${program} -a tun0.seikan ended with status 3: no such thing`);
      return true;
    });
    const missing = new ResolvconfProgram({ program: join(folder, 'nowhere'), stateFolder });
    await assert.rejects(missing.apply('tun0', vpn), { code: 'ENOENT' });
  });
});
