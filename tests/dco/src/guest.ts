/**
 * Runs inside the virtual machine: our openvpn and the stock one in two network namespaces, both offloaded to the same
 * kernel, in each role. One line per check: `SEIKAN ok …` or `SEIKAN FAILED …`, and `SEIKAN done` at the end.
 *
 * Everything is slow here, so everything waits for what it needs, with generous limits.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { findKernelOffload, type OffloadEvent } from '@seikan/dco';
import { UdpSocket } from '@seikan/native';
import { NetlinkError, RouteNetlink } from '@seikan/netconf';

import { Peer, type Role, WORK } from './peer.js';
import { check, execute, failures, LONG, must, say } from './report.js';

const KEYS = '/keys';
const OURS = ['/seikan/bin/openvpn'] as const;
const STOCK = ['/usr/sbin/openvpn'] as const;

type Transport = 'udp' | 'tcp' | 'udp6';

interface Case {
  readonly name: string;
  readonly ours: Role;
  readonly transport: Transport;
  readonly cipher: string;
  /** The server has a second address, which the client dials, and answers from it. */
  readonly multihome?: boolean;
  /** Without --server and --client. */
  readonly p2p?: boolean;
}

const cases: readonly Case[] = [
  { name: 'udp-server', ours: 'server', transport: 'udp', cipher: 'AES-256-GCM', multihome: true },
  { name: 'udp-client', ours: 'client', transport: 'udp', cipher: 'AES-256-GCM' },
  { name: 'tcp-server', ours: 'server', transport: 'tcp', cipher: 'AES-128-GCM' },
  { name: 'tcp-client', ours: 'client', transport: 'tcp', cipher: 'AES-128-GCM' },
  { name: 'udp6-chacha-server', ours: 'server', transport: 'udp6', cipher: 'CHACHA20-POLY1305' },
  { name: 'udp6-chacha-client', ours: 'client', transport: 'udp6', cipher: 'CHACHA20-POLY1305' },
  { name: 'p2p-server', ours: 'server', transport: 'udp', cipher: 'AES-256-GCM', p2p: true },
  { name: 'p2p-client', ours: 'client', transport: 'udp', cipher: 'AES-256-GCM', p2p: true },
];

function prepareNetwork(): void {
  for (const [name, address] of [
    ['server', '1'],
    ['client', '2'],
  ] as const) {
    must('ip', 'netns', 'add', name);
    must('ip', '-n', name, 'link', 'set', 'lo', 'up');
    if (name === 'server') must('ip', 'link', 'add', 'eth0', 'netns', 'server', 'type', 'veth', 'peer', 'name', 'eth1');
    else must('ip', 'link', 'set', 'eth1', 'netns', 'client', 'name', 'eth0');
    must('ip', '-n', name, 'address', 'add', `10.99.0.${address}/24`, 'dev', 'eth0');
    must('ip', '-n', name, 'address', 'add', `fd99::${address}/64`, 'dev', 'eth0', 'nodad');
    must('ip', '-n', name, 'link', 'set', 'eth0', 'up');
  }
  must('ip', '-n', 'server', 'address', 'add', '10.99.0.3/24', 'dev', 'eth0');
  // What is behind the client.
  must('ip', '-n', 'client', 'address', 'add', '10.55.0.1/32', 'dev', 'lo');
  mkdirSync(`${WORK}/ccd`, { recursive: true });
  writeFileSync(`${WORK}/ccd/client`, 'iroute 10.55.0.0 255.255.255.0\n');
}

