/**
 * The unchanged OpenVPN 3 client with kernel offload over our service: its own calls on the `/dco` object, traffic that
 * the kernel carries, keys that change under it, a server that dies, the end. Needs a kernel with `ovpn-dco-v2`, which is
 * all that this client speaks: the virtual machine of tests/dco/run has one. Everything is slow there, and waits long.
 */
import { execute, Program } from '@seikan/testkit';

import { importProfile } from './client-scenario.js';
import { eventually } from './eventually.js';
import { kernelPicture } from './kernel-picture.js';
import { ORDINARY_USER, SERVICE_USER, Tree } from './tree.js';
import { TUNNEL, type World } from './world.js';

const LONG = 240_000;
const TRIES = 6;
const NETCFG = 'net.openvpn.v3.netcfg';
const RESOLVER = '/etc/resolv.conf';
const ORIGINAL_RESOLVER = 'nameserver 192.0.2.53\n';
/** Not so short that a guest at a standstill loses its peers. */
export const OFFLOAD_SERVER_LINES = ['keepalive 2 20', 'reneg-sec 70'];
/**
 * OpenVPN 3 sends under a new key only when a hand-window has passed since it was made (openvpn/ssl/proto.hpp
 * `become_primary`, 60 s unless the profile says otherwise), and gives the new key up when the next negotiation comes
 * before. So renegotiations have to be farther apart than that: with less the two sides have no key in common, and the
 * kernel lets the peer expire.
 */
const CLIENT_LINES = ['hand-window 30'];

interface Session {
  readonly path: string;
  /** Of its client process, as the tree numbers it. */
  readonly pid: string;
}

interface LinkRecord {
  readonly ifname: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly stats64?: { readonly rx: { readonly bytes: number }; readonly tx: { readonly bytes: number } };
}

export async function runOffloadedClient(
  world: World,
  { suite, tell }: { suite: string; tell: (text: string) => void },
): Promise<void> {
  const where = { suite, namespace: world.client, teardown: world.teardown };
  const config = { resolv_conf_file: RESOLVER, idle_exit: '60', log_level: '6' };
  const tree = await Tree.enter({ ...where, implementation: 'ours', config });
  tree.write(RESOLVER, ORIGINAL_RESOLVER);
  try {
    await offloadedDay(tree, world, tell);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const kernel = (await execute(['dmesg'])).trim().split('\n');
    throw new Error(
      `${why}\nThe kernel:\n${kernel.slice(-40).join('\n')}\nThe bus and its services:\n${tree.lines.slice(-60).join('\n')}`,
      { cause: error },
    );
  }
}

