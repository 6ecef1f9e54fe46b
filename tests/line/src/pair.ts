/** A tunnel between two hosts, each a network namespace, with a wire of 1500 bytes between them. */
import { join, resolve } from 'node:path';
import { execute, inNamespace, ipBatch, Program, removeNamespaces, type Teardown } from '@seikan/testkit';

export const namespacePrefix = 'seikan-line';

export type Implementation = 'ours' | 'stock';

export interface Pair {
  readonly client: Implementation;
  readonly server: Implementation;
  readonly cipher: string;
  readonly mtu: number;
  readonly transport?: 'udp' | 'tcp';
  /** More options, of both ends. */
  readonly options?: string;
}

export interface Host {
  readonly namespace: string;
  readonly device: string;
  readonly v4: string;
  readonly v6: string;
}

export type Hosts = readonly [client: Host, server: Host];

const house = resolve(import.meta.dirname, '../../..');
const wire = { server: '198.18.0.1', client: '198.18.0.2' } as const;
const START_LIMIT_MS = 30_000;
let made = 0;

/** `folder` has the keys. */
export async function startPair(pair: Pair, folder: string, teardown: Teardown): Promise<Hosts> {
  made += 1;
  const base = `${namespacePrefix}-${process.pid}-${made}`;
  const namespaces = { server: `${base}s`, client: `${base}c` };
  teardown.defer(() => removeNamespaces(Object.values(namespaces)));
  await ipBatch([`netns add ${namespaces.server}`, `netns add ${namespaces.client}`]);
  await ipBatch([`link add eth0 netns ${namespaces.server} type veth peer eth0 netns ${namespaces.client}`]);
  for (const end of ['server', 'client'] as const) {
    await ipBatch(['link set lo up', 'link set eth0 up', `addr add ${wire[end]}/24 dev eth0`], namespaces[end]);
    // TCP connections agree on ECN.
    await execute(inNamespace(namespaces[end], ['sysctl', '-qw', 'net.ipv4.tcp_ecn=1']));
  }
  const { mtu, cipher, transport = 'udp', options = '' } = pair;
  const common = `--dev tun0 --dev-type tun --tun-mtu ${mtu} --data-ciphers ${cipher} --verb 3 --ca ${folder}/ca.crt`;
  const start = async (end: 'server' | 'client', words: string): Promise<void> => {
    const keys = `--cert ${join(folder, end)}.crt --key ${join(folder, end)}.key`;
    const program =
      pair[end] === 'ours' ? [process.execPath, join(house, 'packages/cli/dist/bundle/openvpn.cjs')] : ['openvpn'];
    const all = `${common} ${keys} ${words} ${options} --disable-dco`;
    const command = [...program, ...all.trim().split(/\s+/)] as [string, ...string[]];
    const started = new Program({ name: `${pair[end]} (${end})`, command, namespace: namespaces[end], teardown });
    await started.waitFor(/Initialization Sequence Completed/, { timeout: START_LIMIT_MS });
  };
  await start(
    'server',
    `--proto ${transport === 'udp' ? 'udp4' : 'tcp4-server'} --local ${wire.server} --port 1194 --dh none --topology subnet
     --server 10.8.0.0 255.255.255.0 --server-ipv6 fd00:8::/64 --keepalive 600 3600`,
  );
  await start(
    'client',
    `--proto ${transport === 'udp' ? 'udp4' : 'tcp4-client'} --remote ${wire.server} 1194 --nobind --client --remote-cert-tls server`,
  );
  return [
    { namespace: namespaces.client, device: 'tun0', v4: '10.8.0.2', v6: 'fd00:8::1000' },
    { namespace: namespaces.server, device: 'tun0', v4: '10.8.0.1', v6: 'fd00:8::1' },
  ];
}