function configOf({ transport, cipher, multihome = false, p2p = false }: Case, role: Role): string {
  const proto = transport === 'tcp' ? `tcp-${role}` : transport;
  const common = [
    'dev tun',
    `proto ${proto}`,
    `ca ${KEYS}/ca.crt`,
    `cert ${KEYS}/${role}.crt`,
    `key ${KEYS}/${role}.key`,
    `data-ciphers ${cipher}`,
    'verb 4',
    'reneg-sec 16',
    'tran-window 20',
    'persist-tun',
    `status ${WORK}/${role}.status 1`,
  ];
  const remote = `remote ${transport === 'udp6' ? 'fd99::1' : multihome ? '10.99.0.3' : '10.99.0.1'} 1194`;
  if (p2p) {
    return [
      ...common,
      'keepalive 2 12',
      'topology subnet',
      `ifconfig 10.8.0.${role === 'server' ? 1 : 2} 255.255.255.0`,
      ...(role === 'server' ? ['tls-server', 'dh none', 'port 1194'] : ['tls-client', 'nobind', remote]),
    ].join('\n');
  }
  return [
    ...common,
    ...(role === 'server'
      ? [
          'server 10.8.0.0 255.255.255.0',
          'server-ipv6 fd08::/64',
          'topology subnet',
          'dh none',
          'port 1194',
          'keepalive 2 12',
          'status-version 2',
          ...(multihome ? ['multihome'] : []),
          `client-config-dir ${WORK}/ccd`,
        ]
      : [
          'client',
          'nobind',
          remote,
          'remote-cert-tls server',
          'connect-retry 1',
          ...(transport === 'tcp' ? [] : ['explicit-exit-notify 1']),
        ]),
    '',
  ].join('\n');
}

interface Pings {
  readonly sent: number;
  readonly received: number;
}

function readPings(text: string): Pings {
  const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
  return { sent: Number(sent ?? 0), received: Number(received ?? 0) };
}

function ping(from: Role, to: string, count = 5): Pings {
  return readPings(
    execute('ip', 'netns', 'exec', from, 'ping', '-n', '-c', String(count), '-i', '0.5', '-W', '30', to).text,
  );
}

