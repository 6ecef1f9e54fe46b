/**
 * The demo's network, inside namespaces that nobody else sees:
 *
 *     server namespace                        client namespace
 *       wire 192.0.2.1, 2001:db8::1  ───────    wire 192.0.2.2, 2001:db8::2      (veth)
 *       tun0 10.8.0.1, fd08::1       ═══════    tun0 from the server's pool      (the tunnel)
 */
import { type End, execute, inNamespace } from '@seikan/testkit';

export const namespaces = { server: 'server', client: 'client' } as const;
export const serverEnd: End = { namespace: namespaces.server, ipv4: '10.8.0.1', ipv6: 'fd08::1' };

/** Gives the kernel's names of both namespaces, `net:[4026532008]`. */
export async function createNetwork(): Promise<string[]> {
  const { server, client } = namespaces;
  await execute(['ip', 'netns', 'add', server]);
  await execute(['ip', 'netns', 'add', client]);
  await execute(['ip', 'link', 'add', 'wire', 'netns', server, 'type', 'veth', 'peer', 'wire', 'netns', client]);
  for (const [namespace, number] of [
    [server, 1],
    [client, 2],
  ] as const) {
    const lines = [
      'link set lo up',
      // link-local addresses come seconds late and would look like something left behind
      'link set wire addrgenmode none',
      'link set wire up',
      `address add 192.0.2.${number}/24 dev wire`,
      `address add 2001:db8::${number}/64 dev wire nodad`,
    ];
    await execute(inNamespace(namespace, ['ip', '-batch', '-']), { input: `${lines.join('\n')}\n` });
  }
  const names: string[] = [];
  for (const namespace of [server, client])
    names.push((await execute(inNamespace(namespace, ['readlink', '/proc/self/ns/net']))).trim());
  return names;
}

export async function removeNetwork(): Promise<void> {
  for (const name of Object.values(namespaces)) await execute(['ip', 'netns', 'delete', name]);
}

/** The client's end of the tunnel, with the addresses that its device has. */
export async function clientEnd(): Promise<End> {
  const text = await execute(inNamespace(namespaces.client, ['ip', '-o', 'address', 'show']));
  const [ipv4, ipv6] = [/inet (10\.8\.0\.\d+)/.exec(text)?.[1], /inet6 (fd08::[\da-f:]+)/.exec(text)?.[1]];
  if (ipv4 === undefined || ipv6 === undefined) throw new Error(`the client has no tunnel addresses:\n${text}`);
  return { namespace: namespaces.client, ipv4, ipv6 };
}
