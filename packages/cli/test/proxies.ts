/**
 * Real proxies for tests: Debian's Squid and Dante, unpacked by tools/stock-peer and never installed, since their packages
 * would start services. They run in a root directory of their own, whose changed folders are in memory and whose mounts
 * end with the test's namespace.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';

import { until } from './program.js';

const house = resolve(import.meta.dirname, '../../..');
const root = join(house, '.cache/peers/bookworm/root');

export const PROXY_USER = 'proxyuser';
export const PROXY_PASSWORD = 'it is "secret"';

/** Fetches them where they are missing. */
export function fetchProxies(): void {
  const programs = ['dante-server:usr/sbin/danted', 'squid:usr/sbin/squid'];
  execFileSync(join(house, 'tools/stock-peer'), ['bookworm', ...programs], { timeout: 240_000, stdio: 'pipe' });
}

/** Call it once, in a mount namespace. */
export function prepareProxies(): void {
  const mount = (...args: string[]): void => void execFileSync('mount', args);
  for (const folder of ['etc', 'run', 'tmp', 'var/log', 'var/spool', 'dev', 'proc']) {
    mkdirSync(join(root, folder), { recursive: true });
    if (folder !== 'dev' && folder !== 'proc') mount('-t', 'tmpfs', 'seikan-test', join(root, folder));
  }
  mount('--rbind', '/dev', join(root, 'dev'));
  mount('--rbind', '/proc', join(root, 'proc'));
  const hash = execFileSync('openssl', ['passwd', '-6', PROXY_PASSWORD], { encoding: 'utf8' }).trim();
  const write = (name: string, ...lines: string[]): void =>
    writeFileSync(join(root, 'etc', name), `${lines.join('\n')}\n`);
  write(
    'passwd',
    'root:x:0:0::/:/bin/sh',
    'nobody:x:65534:65534::/:/bin/false',
    `${PROXY_USER}:x:1000:1000::/:/bin/false`,
  );
  write('group', 'root:x:0:', 'nogroup:x:65534:');
  write('shadow', 'root:*:1::::::', `${PROXY_USER}:${hash}:1:0:99999:7:::`);
  write('nsswitch.conf', 'passwd: files', 'group: files', 'shadow: files', 'hosts: files');
  write('hosts', '127.0.0.1 localhost');
  write(
    'basic',
    `${PROXY_USER}:${execFileSync('openssl', ['passwd', '-apr1', PROXY_PASSWORD], { encoding: 'utf8' }).trim()}`,
  );
  const digest = createHash('md5').update(`${PROXY_USER}:lab:${PROXY_PASSWORD}`).digest('hex');
  write('digest', `${PROXY_USER}:lab:${digest}`);
}

/** It ends with the test's namespace, if not before. */
export interface Proxy {
  readonly name: string;
  log(): string;
  stop(): Promise<void>;
}

export interface SquidPorts {
  readonly address: string;
  /** Where it calls from. */
  readonly from: string;
  readonly open: number;
  readonly withLogin: number;
}

/** Its port with a login takes Basic and Digest. */
export async function startSquid({ address, from, open, withLogin }: SquidPorts): Promise<Proxy> {
  const lines = [
    `http_port ${address}:${open}`,
    `http_port ${address}:${withLogin}`,
    `acl guarded localport ${withLogin}`,
    'auth_param digest program /usr/lib/squid/digest_file_auth -c /etc/digest',
    'auth_param digest realm lab',
    'auth_param digest children 1',
    'auth_param basic program /usr/lib/squid/basic_ncsa_auth /etc/basic',
    'auth_param basic realm lab',
    'auth_param basic children 1',
    'acl known proxy_auth REQUIRED',
    'http_access deny guarded !known',
    'http_access allow all',
    `tcp_outgoing_address ${from}`,
    'cache deny all',
    'cache_effective_user nobody',
    'cache_effective_group nogroup',
    'cache_mem 8 MB',
    'pid_filename none',
    'pinger_enable off',
    'max_filedescriptors 256',
    'visible_hostname squid.test',
    'dns_nameservers 127.0.0.1',
    'access_log none',
    'cache_log /dev/stderr',
    'netdb_filename none',
    'shutdown_lifetime 0 seconds',
  ];
  return await start('squid', ['/usr/sbin/squid', '-N', '-f', '/etc/squid.conf'], { lines, address, port: withLogin });
}

export interface DantePort {
  readonly address: string;
  readonly from: string;
  readonly port: number;
  readonly login: boolean;
}

export async function startDante({ address, from, port, login }: DantePort): Promise<Proxy> {
  const anywhere = 'from: 0.0.0.0/0 to: 0.0.0.0/0';
  const lines = [
    'logoutput: stderr',
    `internal: ${address} port = ${port}`,
    `external: ${from}`,
    'clientmethod: none',
    `socksmethod: ${login ? 'username' : 'none'}`,
    'user.privileged: root',
    'user.unprivileged: nobody',
    `client pass {\n${anywhere}\n}`,
    `socks pass {\n${anywhere}\ncommand: connect udpassociate udpreply\nlog: connect error\n}`,
  ];
  const name = `danted-${port}`;
  return await start(name, ['/usr/sbin/danted', '-f', `/etc/${name}.conf`], { lines, address, port });
}

async function start(
  name: string,
  command: readonly string[],
  { lines, address, port }: { lines: readonly string[]; address: string; port: number },
): Promise<Proxy> {
  writeFileSync(join(root, 'etc', `${name}.conf`), `${lines.join('\n')}\n`);
  const logFile = join(root, 'tmp', `${name}.log`);
  const log = openSync(logFile, 'w');
  // Dante is many processes: they are a group.
  const child = spawn('chroot', [root, ...command], { stdio: ['ignore', log, log], detached: true });
  child.unref();
  const read = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');
  const proxy: Proxy = { name, log: read, stop: () => stop(child) };
  let listens = false;
  const ask = (): boolean => {
    if (child.exitCode !== null) throw new Error(`${name} ended\n${read()}`);
    const socket = connect(port, address, () => {
      listens = true;
      socket.destroy();
    }).on('error', () => socket.destroy());
    return listens;
  };
  await until(`${name} at ${address}:${port}`, ask, read);
  return proxy;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const gone = new Promise<void>((done) => child.once('exit', () => done()));
  process.kill(-(child.pid ?? assert.fail()), 'SIGKILL');
  await gone;
}