/** Kernel links of both kinds of offload in a namespace. */
function offloadedLinks(namespace: Role): string[] {
  return execute('ip', '-n', namespace, '-d', '-o', 'link', 'show')
    .text.split('\n')
    .filter((line) => /\bovpn(-dco)?\b/.test(line.replace(/^\d+: \S+/, '')))
    .map((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? '');
}

function linkBytes(namespace: Role, link: string): [number, number] {
  const text = execute('ip', '-n', namespace, '-s', '-j', 'link', 'show', link).text;
  const [shown] = JSON.parse(text) as [{ stats64: { rx: { bytes: number }; tx: { bytes: number } } }];
  return [shown.stats64.rx.bytes, shown.stats64.tx.bytes];
}

async function connected(server: Peer, client: Peer, times: number): Promise<boolean> {
  const done = /Initialization Sequence Completed/;
  return (await server.logged(done)) && (await client.logged(done, { times }));
}

/** Pings on end while keys change; the renegotiations that both logged. */
async function rekey(server: Peer, client: Peer): Promise<{ pings: Pings; renegotiations: number }> {
  const again = /Control Channel: TLS/;
  const before = Math.min(server.count(again), client.count(again));
  const pinging = spawn('ip', ['netns', 'exec', 'client', 'ping', '-n', '-q', '-i', '0.25', '10.8.0.1']);
  let text = '';
  pinging.stdout.on('data', (data: Buffer) => {
    text += data.toString();
  });
  const ended = new Promise((resolve) => pinging.on('exit', resolve));
  await server.logged(again, { times: before + 2 });
  await client.logged(again, { times: before + 2 });
  // Until the new keys send, at the latest after half of reneg-sec.
  await sleep(10_000);
  pinging.kill('SIGINT');
  await ended;
  return { pings: readPings(text), renegotiations: Math.min(server.count(again), client.count(again)) - before };
}

async function runCase(which: Case): Promise<void> {
  const { name, ours, p2p = false } = which;
  const start = (role: Role): Peer =>
    Peer.openvpn(
      `${name} ${role === ours ? 'ours' : 'stock'} ${role}`,
      role,
      role === ours ? OURS : STOCK,
      configOf(which, role),
    );
  const server = start('server');
  await server.logged(p2p ? /UDPv4 link remote|link local/ : /Initialization Sequence Completed/);
  let client = start('client');
  const before = failures();
  const report = (what: string, good: boolean, detail = ''): void => check(`${name}: ${what}`, good, detail);
  try {
    report('connects', await connected(server, client, 1));
    for (const [role, peer] of Object.entries({ server, client }))
      report(`${role} says that the kernel carries it`, peer.count(/DCO device tun0 opened/) === 1);
    report(
      'both have a link of the kernel',
      offloadedLinks('server').length === 1 && offloadedLinks('client').length === 1,
    );

    const pings = ping('client', '10.8.0.1');
    report('ping to the server', pings.received === pings.sent, JSON.stringify(pings));
    const back = ping('server', '10.8.0.2');
    report('ping to the client', back.received === back.sent, JSON.stringify(back));
    const bytes = linkBytes(ours, 'tun0');
    report('the kernel counted the traffic', Math.min(...bytes) > 5 * 84, `${bytes.join(' in, ')} out`);
    if (!p2p) {
      const six = ping('client', 'fd08::1');
      report('ping over IPv6', six.received === six.sent, JSON.stringify(six));
      const behind = ping('server', '10.55.0.1');
      report('ping to the network behind the client (iroute)', behind.received === behind.sent, JSON.stringify(behind));
      const counted = await countedBytes(ours);
      report('our status file tells of it', Math.min(...counted) > 5 * 84, counted.join(' read, '));
    }

    const { pings: during, renegotiations } = await rekey(server, client);
    report(
      'traffic goes on while keys change',
      renegotiations >= 2 && during.sent > 20 && during.received >= during.sent - 2,
      `${renegotiations} renegotiations, ${JSON.stringify(during)}`,
    );

    if (!p2p) {
      client.kill('SIGUSR1');
      report('reconnects', await connected(server, client, 2));
      const afterwards = ping('client', '10.8.0.1');
      report('ping after it', afterwards.received === afterwards.sent, JSON.stringify(afterwards));

      const exiting = /client-instance (exiting|restarting)/;
      const gone = server.count(exiting);
      report('the client ends in good order', (await client.stop()) === 0);
      report('and leaves no link', offloadedLinks('client').length === 0);
      report('the server lets it go', await server.logged(exiting, { times: gone + 1 }));

      client = start('client');
      report('connects again', await connected(server, client, 1));
      report('ping again', ping('client', '10.8.0.1').received > 0);
      if (name === 'udp-client') {
        client.kill('SIGKILL');
        await client.ended;
        report('killed, it leaves its link', offloadedLinks('client').length === 1);
        client = start('client');
        report('its successor connects', await connected(server, client, 1));
        report('which has removed that link', client.count(/Removed DCO device tun0/) === 1);
        report('and has one of its own', offloadedLinks('client').join() === 'tun0');
      }
    }
    await loseOne({ server, client, ours, p2p, report });
    const survivor = ours === 'server' ? server : client;
    report('ours ends in good order', (await survivor.stop()) === 0);
    report('and leaves no link', offloadedLinks(ours).length === 0);
  } finally {
    if (failures() > before) {
      server.show();
      client.show();
      process.stdout.write(execute('sh', '-c', 'dmesg | tail -n 20').text);
    }
    for (const peer of [server, client]) {
      peer.kill('SIGKILL');
      await peer.ended;
    }
    for (const namespace of ['server', 'client'] as const) {
      for (const link of offloadedLinks(namespace)) execute('ip', '-n', namespace, 'link', 'delete', link);
    }
  }
}

/** The stock end dies without a word: ours learns it from the kernel. */
async function loseOne({
  server,
  client,
  ours,
  p2p,
  report,
}: {
  readonly server: Peer;
  readonly client: Peer;
  readonly ours: Role;
  readonly p2p: boolean;
  readonly report: (what: string, good: boolean, detail?: string) => void;
}): Promise<void> {
  const [left, lost] = ours === 'server' ? [server, client] : [client, server];
  const namespace: Role = ours === 'server' ? 'client' : 'server';
  const news =
    ours === 'server' && !p2p ? /ping-restart.*client-instance restarting/ : /Inactivity timeout \(--ping-restart\)/;
  // Its link goes first: the modules may go on pinging for a process that is dead.
  must('ip', '-n', namespace, 'link', 'set', 'eth0', 'down');
  lost.kill('SIGKILL');
  await lost.ended;
  report(
    'a peer that died is noticed',
    await left.logged(news),
    left.lines.findLast((line) => news.test(line)),
  );
  for (const link of offloadedLinks(namespace)) must('ip', '-n', namespace, 'link', 'delete', link);
  must('ip', '-n', namespace, 'link', 'set', 'eth0', 'up');
  // The address of IPv6 went with it.
  must(
    'ip',
    '-n',
    namespace,
    'address',
    'replace',
    `fd99::${namespace === 'server' ? 1 : 2}/64`,
    'dev',
    'eth0',
    'nodad',
  );
}

/** Every call of KernelTunnel on a link without a tunnel. */
async function probeKernel(): Promise<void> {
  const report = (what: string, good: boolean, detail = ''): void => check(`kernel: ${what}`, good, detail);
  const offload = findKernelOffload(['ovpn', 'ovpn-dco-v2']);
  if (offload === undefined) {
    report('has a family', false);
    return;
  }
  report(`has the family ${offload.family}`, true);
  const routes = new RouteNetlink();
  const link = await offload.createLink(routes, 'probe0', 'p2p');
  const tunnel = offload.openTunnel(link);
  const events: OffloadEvent[] = [];
  tunnel.listen({
    event: (event) => void events.push(event),
    failure: (error) => report('notifications', false, String(error)),
  });
  const socket = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const remote = { family: 4, address: '127.0.0.1', port: 9 } as const;
  const newPeer = (peerId: number): void =>
    tunnel.newPeer({ peerId, socket: socket.descriptor.fd, remote, vpn4: undefined, vpn6: undefined });
  const half = (fill: number) => ({ cipher: new Uint8Array(32).fill(fill), nonceTail: new Uint8Array(8).fill(fill) });
  const key = { peerId: 7, keyId: 1, cipher: 'aes-gcm', encrypt: half(1), decrypt: half(2) } as const;
  const happened = async (wanted: OffloadEvent): Promise<boolean> => {
    for (const end = Date.now() + 30_000; Date.now() < end; await sleep(50))
      if (events.some((event) => JSON.stringify(event) === JSON.stringify(wanted))) return true;
    return false;
  };

  newPeer(7);
  tunnel.newKey({ ...key, slot: 'secondary' });
  tunnel.swapKeys(7);
  tunnel.newKey({ ...key, slot: 'secondary', keyId: 2, cipher: 'chacha20-poly1305' });
  tunnel.deleteKey(7, 'secondary');
  tunnel.setKeepalive({ peerId: 7, interval: 1, timeout: 3 });
  const state = tunnel.readPeer(7);
  report(
    'keeps what it is told of a peer',
    state?.remote?.port === 9 && state.keepaliveInterval === 1 && state.keepaliveTimeout === 3,
    JSON.stringify(state),
  );
  report('does not know other peers', tunnel.readPeer(8) === undefined);
  let refusal = '';
  try {
    tunnel.deletePeer(8);
  } catch (error) {
    if (error instanceof NetlinkError) refusal = error.code;
  }
  report('refuses with ENOENT what concerns them', refusal === 'ENOENT', refusal);
  report(
    'tells of an expired peer',
    await happened({ event: 'peerDeleted', peerId: 7, reason: 'expired' }),
    JSON.stringify(events),
  );
  report('has it no longer', tunnel.readPeer(7) === undefined);
  newPeer(9);
  tunnel.deletePeer(9);
  report(
    'tells of a deleted peer',
    await happened({ event: 'peerDeleted', peerId: 9, reason: 'userspace' }),
    JSON.stringify(events),
  );
  tunnel.close();
  await routes.deleteLink(link.index);
  report('has the link no longer', (await routes.link('probe0')) === undefined);
  socket.close();
  routes.close();
  offload.close();
}

/** Runs a program to its end; each of its lines is heard at once, and kept in the console. */
async function runProgram(command: readonly string[], heard: (line: string) => void): Promise<number | null> {
  const [program, ...rest] = command;
  const child = spawn(program as string, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      process.stdout.write(`[${command.at(-1)}] ${line}\n`);
      heard(line);
    });
  }
  return new Promise((resolve) => child.on('close', resolve));
}

