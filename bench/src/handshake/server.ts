/** A server under measurement: either implementation with the same configuration, and what /proc tells of it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export type ServerName = 'openvpn' | 'seikan';

/** Both run at the same time. */
export const SERVER_PORTS: Readonly<Record<ServerName, number>> = { openvpn: 11_940, seikan: 11_941 };
const NETWORKS: Readonly<Record<ServerName, string>> = { openvpn: '10.8.0.0', seikan: '10.9.0.0' };

const COMMANDS: Readonly<Record<ServerName, string>> = {
  openvpn: 'openvpn',
  seikan: resolve(import.meta.dirname, '../../../bin/openvpn'),
};

export interface ServerOptions {
  /** Of the materials. */
  readonly folder: string;
  /** Where it is pinned to. */
  readonly cpu: number | undefined;
  readonly maxClients: number;
  /** The folder of the `node` that ours runs on; otherwise that of PATH. */
  readonly node: string | undefined;
}

/** The clock ticks of /proc/PID/stat: 100 a second on every Linux that Node runs on. */
const TICK_MS = 10;
const START_LIMIT_MS = 15_000;

export class Server {
  readonly #process: ChildProcess;
  readonly #pid: number;

  private constructor(process: ChildProcess, pid: number) {
    this.#process = process;
    this.#pid = pid;
  }

  /** Starts a server and waits until it is ready. */
  static async start(name: ServerName, { folder, cpu, maxClients, node }: ServerOptions): Promise<Server> {
    const command = [COMMANDS[name], ...serverArguments(name, folder, maxClients)];
    const [file = '', ...rest] = cpu === undefined ? command : ['taskset', '-c', String(cpu), ...command];
    const path = [node, process.env['PATH']].filter((folders) => folders !== undefined).join(':');
    const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, PATH: path } });
    await once(child, 'spawn');
    let log = '';
    await new Promise<void>((ready, fail) => {
      const failWith = (why: string): void => fail(new Error(`${name} ${why}:\n${log}`));
      const timer = setTimeout(() => failWith('was not ready in time'), START_LIMIT_MS);
      child.once('exit', (code) => failWith(`exited with ${code}`));
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk: Buffer) => {
          if (log.includes('Initialization Sequence Completed')) return;
          log += chunk.toString();
          if (!log.includes('Initialization Sequence Completed')) return;
          clearTimeout(timer);
          child.removeAllListeners('exit');
          ready();
        });
      }
    });
    return new Server(child, child.pid ?? 0);
  }

  /** User and system time of all its threads so far. */
  get cpuMs(): number {
    const stat = readFileSync(join('/proc', String(this.#pid), 'stat'), 'utf8');
    // The command's name in brackets may hold spaces; utime and stime are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }

  get residentKb(): number {
    const status = readFileSync(join('/proc', String(this.#pid), 'status'), 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    await exited;
  }
}

/** The folder's name holds no space. */
function serverArguments(name: ServerName, folder: string, maxClients: number): string[] {
  // Nobody pings, renegotiates or times out while it is measured, and the flood of resets is no attack.
  const text = `
    --dev tun --topology subnet --server ${NETWORKS[name]} 255.255.0.0
    --proto udp4 --local 127.0.0.1 --port ${SERVER_PORTS[name]}
    --ca ${folder}/ca.crt --cert ${folder}/server.crt --key ${folder}/server.key --dh none
    --tls-crypt ${folder}/tls-crypt.key --duplicate-cn --max-clients ${maxClients}
    --keepalive 1800 7200 --reneg-sec 0 --connect-freq-initial 100000 1
    --disable-dco --verb 1`;
  return text.trim().split(/\s+/);
}
