/** A real systemd-resolved and polkit in the tree: what the client's tunnel gives to its link, and that it goes again. */

import { importProfile } from './client-scenario.js';
import { eventually } from './eventually.js';
import { type Implementation, ORDINARY_USER, Tree } from './tree.js';
import type { World } from './world.js';

export interface ResolvedReport {
  /** Lines of resolvectl about the tunnel's link. */
  readonly connected: readonly string[];
  readonly paused: readonly string[];
  readonly disconnected: readonly string[];
}

export async function runWithResolved({
  world,
  suite,
  implementation,
  tell,
}: {
  world: World;
  suite: string;
  implementation: Implementation;
  tell: (text: string) => void;
}): Promise<ResolvedReport> {
  const { teardown, client: namespace } = world;
  const tree = await Tree.enter({ suite, implementation, namespace, config: { systemd_resolved: true }, teardown });
  try {
    return await connectAndLook(tree, world, (what) => tell(`${implementation}, systemd-resolved: ${what}`));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${why}\nThe bus and its services:\n${tree.lines.slice(-40).join('\n')}`, { cause: error });
  }
}

async function connectAndLook(tree: Tree, world: World, tell: (text: string) => void): Promise<ResolvedReport> {
  await tree.run(['mkdir', '-p', '/run/systemd/resolve']);
  await tree.run(['chown', 'systemd-resolve:systemd-resolve', '/run/systemd/resolve']);
  tree.write('/etc/resolv.conf', 'nameserver 127.0.0.53\n');
  const resolved = tree.start('systemd-resolved', ['/usr/lib/systemd/systemd-resolved']);
  await eventually('systemd-resolved is on the bus', () =>
    tree.run(['resolvectl', 'dns']).then(
      () => true,
      () => (resolved.running ? false : Promise.reject(new Error(resolved.lines.join('\n')))),
    ),
  );
  await importProfile(tree, world);
  const openvpn3 = (...words: string[]) => tree.run(['openvpn3', ...words], { user: ORDINARY_USER, timeout: 90_000 });
  await openvpn3('session-start', '--config', 'office');
  await world.pingAll();
  await eventually('the link has its DNS server', async () =>
    (await linkLines(tree)).some((line) => line.includes('10.8.0.1')),
  );
  await eventually('the link has its domain', async () =>
    (await linkLines(tree)).some((line) => line.includes('corp.example')),
  );
  const connected = await linkLines(tree);
  tell('connected');
  await openvpn3('session-manage', '--config', 'office', '--pause');
  await eventually('the link has nothing', async () => (await linkLines(tree)).length === 0);
  const paused = await linkLines(tree);
  tell('paused');
  await openvpn3('session-manage', '--config', 'office', '--resume');
  await eventually('the link has its DNS server again', async () =>
    (await linkLines(tree)).some((line) => line.includes('10.8.0.1')),
  );
  await openvpn3('session-manage', '--config', 'office', '--disconnect');
  await eventually('the link has nothing again', async () => (await linkLines(tree)).length === 0);
  tell('disconnected');
  return { connected, paused, disconnected: await linkLines(tree) };
}

/** Links are numbered and named by the kernel. */
async function linkLines(tree: Tree): Promise<string[]> {
  const lines: string[] = [];
  for (const what of ['dns', 'domain', 'default-route', 'dnssec', 'dnsovertls']) {
    for (const line of (await ask(tree, what)).split('\n')) {
      const [, value] = /^Link \d+ \(tun\d+\): ?(.*)$/.exec(line) ?? [];
      if (value !== undefined) lines.push(`${what}: ${value}`);
    }
  }
  return lines;
}

/** resolvectl looks at one link after another, and fails when one has gone meanwhile. */
async function ask(tree: Tree, what: string): Promise<string> {
  let answer: string | undefined;
  await eventually(`resolvectl ${what}`, async () => {
    answer = await tree.run(['resolvectl', what]).catch((error: unknown) => {
      if (error instanceof Error && error.message.includes('Unknown object')) return undefined;
      throw error;
    });
    return answer !== undefined;
  });
  return answer ?? '';
}
