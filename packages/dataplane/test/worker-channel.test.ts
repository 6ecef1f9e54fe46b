/** What only a channel in a thread of its own can get wrong: death, a control thread that is late, ports, descriptors. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { openSync, readdirSync, readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { ChannelSettings, DataChannelEvent, DataKey, Endpoint, PeerSettings } from '@seikan/core';
import { DataThread, type LinkSource, WorkerDataChannel } from '@seikan/dataplane';
import { AddressTable, PacketBatch, UdpSocket } from '@seikan/native';

const settings: ChannelSettings = {
  mode: 'server',
  device: 'tun',
  maxPeers: 4,
  clientToClient: false,
  maxLearned: 0,
  asksToLearn: false,
};

const peerSettings: PeerSettings = {
  link: 1,
  remote: { family: 4, address: '127.0.0.1', port: 9 },
  sendPeerId: 0,
  receivePeerId: 0,
  float: true,
  pingInterval: 0,
  pingTimeout: 0,
  mssClamp: 0,
  fragmentSize: 0,
  compression: 'none',
  guardRecursion: false,
  blockIpv6: false,
};

const secret = { cipher: new Uint8Array(32).fill(1), auth: new Uint8Array(8).fill(2) };
const key: DataKey = {
  format: 'aead',
  cipher: 'AES-256-GCM',
  digest: 'none',
  send: secret,
  receive: secret,
  replayWindow: 64,
  replayTime: 15_000,
  longPacketId: false,
};

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2_000 && !condition(); i += 1) await sleep(5);
  assert(condition(), 'nothing happened for ten seconds');
}

function openUdp(port = 0): { readonly source: LinkSource; readonly address: Endpoint } {
  const socket = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port } });
  const { address } = socket;
  return { source: { kind: 'udp', fd: socket.descriptor.release(), family: 4 }, address };
}

class Setup {
  readonly thread = new DataThread();
  readonly events: DataChannelEvent[] = [];
  readonly channel: WorkerDataChannel;

  constructor() {
    this.channel = new WorkerDataChannel({
      thread: this.thread,
      settings,
      onEvent: (event) =>
        this.events.push(event.event === 'control' ? { ...event, bytes: event.bytes.slice() } : event),
    });
  }

  addPeer(index: number, remote: Endpoint): void {
    const peer = { index, generation: 1 };
    this.channel.handle({ verb: 'newPeer', peer, settings: { ...peerSettings, remote } });
    this.channel.handle({ verb: 'newKey', peer, keyId: 0, key });
    this.channel.handle({ verb: 'swapKeys', peer, primary: 0 });
  }

  async close(): Promise<void> {
    await this.channel.close();
    await this.thread.end();
  }
}

/** A socket that sends to links. */
class Sender {
  readonly socket = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  readonly #batch = new PacketBatch({ slots: 1, headroom: 0, capacity: 2_048, tailroom: 0 });
  readonly #to = new AddressTable(1);

  send(to: Endpoint, bytes: Uint8Array): void {
    this.#to.set(0, to);
    this.#batch.put(0, bytes);
    assert.equal(this.socket.sendBatch(this.#batch, 0, 1, this.#to, new Uint32Array(1)), 1);
  }
}

/** Sockets and devices that this process has open. */
function openDescriptors(): string[] {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return targets.filter((target) => /^(socket:|\/etc)/.test(target)).toSorted();
}

test('a thread that dies takes its keys along: peers end, nothing stays open, a new one begins with the next link', async () => {
  const setup = new Setup();
  const { channel, events, thread } = setup;
  const before = openDescriptors();
  channel.openLink(1, openUdp().source);
  setup.addPeer(0, { family: 4, address: '127.0.0.1', port: 9 });
  setup.addPeer(1, { family: 4, address: '127.0.0.1', port: 10 });
  channel.handle({ verb: 'sendMessage', peer: { index: 0, generation: 1 }, plaintext: Uint8Array.of(1) });
  channel.closeLink(99);
  const counted = channel.readCounters({ index: 0, generation: 1 });
  assert.equal(counted?.packetsWritten, 1);

  // A plain file cannot be waited for: the thread throws. What it was told before it died is answered.
  channel.openLink(2, { kind: 'udp', fd: openSync('/etc/hostname', 'r'), family: 4 });
  channel.handle({ verb: 'delPeer', peer: { index: 1, generation: 1 } });
  await until(() => !thread.running && events.length >= 2);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['peerDeleted', 'channelDown'],
  );
  const [, down] = events;
  assert(down?.event === 'channelDown');
  assert.match(down.reason, /^the data channel's thread died: epoll_ctl: /);
  assert.deepEqual(openDescriptors(), before);

  assert.deepEqual(channel.readCounters({ index: 0, generation: 1 }), counted);
  events.length = 0;
  channel.handle({ verb: 'delPeer', peer: { index: 0, generation: 1 } });
  assert.deepEqual(events, [{ event: 'peerDeleted', peer: { index: 0, generation: 1 }, counters: counted }]);

  events.length = 0;
  const again = openUdp();
  channel.openLink(3, again.source);
  const sender = new Sender();
  sender.send(again.address, Uint8Array.of(0x38, 1, 2));
  await until(() => events.length > 0);
  assert.equal(events[0]?.event, 'control');
  // The keys of before are gone: what is sealed under them finds no peer.
  sender.send(again.address, new Uint8Array(60).fill(0x48, 0, 1));
  await until(() => channel.readDrops()['unknown-peer'] === 1);
  sender.socket.close();
  await setup.close();
});

test('a closed link has given its port back when closeLink returns, and a closed channel too', async () => {
  const setup = new Setup();
  const first = openUdp();
  setup.channel.openLink(1, first.source);
  for (let i = 2; i < 20; i += 1) {
    setup.channel.closeLink(i - 1);
    setup.channel.openLink(i, openUdp(first.address.port).source);
  }
  await setup.channel.close();
  UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: first.address.port } }).close();
  await setup.thread.end();
});

