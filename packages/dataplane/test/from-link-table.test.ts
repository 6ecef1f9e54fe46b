/** Tables of datagrams from a link: each is judged and counted for itself, though a run of them is looked up once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AeadSealer, type DataChannelEvent, type Endpoint, type PeerSettings, packetOf } from '@seikan/core';
import { InlineDataChannel, type LinkReceiver, type PacketLink, type PacketTun } from '@seikan/dataplane';
import { createCrypto, PacketTable } from '@seikan/native';
import { ipv4Packet, SeededRandom } from '@seikan/testkit';

import { KeyNumbers } from '#src/key-numbers.js';

const crypto = createCrypto();
const direction = { cipher: new Uint8Array(32).fill(1), auth: new Uint8Array(8).fill(2) };
const home: Endpoint = { family: 4, address: '198.51.100.1', port: 1_194 };
const elsewhere: Endpoint = { family: 4, address: '198.51.100.1', port: 4_000 };
const taken: Endpoint = { family: 4, address: '198.51.100.2', port: 1_194 };

class TableLink implements PacketLink {
  readonly kind = 'datagram';
  #receiver: LinkReceiver | undefined;

  start(receiver: LinkReceiver): void {
    this.#receiver = receiver;
  }

  deliver(datagrams: readonly (readonly [Uint8Array, Endpoint])[]): void {
    const table = new PacketTable({ packets: 16, bytes: 0x1_0000, headroom: 128, tailroom: 64 });
    for (const [i, [datagram]] of datagrams.entries()) table.put(i, datagram, 128 + i * 512);
    this.#receiver?.datagrams(
      table,
      datagrams.length,
      datagrams.map(([, from]) => from),
    );
  }

  send(): boolean {
    return true;
  }

  flush(): number {
    return 0;
  }

  close(): void {
    this.#receiver = undefined;
  }
}

class TableTun implements PacketTun {
  readonly written: number[] = [];

  start(): void {}

  write(bytes: Uint8Array, _start: number, end: number): boolean {
    this.written.push(bytes[end - 1] ?? -1);
    return true;
  }

  flush(): number {
    return 0;
  }

  /** The last byte says which packet it was. */
  writeTable(table: PacketTable, order: Uint32Array, count: number): number {
    for (const number of order.subarray(0, count)) this.written.push(table.packet(number).at(-1) ?? -1);
    return 0;
  }

  close(): void {}
}

function openServer(fragmentSize = 0) {
  const events: DataChannelEvent[] = [];
  const channel = new InlineDataChannel({
    settings: { mode: 'server', device: 'tun', maxPeers: 2, clientToClient: false, maxLearned: 0, asksToLearn: false },
    crypto,
    random: new SeededRandom(1).fill,
    clock: { now: () => 0, unixTime: () => 0, alarm: () => () => undefined },
    onEvent: (event) => events.push(event),
    keys: new KeyNumbers(),
  });
  const link = new TableLink();
  const tun = new TableTun();
  channel.openLink(1, link);
  channel.attachTun(tun);
  const peers = [home, taken].map((remote, index) => {
    const settings: PeerSettings = {
      link: 1,
      remote,
      sendPeerId: index,
      receivePeerId: index,
      float: true,
      pingInterval: 0,
      pingTimeout: 0,
      mssClamp: 0,
      fragmentSize,
      compression: 'none',
      guardRecursion: false,
      blockIpv6: false,
    };
    const peer = { index, generation: 1 };
    channel.handle({ verb: 'newPeer', peer, settings });
    channel.handle({
      verb: 'newKey',
      peer,
      keyId: 0,
      key: {
        format: 'aead',
        cipher: 'AES-256-GCM',
        digest: 'none',
        send: direction,
        receive: direction,
        replayWindow: 64,
        replayTime: 0,
        longPacketId: false,
      },
    });
    channel.handle({
      verb: 'addRoute',
      peer,
      route: { family: 4, network: Uint8Array.of(10, 8, 0, 2 + index), bits: 32 },
    });
    return peer;
  });
  const cipher = crypto.cipher('AES-256-GCM');
  assert(cipher !== undefined);
  const sealer = new AeadSealer(crypto, cipher, direction);
  /** A datagram of the first peer with packet `number` inside. */
  const datagram = (number: number, { from = '10.8.0.2', keyId = 0 } = {}): Uint8Array =>
    sealed(ipv4Packet({ from, to: '10.8.0.1', payload: new Uint8Array(100).fill(number) }), keyId);
  const sealed = (plaintext: Uint8Array, keyId = 0): Uint8Array => {
    const packet = packetOf(256);
    packet.load(plaintext);
    assert(sealer.seal(packet, Uint8Array.of((9 << 3) | keyId, 0, 0, 0)));
    return packet.view().slice();
  };
  const [peer] = peers;
  assert(peer !== undefined);
  return { channel, link, tun, peer, events, datagram, sealed };
}

