/** Tunnels between our openvpn and the stock one, both offloaded, in each role. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { Peer, type Role, WORK } from './peer.js';
import { check, execute, LONG, must } from './report.js';

const KEYS = '/keys';
const OURS = ['/seikan/bin/openvpn'] as const;
const STOCK = ['/usr/sbin/openvpn'] as const;

type Transport = 'udp' | 'tcp' | 'udp6';

export interface Case {
  readonly name: string;
  readonly ours: Role;
  readonly transport: Transport;
  readonly cipher: string;
  /** The server has a second address, which the client dials, and answers from it. */
  readonly multihome?: boolean;
  /** Without --server and --client. */
  readonly p2p?: boolean;
}

export const cases: readonly Case[] = [
  { name: 'udp-server', ours: 'server', transport: 'udp', cipher: 'AES-256-GCM', multihome: true },
  { name: 'udp-client', ours: 'client', transport: 'udp', cipher: 'AES-256-GCM' },
  { name: 'tcp-server', ours: 'server', transport: 'tcp', cipher: 'AES-128-GCM' },
  { name: 'tcp-client', ours: 'client', transport: 'tcp', cipher: 'AES-128-GCM' },
  { name: 'udp6-chacha-server', ours: 'server', transport: 'udp6', cipher: 'CHACHA20-POLY1305' },
  { name: 'udp6-chacha-client', ours: 'client', transport: 'udp6', cipher: 'CHACHA20-POLY1305' },
  { name: 'p2p-server', ours: 'server', transport: 'udp', cipher: 'AES-256-GCM', p2p: true },
  { name: 'p2p-client', ours: 'client', transport: 'udp', cipher: 'AES-256-GCM', p2p: true },
];

/** Two network namespaces with a wire between them, and a folder: a case runs in one. */
export class Lane {
  readonly number: number;
  readonly folder: string;

