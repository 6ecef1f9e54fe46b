/**
 * The inline channel against a stock OpenVPN process with a static key: no control channel, so the data path stands
 * alone. Real sockets on our side, a tun in memory: we ask the host's address inside the tunnel for echoes.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  type CompressionFraming,
  type DataChannelEvent,
  deriveDataKey,
  encodeStaticKey,
  fragmentSize,
  type PacketShape,
  type PeerSettings,
} from '@seikan/core';
import { createSystemClock, InlineDataChannel, TcpLink, UdpLink } from '@seikan/dataplane';
import { createCrypto, TcpSocket, UdpSocket } from '@seikan/native';
import { inNetworkNamespace, ipv4Packet, MemoryTun, SeededRandom } from '@seikan/testkit';

interface Case {
  readonly cipher: string;
  readonly digest: string;
  readonly transport?: 'udp' | 'tcp';
  readonly compression?: CompressionFraming;
  readonly fragment?: number;
  /** What the stock side is told beside these. */
  readonly options?: readonly string[];
}

/** Stock refuses CFB and OFB with a static key. */
const cases: Case[] = [
  { cipher: 'AES-256-CBC', digest: 'SHA256' },
  { cipher: 'AES-128-CBC', digest: 'SHA1', transport: 'tcp' },
  { cipher: 'AES-192-CBC', digest: 'none' },
  { cipher: 'AES-256-CBC', digest: 'SHA512', transport: 'tcp' },
  { cipher: 'none', digest: 'SHA256' },
  { cipher: 'none', digest: 'none' },
  { cipher: 'AES-256-CBC', digest: 'SHA256', fragment: 500, options: ['--fragment', '500', '--mssfix', '0'] },
  { cipher: 'AES-256-CBC', digest: 'SHA256', compression: 'lzo-no', options: ['--comp-lzo', 'no'] },
  { cipher: 'AES-256-CBC', digest: 'SHA256', compression: 'stub', options: ['--compress'] },
  { cipher: 'AES-256-CBC', digest: 'SHA256', compression: 'stub-v2', options: ['--compress', 'stub-v2'] },
  {
    cipher: 'AES-128-CBC',
    digest: 'SHA1',
    compression: 'lzo-no',
    fragment: 400,
    options: ['--comp-lzo', 'no', '--fragment', '400', '--mssfix', '0'],
  },
];

const PORT = 11_940;
const crypto = createCrypto();
const stock = spawnSync('openvpn', ['--version'], { encoding: 'utf8' });
const skip = stock.error === undefined ? false : 'no stock openvpn here';

inNetworkNamespace(import.meta.filename, () => {
  for (const setup of cases) {
    const { cipher, digest, transport = 'udp', options = [] } = setup;
    test(`echoes pass to and from stock: ${[transport, cipher, digest, ...options].join(' ')}`, { skip }, () =>
      exchange(setup),
    );
  }
});

