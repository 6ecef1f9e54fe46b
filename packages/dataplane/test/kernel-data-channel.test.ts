import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import type {
  ChannelSettings,
  DataChannelEvent,
  DataKey,
  Endpoint,
  PeerRef,
  PeerRoute,
  PeerSettings,
} from '@seikan/core';
import { type MemoryLink, VirtualClock } from '@seikan/testkit';

import { KernelDataChannel } from '#src/kernel-data-channel.js';
import { FakeKernel, SocketLink } from './fake-kernel.js';

const remote: Endpoint = { family: 4, address: '198.51.100.7', port: 1194 };

const settings: ChannelSettings = {
  mode: 'server',
  device: 'tun',
  maxPeers: 8,
  clientToClient: false,
  maxLearned: 4,
  asksToLearn: false,
};

const peerSettings: PeerSettings = {
  link: 1,
  remote,
  sendPeerId: 3,
  receivePeerId: 3,
  float: true,
  pingInterval: 10_000,
  pingTimeout: 60_500,
  mssClamp: 0,
  fragmentSize: 0,
  compression: 'none',
  guardRecursion: false,
  blockIpv6: false,
};

function dataKey(fill: number): DataKey {
  const half = () => ({ cipher: new Uint8Array(32).fill(fill), auth: new Uint8Array(8).fill(fill) });
  return {
    format: 'aead',
    cipher: 'AES-256-GCM',
    digest: 'none',
    send: half(),
    receive: half(),
    replayWindow: 64,
    replayTime: 15_000,
    longPacketId: false,
  };
}

const hostRoute: PeerRoute = { family: 4, network: Uint8Array.of(10, 8, 0, 2), bits: 32 };
const network: PeerRoute = { family: 4, network: Uint8Array.of(10, 9, 0, 0), bits: 16 };

class Bench {
  readonly kernel = new FakeKernel();
  readonly clock = new VirtualClock();
  readonly link: SocketLink;
  readonly events: DataChannelEvent[] = [];
  readonly routes: string[] = [];
  readonly channel: KernelDataChannel<MemoryLink>;
  onEvent: (event: DataChannelEvent) => void = () => undefined;

  constructor({ mode = 'server', kind = 'datagram' }: { mode?: 'server' | 'p2p'; kind?: 'datagram' | 'stream' } = {}) {
    this.link = new SocketLink(kind);
    this.channel = new KernelDataChannel({
      settings: { ...settings, mode },
      clock: this.clock,
      link: (link: MemoryLink) => link,
      onEvent: (event) => {
        this.events.push(event.event === 'control' ? { ...event, bytes: event.bytes.slice() } : event);
        this.onEvent(event);
      },
    });
    this.channel.openLink(1, this.link);
  }

  attach(): void {
    const text = ({ network: bytes, bits }: PeerRoute, via: string | undefined) =>
      `${bytes.join('.')}/${bits} via ${via}`;
    this.channel.attachTun({
      tunnel: this.kernel,
      addRoute: (route, via) => this.routes.push(`+${text(route, via)}`),
      deleteRoute: (route, via) => this.routes.push(`-${text(route, via)}`),
    });
  }

  newPeer(peer: PeerRef, more: Partial<PeerSettings> = {}): void {
    this.channel.handle({
      verb: 'newPeer',
      peer,
      settings: { ...peerSettings, sendPeerId: peer.index, receivePeerId: peer.index, ...more },
    });
  }

  newKey(peer: PeerRef, keyId: number, fill = keyId + 1): DataKey {
    const key = dataKey(fill);
    this.channel.handle({ verb: 'newKey', peer, keyId, key });
    return key;
  }

  swap(peer: PeerRef, primary: number): void {
    this.channel.handle({ verb: 'swapKeys', peer, primary });
  }

  takeEvents(): DataChannelEvent[] {
    return this.events.splice(0);
  }
}

const peer: PeerRef = { index: 3, generation: 1 };

function carried(): Bench {
  const bench = new Bench();
  bench.attach();
  bench.newPeer(peer);
  bench.channel.handle({ verb: 'addRoute', peer, route: hostRoute });
  bench.channel.handle({ verb: 'addRoute', peer, route: network });
  bench.newKey(peer, 0);
  bench.swap(peer, 0);
  return bench;
}

