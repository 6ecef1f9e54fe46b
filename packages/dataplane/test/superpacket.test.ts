/** Superpackets of a tun: decided once, cut, sealed and counted as the packets that they stand for, whatever the peer needs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  AeadOpener,
  BlockOpener,
  type DataKey,
  type DataOpener,
  Packet,
  type PeerSettings,
  Reassembler,
  readUint16,
  readUint32,
  unframe,
} from '@seikan/core';
import { createSystemClock, InlineDataChannel, type PacketTun, type TunReceiver, UdpLink } from '@seikan/dataplane';
import { AddressTable, createCrypto, PacketBatch, PacketKind, PacketTable, UdpSocket } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';

import { KeyNumbers } from '#src/key-numbers.js';

const crypto = createCrypto();
const HEADERS = 40;
const SEGMENT = 1_000;
const SEGMENTS = 9;
/** The last segment is shorter. */
const PAYLOAD = SEGMENT * (SEGMENTS - 1) + 123;
const FIRST_SEQUENCE = 0xffff_f000;

/** A tun that hands over one superpacket of TCP over IPv4, as the kernel leaves it: checksum of the pseudo header only. */
class SuperTun implements PacketTun {
  #receiver: TunReceiver | undefined;

  start(receiver: TunReceiver): void {
    this.#receiver = receiver;
  }

  deliver(): void {
    const table = new PacketTable({ packets: 4, bytes: 0x2_0000, headroom: 128, tailroom: 64 });
    const length = HEADERS + PAYLOAD;
    const packet = new Uint8Array(length);
    packet.set([0x45, 0, length >>> 8, length & 0xff, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 8, 0, 1, 10, 8, 0, 2]);
    packet.set([0x30, 0x39, 0, 80, 0xff, 0xff, 0xf0, 0, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff], 20);
    for (let i = 0; i < PAYLOAD; i += 1) packet[HEADERS + i] = payloadAt(i);
    let sum = 6 + (length - 20);
    for (let at = 12; at < 20; at += 2) sum += readUint16(packet, at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    packet.set([sum >>> 8, sum & 0xff], 36);
    table.put(0, packet, 128);
    table.kinds[0] = PacketKind.TCP4;
    table.segments[0] = SEGMENTS;
    table.segmentSizes[0] = SEGMENT;
    table.headerSizes[0] = HEADERS;
    table.transports[0] = 20;
    this.#receiver?.packets(table, 1);
  }

  write(): boolean {
    return false;
  }

  flush(): number {
    return 0;
  }

  close(): void {
    this.#receiver = undefined;
  }
}

function payloadAt(i: number): number {
  return (i * 7 + (i >>> 8)) & 0xff;
}

const secret = (cipher: number, auth: number) => ({
  cipher: new Uint8Array(cipher).fill(1),
  auth: new Uint8Array(auth).fill(2),
});
const common = { digest: 'SHA256', replayWindow: 64, replayTime: 15_000, longPacketId: false } as const;
const aead: DataKey = { ...common, format: 'aead', cipher: 'AES-256-GCM', send: secret(32, 8), receive: secret(32, 8) };
const block: DataKey = {
  ...common,
  format: 'block',
  cipher: 'AES-128-CBC',
  send: secret(16, 32),
  receive: secret(16, 32),
};
const replay = { size: 64, time: 0 };

function openerOf(key: DataKey): DataOpener {
  const cipher = crypto.cipher(key.cipher);
  assert(cipher !== undefined);
  return key.format === 'aead'
    ? new AeadOpener(crypto, cipher, key.send, replay)
    : new BlockOpener({ crypto, cipher, digest: key.digest, key: key.send, longPacketId: false }, replay);
}

const cases: { what: string; key: DataKey; settings: Partial<PeerSettings>; datagrams: number }[] = [
  { what: 'AEAD', key: aead, settings: {}, datagrams: SEGMENTS },
  { what: 'AEAD without peer-id', key: aead, settings: { sendPeerId: undefined }, datagrams: SEGMENTS },
  { what: 'AEAD and comp-lzo no', key: aead, settings: { compression: 'lzo-no' }, datagrams: SEGMENTS },
  { what: 'AEAD and compress stub', key: aead, settings: { compression: 'stub' }, datagrams: SEGMENTS },
  // 1044 bytes with the fragment's header and 700 at most: two pieces of each long one, one of the last.
  { what: 'AEAD and fragments', key: aead, settings: { fragmentSize: 700 }, datagrams: 2 * (SEGMENTS - 1) + 1 },
  { what: 'CBC', key: block, settings: {}, datagrams: SEGMENTS },
];

for (const { what, key, settings, datagrams } of cases) {
  test(`${what}: a superpacket arrives as its segments, and counts as them`, async () => {
    const far = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
    const peerSettings: PeerSettings = {
      link: 1,
      remote: far.address,
      sendPeerId: 5,
      receivePeerId: undefined,
      float: false,
      pingInterval: 0,
      pingTimeout: 0,
      mssClamp: 500,
      fragmentSize: 0,
      compression: 'none',
      guardRecursion: false,
      blockIpv6: false,
      ...settings,
    };
    const channel = new InlineDataChannel({
      settings: { mode: 'p2p', device: 'tun', maxPeers: 1, clientToClient: false, maxLearned: 0, asksToLearn: false },
      crypto,
      random: new SeededRandom(1).fill,
      clock: createSystemClock(),
      onEvent: () => undefined,
      keys: new KeyNumbers(),
    });
    channel.openLink(1, new UdpLink(UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } })));
    const tun = new SuperTun();
    channel.attachTun(tun);
    const peer = { index: 0, generation: 1 };
    channel.handle({ verb: 'newPeer', peer, settings: peerSettings });
    channel.handle({ verb: 'newKey', peer, keyId: 2, key });
    channel.handle({ verb: 'swapKeys', peer, primary: 2 });
    tun.deliver();

