/**
 * Two hosts and the wire between them: a namespace for each end of a tunnel, and a veth pair.
 *
 *     server namespace                 client namespace
 *       eth0 198.18.0.1       ───────    eth0 198.18.0.2
 */
import { execute, inNamespace, ipBatch, removeNamespaces, type Teardown } from '@seikan/testkit';

import { unpacked } from './unpacked.js';

export const namespacePrefix = 'seikan-bench';
export const wire = { server: '198.18.0.1', client: '198.18.0.2' } as const;
export const ends = ['server', 'client'] as const;
export type EndName = (typeof ends)[number];

let created = 0;

export type Hosts = Readonly<Record<EndName, string>>;

/** The names of the two namespaces. */
export async function createHosts(teardown: Teardown): Promise<Hosts> {
  created += 1;
  const base = `${namespacePrefix}-${process.pid}-${created}`;
  const hosts = { server: `${base}s`, client: `${base}c` };
  teardown.defer(() => removeNamespaces(Object.values(hosts)));
  await ipBatch([`netns add ${hosts.server}`, `netns add ${hosts.client}`]);
  await ipBatch([`link add eth0 netns ${hosts.server} type veth peer eth0 netns ${hosts.client}`]);
  for (const end of ends)
    await ipBatch(
      ['link set lo up', 'link set eth0 addrgenmode none', 'link set eth0 up', `addr add ${wire[end]}/24 dev eth0`],
      hosts[end],
    );
  return hosts;
}

/** Datagrams cross the wire one by one, as on a real network; TCP that is not in a tunnel still crosses it in large ones. */
export async function segmentBeforeWire(hosts: Hosts): Promise<void> {
  const { program } = await unpacked('bookworm', 'ethtool');
  for (const end of ends)
    await execute(inNamespace(hosts[end], [program, '--features', 'eth0', 'tx-udp-segmentation', 'off']));
}