async function offloadedDay(tree: Tree, world: World, tell: (text: string) => void): Promise<void> {
  const openvpn3 = (...words: string[]) => tree.run(['openvpn3', ...words], { user: ORDINARY_USER, timeout: LONG });
  // Its session manager waits some seconds for its own processes, and its commands some tenths of one for the session
  // manager, which is not made for an emulated machine.
  const insist = async (excused: RegExp, ...words: string[]): Promise<string> => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await openvpn3(...words);
      } catch (error) {
        if (tries === TRIES || !excused.test(String(error)))
          throw new Error(`${String(error)}\n${await openvpn3('sessions-list')}`, { cause: error });
      }
    }
  };
  /** A start that was given up may have left a session of the same name: the one that is connected counts. */
  const start = async (): Promise<Session> => {
    await insist(/./, 'session-start', '--config', 'office');
    const find = async () => connectedSession(await openvpn3('sessions-list'));
    await eventually('a session is connected', async () => (await find()) !== undefined, LONG);
    const found = await find();
    if (found === undefined) throw new Error('the session is connected no longer');
    return found;
  };
  const session = ({ path }: Session, what: string, ...options: string[]) =>
    insist(/[Ss]ession not found/, what, '--path', path, ...options);
  const busctl = (...words: string[]) =>
    tree.run(['busctl', '--system', '--timeout=60', 'call', NETCFG, '/net/openvpn/v3/netcfg', ...words], {
      user: SERVICE_USER,
      timeout: LONG,
    });
  // The client gives each call five seconds: the service starts before it.
  await eventually(
    'the service runs',
    () =>
      busctl(NETCFG, 'DcoAvailable').then(
        (answer) => answer.trim() === 'b true',
        () => false,
      ),
    LONG,
  );
  tell('DcoAvailable: true');
  const before = JSON.stringify(await kernelPicture(world));
  const untouched = async (why: string): Promise<void> => {
    await eventually(
      `nothing left behind (${why})`,
      async () =>
        JSON.stringify(await kernelPicture(world)) === before && (await kernelLinks(world.client)).length === 0,
      LONG,
    );
    await eventually(`resolv.conf as it was (${why})`, () => tree.read(RESOLVER) === ORIGINAL_RESOLVER, LONG);
  };

  const monitor = tree.start('monitor', ['dbus-monitor', '--system', '--profile', `interface='${NETCFG}'`]);
  const calls = (member: string): number => monitor.lines.filter((line) => isCall(line, member)).length;
  await importProfile(tree, world, CLIENT_LINES);
  await openvpn3('config-manage', '--config', 'office', '--dco', 'true');
  const first = await start();
  await pingAll(world);
  for (const member of ['EnableDCO', 'GetPipeFD', 'NewPeer', 'NewKey', 'SetPeer'])
    await eventually(`the client calls ${member}`, () => calls(member) > 0, LONG);
  const links = await kernelLinks(world.client);
  const [link] = links;
  if (links.length !== 1 || link === undefined) throw new Error(`links of the kernel: ${JSON.stringify(links)}`);
  const carried = Math.min(link.stats64?.rx.bytes ?? 0, link.stats64?.tx.bytes ?? 0);
  if (carried < 12 * 84) throw new Error(`the kernel has carried ${carried} bytes`);
  tell(`connected over ${link.ifname} (${link.linkinfo?.info_kind}), ${carried} bytes carried by the kernel`);

  const swapped = calls('SwapKeys');
  const pinging = new Program({
    name: 'ping',
    command: ['ping', '-n', '-i', '0.5', TUNNEL.ipv4],
    namespace: world.client,
    teardown: world.teardown,
  });
  try {
    await eventually('keys change twice', () => calls('SwapKeys') >= swapped + 2, 2 * LONG);
  } catch (error) {
    const seen = monitor.lines.filter((line) => line.startsWith('mc') || line.startsWith('sig')).slice(-40);
    throw new Error(`${String(error)}\nThe calls:\n${seen.join('\n')}\nPings:\n${pinging.lines.slice(-5).join('\n')}`, {
      cause: error,
    });
  }
  pinging.signal('SIGINT');
  await pinging.exited;
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(pinging.lines.join('\n')) ?? [];
  if (Number(received) < Number(sent) - 2 || !(Number(sent) > 20)) throw new Error(`${received} of ${sent} pings`);
  tell(
    `keys changed: ${calls('NewKey')} NewKey, ${calls('SwapKeys')} SwapKeys; ${received} of ${sent} pings meanwhile`,
  );

  await session(first, 'session-manage', '--pause');
  await eventually('the tunnel is down', async () => (await kernelLinks(world.client)).length === 0, LONG);
  await session(first, 'session-manage', '--resume');
  await pingAll(world);
  tell('paused and resumed');

  // Its core (3.10) reads the service's pipe only from the first time on that somebody asks for statistics; 27 at once.
  tell(`statistics: ${statistics(await session(first, 'session-stats'))}`);
  const made = calls('NewPeer');
  await world.killServer();
  // The module goes on pinging for the dead process, which would not be missed.
  for (const { ifname } of await kernelLinks(world.serverNamespace))
    await execute(['ip', '-n', world.serverNamespace, 'link', 'delete', 'dev', ifname]);
  await world.startServer(OFFLOAD_SERVER_LINES);
  await eventually('the client connects anew', () => calls('NewPeer') > made, LONG);
  await pingAll(world);
  tell('the server died: the kernel let the peer expire, the client connected anew');

  await session(first, 'session-manage', '--disconnect');
  await untouched('disconnected');
  tell('disconnected, nothing left behind');

  const second = await start();
  await pingAll(world);
  await tree.run(['kill', '-KILL', second.pid]);
  await untouched('client killed');
  tell('client killed, nothing left behind');
}

/** `mc TIME SERIAL SENDER DESTINATION PATH INTERFACE MEMBER`, tabs between them. */
function isCall(line: string, member: string): boolean {
  const [kind, ...rest] = line.split('\t');
  return kind === 'mc' && rest.at(-1) === member;
}

async function kernelLinks(namespace: string): Promise<LinkRecord[]> {
  const links = JSON.parse(await execute(['ip', '-n', namespace, '-j', '-d', '-s', 'link', 'show'])) as LinkRecord[];
  return links.filter(({ linkinfo }) => linkinfo?.info_kind?.startsWith('ovpn') === true);
}

function connectedSession(list: string): Session | undefined {
  for (const block of list.split(/^ *Path: /m).slice(1)) {
    const [, path = ''] = /^(\S+)/.exec(block) ?? [];
    const [, pid = ''] = /PID: (\d+)/.exec(block) ?? [];
    if (block.includes('Client connected') && path !== '' && pid !== '') return { path, pid };
  }
  return undefined;
}

function statistics(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trim().replace(/\.{2,}/, ' '))
    .filter((line) => /\d$/.test(line))
    .join(', ');
}

async function pingAll(world: World): Promise<void> {
  await eventually(
    'the tunnel carries',
    () =>
      world.pingAll().then(
        () => true,
        () => false,
      ),
    LONG,
  );
}
