/**
 * Our own client without root: an ordinary user of the group, through the service that the bus starts, against a stock
 * openvpn; and a user outside the group, who gets nothing.
 */
import { importProfile, PROFILE } from './client-scenario.js';
import { eventually } from './eventually.js';
import { type KernelPicture, kernelPicture } from './kernel-picture.js';
import { ORDINARY_USER, OUTSIDER, SERVICE_USER, Tree } from './tree.js';
import { FAR, type World } from './world.js';

const RESOLVER = '/etc/resolv.conf';
const ORIGINAL_RESOLVER = 'nameserver 192.0.2.53\n';
const NETCFG = 'net.openvpn.v3.netcfg';
const PROPERTIES = 'org.freedesktop.DBus.Properties';
const SEIKAN = '/opt/seikan/bin/seikan';
const UP = /seikan\.mjs up /;

export async function runSeikanClient(
  world: World,
  { suite, tell }: { suite: string; tell: (text: string) => void },
): Promise<void> {
  const config = { resolv_conf_file: RESOLVER };
  const where = { suite, namespace: world.client, teardown: world.teardown };
  const tree = await Tree.enter({ ...where, implementation: 'ours', config });
  tree.write(RESOLVER, ORIGINAL_RESOLVER);
  await importProfile(tree, world);
  const before = await kernelPicture(world);
  const untouched = async (): Promise<void> => {
    await eventually('the kernel is as it was', async () => same(await kernelPicture(world), before));
    await eventually('resolv.conf is as it was', () => tree.read(RESOLVER) === ORIGINAL_RESOLVER);
  };
  const end = async (signal: string): Promise<void> => {
    const [pid] = await tree.processes(UP);
    if (pid === undefined) throw new Error('seikan up does not run');
    await tree.run(['kill', `-${signal}`, `${pid}`]);
  };

  const outsider = await tree.run([SEIKAN, 'up', PROFILE], { user: OUTSIDER }).catch((error: unknown) => String(error));
  if (!outsider.includes('the netcfg service cannot be used')) throw new Error(`an outsider was told: ${outsider}`);
  tell('a user outside the group is refused');

  const monitor = tree.start('monitor', [SEIKAN, 'netcfg', 'monitor'], ORDINARY_USER);
  await monitor.waitFor(/^watching/, { timeout: 30_000 });
  for (const signal of ['INT', 'KILL']) {
    const from = monitor.lines.length;
    const client = tree.start('seikan up', [SEIKAN, 'up', PROFILE], ORDINARY_USER);
    await client.waitFor(/Initialization Sequence Completed/, { timeout: 60_000 });
    await world.pingAll();
    const text = tree.read(RESOLVER);
    if (!/^nameserver 10\.8\.0\.1$/m.test(text) || !/^search .*corp\.example/m.test(text)) {
      throw new Error(`resolv.conf while the tunnel is up:\n${text}`);
    }
    const status = await tree.run([SEIKAN, 'netcfg', 'status'], { user: ORDINARY_USER });
    if (!/device_name: tun0/.test(status)) throw new Error(`seikan netcfg status:\n${status}`);
    const others = await tree.run([SEIKAN, 'netcfg', 'status'], { user: 'root' });
    if (!/device_name: tun0/.test(others)) throw new Error(`root's seikan netcfg status:\n${others}`);
    await othersAreRefused(tree, /^(\/net\/\S+)$/m.exec(status)?.[1] ?? '');
    await end(signal);
    await untouched();
    for (const change of [/tun0 route added .*subnet=10\.50\.0\.0/, /tun0 device removed/]) {
      await monitor.waitFor(change, { timeout: 20_000, from });
    }
    tell(`up as an ordinary user, ended by SIG${signal}, nothing left behind`);
  }

  for (const { name, lines, held } of SHAPES) {
    await world.killServer();
    await world.startServer(lines);
    const client = tree.start('seikan up', [SEIKAN, 'up', PROFILE], ORDINARY_USER);
    await client.waitFor(/Initialization Sequence Completed/, { timeout: 60_000 });
    await world.pingAll();
    await held(world, tree);
    await end('INT');
    await untouched();
    tell(`${name}: up, and nothing left behind`);
  }
}

