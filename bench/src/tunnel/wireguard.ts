/** Tunnels of wireguard-go, the userspace implementation, in the foreground. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execute, inNamespace, ipBatch, type Program, type Teardown } from '@seikan/testkit';

import { createHosts, namespacePrefix, wire } from './hosts.js';
import { startPreferred } from './preferred.js';
import { TUNNEL_MTU, type Tunnel } from './tunnel.js';

const PORT = 51_820;
const addresses = { server: '10.8.0.1', client: '10.8.0.2' } as const;

export interface WireguardOptions {
  /** The two programs. */
  readonly wireguard: string;
  readonly wg: string;
  /** For keys; one per contender. */
  readonly folder: string;
  readonly teardown: Teardown;
}

export async function startWireguard({ wireguard, wg, folder, teardown }: WireguardOptions): Promise<Tunnel> {
  const hosts = await createHosts(teardown);
  const keys = { server: await newKey(wg), client: await newKey(wg) };
  const start = async (end: 'server' | 'client'): Promise<Program> => {
    const other = end === 'server' ? 'client' : 'server';
    // The name of the interface is the name of a control socket of the whole machine.
    const device = hosts[end].replace(`${namespacePrefix}-`, 'sb');
    const program = startPreferred({
      name: `wireguard-go (${end})`,
      command: ['env', 'LOG_LEVEL=verbose', wireguard, '--foreground', device],
      namespace: hosts[end],
      teardown,
    });
    await program.waitFor(/UAPI listener started/, { timeout: 10_000 });
    const file = join(folder, `${device}.conf`);
    const lines = [
      '[Interface]',
      `PrivateKey = ${keys[end].secret}`,
      `ListenPort = ${PORT}`,
      '[Peer]',
      `PublicKey = ${keys[other].public}`,
      'AllowedIPs = 0.0.0.0/0',
      `Endpoint = ${wire[other]}:${PORT}`,
    ];
    writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
    await execute(inNamespace(hosts[end], [wg, 'setconf', device, file]));
    await ipBatch(
      [`link set ${device} mtu ${TUNNEL_MTU}`, `link set ${device} up`, `addr add ${addresses[end]}/24 dev ${device}`],
      hosts[end],
    );
    return program;
  };
  const processes = { server: await start('server'), client: await start('client') };
  return { hosts, address: addresses.server, processes };
}

async function newKey(wg: string): Promise<{ secret: string; public: string }> {
  const secret = (await execute([wg, 'genkey'])).trim();
  return { secret, public: (await execute([wg, 'pubkey'], { input: `${secret}\n` })).trim() };
}