/** The data channel's compliance suite, in a namespace of its own. */
async function runCompliance(): Promise<void> {
  const counts = { kept: 0, excepted: 0, skipped: 0, failed: 0 };
  must('ip', 'netns', 'add', 'compliance');
  const program = [process.execPath, '--test-reporter=tap', '/seikan/tests/dco/dist/compliance.js'];
  const status = await runProgram(['ip', 'netns', 'exec', 'compliance', ...program], (line) => {
    const [, not, title = ''] = /^ {4}(not )?ok \d+ - (.*)$/.exec(line) ?? [];
    if (title === '') return;
    if (not !== undefined) {
      counts.failed += 1;
      check(`compliance: ${title}`, false);
    } else if (title.includes('# SKIP')) counts.skipped += 1;
    else if (title.startsWith('not kept: ')) counts.excepted += 1;
    else counts.kept += 1;
  });
  check(
    `compliance: ${counts.kept} rules kept, ${counts.excepted} run and not kept as listed, ${counts.skipped} not run as listed`,
    status === 0 && counts.failed === 0 && counts.kept > 0,
    status === 0 ? '' : `status ${status}`,
  );
}

/** Debian's unchanged openvpn3-client over our service, with offload; where its tree came along. */
async function runOpenvpn3(): Promise<void> {
  if (!existsSync('/seikan/.cache/trees')) return;
  let ended = false;
  await runProgram([process.execPath, '/seikan/tests/netcfg/dist/main.js', 'offload'], (line) => {
    if (line.startsWith('  ')) check(`openvpn3: ${line.trim()}`, true);
    else if (line.startsWith('openvpn3-client')) say(line);
    else if (line.startsWith('FAILED')) check('openvpn3', false, line);
    else if (line === '1 passed, 0 failed') ended = true;
  });
  check('openvpn3: came to its end', ended);
}

