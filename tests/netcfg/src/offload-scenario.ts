/**
 * The unchanged OpenVPN 3 client with kernel offload over our service: its own calls on the `/dco` object, traffic that
 * the kernel carries, keys that change under it, a server that dies, the end. Needs a kernel with `ovpn-dco-v2`, which is
 * all that this client speaks: the virtual machine of tests/dco/run has one. Everything is slow there, and waits long.
 */
import { execute } from '@seikan/testkit';

import { importProfile } from './client-scenario.js';
import { eventually } from './eventually.js';
import { kernelPicture } from './kernel-picture.js';
import { OffloadRecord } from './offload-record.js';
import { type Command, Sessions } from './offload-sessions.js';
import { ORDINARY_USER, SERVICE_USER, Tree } from './tree.js';
import { TUNNEL, type World } from './world.js';

const LONG = 240_000;
const COMMAND = 120_000;
const NETCFG = 'net.openvpn.v3.netcfg';
const RESOLVER = '/etc/resolv.conf';
const ORIGINAL_RESOLVER = 'nameserver 192.0.2.53\n';
/**
 * `multihome`: the server's address is not that of the link to the client. Without, nobody tells the module which address to
 * send from until the client was heard, and what it has sent before by the route's choice (a ping is enough) it goes on
 * sending so, from each processor on its own (udp.c `ovpn_udp4_output`: the cached route comes with its source).
 * Pings so far apart that a slow guest has installed the key before the first: one without a key is the last.
 */
export const OFFLOAD_SERVER_LINES = [
  'multihome',
  'keepalive 5 30',
  'reneg-sec 70',
  'verb 4',
  'machine-readable-output',
];
/**
 * OpenVPN 3 sends under a new key only when a hand-window has passed since it was made (openvpn/ssl/proto.hpp
 * `become_primary`, 60 s unless the profile says otherwise), and gives the new key up when the next negotiation comes
 * before. So renegotiations have to be farther apart than that: with less the two sides have no key in common, and the
 * kernel lets the peer expire.
 */
const CLIENT_LINES = ['hand-window 30'];

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
  const openvpn3: Command = (...words) => tree.run(['openvpn3', ...words], { user: ORDINARY_USER, timeout: COMMAND });
  await serviceRuns(tree);
  tell('DcoAvailable: true');
  await importProfile(tree, world, CLIENT_LINES);
  await openvpn3('config-manage', '--config', 'office', '--dco', 'true', '--log-level', '6');
  const record = await OffloadRecord.begin(tree, world);
  try {
    await offloadedDay({ tree, world, tell, record, sessions: new Sessions(tree, openvpn3) });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    // Marked, for lines that begin with blanks are what was reached.
    const lines = [...(await record.lines()), 'The bus and its services:', ...tree.lines.slice(-60)];
    throw new Error([why, ...lines.map((line) => `| ${line}`)].join('\n'), { cause: error });
  }
}

/** The client gives each call five seconds: the service starts before it. */
async function serviceRuns(tree: Tree): Promise<void> {
  const call = ['busctl', '--system', '--timeout=60', 'call', NETCFG, '/net/openvpn/v3/netcfg', NETCFG, 'DcoAvailable'];
  const runs = () =>
    tree.run(call, { user: SERVICE_USER, timeout: LONG }).then(
      (answer) => answer.trim() === 'b true',
      () => false,
    );
  await eventually('the service runs', runs, LONG);
}

interface Day {
  readonly tree: Tree;
  readonly world: World;
  readonly tell: (text: string) => void;
  readonly record: OffloadRecord;
  readonly sessions: Sessions;
}

async function offloadedDay({ tree, world, tell, record, sessions }: Day): Promise<void> {
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

  const first = await sessions.start();
  await pingAll(world);
  for (const member of ['EnableDCO', 'GetPipeFD', 'NewPeer', 'NewKey', 'SetPeer'])
    await eventually(`the client calls ${member}`, () => record.calls(member) > 0, LONG);
  const links = await kernelLinks(world.client);
  const [link] = links;
  if (links.length !== 1 || link === undefined) throw new Error(`links of the kernel: ${JSON.stringify(links)}`);
  const carried = Math.min(link.stats64?.rx.bytes ?? 0, link.stats64?.tx.bytes ?? 0);
  if (carried < 12 * 84) throw new Error(`the kernel has carried ${carried} bytes`);
  tell(`connected over ${link.ifname} (${link.linkinfo?.info_kind}), ${carried} bytes carried by the kernel`);

  const swapped = record.calls('SwapKeys');
  const pinging = record.startPing(TUNNEL.ipv4);
  await eventually('keys change twice', () => record.calls('SwapKeys') >= swapped + 2, 2 * LONG);
  pinging.signal('SIGINT');
  await pinging.exited;
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(pinging.lines.join('\n')) ?? [];
  if (Number(received) < Number(sent) - 2 || !(Number(sent) > 20)) throw new Error(`${received} of ${sent} pings`);
  tell(
    `keys changed: ${record.calls('NewKey')} NewKey, ${record.calls('SwapKeys')} SwapKeys; ${received} of ${sent} pings meanwhile`,
  );

  await sessions.pause(first);
  await eventually('the tunnel is down', async () => (await kernelLinks(world.client)).length === 0, LONG);
  await sessions.resume(first);
  await pingAll(world);
  tell('paused and resumed');

  // Its core (3.10) reads the service's pipe only from the first time on that somebody asks for statistics; 27 at once.
  tell(`statistics: ${await sessions.statistics(first)}`);
  const made = record.calls('NewPeer');
  await world.killServer();
  // The module goes on pinging for the dead process, which would not be missed.
  for (const { ifname } of await kernelLinks(world.serverNamespace))
    await execute(['ip', '-n', world.serverNamespace, 'link', 'delete', 'dev', ifname]);
  await world.startServer(OFFLOAD_SERVER_LINES);
  await eventually('the client connects anew', () => record.calls('NewPeer') > made, LONG);
  await pingAll(world);
  tell('the server died: the kernel let the peer expire, the client connected anew');

  await sessions.end(first);
  await untouched('disconnected');
  tell('disconnected, nothing left behind');

  const second = await sessions.start();
  await pingAll(world);
  await tree.run(['kill', '-KILL', second.pid]);
  await untouched('client killed');
  tell('client killed, nothing left behind');
}

async function kernelLinks(namespace: string): Promise<LinkRecord[]> {
  const links = JSON.parse(await execute(['ip', '-n', namespace, '-j', '-d', '-s', 'link', 'show'])) as LinkRecord[];
  return links.filter(({ linkinfo }) => linkinfo?.info_kind?.startsWith('ovpn') === true);
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
