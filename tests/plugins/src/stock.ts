/**
 * An OpenVPN server and its clients, each stock or ours, each in a network namespace of its own:
 *
 *     namespace s: server, 10.99.0.1 ──veth── namespace c: clients, 10.99.0.2      tunnel 10.8.0.0/24
 *
 * Needs root, iproute2, openssl and openvpn; `missing()` says what is not there.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const stock = '/usr/sbin/openvpn';
export const ours = fileURLToPath(new URL('../../../bin/openvpn', import.meta.url));

export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'this needs root';
  for (const [path, what] of [
    [stock, 'openvpn'],
    ['/dev/net/tun', '/dev/net/tun'],
  ] as const) {
    try {
      accessSync(path);
    } catch {
      return `there is no ${what}`;
    }
  }
  return undefined;
}

/** A process whose output is kept and can be waited for. */
export class Watched {
  readonly process: ChildProcess;
  log = '';
  ended = false;
  status: number | null = null;

  constructor(command: string, args: readonly string[], cwd: string) {
    this.process = spawn(command, args, { cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    this.process.stdin?.on('error', () => {}); // it may end unasked
    for (const stream of [this.process.stdout, this.process.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.log += chunk.toString('utf8');
      });
    this.process.once('exit', (code) => {
      this.ended = true;
      this.status = code;
    });
  }

  /** Waits for a line; fails with the log where the process ends or time is up first. */
  async line(pattern: RegExp, patience = 90_000): Promise<string> {
    const end = Date.now() + patience;
    for (;;) {
      const found = this.log.split('\n').find((line) => pattern.test(line));
      if (found !== undefined) return found;
      if (this.ended || Date.now() > end)
        throw new Error(`${this.ended ? 'ended' : 'waited in vain'} before ${String(pattern)}:\n${this.log}`);
      await new Promise((wake) => setTimeout(wake, 20));
    }
  }

  type(text: string): void {
    this.process.stdin?.write(`${text}\n`);
  }

  lines(pattern: RegExp): string[] {
    return this.log.split('\n').filter((line) => pattern.test(line));
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!this.ended) this.process.kill(signal);
    const end = Date.now() + 10_000;
    while (!this.ended) {
      if (Date.now() > end) this.process.kill('SIGKILL');
      await new Promise((wake) => setTimeout(wake, 10));
    }
  }
}

export class StockNetwork {
  readonly folder = mkdtempSync(join(tmpdir(), 'seikan-stock-'));
  readonly tmpDir = join(this.folder, 'tmp');
  readonly #server = `plugins${process.pid}s`;
  readonly #client = `plugins${process.pid}c`;
  readonly #running: Watched[] = [];
  #files = 0;