/** Bytes read and written as our status file has them, once it has been written anew. */
async function countedBytes(ours: Role): Promise<[number, number]> {
  let bytes: [number, number] = [0, 0];
  for (const end = Date.now() + LONG; Date.now() < end && Math.min(...bytes) <= 5 * 84; await sleep(500)) {
    const file = `${WORK}/${ours}.status`;
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    if (ours === 'server') {
      const fields =
        text
          .split('\n')
          .find((line) => line.startsWith('CLIENT_LIST,client'))
          ?.split(',') ?? [];
      bytes = [Number(fields[5] ?? 0), Number(fields[6] ?? 0)];
    } else {
      const figure = (label: string): number => Number(new RegExp(`^${label},(\\d+)`, 'm').exec(text)?.[1] ?? 0);
      bytes = [figure('TUN/TAP read bytes'), figure('TUN/TAP write bytes')];
    }
  }
  return bytes;
}

mkdirSync(WORK, { recursive: true });
prepareNetwork();
const wanted = (process.argv[2] ?? 'all').split('+');
say(
  `kernel ${must('uname', '-r').trim()}, ${/OpenVPN \S+/.exec(execute(STOCK[0], '--version').text)?.[0] ?? 'no openvpn'}, node ${process.version}`,
);
if (wanted.includes('all') || wanted.includes('kernel')) {
  try {
    await probeKernel();
  } catch (error) {
    check('kernel', false, String(error));
  }
}
const others: Readonly<Record<string, () => Promise<void>>> = { compliance: runCompliance, openvpn3: runOpenvpn3 };
for (const [name, run] of Object.entries(others)) {
  if (!wanted.includes('all') && !wanted.includes(name)) continue;
  try {
    await run();
  } catch (error) {
    check(name, false, String(error));
  }
}
for (const which of cases) {
  if (!wanted.includes('all') && !wanted.includes(which.name)) continue;
  try {
    await runCase(which);
  } catch (error) {
    check(which.name, false, String(error));
  }
}
say(`${failures()} failed`);
say('done');