  constructor(number: number) {
    this.number = number;
    this.folder = `${WORK}/${number}`;
    const [server, client] = [this.name('server'), this.name('client')];
    for (const name of [server, client]) {
      must('ip', 'netns', 'add', name);
      must('ip', '-n', name, 'link', 'set', 'lo', 'up');
    }
    must('ip', '-n', server, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', client);
    for (const [name, address] of [
      [server, '1'],
      [client, '2'],
    ] as const) {
      must('ip', '-n', name, 'address', 'add', `10.99.0.${address}/24`, 'dev', 'eth0');
      must('ip', '-n', name, 'address', 'add', `fd99::${address}/64`, 'dev', 'eth0', 'nodad');
      must('ip', '-n', name, 'link', 'set', 'eth0', 'up');
    }
    must('ip', '-n', server, 'address', 'add', '10.99.0.3/24', 'dev', 'eth0');
    // What is behind the client.
    must('ip', '-n', client, 'address', 'add', '10.55.0.1/32', 'dev', 'lo');
    mkdirSync(`${this.folder}/ccd`, { recursive: true });
    writeFileSync(`${this.folder}/ccd/client`, 'iroute 10.55.0.0 255.255.255.0\n');
  }

  /** Of a namespace. */
  name(role: Role): string {
    return `${role}${this.number}`;
  }

  /** Starts an openvpn, ours or the stock one. */
  openvpn(label: string, role: Role, program: readonly string[], config: string): Peer {
    return Peer.openvpn(label, { namespace: this.name(role), file: `${this.folder}/${role}.conf` }, program, config);
  }

  async ping(from: Role, to: string, count = 5): Promise<Pings> {
    const words = ['netns', 'exec', this.name(from), 'ping', '-n', '-c', String(count), '-i', '0.5', '-W', '20', to];
    const child = spawn('ip', words, { stdio: ['ignore', 'pipe', 'ignore'] });
    let text = '';
    child.stdout.on('data', (data: Buffer) => {
      text += data.toString();
    });
    await new Promise((resolve) => child.on('close', resolve));
    return readPings(text);
  }

  /** Waits for the first answer: what is asked at once after it is counted. */
  async carries(): Promise<boolean> {
    for (const end = Date.now() + LONG; Date.now() < end; )
      if ((await this.ping('client', '10.8.0.1', 1)).received === 1) return true;
    return false;
  }

  /** Kernel links of both kinds of offload in a namespace. */
  offloadedLinks(role: Role): string[] {
    return execute('ip', '-n', this.name(role), '-d', '-o', 'link', 'show')
      .text.split('\n')
      .filter((line) => /\bovpn(-dco)?\b/.test(line.replace(/^\d+: \S+/, '')))
      .map((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? '');
  }

  linkBytes(role: Role, link: string): [number, number] {
    const text = execute('ip', '-n', this.name(role), '-s', '-j', 'link', 'show', link).text;
    const [shown] = JSON.parse(text) as [{ stats64: { rx: { bytes: number }; tx: { bytes: number } } }];
    return [shown.stats64.rx.bytes, shown.stats64.tx.bytes];
  }

  removeLinks(role: Role): void {
    for (const link of this.offloadedLinks(role)) must('ip', '-n', this.name(role), 'link', 'delete', link);
  }
}

function configOf(
  { transport, cipher, multihome = false, p2p = false }: Case,
  { role, folder }: { readonly role: Role; readonly folder: string },
): string {
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
    `status ${folder}/${role}.status 1`,
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
          `client-config-dir ${folder}/ccd`,
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

async function connected(server: Peer, client: Peer, times: number): Promise<boolean> {
  const done = /Initialization Sequence Completed/;
  return (await server.logged(done)) && (await client.logged(done, { times }));
}

/** Pings on end while keys change; the renegotiations that both logged. */
async function rekey(lane: Lane, server: Peer, client: Peer): Promise<{ pings: Pings; renegotiations: number }> {
  const again = /Control Channel: TLS/;
  const before = Math.min(server.count(again), client.count(again));
  const pinging = spawn('ip', ['netns', 'exec', lane.name('client'), 'ping', '-n', '-q', '-i', '0.25', '10.8.0.1']);
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

export async function runCase(which: Case, lane: Lane): Promise<void> {
  const { name, ours, p2p = false } = which;
  let failed = false;
  const start = (role: Role): Peer =>
    lane.openvpn(
      `${name} ${role === ours ? 'ours' : 'stock'} ${role}`,
      role,
      role === ours ? OURS : STOCK,
      configOf(which, { role, folder: lane.folder }),
    );
  const server = start('server');
  await server.logged(p2p ? /UDPv4 link remote|link local/ : /Initialization Sequence Completed/);
  let client = start('client');
  const report = (what: string, good: boolean, detail = ''): void => {
    failed ||= !good;
    check(`${name}: ${what}`, good, detail);
  };
  try {
    report('connects', await connected(server, client, 1));
    for (const [role, peer] of Object.entries({ server, client }))
      report(`${role} says that the kernel carries it`, peer.count(/DCO device tun0 opened/) === 1);
    report(
      'both have a link of the kernel',
      lane.offloadedLinks('server').length === 1 && lane.offloadedLinks('client').length === 1,
    );

    report('the tunnel carries', await lane.carries());
    const pings = await lane.ping('client', '10.8.0.1');
    report('ping to the server', pings.received === pings.sent, JSON.stringify(pings));
    const back = await lane.ping('server', '10.8.0.2');
    report('ping to the client', back.received === back.sent, JSON.stringify(back));
    const bytes = lane.linkBytes(ours, 'tun0');
    report('the kernel counted the traffic', Math.min(...bytes) > 5 * 84, `${bytes.join(' in, ')} out`);
    if (!p2p) {
      const six = await lane.ping('client', 'fd08::1');
      report('ping over IPv6', six.received === six.sent, JSON.stringify(six));
      const behind = await lane.ping('server', '10.55.0.1');
      report('ping to the network behind the client (iroute)', behind.received === behind.sent, JSON.stringify(behind));
      const counted = await countedBytes(ours, lane.folder);
      report('our status file tells of it', Math.min(...counted) > 5 * 84, counted.join(' read, '));
    }

    const { pings: during, renegotiations } = await rekey(lane, server, client);
    report(
      'traffic goes on while keys change',
      renegotiations >= 2 && during.sent > 20 && during.received >= during.sent - 2,
      `${renegotiations} renegotiations, ${JSON.stringify(during)}`,
    );

    if (!p2p) {
      client.kill('SIGUSR1');
      report('reconnects', (await connected(server, client, 2)) && (await lane.carries()));
      const afterwards = await lane.ping('client', '10.8.0.1');
      report('ping after it', afterwards.received === afterwards.sent, JSON.stringify(afterwards));

      const exiting = /client-instance (exiting|restarting)/;
      const gone = server.count(exiting);
      report('the client ends in good order', (await client.stop()) === 0);
      report('and leaves no link', lane.offloadedLinks('client').length === 0);
      report('the server lets it go', await server.logged(exiting, { times: gone + 1 }));

      client = start('client');
      report('connects again', await connected(server, client, 1));
      report('ping again', (await lane.ping('client', '10.8.0.1')).received > 0);
      if (name === 'udp-client') {
        client.kill('SIGKILL');
        await client.ended;
        report('killed, it leaves its link', lane.offloadedLinks('client').length === 1);
        client = start('client');
        report('its successor connects', await connected(server, client, 1));
        report('which has removed that link', client.count(/Removed DCO device tun0/) === 1);
        report('and has one of its own', lane.offloadedLinks('client').join() === 'tun0');
      }
    }
    await loseOne({ lane, server, client, ours, p2p, report });
    const survivor = ours === 'server' ? server : client;
    report('ours ends in good order', (await survivor.stop()) === 0);
    report('and leaves no link', lane.offloadedLinks(ours).length === 0);
  } finally {
    if (failed) {
      server.show();
      client.show();
      process.stdout.write(execute('sh', '-c', 'dmesg | tail -n 20').text);
    }
    for (const peer of [server, client]) {
      peer.kill('SIGKILL');
      await peer.ended;
    }
    for (const role of ['server', 'client'] as const) lane.removeLinks(role);
  }
}

/** The stock end dies without a word: ours learns it from the kernel. */
async function loseOne({
  lane,
  server,
  client,
  ours,
  p2p,
  report,
}: {
  readonly lane: Lane;
  readonly server: Peer;
  readonly client: Peer;
  readonly ours: Role;
  readonly p2p: boolean;
  readonly report: (what: string, good: boolean, detail?: string) => void;
}): Promise<void> {
  const [left, lost] = ours === 'server' ? [server, client] : [client, server];
  const role: Role = ours === 'server' ? 'client' : 'server';
  const namespace = lane.name(role);
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
  lane.removeLinks(role);
  must('ip', '-n', namespace, 'link', 'set', 'eth0', 'up');
  // The address of IPv6 went with it.
  const six = `fd99::${role === 'server' ? 1 : 2}/64`;
  must('ip', '-n', namespace, 'address', 'replace', six, 'dev', 'eth0', 'nodad');
}

/** Bytes read and written as our status file has them, once it has been written anew. */
async function countedBytes(ours: Role, folder: string): Promise<[number, number]> {
  let bytes: [number, number] = [0, 0];
  for (const end = Date.now() + LONG; Date.now() < end && Math.min(...bytes) <= 5 * 84; await sleep(500)) {
    const file = `${folder}/${ours}.status`;
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