test('while control is late strangers fill half of the ring at most, peers get through, and the rest is counted', async () => {
  const setup = new Setup();
  const { channel, events } = setup;
  const { source, address } = openUdp();
  channel.openLink(1, source);
  const stranger = new Sender();
  const peer = new Sender();
  setup.addPeer(0, peer.socket.address);
  channel.closeLink(99);

  // This thread does not come back to its event loop until the ring is full for strangers: 128 KiB.
  const packet = new Uint8Array(1_200).fill(0x38, 0, 1);
  let sent = 0;
  for (; channel.readDrops()['control-full'] === undefined; sent += 1) {
    stranger.send(address, packet);
    channel.closeLink(99);
    assert(sent < 1_000);
  }
  channel.closeLink(99);
  const refused = channel.readDrops()['control-full'] ?? 0;
  const room = sent - refused;
  assert(room > 90 && room < 110, `${room}`);
  for (let i = 0; i < 20; i += 1) peer.send(address, packet);
  channel.closeLink(99);
  channel.closeLink(99);
  await until(() => events.length >= room + 20);
  const fromPeer = events.filter((event) => event.event === 'control' && event.from.port === peer.socket.address.port);
  assert.equal(fromPeer.length, 20);
  assert.deepEqual(channel.readDrops(), { 'control-full': refused });

  // Once control has caught up there is room again.
  stranger.send(address, packet);
  await until(() => events.length === room + 21);
  stranger.socket.close();
  peer.socket.close();
  await setup.close();
});

test('what is said in one turn is done in its order, packets and other commands', async () => {
  const setup = new Setup();
  const { channel } = setup;
  channel.openLink(1, openUdp().source);
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const to: Endpoint = { family: 4, address: '127.0.0.1', port: socket.address().port };
  const got: number[] = [];
  socket.on('message', (bytes) => got.push(bytes[1] ?? 0));
  const control = (bytes: Uint8Array): void => channel.handle({ verb: 'sendControl', link: 1, to, bytes });

  const lent = Uint8Array.of(0x28, 101);
  control(lent);
  lent.fill(0);
  // A sealed packet carries the peer's id 0 in its second byte.
  setup.addPeer(0, to);
  channel.handle({ verb: 'sendMessage', peer: { index: 0, generation: 1 }, plaintext: Uint8Array.of(1) });
  control(Uint8Array.of(0x28, 102));
  await until(() => got.length === 3);
  assert.deepEqual(got, [101, 0, 102]);
  socket.close();
  await setup.close();
});

test('one thread serves one channel after the other, and events of the first never reach the second', async () => {
  const thread = new DataThread();
  const heard: string[][] = [[], []];
  for (const [round, events] of heard.entries()) {
    const channel = new WorkerDataChannel({ thread, settings, onEvent: (event) => events.push(event.event) });
    const { source, address } = openUdp();
    channel.openLink(1, source);
    const sender = new Sender();
    sender.send(address, Uint8Array.of(0x38, round));
    channel.handle({ verb: 'newPeer', peer: { index: 0, generation: 1 }, settings: peerSettings });
    channel.handle({ verb: 'delPeer', peer: { index: 0, generation: 1 } });
    if (round === 1) await until(() => events.length === 2);
    // The first channel's events wait, undelivered, when it is closed.
    await channel.close();
    sender.socket.close();
  }
  assert.deepEqual(heard[0], []);
  assert.deepEqual(heard[1]?.toSorted(), ['control', 'peerDeleted']);
  await thread.end();
});