test('a run: forged, repeated and foreign datagrams among good ones are dropped and counted one by one', async () => {
  const { channel, link, tun, peer, datagram } = openServer();
  const good = [1, 2, 3, 4].map((number) => datagram(number));
  const [first, second, third, fourth] = good;
  assert(first !== undefined && second !== undefined && third !== undefined && fourth !== undefined);
  const forged = third.slice();
  forged.set([(forged[30] ?? 0) ^ 1], 30);
  const foreign = datagram(5, { from: '10.8.0.9' });
  const keyless = datagram(6, { keyId: 3 });
  const datagrams = [first, second, forged, first.slice(), third, foreign, keyless, fourth];
  const bytes = datagrams.reduce((sum, { length }) => sum + length, 0);
  link.deliver(datagrams.map((one) => [one, home]));
  assert.deepEqual(tun.written, [1, 2, 3, 4]);
  const counters = channel.readCounters(peer);
  assert.deepEqual(counters?.drops, { 'bad-auth': 1, replay: 1, 'bad-source': 1 });
  assert.equal(counters?.packetsRead, 5);
  assert.equal(counters?.linkRead, (bytes / datagrams.length) * 5);
  assert.deepEqual(channel.readDrops(), { 'no-key': 1 });
  await channel.close();
});

test('a run moves its peer once, with the first authentic datagram; one from an address that is taken is dropped whole', async () => {
  const { channel, link, tun, peer, events, datagram } = openServer();
  const forged = datagram(1).fill(0, 30);
  link.deliver([
    [datagram(2), home],
    [forged, elsewhere],
    [datagram(3), elsewhere],
    [datagram(4), elsewhere],
    [datagram(5), taken],
    [datagram(6), taken],
    [datagram(7), elsewhere],
  ]);
  assert.deepEqual(tun.written, [2, 3, 4, 7]);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['keyConfirmed', 'float', 'floatConflict'],
  );
  assert.deepEqual(channel.readCounters(peer)?.drops, { 'bad-auth': 1, 'wrong-address': 2 });
  await channel.close();
});

test('a run goes on in the table after a packet that came in fragments', async () => {
  const { channel, link, tun, peer, sealed } = openServer(200);
  const payload = (number: number): Uint8Array =>
    ipv4Packet({ from: '10.8.0.2', to: '10.8.0.1', payload: new Uint8Array(100).fill(number) });
  // Type 1 (not the last) of sequence 1; type 2 (the last), piece 1, of 64 bytes each; type 0 (whole).
  const first = [0, 0, 0, 0x05, ...payload(1).subarray(0, 64)];
  const last = [0, 0x08, 0x04, 0x06, ...payload(1).subarray(64)];
  const whole = [0, 0, 0, 0, ...payload(2)];
  link.deliver([first, last, whole].map((plaintext) => [sealed(Uint8Array.from(plaintext)), home]));
  assert.deepEqual(tun.written, [1, 2]);
  assert.deepEqual(channel.readCounters(peer)?.drops, {});
  await channel.close();
});