  constructor() {
    mkdirSync(this.tmpDir, { mode: 0o777 });
    execFileSync('chmod', ['a+rwx', this.folder, this.tmpDir]);
    for (const name of [this.#server, this.#client]) ip('netns', 'add', name);
    ip('link', 'add', 'wire', 'netns', this.#server, 'type', 'veth', 'peer', 'name', 'wire', 'netns', this.#client);
    for (const [name, address] of [
      [this.#server, '10.99.0.1/24'],
      [this.#client, '10.99.0.2/24'],
    ] as const) {
      ip('-n', name, 'address', 'add', address, 'dev', 'wire');
      ip('-n', name, 'link', 'set', 'wire', 'up');
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    this.#certificates();
  }

  /** Starts a server with these lines added to the usual ones, and waits until it serves. */
  async server(lines: readonly string[], program = stock): Promise<Watched> {
    const server = this.startServer(lines, program);
    await server.line(/Initialization Sequence Completed/);
    return server;
  }

  startServer(lines: readonly string[], program = stock): Watched {
    const usual = [
      'mode server',
      'tls-server',
      'dev tun',
      'topology subnet',
      'server 10.8.0.0 255.255.255.0',
      'proto udp4',
      'ca ca.pem',
      'cert server.pem',
      'key server.key',
      'dh none',
      'verb 3',
      'keepalive 10 60',
      `tmp-dir ${this.tmpDir}`,
    ];
    return this.start(this.#server, [...usual, ...lines], program);
  }

  /** Starts a client and waits until it is connected or refused. */
  async client(
    username: string,
    password: string,
    lines: readonly string[] = [],
    program = stock,
  ): Promise<{ client: Watched; connected: boolean }> {
    const client = this.startClient(username, password, lines, program);
    const line = await client.line(/Initialization Sequence Completed|AUTH_FAILED|SIGTERM\[soft,auth-failure\]/);
    return { client, connected: line.includes('Initialization') };
  }

  startClient(username: string, password: string, lines: readonly string[] = [], program = stock): Watched {
    this.#files += 1;
    const credentials = join(this.folder, `credentials-${this.#files}`);
    writeFileSync(credentials, `${username}\n${password}\n`, { mode: 0o600 });
    const usual = [
      'client',
      'dev tun',
      'remote 10.99.0.1 1194 udp4',
      'nobind',
      'verb 3',
      'connect-retry 1 1',
      'ca ca.pem',
      'cert client.pem',
      'key client.key',
      `auth-user-pass ${credentials}`,
      'hand-window 20',
    ];
    return this.start(this.#client, [...usual, ...lines], program);
  }

  /** Any openvpn in the server's or client's namespace. */
  start(namespace: string, lines: readonly string[], program: string): Watched {
    this.#files += 1;
    const config = join(this.folder, `config-${this.#files}`);
    writeFileSync(config, `${lines.join('\n')}\n`);
    const watched = new Watched('ip', ['netns', 'exec', namespace, program, '--config', config], this.folder);
    this.#running.push(watched);
    return watched;
  }

  /** A program that talks to a person at a terminal: `type` is what they type. */
  atTerminal(program: string): string {
    const path = join(this.folder, `terminal-${program === ours ? 'ours' : 'stock'}`);
    writeFileSync(path, `#!/bin/sh\nexec script -qec "exec ${program} $*" /dev/null\n`, { mode: 0o755 });
    return path;
  }

  /** A program that comes before all without real-time priority, where that may be had. */
  withPriority(program: string): string {
    this.#files += 1;
    const path = join(this.folder, `priority-${this.#files}`);
    const priority = 'chrt --rr 1';
    writeFileSync(
      path,
      `#!/bin/sh\n${priority} true 2>/dev/null && exec ${priority} ${program} "$@"\nexec ${program} "$@"\n`,
      {
        mode: 0o755,
      },
    );
    return path;
  }

  /** Runs something else beside the server. */
  beside(command: string, ...args: readonly string[]): Watched {
    return this.#run(this.#server, command, args);
  }

  besideClients(command: string, ...args: readonly string[]): Watched {
    return this.#run(this.#client, command, args);
  }

  #run(namespace: string, command: string, args: readonly string[]): Watched {
    const watched = new Watched('ip', ['netns', 'exec', namespace, command, ...args], this.folder);
    this.#running.push(watched);
    return watched;
  }

  /** Ends what a test has started, also one that failed half way. */
  async stopAll(): Promise<void> {
    for (const watched of this.#running.splice(0)) await watched.stop();
  }

  async close(): Promise<void> {
    await this.stopAll();
    for (const name of [this.#server, this.#client]) ip('netns', 'delete', name);
    rmSync(this.folder, { recursive: true });
  }

  #certificates(): void {
    const openssl = (...args: string[]): void => {
      execFileSync('openssl', args, { cwd: this.folder, stdio: 'ignore' });
    };
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    openssl('req', '-x509', ...key, '-subj', '/CN=test ca', '-days', '2', '-keyout', 'ca.key', '-out', 'ca.pem');
    for (const [name, usage] of [
      ['server', 'serverAuth'],
      ['client', 'clientAuth'],
    ] as const) {
      writeFileSync(
        join(this.folder, 'ext'),
        `extendedKeyUsage=${usage}\nkeyUsage=digitalSignature\nbasicConstraints=CA:FALSE\n`,
      );
      openssl('req', ...key, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-days',
        '2',
        '-extfile',
        'ext',
        '-out',
        `${name}.pem`,
      );
    }
  }
}

/** What makes a server a daemon in a chroot as nobody, and what can be known of it there. */
export class Jail {
  readonly tmpDir: string;
  readonly lines: readonly string[];
  readonly #log: string;
  readonly #pidFile: string;

  constructor(network: StockNetwork) {
    const folder = join(network.folder, 'jail');
    this.tmpDir = join(folder, 'tmp');
    this.#log = join(network.folder, 'daemon.log');
    this.#pidFile = join(network.folder, 'daemon.pid');
    mkdirSync(this.tmpDir, { recursive: true });
    chmodSync(this.tmpDir, 0o777);
    writeFileSync(this.#log, '');
    this.lines = [
      'daemon',
      `log-append ${this.#log}`,
      `writepid ${this.#pidFile}`,
      `chroot ${folder}`,
      'tmp-dir /tmp',
      'user nobody',
      'group nogroup',
      'persist-tun',
      'persist-key',
    ];
  }

  get log(): string {
    return readFileSync(this.#log, 'utf8');
  }

  get pid(): number {
    return Number(readFileSync(this.#pidFile, 'utf8'));
  }
}

/** Waits until something holds. */
export async function until(what: () => boolean, why: string, patience = 60_000): Promise<void> {
  const end = Date.now() + patience;
  while (!what()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${why}`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

export function alive(pid: number): boolean {
  try {
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** CPU time of a process so far, ms. */
export function cpuTime(pid: number): number {
  const [user, system] = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
    .slice(11);
  return (Number(user) + Number(system)) * 10;
}

/** The processes below another, with their names, nearest first. */
export function descendants(pid: number): { pid: number; name: string }[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number);
  const family: { pid: number; name: string }[] = [];
  for (const child of children) {
    family.push({ pid: child, name: readFileSync(`/proc/${child}/comm`, 'utf8').trim() });
    family.push(...descendants(child));
  }
  return family;
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
