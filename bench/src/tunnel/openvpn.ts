/** Tunnels of OpenVPN's command line: ours, stock, tuned, and one of each. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createAuthority, execute, type Program, type Teardown } from '@seikan/testkit';

import { createHosts, type EndName, type Hosts, wire } from './hosts.js';
import { startPreferred } from './preferred.js';
import { type Setting, TUNNEL_MTU, type Tunnel } from './tunnel.js';

export interface Side {
  readonly command: readonly [string, ...string[]];
  readonly options: readonly string[];
}

export const stock: Side = { command: ['openvpn'], options: ['--disable-dco'] };
export const tuned: Side = {
  command: ['openvpn'],
  options: [...stock.options, '--sndbuf', '4194304', '--rcvbuf', '4194304', '--fast-io'],
};

/** Writes a `node` into `folder` that tells its garbage collections: bin/openvpn takes node from the path. */
export function ours(folder: string, { node, nodeFlags }: Setting): Side {
  writeFileSync(join(folder, 'node'), `#!/bin/sh\nexec "${node}" --trace-gc ${nodeFlags} "$@"\n`, { mode: 0o755 });
  const program = resolve(import.meta.dirname, '../../../bin/openvpn');
  return { command: ['env', `PATH=${folder}:${process.env['PATH']}`, program], options: ['--disable-dco'] };
}

/** Certificates and a tls-crypt key in `folder`. */
export async function createKeys(folder: string): Promise<void> {
  const { issue } = await createAuthority(folder, { commonName: 'Bench-CA', keys: 'P-256' });
  await issue('server', 'server');
  await issue('client', 'client');
  await execute(['openvpn', '--genkey', 'secret', join(folder, 'tls-crypt.key')]);
}

export const PORT = 1_194;
const START_LIMIT_MS = 30_000;
export const SERVER_ADDRESS = '10.8.0.1';

export interface OpenvpnOptions {
  readonly server: Side;
  readonly client: Side;
  readonly setting: Setting;
  /** Holds the keys. */
  readonly folder: string;
  readonly teardown: Teardown;
  readonly serverOptions?: readonly string[];
  /** Runs once the server is up, before the client comes. */
  readonly beforeClient?: (hosts: Hosts) => Promise<void>;
}

export async function startOpenvpn(options: OpenvpnOptions): Promise<Tunnel> {
  const hosts = await createHosts(options.teardown);
  const server = startEnd('server', hosts, options);
  const up = /Initialization Sequence Completed/;
  await server.waitFor(up, { timeout: START_LIMIT_MS });
  await options.beforeClient?.(hosts);
  const client = startEnd('client', hosts, options);
  await client.waitFor(up, { timeout: START_LIMIT_MS });
  return { hosts, address: SERVER_ADDRESS, processes: { server, client } };
}

function startEnd(end: EndName, hosts: Hosts, options: OpenvpnOptions): Program {
  const { setting, folder, teardown } = options;
  const { transport } = setting;
  // Nobody renegotiates or pings while it is measured.
  const common = `
    --dev tun0 --dev-type tun --tun-mtu ${TUNNEL_MTU} --data-ciphers ${setting.cipher} --reneg-sec 0 --verb 3
    --ca ${folder}/ca.crt --cert ${folder}/${end}.crt --key ${folder}/${end}.key --tls-crypt ${folder}/tls-crypt.key`;
  const own =
    end === 'server'
      ? `--proto ${transport === 'udp' ? 'udp4' : 'tcp4-server'} --local ${wire.server} --port ${PORT} --dh none
         --topology subnet --server 10.8.0.0 255.255.0.0 --keepalive 1800 7200`
      : `--proto ${transport === 'udp' ? 'udp4' : 'tcp4-client'} --remote ${wire.server} ${PORT} --nobind
         --client --remote-cert-tls server`;
  const side = options[end];
  const words = `${common} ${own}`.trim().split(/\s+/);
  const more = end === 'server' ? (options.serverOptions ?? []) : [];
  return startPreferred({
    name: `${side.command[0]} (${end})`,
    command: [...side.command, ...words, ...side.options, ...more],
    namespace: hosts[end],
    teardown,
  });
}
