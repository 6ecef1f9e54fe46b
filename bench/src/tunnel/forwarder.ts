/** The two ceilings: the wire itself, and a tunnel without a key (bench/c/tunnel-forwarder.c). */
import { join } from 'node:path';
import { execute, ipBatch, type Program, type Teardown } from '@seikan/testkit';

import { createHosts, ends, wire } from './hosts.js';
import { startPreferred } from './preferred.js';
import { TUNNEL_MTU, type Tunnel } from './tunnel.js';

const PORT = '1195';
const address = { server: '10.8.0.1', client: '10.8.0.2' } as const;

/** Compiles a program of bench/c into `folder`; gives its path. */
export async function compile(name: string, folder: string): Promise<string> {
  const program = join(folder, name);
  const source = join(import.meta.dirname, '../../c', `${name}.c`);
  await execute(['cc', '-O2', '-Wall', '-Wextra', '-o', program, source], { timeout: 60_000 });
  return program;
}

export async function startVeth(teardown: Teardown): Promise<Tunnel> {
  return { hosts: await createHosts(teardown), address: wire.server, processes: {} };
}

export async function startForwarder(program: string, teardown: Teardown): Promise<Tunnel> {
  const hosts = await createHosts(teardown);
  const start = async (end: 'server' | 'client'): Promise<Program> => {
    const other = end === 'server' ? 'client' : 'server';
    const command = [program, 'tun0', wire[end], wire[other], PORT] as const;
    const started = startPreferred({ name: `forwarder (${end})`, command, namespace: hosts[end], teardown });
    await started.waitFor(/^ready$/, { timeout: 10_000 });
    return started;
  };
  const processes = { server: await start('server'), client: await start('client') };
  for (const end of ends)
    await ipBatch(
      [`link set tun0 mtu ${TUNNEL_MTU}`, 'link set tun0 up', `addr add ${address[end]}/24 dev tun0`],
      hosts[end],
    );
  return { hosts, address: address.server, processes };
}