async function exchange(setup: Case): Promise<void> {
  const { transport = 'udp', fragment, compression = 'none' } = setup;
  const folder = mkdtempSync(join(tmpdir(), 'seikan-static-'));
  const material = new Uint8Array(256);
  new SeededRandom(42).fill(material);
  writeFileSync(join(folder, 'key'), encodeStaticKey(material), { mode: 0o600 });
  const peer = startStock(setup, join(folder, 'key'));
  const clock = createSystemClock();
  const tun = new MemoryTun();
  const events: DataChannelEvent[] = [];
  const channel = new InlineDataChannel({
    settings: {
      mode: 'static-key',
      device: 'tun',
      maxPeers: 1,
      clientToClient: false,
      maxLearned: 0,
      asksToLearn: false,
    },
    crypto,
    random: new SeededRandom(Date.now()).fill,
    clock,
    onEvent: (event) => events.push(event),
  });
  try {
    await peer.ready;
    // Stock says so before it listens.
    if (transport === 'tcp') await sleep(200);
    const remote = { family: 4, address: '127.0.0.1', port: PORT } as const;
    const own = { family: 4, bind: { address: '127.0.0.1', port: PORT + 1 } } as const;
    channel.openLink(
      1,
      transport === 'udp'
        ? new UdpLink(UdpSocket.open(own))
        : new TcpLink(TcpSocket.connect(remote, { family: 4 }), { remote, connecting: true }),
    );
    channel.attachTun(tun);
    const traits = setup.cipher === 'none' ? undefined : crypto.cipher(setup.cipher);
    const shape: PacketShape = {
      family: 4,
      transport,
      headerSize: 0,
      format: 'block',
      cipher: traits,
      digestSize: crypto.digestSize(setup.digest) ?? 0,
      longPacketId: true,
      compression,
      fragment: fragment !== undefined,
      device: 'tun',
    };
    const settings: PeerSettings = {
      link: 1,
      remote,
      sendPeerId: undefined,
      receivePeerId: undefined,
      float: false,
      pingInterval: 0,
      pingTimeout: 0,
      mssClamp: 0,
      fragmentSize: fragment === undefined ? 0 : fragmentSize({ size: fragment, mode: 'payload' }, shape),
      compression,
      guardRecursion: false,
      blockIpv6: false,
    };
    const ref = { index: 0, generation: 1 };
    const key = deriveDataKey({
      crypto,
      material,
      direction: 'normal',
      cipher: traits ?? 'none',
      digest: setup.digest,
      epoch: false,
      replayWindow: 64,
      replayTime: 15_000,
      longPacketId: true,
    });
    channel.handle({ verb: 'newPeer', peer: ref, settings });
    channel.handle({ verb: 'newKey', peer: ref, keyId: 0, key });
    channel.handle({ verb: 'swapKeys', peer: ref, primary: 0 });

    for (const size of [1, 200, 777, 1_400])
      await echo(tun, size, () => JSON.stringify([channel.readCounters(ref), events, peer.log()]));
    const counters = channel.readCounters(ref);
    assert.deepEqual(counters?.drops, {});
    assert((counters?.packetsRead ?? 0) >= (fragment === undefined ? 4 : 8));
  } finally {
    await channel.close();
    peer.child.kill();
    await peer.ended;
    rmSync(folder, { recursive: true });
  }
  assert.doesNotMatch(peer.log(), /HMAC|Bad|bad |FRAG|replay|Replay|decrypt/, peer.log());
}

function startStock({ cipher, digest, transport = 'udp', options = [] }: Case, keyFile: string) {
  const proto =
    transport === 'udp'
      ? ['udp', '--lport', `${PORT}`, '--rport', `${PORT + 1}`]
      : ['tcp-server', '--lport', `${PORT}`];
  const remote = transport === 'udp' ? ['--remote', '127.0.0.1'] : [];
  const argv = ['--dev', 'tun', '--ifconfig', '10.77.0.1', '10.77.0.2', '--local', '127.0.0.1', ...remote];
  argv.push(
    '--proto',
    ...proto,
    '--secret',
    keyFile,
    '1',
    '--cipher',
    cipher,
    '--auth',
    digest,
    '--verb',
    '3',
    ...options,
  );
  argv.push('--allow-compression', 'yes', '--providers', 'legacy', 'default');
  const child: ChildProcess = spawn('openvpn', argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  const ready = new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      log += chunk.toString();
      if (/link local.*bound|Listening for incoming/.test(log)) resolve();
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.on('exit', () => reject(new Error(`openvpn ended:\n${log}`)));
  });
  // The options themselves are logged too: only what follows them counts.
  const dataLog = () => log.slice(log.indexOf('link remote'));
  return { child, ready, ended: once(child, 'exit'), log: dataLog };
}

/** Sends an ICMP echo request through the tunnel until its answer comes back, payload and all. */
async function echo(tun: MemoryTun, size: number, state: () => string): Promise<void> {
  const icmp = new Uint8Array(8 + size).map((_, i) => (i * 31) & 0xff);
  icmp.set([8, 0, 0, 0, 0x12, 0x34, size >>> 8, size & 0xff]);
  const sum = icmpChecksum(icmp);
  icmp.set([sum >>> 8, sum & 0xff], 2);
  const request = ipv4Packet({ from: '10.77.0.2', to: '10.77.0.1', protocol: 1, payload: icmp });
  for (let i = 0; i < 300; i += 1) {
    if (i % 50 === 0) tun.deliver(request);
    await sleep(10);
    for (const packet of tun.takeWritten()) {
      if (packet[9] === 1 && packet[20] === 0 && packet.length === request.length) {
        assert.deepEqual(packet.subarray(28), icmp.subarray(8));
        return;
      }
    }
  }
  assert.fail(`no echo of ${size} bytes: ${state()}`);
}

function icmpChecksum(message: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < message.length; i += 2) sum += ((message[i] ?? 0) << 8) | (message[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