/** What a server may push, and what is true then besides traffic to the tunnel's networks in both families. */
const SHAPES: readonly {
  readonly name: string;
  readonly lines: readonly string[];
  readonly held: (world: World, tree: Tree) => Promise<void>;
}[] = [
  {
    name: 'topology net30',
    lines: ['topology net30'],
    // The service knows no peers: a prefix that holds both ends.
    held: async (world) => expectLine((await kernelPicture(world)).addresses, /^tun0 10\.8\.0\.6\/30 /),
  },
  {
    name: 'topology p2p',
    lines: ['topology p2p'],
    held: async (world) => expectLine((await kernelPicture(world)).addresses, /^tun0 10\.8\.0\.\d+\/\d+ /),
  },
  {
    name: 'redirect-gateway def1 ipv6',
    lines: ['push "redirect-gateway def1 ipv6"'],
    held: async (world) => {
      await world.pingAll(Object.values(FAR));
      const { routes } = await kernelPicture(world);
      for (const half of ['0.0.0.0/1', '128.0.0.0/1', '::/1', '8000::/1']) {
        expectLine(routes, new RegExp(`"dst":"${half}".*"dev":"tun0"`));
      }
      expectLine(routes, /"dst":"198\.51\.100\.1".*"dev":"eth0"/);
    },
  },
  {
    name: 'dns server',
    lines: ['push "dns server 0 address 10.8.0.1 fd00:8::1"', 'push "dns search-domains lab.example"'],
    held: async (_world, tree) => {
      const lines = tree.read(RESOLVER).split('\n');
      for (const line of [/^nameserver 10\.8\.0\.1$/, /^nameserver fd00:8::1$/, /^search .*lab\.example/])
        expectLine(lines, line);
    },
  },
];

function expectLine(lines: readonly string[], pattern: RegExp): void {
  if (!lines.some((line) => pattern.test(line))) throw new Error(`no ${pattern} in:\n${lines.join('\n')}`);
}

/** The bus policy lets the service's user call every device; the service lets owners alone. */
async function othersAreRefused(tree: Tree, path: string): Promise<void> {
  const { stdout: seen } = await busctl(tree, ['/net/openvpn/v3/netcfg', NETCFG, 'FetchInterfaceList'], 'root');
  if (!seen.includes(path)) throw new Error(`root does not see ${path}: ${seen}`);
  const attempts: [member: string[], refusal: RegExp][] = [
    [[NETCFG, 'Destroy'], /Authorization failed/],
    [[NETCFG, 'AddDNS', 'as', '1', '192.0.2.66'], /Authorization failed/],
    [[PROPERTIES, 'Set', 'ssv', NETCFG, 'mtu', 'q', '1000'], /Access to .* is not granted|Access denied/],
    [[PROPERTIES, 'Get', 'ss', NETCFG, 'mtu'], /Access to .* is not granted|Access denied/],
  ];
  for (const [words, refusal] of attempts) {
    const { stdout, stderr } = await busctl(tree, [path, ...words], SERVICE_USER);
    if (!refusal.test(stderr)) throw new Error(`${words.join(' ')} on another's device: ${stdout}${stderr}`);
  }
}

async function busctl(tree: Tree, words: readonly string[], user: string): Promise<{ stdout: string; stderr: string }> {
  try {
    return { stdout: await tree.run(['busctl', '--system', 'call', NETCFG, ...words], { user }), stderr: '' };
  } catch (error) {
    return { stdout: '', stderr: String(error) };
  }
}

function same(one: KernelPicture, other: KernelPicture): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