describe('the kernel channel', () => {
  test('gives the kernel a peer with its address, socket, key and keepalive', () => {
    const { kernel, routes } = carried();
    assert.deepEqual(kernel.asked, ['newPeer 3', 'newKey 3 secondary 0', 'swapKeys 3']);
    const known = kernel.peers.get(3);
    assert.deepEqual(known?.peer, { peerId: 3, socket: 9, remote, vpn4: '10.8.0.2', vpn6: undefined });
    assert.deepEqual(known?.keepalive, { interval: 10, timeout: 61 });
    assert.deepEqual(kernel.slots(3), [0, undefined]);
    assert.deepEqual(routes, ['+10.8.0.2/32 via undefined', '+10.9.0.0/16 via 10.8.0.2']);
  });

  test('tells the kernel which own address a peer speaks to, where the link knows (multihome)', () => {
    const bench = new Bench();
    bench.link.local = '192.0.2.9';
    bench.attach();
    bench.newPeer(peer);
    bench.newKey(peer, 0);
    assert.equal(bench.kernel.peers.get(3)?.peer.local, '192.0.2.9');
  });

  test('keeps apart which key lies in which slot', () => {
    const bench = carried();
    bench.newKey(peer, 1);
    assert.deepEqual(bench.kernel.slots(3), [0, 1]);
    bench.swap(peer, 0);
    bench.swap(peer, 5);
    assert.deepEqual(bench.kernel.slots(3), [0, 1], 'neither the sending key nor an unknown one swaps anything');
    bench.swap(peer, 1);
    bench.swap(peer, 1);
    assert.deepEqual(bench.kernel.slots(3), [1, 0]);
    bench.newKey(peer, 2);
    assert.deepEqual(bench.kernel.slots(3), [1, 2]);
    bench.channel.handle({ verb: 'delKey', peer, keyId: 0 });
    assert.deepEqual(bench.kernel.slots(3), [1, 2], 'the lame duck was overwritten before');
    bench.swap(peer, 2);
    bench.channel.handle({ verb: 'delKey', peer, keyId: 1 });
    assert.deepEqual(bench.kernel.slots(3), [2, undefined]);
  });

  test('a key under the id of one that the kernel has replaces it, in either slot', () => {
    const bench = carried();
    bench.newKey(peer, 0, 9);
    assert.deepEqual(bench.kernel.slots(3), [undefined, 0], 'the sending key went, and the new one does not send yet');
    bench.newKey(peer, 0, 10);
    assert.deepEqual(bench.kernel.slots(3), [undefined, 0]);
    bench.swap(peer, 0);
    assert.deepEqual(bench.kernel.slots(3), [0, undefined]);
  });

  test('a peer waits for the tun, its keys with it; they are installed once, and the copies are wiped', () => {
    const bench = new Bench({ mode: 'p2p' });
    const only = { index: 0, generation: 1 };
    bench.newPeer(only, { sendPeerId: 77, receivePeerId: undefined });
    const key = bench.newKey(only, 0);
    bench.swap(only, 0);
    key.send.cipher.fill(0);
    bench.newKey(only, 1);
    assert.deepEqual(bench.kernel.asked, []);
    bench.attach();
    assert.deepEqual(bench.kernel.asked, [
      'newPeer 77',
      'newKey 77 secondary 0',
      'swapKeys 77',
      'newKey 77 secondary 1',
    ]);
    assert.deepEqual(bench.kernel.peers.get(77)?.peer, {
      peerId: 77,
      socket: 9,
      remote,
      vpn4: undefined,
      vpn6: undefined,
    });
    assert.deepEqual(
      bench.kernel.secrets.map((bytes) => bytes.every((byte) => byte === 0)),
      [true, true, true, true],
    );
  });

  test('a TCP connection is handed over between two packets, and what was queued goes out before', () => {
    const bench = new Bench({ kind: 'stream' });
    bench.attach();
    bench.newPeer(peer);
    bench.channel.handle({ verb: 'addRoute', peer, route: hostRoute });
    bench.link.atBoundary = false;
    bench.onEvent = () => {
      bench.channel.handle({ verb: 'sendControl', link: 1, to: remote, bytes: Uint8Array.of(0x28) });
      bench.newKey(peer, 0);
      bench.swap(peer, 0);
      assert.equal(bench.link.takeSent().length, 1);
    };
    bench.link.deliver(remote, Uint8Array.of(0x20));
    assert.equal(bench.link.handedOver, false);
    assert.deepEqual(bench.kernel.asked, []);
    bench.link.comeToBoundary();
    assert.equal(bench.link.handedOver, true);
    assert.deepEqual(bench.kernel.peers.get(3)?.peer.remote, undefined);
    assert.deepEqual(bench.kernel.slots(3), [0, undefined]);
  });

  test('control packets are control’s, data that comes here belongs to nobody', () => {
    const bench = carried();
    bench.link.deliver(
      remote,
      Uint8Array.of(0x20, 1),
      Uint8Array.of(0x48, 0, 0, 9),
      Uint8Array.of(0x30),
      new Uint8Array(0),
    );
    assert.deepEqual(bench.takeEvents(), [{ event: 'control', link: 1, from: remote, bytes: Uint8Array.of(0x20, 1) }]);
    assert.deepEqual(bench.channel.readDrops(), { 'unknown-peer': 2, 'too-short': 1 });
    bench.channel.handle({ verb: 'sendMessage', peer, plaintext: Uint8Array.of(6) });
    assert.deepEqual(bench.channel.readDrops(), { 'unknown-peer': 2, 'too-short': 1, 'not-offloaded': 1 });
  });

  test('a deleted peer leaves its last counters, and its routes are taken away', () => {
    const bench = carried();
    bench.kernel.count(3, 1000);
    const counters = {
      linkRead: 1000,
      linkWritten: 1001,
      tunRead: 977,
      tunWritten: 976,
      packetsRead: 2,
      packetsWritten: 3,
      drops: {},
    };
    assert.deepEqual(bench.channel.readCounters(peer), counters);
    bench.routes.length = 0;
    bench.channel.handle({ verb: 'delPeer', peer });
    assert.deepEqual(bench.takeEvents(), [{ event: 'peerDeleted', peer, counters }]);
    assert.equal(bench.kernel.peers.size, 0);
    assert.deepEqual(bench.routes, ['-10.8.0.2/32 via undefined', '-10.9.0.0/16 via 10.8.0.2']);
    assert.equal(bench.channel.readCounters(peer), undefined);
    bench.channel.handle({ verb: 'delPeer', peer });
    assert.deepEqual(bench.channel.readDrops(), { 'stale-command': 1 });
  });

  test('of a link that somebody has taken away the counters are as last read', () => {
    const bench = carried();
    bench.kernel.count(3, 1000);
    const before = bench.channel.readCounters(peer);
    bench.kernel.refuse = 'readPeer';
    assert.deepEqual(bench.channel.readCounters(peer), before);
  });

  test('a peer that the kernel lets go of is told once, and keeps the counters read before', () => {
    const bench = carried();
    bench.kernel.count(3, 1000);
    bench.clock.advance(10_000);
    bench.kernel.peers.delete(3);
    bench.kernel.receiver?.event({ event: 'peerDeleted', peerId: 3, reason: 'expired' });
    bench.kernel.receiver?.event({ event: 'peerDeleted', peerId: 3, reason: 'expired' });
    assert.deepEqual(bench.takeEvents(), [{ event: 'peerTimeout', peer }]);
    bench.channel.handle({ verb: 'setPeer', peer, settings: { pingTimeout: 0 } });
    bench.channel.handle({ verb: 'delPeer', peer });
    const [deleted] = bench.takeEvents();
    assert.equal(deleted?.event === 'peerDeleted' && deleted.counters.linkRead, 1000);
    assert.equal(bench.kernel.asked.includes('deletePeer 3'), false);
  });

  test('what the kernel says of an earlier peer of the same number is no news of the present one', () => {
    const bench = carried();
    bench.channel.handle({ verb: 'delPeer', peer });
    const next = { index: 3, generation: 2 };
    bench.newPeer(next);
    bench.newKey(next, 0, 9);
    bench.takeEvents();
    bench.kernel.receiver?.event({ event: 'peerDeleted', peerId: 3, reason: 'userspace' });
    bench.kernel.receiver?.event({ event: 'peerDeleted', peerId: 3, reason: 'expired' });
    assert.deepEqual(bench.takeEvents(), []);
    bench.newPeer(peer);
    assert.deepEqual(bench.channel.readDrops(), { 'stale-command': 1 });
  });

  test('a connection that failed in the kernel, and lost notifications, are a lost peer', () => {
    const bench = carried();
    bench.kernel.peers.delete(3);
    bench.kernel.receiver?.event({ event: 'peerDeleted', peerId: 3, reason: 'transport-disconnect' });
    assert.deepEqual(bench.takeEvents(), [{ event: 'peerLost', peer, reason: 'transport disconnect' }]);
    const other = carried();
    other.kernel.receiver?.failure(new Error('ENOBUFS'));
    assert.deepEqual(other.takeEvents(), []);
    other.kernel.peers.delete(3);
    other.kernel.receiver?.failure(new Error('ENOBUFS'));
    assert.deepEqual(other.takeEvents(), [{ event: 'peerLost', peer, reason: 'the kernel has it no longer' }]);
  });

  test('a peer that the kernel refuses is lost, and nothing of it stays', () => {
    for (const verb of ['newPeer', 'newKey']) {
      const bench = new Bench();
      bench.attach();
      bench.kernel.refuse = verb;
      bench.newPeer(peer);
      bench.channel.handle({ verb: 'addRoute', peer, route: hostRoute });
      bench.newKey(peer, 0);
      bench.swap(peer, 0);
      const events = bench.takeEvents();
      assert.equal(events.length, 1);
      assert.ok(events[0]?.event === 'peerLost' && events[0].reason.includes('EBUSY'), JSON.stringify(events));
      assert.equal(bench.kernel.peers.size, 0);
      assert.deepEqual(bench.routes, ['+10.8.0.2/32 via undefined', '-10.8.0.2/32 via undefined']);
    }
  });

  test('a peer without peer-id and a key that the kernel does not know are refused', () => {
    const bench = new Bench();
    bench.attach();
    bench.newPeer(peer, { sendPeerId: undefined });
    assert.deepEqual(bench.takeEvents(), [{ event: 'peerLost', peer, reason: 'the peer takes no peer-id' }]);
    const next = { index: 3, generation: 2 };
    bench.newPeer(next);
    bench.channel.handle({
      verb: 'newKey',
      peer: next,
      keyId: 0,
      key: { ...dataKey(1), format: 'block', cipher: 'AES-256-CBC' },
    });
    const [event] = bench.takeEvents();
    assert.ok(event?.event === 'peerLost' && event.reason.includes('AES-256-CBC'));
    assert.equal(bench.kernel.peers.size, 0);
  });

  test('follows a float, and asks about one to an address that another has', () => {
    const bench = carried();
    const other = { index: 4, generation: 1 };
    const elsewhere = { ...remote, port: 4444 };
    bench.newPeer(other, { remote: elsewhere });
    const to = { ...remote, port: 5555 };
    bench.kernel.receiver?.event({ event: 'floated', peerId: 3, remote: to });
    bench.kernel.receiver?.event({ event: 'floated', peerId: 3, remote: elsewhere });
    assert.deepEqual(bench.takeEvents(), [
      { event: 'float', peer, to, link: 1 },
      { event: 'floatConflict', peer, to: elsewhere, link: 1, holder: other },
    ]);
  });

  test('an exhausted key asks for a renegotiation', () => {
    const bench = carried();
    bench.kernel.receiver?.event({ event: 'keyExhausted', peerId: 3, keyId: 0 });
    assert.deepEqual(bench.takeEvents(), [{ event: 'keyLimit', peer, keyId: 0, limit: 'packet-id', hard: true }]);
  });

  test('the latest owner of a route has it', () => {
    const bench = carried();
    const other = { index: 4, generation: 1 };
    const address: PeerRoute = { family: 4, network: Uint8Array.of(10, 8, 0, 3), bits: 32 };
    bench.newPeer(other, { remote: { ...remote, port: 4444 } });
    bench.channel.handle({ verb: 'addRoute', peer: other, route: address });
    bench.newKey(other, 0);
    bench.routes.length = 0;
    bench.channel.handle({ verb: 'addRoute', peer: other, route: network });
    bench.channel.handle({ verb: 'delRoute', peer, route: network });
    assert.deepEqual(bench.routes, ['-10.9.0.0/16 via 10.8.0.2', '+10.9.0.0/16 via 10.8.0.3']);
  });

  test('closing takes back peers and routes and wipes keys that wait', async () => {
    const bench = carried();
    bench.routes.length = 0;
    await bench.channel.close();
    await bench.channel.close();
    assert.equal(bench.kernel.peers.size, 0);
    assert.equal(bench.kernel.closed, true);
    assert.equal(bench.link.closed, true);
    assert.deepEqual(bench.routes, ['-10.8.0.2/32 via undefined', '-10.9.0.0/16 via 10.8.0.2']);
    bench.newPeer({ index: 3, generation: 2 });
    assert.equal(bench.kernel.peers.size, 0);
  });

  test('a link that goes takes its peers out of the kernel, which would go on with the socket', () => {
    for (const end of ['closed', 'failed'] as const) {
      const bench = carried();
      bench.kernel.count(3, 1000);
      if (end === 'closed') bench.channel.closeLink(1);
      else bench.link.fail('gone');
      assert.equal(bench.kernel.peers.size, 0, end);
      assert.equal(bench.channel.readCounters(peer)?.linkRead, 1000);
      const down = { event: 'linkDown', link: 1, reason: 'gone' } as const;
      assert.deepEqual(bench.takeEvents(), end === 'closed' ? [] : [down]);
      assert.deepEqual(bench.routes.slice(2), ['-10.8.0.2/32 via undefined', '-10.9.0.0/16 via 10.8.0.2']);
    }
  });

  test('a tun that goes takes its peers; the ones after it are carried by the next', () => {
    const bench = carried();
    bench.channel.detachTun();
    assert.equal(bench.kernel.peers.size, 0);
    const next = { index: 3, generation: 2 };
    bench.newPeer(next);
    bench.newKey(next, 0, 9);
    bench.attach();
    assert.deepEqual(bench.kernel.slots(3), [undefined, 0]);
  });
});