    const batch = new PacketBatch({ slots: 64, headroom: 0, capacity: 2_048, tailroom: 0 });
    const received: Uint8Array[] = [];
    for (let i = 0; i < 400 && received.length < datagrams; i += 1) {
      const count = far.receiveBatch(batch, new AddressTable(64));
      for (let k = 0; k < count; k += 1) received.push(batch.packet(k).slice());
      await sleep(5);
    }
    assert.equal(received.length, datagrams);

    const opener = openerOf(key);
    const reassembler = new Reassembler();
    let at = 0;
    let segments = 0;
    let plain = 0;
    for (const datagram of received) {
      const packet = new Packet(datagram);
      assert.equal(opener.open(packet, peerSettings.sendPeerId === undefined ? 1 : 4, 0), undefined);
      if (peerSettings.fragmentSize > 0 && reassembler.take(packet, 0) !== true) continue;
      assert.equal(unframe(packet, peerSettings.compression), undefined);
      const segment = packet.view();
      const size = Math.min(SEGMENT, PAYLOAD - at);
      assert.equal(segment.length, HEADERS + size);
      assert.equal(readUint16(segment, 2), HEADERS + size, 'total length');
      assert.equal(readUint16(segment, 4), 0x1234 + segments, 'IP id');
      assert.equal(readUint32(segment, 24), (FIRST_SEQUENCE + at) >>> 0, 'sequence number');
      assert.equal(segment[33], segments === SEGMENTS - 1 ? 0x18 : 0x10, 'PSH with the last only');
      assert.equal(checksumOf(segment), 0, 'TCP checksum');
      for (let i = 0; i < size; i += 1) assert.equal(segment[HEADERS + i], payloadAt(at + i));
      at += size;
      segments += 1;
      plain += segment.length;
    }
    assert.equal(at, PAYLOAD);
    const counters = channel.readCounters(peer);
    assert.equal(counters?.tunRead, plain);
    assert.equal(counters?.packetsWritten, datagrams);
    assert.equal(
      counters?.linkWritten,
      received.reduce((sum, { length }) => sum + length, 0),
    );
    far.close();
    await channel.close();
  });
}

/** Over the pseudo header and the TCP segment; 0 when the checksum in it is right. */
function checksumOf(packet: Uint8Array): number {
  const segment = packet.subarray(20);
  let sum = 6 + segment.length;
  for (let at = 12; at < 20; at += 2) sum += readUint16(packet, at);
  for (let i = 0; i < segment.length; i += 1) sum += i % 2 === 0 ? (segment[i] ?? 0) << 8 : (segment[i] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
