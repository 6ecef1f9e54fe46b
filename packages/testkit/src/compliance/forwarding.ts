/** Who gets a packet: routes, source check, client-to-client, groups, Ethernet addresses, and the modes with one peer. */
import assert from 'node:assert/strict';

import type { PeerRoute } from '@seikan/core';

import { ethernetFrame, ipv4Packet, ipv6Packet, mac, quad } from '../packets.js';
import { Bench, dataKey, endpoint, type HarnessFactory, peerSettings, Remote, type Rule } from './harness.js';

export function forwardingRules(factory: HarnessFactory, test: Rule): void {
  test('a tun packet goes to the owner of its destination, IPv4 and IPv6; without one it is dropped', async () => {
    const bench = new Bench(factory);
    const [a, b] = [bench.addPeer(0), bench.addPeer(1)];
    const toA = ipv4Packet({ from: '10.8.0.1', to: '10.8.0.2' });
    const toB = ipv6Packet({ from: 'fd00::1', to: 'fd00::3' });
    await bench.fromTun(toA, toB, ipv4Packet({ from: '10.8.0.1', to: '10.8.0.77' }), Uint8Array.of(0x45, 0, 1));
    assert.deepEqual(bench.takeFor(a, b), [[toA], [toB]]);
    bench.expectDrop('no-route', 1);
    bench.expectDrop('bad-packet', 1);
    await bench.close();
  });

  test('the longest prefix wins, the latest owner of the same prefix wins, and only the owner can delete', async () => {
    const bench = new Bench(factory);
    const [a, b, c] = [bench.addPeer(0), bench.addPeer(1), bench.addPeer(2)];
    bench.harness.handle({ verb: 'addRoute', peer: a.peer, route: route(0, 0, 0, 0, 0) });
    bench.harness.handle({ verb: 'addRoute', peer: a.peer, route: route(16, 192, 168, 0, 0) });
    bench.harness.handle({ verb: 'addRoute', peer: b.peer, route: route(24, 192, 168, 5, 0) });
    bench.harness.handle({ verb: 'addRoute', peer: c.peer, route: route(32, 192, 168, 5, 9) });
    const [far, wide, near, host] = ['8.8.8.8', '192.168.9.9', '192.168.5.8', '192.168.5.9'].map(hostTo);
    assert(far !== undefined && wide !== undefined && near !== undefined && host !== undefined);
    await bench.fromTun(far, wide, near, host);
    assert.deepEqual(bench.takeFor(a, b, c), [[far, wide], [near], [host]]);

    bench.harness.handle({ verb: 'addRoute', peer: c.peer, route: route(24, 192, 168, 5, 0) });
    bench.harness.handle({ verb: 'delRoute', peer: b.peer, route: route(24, 192, 168, 5, 0) });
    await bench.fromTun(near);
    assert.deepEqual(bench.takeFor(a, b, c), [[], [], [near]]);
    bench.harness.handle({ verb: 'delRoute', peer: c.peer, route: route(24, 192, 168, 5, 0) });
    await bench.fromTun(near);
    assert.deepEqual(bench.takeFor(a, b, c), [[near], [], []]);
    await bench.close();
  });

  test("a deleted peer's routes go with it, and one that took a route over keeps it", async () => {
    const bench = new Bench(factory);
    const [a, b] = [bench.addPeer(0), bench.addPeer(1)];
    bench.harness.handle({
      verb: 'addRoute',
      peer: b.peer,
      route: { family: 4, network: quad('10.8.0.2'), bits: 32 },
    });
    bench.harness.handle({ verb: 'delPeer', peer: a.peer });
    const packet = ipv4Packet({ from: '10.8.0.1', to: '10.8.0.2' });
    await bench.fromTun(packet);
    assert.deepEqual(bench.takeFor(b), [[packet]]);
    bench.harness.handle({ verb: 'delPeer', peer: b.peer });
    await bench.fromTun(packet);
    bench.expectDrop('no-route', 1);
    await bench.close();
  });

  test("a packet whose source is not the peer's is dropped: another's address, nobody's, or no IP at all", async () => {
    const bench = new Bench(factory, { clientToClient: true });
    const [a, b] = [bench.addPeer(0), bench.addPeer(1)];
    bench.harness.handle({
      verb: 'addRoute',
      peer: a.peer,
      route: { family: 4, network: Uint8Array.of(192, 168, 7, 0), bits: 24 },
    });
    const good = ipv4Packet({ from: '192.168.7.200', to: '10.8.0.1' });
    await bench.deliver(
      a,
      a.seal(ipv4Packet({ from: '10.8.0.3', to: '10.8.0.1' })),
      a.seal(ipv4Packet({ from: '172.16.0.1', to: '10.8.0.3' })),
      a.seal(ipv6Packet({ from: 'fd00::3', to: 'fd00::1' })),
      a.seal(ipv6Packet({ from: 'fe80::1', to: 'ff02::2' })),
      a.seal(Uint8Array.of(0x75, 1, 2, 3)),
      a.seal(good),
    );
    assert.deepEqual(bench.tun.takeWritten(), [good]);
    assert.deepEqual(bench.takeFor(a, b), [[], []]);
    bench.expectDrops(a, { 'bad-source': 3, 'link-local-source': 1, 'bad-packet': 1 });
    await bench.close();
  });

  test('client-to-client packets stay inside, groups go to the others and the tun; without it all goes to the tun', async () => {
    const direct = ipv4Packet({ from: '10.8.0.2', to: '10.8.0.3' });
    const outside = ipv4Packet({ from: '10.8.0.2', to: '9.9.9.9' });
    const group4 = ipv4Packet({ from: '10.8.0.2', to: '224.0.0.5' });
    const group6 = ipv6Packet({ from: 'fd00::2', to: 'ff02::5' });
    for (const clientToClient of [true, false]) {
      const bench = new Bench(factory, { clientToClient });
      const [a, b, c] = [bench.addPeer(0), bench.addPeer(1), bench.addPeer(2)];
      await bench.deliver(a, ...[direct, outside, group4, group6].map((packet) => a.seal(packet)));
      const inside = clientToClient ? [[], [direct, group4, group6], [group4, group6]] : [[], [], []];
      assert.deepEqual(bench.takeFor(a, b, c), inside);
      const written = clientToClient ? [outside, group4, group6] : [direct, outside, group4, group6];
      assert.deepEqual(bench.tun.takeWritten(), written);
      assert.equal(bench.counters(a).tunWritten, direct.length + outside.length + group4.length + group6.length);
      if (clientToClient) assert.equal(bench.counters(c).tunRead, group4.length + group6.length);
      await bench.close();
    }
  });

  test('a group packet of the host goes to every peer', async () => {
    const bench = new Bench(factory);
    const remotes = [bench.addPeer(0), bench.addPeer(1), bench.addPeer(2)];
    const group = ipv4Packet({ from: '10.8.0.1', to: '239.1.2.3', payload: new Uint8Array(1_200).fill(7) });
    await bench.fromTun(group);
    assert.deepEqual(bench.takeFor(...remotes), [[group], [group], [group]]);
    await bench.close();
  });

  test('tap: addresses are learned from sources, follow the latest peer, and are bounded per peer', async () => {
    const bench = new Bench(factory, { device: 'tap', maxLearned: 2 });
    const [a, b] = [bench.addPeer(0), bench.addPeer(1)];
    const host = '02:00:00:00:00:01';
    const macs = ['02:00:00:00:01:00', '02:00:00:00:01:01', '02:00:00:00:01:02'];
    const from = (source: string) => ethernetFrame({ from: source, to: host });
    const to = (destination: string) => ethernetFrame({ from: host, to: destination });
    await bench.deliver(a, ...macs.map((source) => a.seal(from(source))));
    assert.deepEqual(bench.tun.takeWritten(), macs.slice(0, 2).map(from));
    assert.deepEqual(
      bench.harness.takeEvents(),
      macs.slice(0, 2).map((text) => ({ event: 'learned', peer: a.peer, mac: mac(text) })),
    );
    bench.expectDrops(a, { 'bad-source': 1 });
    await bench.fromTun(...macs.map(to));
    assert.deepEqual(bench.takeFor(a, b), [macs.slice(0, 2).map(to), []]);

    await bench.deliver(b, b.seal(from(macs[0] ?? '')));
    await bench.fromTun(to(macs[0] ?? ''));
    assert.deepEqual(bench.takeFor(a, b), [[], [to(macs[0] ?? '')]]);
    assert.deepEqual(bench.harness.takeEvents(), [{ event: 'learned', peer: b.peer, mac: mac(macs[0] ?? '') }]);
    await bench.close();
  });

  test("tap: where control is to be asked, an address is asked about once and is nobody's until it is allowed", async () => {
    const bench = new Bench(factory, { device: 'tap', maxLearned: 2, asksToLearn: true });
    const [a, b] = [bench.addPeer(0), bench.addPeer(1)];
    const host = '02:00:00:00:00:01';
    const [first, second, third] = ['02:00:00:00:01:00', '02:00:00:00:01:01', '02:00:00:00:01:02'] as const;
    const from = (source: string) => ethernetFrame({ from: source, to: host });
    const to = (destination: string) => ethernetFrame({ from: host, to: destination });
    const asked = (peer: Remote, text: string) => ({ event: 'learned' as const, peer: peer.peer, mac: mac(text) });

    await bench.deliver(a, ...[first, first, second, third].map((source) => a.seal(from(source))));
    assert.deepEqual(bench.harness.takeEvents(), [asked(a, first), asked(a, second)]);
    assert.deepEqual(bench.counters(a).drops, { 'bad-source': 4 });
    assert.deepEqual(bench.tun.takeWritten(), []);

    bench.harness.handle({ verb: 'learnMac', peer: a.peer, mac: mac(first) });
    await bench.deliver(a, ...[first, second].map((source) => a.seal(from(source))));
    assert.deepEqual(bench.tun.takeWritten(), [from(first)]);
    await bench.fromTun(to(first), to(second));
    assert.deepEqual(bench.takeFor(a, b), [[to(first)], []]);

    await bench.deliver(b, b.seal(from(first)));
    assert.deepEqual(bench.harness.takeEvents(), [asked(b, first)]);
    await bench.fromTun(to(first));
    assert.deepEqual(bench.takeFor(a, b), [[to(first)], []], 'it stays with its owner until the other is allowed');
    bench.harness.handle({ verb: 'learnMac', peer: b.peer, mac: mac(first) });
    await bench.fromTun(to(first));
    assert.deepEqual(bench.takeFor(a, b), [[], [to(first)]]);
    await bench.close();
  });

  test('tap: broadcast and multicast reach all but the sender, a group source and a short frame are refused', async () => {
    const bench = new Bench(factory, { device: 'tap', clientToClient: true });
    const [a, b, c] = [bench.addPeer(0), bench.addPeer(1), bench.addPeer(2)];
    const broadcast = ethernetFrame({ from: '02:00:00:00:01:00', to: 'ff:ff:ff:ff:ff:ff' });
    const multicast = ethernetFrame({ from: '02:00:00:00:01:00', to: '01:00:5e:00:00:01' });
    await bench.deliver(
      a,
      a.seal(broadcast),
      a.seal(multicast),
      a.seal(ethernetFrame({ from: '03:00:00:00:00:01', to: '02:00:00:00:00:01' })),
      a.seal(new Uint8Array(13)),
    );
    assert.deepEqual(bench.takeFor(a, b, c), [[], [broadcast, multicast], [broadcast, multicast]]);
    assert.deepEqual(bench.tun.takeWritten(), [broadcast, multicast]);
    bench.expectDrops(a, { 'bad-source': 1, 'bad-packet': 1 });
    const direct = ethernetFrame({ from: '02:00:00:00:02:00', to: '02:00:00:00:01:00' });
    await bench.deliver(b, b.seal(direct));
    assert.deepEqual(bench.takeFor(a, b, c), [[direct], [], []]);
    assert.deepEqual(bench.tun.takeWritten(), []);
    await bench.close();
  });

  test('a server finds peers by peer-id, by address for P_DATA_V1 and for peer-id 0xffffff', async () => {
    const bench = new Bench(factory);
    const [a, b] = [bench.addPeer(0), bench.addPeer(1)];
    const packet = ipv4Packet({ from: '10.8.0.3', to: '10.8.0.1' });
    await bench.deliver(b, b.seal(packet, 0, 'none'), b.seal(packet, 0, 0xff_ffff), b.seal(packet));
    assert.equal(bench.tun.takeWritten().length, 3);
    await bench.deliver(b, b.seal(packet, 0, 5), b.seal(packet, 0, 0x123456));
    bench.link.deliver(endpoint(123), b.seal(packet, 0, 'none'));
    await bench.harness.settle();
    bench.expectDrop('unknown-peer', 3);
    await bench.deliver(b, b.seal(packet, 0, 0));
    bench.expectDrops(a, { 'bad-auth': 1 });
    assert.deepEqual(bench.tun.takeWritten(), []);
    await bench.close();
  });

  test('send and receive peer-ids are separate', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(4, { sendPeerId: 0x0a0b0c });
    const packet = ipv4Packet({ from: '10.8.0.1', to: '10.8.0.6' });
    await bench.fromTun(packet);
    bench.harness.handle({ verb: 'setPeer', peer: remote.peer, settings: { sendPeerId: undefined } });
    await bench.fromTun(packet);
    const sent = bench.link.takeSent().map(({ bytes }) => bytes);
    assert.deepEqual([...(sent[0]?.subarray(0, 4) ?? [])], [0x48, 0x0a, 0x0b, 0x0c]);
    assert.equal(sent[1]?.[0], 0x30);
    assert.deepEqual(
      sent.map((datagram) => remote.open(datagram)),
      [packet, packet],
    );
    await bench.close();
  });

  test('p2p: one peer takes and gives everything, from its link and address alone', async () => {
    const bench = new Bench(factory, { mode: 'p2p', maxPeers: 1 });
    await bench.fromTun(ipv4Packet({ from: '10.8.0.2', to: '1.1.1.1' }));
    bench.expectDrop('unknown-peer', 1);
    const remote = bench.addPeer(0, { float: false, receivePeerId: undefined, sendPeerId: 7 });
    const foreign = ipv4Packet({ from: '203.0.113.9', to: '10.8.0.2' });
    await bench.deliver(remote, remote.seal(foreign), remote.seal(foreign, 0, 99), remote.seal(foreign, 0, 'none'));
    bench.link.deliver(endpoint(9), remote.seal(foreign));
    await bench.fromTun(foreign);
    assert.deepEqual(bench.tun.takeWritten(), [foreign, foreign, foreign]);
    assert.deepEqual(bench.takeFor(remote), [[foreign]]);
    bench.expectDrop('wrong-address', 1);

    bench.harness.handle({ verb: 'setPeer', peer: remote.peer, settings: { receivePeerId: 7 } });
    await bench.deliver(
      remote,
      remote.seal(foreign, 0, 8),
      remote.seal(foreign, 0, 'none'),
      remote.seal(foreign, 0, 7),
    );
    assert.deepEqual(bench.tun.takeWritten(), [foreign]);
    bench.expectDrop('wrong-peer-id', 2);
    await bench.close();
  });

  test('p2p: tun packets to the address of the peer itself are dropped when recursion is guarded', async () => {
    const bench = new Bench(factory, { mode: 'p2p' });
    const remote = bench.addPeer(0, { guardRecursion: true });
    const recursive = ipv4Packet({ from: '10.8.0.2', to: '198.51.100.1' });
    const other = ipv4Packet({ from: '10.8.0.2', to: '198.51.100.2' });
    await bench.fromTun(recursive, other);
    assert.deepEqual(bench.takeFor(remote), [[other]]);
    bench.expectDrop('recursive-routing', 1);
    bench.harness.handle({ verb: 'setPeer', peer: remote.peer, settings: { guardRecursion: false } });
    await bench.fromTun(recursive);
    assert.deepEqual(bench.takeFor(remote), [[recursive]]);

    const remote6 = { family: 6, address: '2001:db8::9', port: 1_194 } as const;
    bench.harness.handle({ verb: 'setPeer', peer: remote.peer, settings: { guardRecursion: true, remote: remote6 } });
    await bench.fromTun(ipv6Packet({ from: 'fd00::2', to: '2001:db8::9' }), recursive);
    bench.expectDrop('recursive-routing', 2);
    await bench.close();
  });

  test('block-ipv6: IPv6 is answered with ICMPv6 "no route", on the client to the host, on the server to the peer', async () => {
    const packet = ipv6Packet({ from: 'fd00::2', to: '2001:db8::1', payload: new Uint8Array(2_000).fill(3) });
    const check = (reply: Uint8Array | undefined) => {
      assert(reply !== undefined);
      assert.equal(reply.length, 1_280);
      assert.deepEqual([reply[6], reply[40], reply[41]], [58, 1, 0]);
      assert.deepEqual(reply.subarray(24, 40), packet.subarray(8, 24), 'to the sender');
      assert.deepEqual(reply.subarray(48), packet.subarray(0, 1_232));
      const message = reply.slice(40);
      assert.equal(icmpChecksum(reply.subarray(8, 40), message), 0);
    };
    const client = new Bench(factory, { mode: 'p2p' });
    client.addPeer(0, { blockIpv6: true });
    await client.fromTun(packet);
    assert.deepEqual(client.link.takeSent(), []);
    check(client.tun.takeWritten()[0]);
    await client.fromTun(ipv6Packet({ from: 'fd00::2', to: 'ff02::1' }));
    assert.deepEqual(client.tun.takeWritten(), [], 'no answer to a group');
    await client.close();

    const server = new Bench(factory);
    const remote = server.addPeer(0, { blockIpv6: true });
    await server.deliver(remote, remote.seal(packet));
    const [replies = []] = server.takeFor(remote);
    const [reply] = replies;
    assert(typeof reply === 'object');
    check(reply);
    assert.deepEqual(server.tun.takeWritten(), []);
    await server.close();
  });

  test('static key mode: no header, no control packets, key 0 opens all', async () => {
    const bench = new Bench(factory, { mode: 'static-key', maxPeers: 1 });
    const peer = { index: 0, generation: 1 };
    const cipher = new Uint8Array(32).fill(1);
    const auth = new Uint8Array(20).fill(2);
    const key = {
      ...dataKey(1),
      format: 'block',
      cipher: 'AES-256-CBC',
      digest: 'SHA1',
      send: { cipher, auth },
      receive: { cipher, auth },
      longPacketId: true,
    } as const;
    bench.harness.handle({
      verb: 'newPeer',
      peer,
      settings: { ...peerSettings, remote: endpoint(1), sendPeerId: undefined, receivePeerId: undefined },
    });
    bench.harness.handle({ verb: 'newKey', peer, keyId: 0, key });
    bench.harness.handle({ verb: 'swapKeys', peer, primary: 0 });
    const packet = ipv4Packet({ from: '10.0.0.1', to: '10.0.0.2' });
    await bench.fromTun(packet, packet);
    const datagrams = bench.link.takeSent().map(({ bytes }) => bytes);
    // HMAC 20, IV 16, then blocks of 8 + 28 bytes and padding.
    assert.deepEqual(
      datagrams.map(({ length }) => length),
      [84, 84],
    );
    // Both directions use one key, so what was sent can be heard again.
    await bench.deliver(new Remote(peer, endpoint(1)), ...datagrams, ...datagrams);
    assert.deepEqual(bench.tun.takeWritten(), [packet, packet]);
    assert.deepEqual(bench.harness.readCounters(peer)?.drops, { replay: 2 });
    assert.deepEqual(bench.harness.takeEvents(), []);
    await bench.close();
  });
}

function route(bits: number, ...network: number[]): PeerRoute {
  return { family: 4, network: Uint8Array.from(network), bits };
}

function hostTo(address: string): Uint8Array {
  return ipv4Packet({ from: '10.8.0.1', to: address });
}

/** Over the pseudo-header of RFC 8200 section 8.1 and the message; 0 when the checksum in it is right. */
function icmpChecksum(addresses: Uint8Array, message: Uint8Array): number {
  const length = message.length;
  const bytes = Uint8Array.from([...addresses, 0, 0, length >>> 8, length & 0xff, 0, 0, 0, 58, ...message]);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
