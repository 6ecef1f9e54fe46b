/** The rules of the seam (ARCHITECTURE.md): order, keys, generations, key switch, timers, counters, float, links. */
import assert from 'node:assert/strict';

import { pingPayload } from '@seikan/core';
import { ipv4Packet } from '../packets.js';
import { SeededRandom } from '../seeded-random.js';
import { Bench, dataKey, endpoint, type HarnessFactory, peerSettings, type Rule } from './harness.js';

const hello = ipv4Packet({ from: '10.8.0.2', to: '10.8.0.1' });
const answer = ipv4Packet({ from: '10.8.0.1', to: '10.8.0.2' });

export function seamRules(factory: HarnessFactory, test: Rule): void {
  test('a key works for the first packet after newKey, and data for a key that is not installed is a counted drop', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    remote.addKey(1, dataKey(5));
    const early = remote.seal(hello, 1);
    await bench.deliver(remote, early);
    assert.deepEqual(bench.tun.takeWritten(), []);
    bench.expectDrop('no-key', 1);

    bench.harness.handle({ verb: 'newKey', peer: remote.peer, keyId: 1, key: dataKey(5) });
    await bench.deliver(remote, early);
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    await bench.close();
  });

  test('keys are copied when they are installed, and gone with their peer', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    const key = dataKey(6);
    bench.addKey(remote, 1, key);
    await bench.harness.settle();
    for (const direction of [key.send, key.receive]) {
      direction.cipher.fill(0);
      direction.auth.fill(0);
    }
    await bench.deliver(remote, remote.seal(hello, 1));
    assert.deepEqual(bench.tun.takeWritten(), [hello]);

    bench.harness.handle({ verb: 'delPeer', peer: remote.peer });
    const next = { index: 0, generation: 2 };
    bench.harness.handle({ verb: 'newPeer', peer: next, settings: { ...peerSettings, remote: remote.address } });
    await bench.deliver(remote, remote.seal(hello, 1));
    assert.deepEqual(bench.tun.takeWritten(), []);
    bench.expectDrop('no-key', 1);
    await bench.close();
  });

  test('commands for an older generation find nobody, and an index is not given out twice in one generation', async () => {
    const bench = new Bench(factory);
    const old = bench.addPeer(0);
    bench.harness.handle({ verb: 'delPeer', peer: old.peer });
    const remote = bench.addPeer(0, {}, 2);
    await bench.harness.settle();
    bench.harness.takeEvents();

    bench.harness.handle({ verb: 'setPeer', peer: old.peer, settings: { remote: endpoint(99) } });
    bench.harness.handle({ verb: 'delKey', peer: old.peer, keyId: 0 });
    bench.harness.handle({ verb: 'newPeer', peer: old.peer, settings: { ...peerSettings, remote: endpoint(98) } });
    bench.harness.handle({ verb: 'delPeer', peer: old.peer });
    await bench.fromTun(answer);
    assert.deepEqual(bench.takeFor(remote), [[answer]]);
    assert.deepEqual(bench.harness.takeEvents(), []);
    bench.expectDrop('stale-command', 4);
    assert.equal(bench.harness.readCounters(old.peer), undefined);
    await bench.close();
  });

  test('an index outside the table is refused', async () => {
    const bench = new Bench(factory, { maxPeers: 2 });
    for (const index of [2, 0xff_ffff]) {
      const peer = { index, generation: 1 };
      bench.harness.handle({ verb: 'newPeer', peer, settings: { ...peerSettings, remote: endpoint(9) } });
      assert.equal(bench.harness.readCounters(peer), undefined);
    }
    await bench.harness.settle();
    bench.expectDrop('stale-command', 2);
    await bench.close();
  });

  test('delPeer answers with the final counters', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(3);
    const packet = ipv4Packet({ from: '10.8.0.5', to: '10.8.0.1', payload: new Uint8Array(100) });
    const datagram = remote.seal(packet);
    await bench.deliver(remote, datagram, datagram);
    bench.harness.handle({ verb: 'delPeer', peer: remote.peer });
    await bench.harness.settle();
    const [event, ...more] = bench.harness.takeEvents();
    assert.deepEqual(more, []);
    assert.deepEqual(event, {
      event: 'peerDeleted',
      peer: remote.peer,
      counters: {
        linkRead: datagram.length,
        linkWritten: 0,
        tunRead: 0,
        tunWritten: packet.length,
        packetsRead: 1,
        packetsWritten: 0,
        drops: { replay: 1 },
      },
    });
    await bench.close();
  });

  test('the first authentic packet under a key confirms it, once', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(3);
    const packet = ipv4Packet({ from: '10.8.0.5', to: '10.8.0.1', payload: new Uint8Array(100) });
    const forged = remote.seal(packet);
    forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1;
    await bench.deliver(remote, forged);
    assert.deepEqual(bench.harness.takeConfirmations(), []);
    await bench.deliver(remote, remote.seal(packet), remote.seal(packet));
    assert.deepEqual(bench.harness.takeConfirmations(), [{ event: 'keyConfirmed', peer: remote.peer, keyId: 0 }]);
    await bench.close();
  });

  test('the key switch is by key id and idempotent; the old key still opens until it is deleted', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    bench.addKey(remote, 1, dataKey(7));
    await bench.fromTun(answer);
    bench.harness.handle({ verb: 'swapKeys', peer: remote.peer, primary: 1 });
    bench.harness.handle({ verb: 'swapKeys', peer: remote.peer, primary: 1 });
    await bench.fromTun(answer);
    const keyIds = bench.link.takeSent().map(({ bytes }) => (bytes[0] ?? 0) & 7);
    assert.deepEqual(keyIds, [0, 1]);

    await bench.deliver(remote, remote.seal(hello, 0), remote.seal(hello, 1));
    assert.equal(bench.tun.takeWritten().length, 2);
    bench.harness.handle({ verb: 'delKey', peer: remote.peer, keyId: 0 });
    await bench.deliver(remote, remote.seal(hello, 0), remote.seal(hello, 1));
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    await bench.close();
  });

  test('a switch to a key that is not there changes nothing; without a primary key nothing is sent', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    bench.harness.handle({ verb: 'swapKeys', peer: remote.peer, primary: 5 });
    await bench.fromTun(answer);
    assert.deepEqual(bench.takeFor(remote), [[answer]]);
    bench.harness.handle({ verb: 'delKey', peer: remote.peer, keyId: 0 });
    await bench.fromTun(answer);
    assert.deepEqual(bench.link.takeSent(), []);
    bench.expectDrops(remote, { 'no-primary-key': 1 });
    await bench.close();
  });

  test('a key installed under an id that is taken replaces it', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    bench.addKey(remote, 0, dataKey(9));
    await bench.deliver(remote, remote.seal(hello));
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    await bench.fromTun(answer);
    assert.deepEqual(bench.link.takeSent(), [], 'the primary went with the key that was replaced');
    await bench.close();
  });

  test('a packet is opened once: replays, forgeries and another key id are dropped and counted', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    const datagram = remote.seal(hello);
    const forged = remote.seal(hello);
    forged[30] = (forged[30] ?? 0) ^ 1;
    const zeroId = remote.seal(hello);
    zeroId.fill(0, 4, 8);
    await bench.deliver(remote, datagram, datagram, forged, zeroId);
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    bench.expectDrops(remote, { replay: 1, 'bad-auth': 2 });
    await bench.close();
  });

  test('a forged packet with a high id does not move the replay window', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    const genuine = remote.seal(hello);
    const forged = genuine.slice();
    forged.set([0x7f, 0xff, 0xff, 0xff], 4);
    await bench.deliver(remote, forged, genuine);
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    await bench.close();
  });

  test('a ping goes out when nothing else has for the interval, and never reaches a tun', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0, { pingInterval: 10_000 });
    await bench.harness.advance(6_000);
    await bench.fromTun(answer);
    assert.deepEqual(bench.takeFor(remote), [[answer]]);
    await bench.harness.advance(9_000);
    assert.deepEqual(bench.link.takeSent(), []);
    await bench.harness.advance(1_100);
    assert.deepEqual(bench.takeFor(remote), [[pingPayload]]);
    await bench.harness.advance(10_100);
    assert.deepEqual(bench.takeFor(remote), [[pingPayload]]);
    const { tunRead } = bench.counters(remote);
    assert.equal(tunRead, answer.length, 'pings are not traffic');

    await bench.deliver(remote, remote.seal(pingPayload));
    assert.deepEqual(bench.tun.takeWritten(), []);
    assert.equal(bench.counters(remote).tunWritten, 0);
    await bench.close();
  });

  test('no ping without an interval or without a primary key', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0, { pingInterval: 1_000 });
    bench.addPeer(1);
    bench.harness.handle({ verb: 'delKey', peer: remote.peer, keyId: 0 });
    await bench.harness.advance(30_000);
    assert.deepEqual(bench.link.takeSent(), []);
    await bench.close();
  });

  test('a silent peer is reported once, and again after it was heard', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0, { pingTimeout: 30_000 });
    const timeout = { event: 'peerTimeout', peer: remote.peer };
    await bench.harness.advance(20_000);
    await bench.deliver(remote, remote.seal(pingPayload));
    await bench.harness.advance(29_000);
    assert.deepEqual(bench.harness.takeEvents(), []);
    await bench.harness.advance(1_100);
    assert.deepEqual(bench.harness.takeEvents(), [timeout]);
    await bench.harness.advance(90_000);
    assert.deepEqual(bench.harness.takeEvents(), []);

    await bench.deliver(remote, remote.seal(pingPayload));
    await bench.harness.advance(30_100);
    assert.deepEqual(bench.harness.takeEvents(), [timeout]);
    bench.harness.handle({ verb: 'touchPeer', peer: remote.peer });
    bench.harness.handle({ verb: 'setPeer', peer: remote.peer, settings: { pingTimeout: 5_000 } });
    await bench.harness.advance(5_100);
    assert.deepEqual(bench.harness.takeEvents(), [timeout]);
    await bench.close();
  });

  test('a control packet that control accepted is a sign of life; a forged data packet is none', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0, { pingTimeout: 10_000 });
    await bench.harness.advance(9_000);
    bench.harness.handle({ verb: 'touchPeer', peer: remote.peer });
    await bench.harness.advance(9_000);
    assert.deepEqual(bench.harness.takeEvents(), []);
    const forged = remote.seal(pingPayload);
    forged[8] = (forged[8] ?? 0) ^ 1;
    await bench.deliver(remote, forged);
    await bench.harness.advance(1_100);
    assert.deepEqual(bench.harness.takeEvents(), [{ event: 'peerTimeout', peer: remote.peer }]);
    await bench.close();
  });

  test('counters are exact in both directions', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    const sizes = [1, 60, 700, 1_400];
    const packets = sizes.map((size) =>
      ipv4Packet({ from: '10.8.0.2', to: '10.8.0.1', payload: new Uint8Array(size) }),
    );
    const answers = sizes.map((size) =>
      ipv4Packet({ from: '10.8.0.1', to: '10.8.0.2', payload: new Uint8Array(size) }),
    );
    const datagrams = packets.map((packet) => remote.seal(packet));
    await bench.deliver(remote, ...datagrams);
    await bench.fromTun(...answers);
    assert.deepEqual(bench.counters(remote), {
      linkRead: totalSize(datagrams),
      linkWritten: totalSize(bench.link.takeSent().map(({ bytes }) => bytes)),
      tunRead: totalSize(answers),
      tunWritten: totalSize(packets),
      packetsRead: 4,
      packetsWritten: 4,
      drops: {},
    });
    await bench.close();
  });

  test('a float is accepted after authentication only, reported, and before any later control packet', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    const moved = endpoint(200, 5_555);
    const forged = remote.seal(hello);
    forged[20] = (forged[20] ?? 0) ^ 1;
    bench.link.deliver(moved, forged);
    await bench.fromTun(answer);
    assert.deepEqual(bench.takeFor(remote), [[answer]], 'a forged packet moves nobody');

    const control = Uint8Array.of(0x20, 1, 2, 3);
    bench.link.deliver(moved, remote.seal(hello), control);
    await bench.harness.settle();
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    assert.deepEqual(bench.harness.takeEvents(), [
      { event: 'float', peer: remote.peer, to: moved, link: 1 },
      { event: 'control', link: 1, from: moved, bytes: control },
    ]);
    remote.address = moved;
    await bench.fromTun(answer);
    assert.deepEqual(bench.takeFor(remote), [[answer]]);
    await bench.close();
  });

  test('a replayed packet from elsewhere does not move the peer', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    const datagram = remote.seal(hello);
    await bench.deliver(remote, datagram);
    bench.link.deliver(endpoint(66), datagram);
    await bench.fromTun(answer);
    assert.deepEqual(bench.takeFor(remote), [[answer]]);
    assert.deepEqual(bench.harness.takeEvents(), []);
    await bench.close();
  });

  test('when another peer holds the address control decides, and the conflict is not reported with every packet', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    const holder = bench.addPeer(1);
    bench.link.deliver(holder.address, remote.seal(hello), remote.seal(hello));
    await bench.harness.settle();
    assert.deepEqual(bench.harness.takeEvents(), [
      { event: 'floatConflict', peer: remote.peer, to: holder.address, link: 1, holder: holder.peer },
    ]);
    assert.deepEqual(bench.tun.takeWritten(), []);
    bench.expectDrops(remote, { 'wrong-address': 2 });

    bench.harness.handle({ verb: 'delPeer', peer: holder.peer });
    bench.link.deliver(holder.address, remote.seal(hello));
    await bench.harness.settle();
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    await bench.close();
  });

  test('a peer that may not float is heard at its address only', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0, { float: false });
    bench.link.deliver(endpoint(77), remote.seal(hello));
    await bench.deliver(remote, remote.seal(hello));
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    assert.deepEqual(bench.harness.takeEvents(), []);
    bench.expectDrop('wrong-address', 1);
    await bench.close();
  });

  test('a peer may float to another link, and is answered there', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    const second = bench.harness.openLink(2);
    second.deliver(remote.address, remote.seal(hello));
    await bench.harness.settle();
    assert.deepEqual(bench.harness.takeEvents(), [{ event: 'float', peer: remote.peer, to: remote.address, link: 2 }]);
    await bench.fromTun(answer);
    assert.deepEqual(bench.link.takeSent(), []);
    assert.equal(second.takeSent().length, 1);
    await bench.close();
  });

  test('an accepted connection is a link of its own, and its peer does not float', async () => {
    const bench = new Bench(factory);
    const listener = bench.harness.openListener(9);
    const address = endpoint(50, 1_234);
    const connection = listener.connect(address);
    await bench.harness.settle();
    const [up] = bench.harness.takeEvents();
    assert(up?.event === 'linkUp');
    assert.deepEqual(up, { event: 'linkUp', link: up.link, listener: 9, remote: address });

    const remote = bench.addPeer(0, { link: up.link, remote: address });
    connection.deliver(address, remote.seal(hello));
    bench.link.deliver(endpoint(51), remote.seal(hello));
    const other = listener.connect(endpoint(52));
    other.deliver(endpoint(52), remote.seal(hello));
    await bench.fromTun(answer);
    assert.deepEqual(bench.tun.takeWritten().slice(1), [], 'only the connection speaks for the peer');
    assert.equal(connection.takeSent().length, 1);

    bench.harness.takeEvents();
    const reason = connection.fail('reset');
    // The end of the connection, before the packet that it would have carried.
    await bench.harness.settle();
    await bench.fromTun(answer);
    assert.deepEqual(bench.harness.takeEvents(), [{ event: 'linkDown', link: up.link, reason }]);
    bench.expectDrop('no-link', 1, remote);
    await bench.close();
  });

  test('control packets cross in both directions as they are', async () => {
    const bench = new Bench(factory);
    const from = endpoint(7);
    const random = new SeededRandom(1);
    for (const opcode of [0, 1, 2, 3, 4, 5, 7, 8, 10, 11, 31]) {
      const bytes = new Uint8Array(60);
      random.fill(bytes);
      bytes[0] = opcode << 3;
      bench.link.deliver(from, bytes);
      await bench.harness.settle();
      assert.deepEqual(bench.harness.takeEvents(), [{ event: 'control', link: 1, from, bytes }]);
      bench.harness.handle({ verb: 'sendControl', link: 1, to: from, bytes });
      await bench.harness.settle();
      assert.deepEqual(bench.link.takeSent(), [{ to: from, bytes }]);
    }
    bench.harness.handle({ verb: 'sendControl', link: 4, to: from, bytes: Uint8Array.of(0x20) });
    await bench.harness.settle();
    bench.expectDrop('no-link', 1);
    await bench.close();
  });

  test('a full queue of a link or the tun is a counted drop of that packet', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    bench.link.full = true;
    bench.tun.full = true;
    await bench.fromTun(answer);
    await bench.deliver(remote, remote.seal(hello));
    bench.expectDrops(remote, { 'link-full': 1, 'tun-full': 1 });
    bench.link.full = false;
    bench.tun.full = false;
    await bench.fromTun(answer);
    assert.deepEqual(bench.takeFor(remote), [[answer]]);
    await bench.close();
  });

  test('a closed link and a failed link carry nothing more; only the failure is reported', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    const second = bench.harness.openLink(2);
    bench.harness.closeLink(2);
    second.deliver(remote.address, remote.seal(hello));
    await bench.harness.settle();
    assert(second.closed);
    assert.deepEqual(bench.harness.takeEvents(), []);
    const reason = bench.link.fail('gone');
    await bench.harness.settle();
    assert.deepEqual(bench.harness.takeEvents(), [{ event: 'linkDown', link: 1, reason }]);
    await bench.deliver(remote, remote.seal(hello));
    assert.deepEqual(bench.tun.takeWritten(), []);
    await bench.close();
  });

  test('over a restart with the tun kept, packets are read, dropped and counted; then the tun goes on', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    bench.harness.handle({ verb: 'delPeer', peer: remote.peer });
    bench.harness.closeLink(1);
    await bench.fromTun(answer, answer);
    bench.expectDrop('no-route', 2);

    const link = bench.harness.openLink(2);
    bench.addPeer(0, { link: 2 }, 2);
    await bench.fromTun(answer);
    assert.equal(link.takeSent().length, 1);
    await bench.close();
  });

  test('the tun can be taken away, replaced, and lost', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    bench.harness.detachTun();
    await bench.deliver(remote, remote.seal(hello));
    assert(bench.tun.closed);
    bench.expectDrops(remote, { 'no-tun': 1 });

    const second = bench.harness.attachTun();
    const third = bench.harness.attachTun();
    await bench.deliver(remote, remote.seal(hello));
    assert(second.closed);
    assert.deepEqual(third.takeWritten(), [hello]);
    const reason = third.fail('removed');
    await bench.harness.settle();
    assert.deepEqual(bench.harness.takeEvents(), [{ event: 'tunDown', reason }]);
    await bench.close();
  });

  test('close ends everything it was given, and may be called again', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0, { pingInterval: 1_000, pingTimeout: 2_000 });
    await bench.close();
    await bench.close();
    assert(bench.link.closed);
    assert(bench.tun.closed);
    bench.harness.handle({ verb: 'swapKeys', peer: remote.peer, primary: 0 });
    await bench.deliver(remote, remote.seal(hello), Uint8Array.of(0x20));
    await bench.fromTun(answer);
    await bench.harness.advance(60_000);
    assert.deepEqual(bench.link.takeSent(), []);
    assert.deepEqual(bench.tun.takeWritten(), []);
    assert.deepEqual(bench.harness.takeEvents(), []);
  });

  test('no datagram, whatever it holds, throws, kills the channel or reaches the tun', async () => {
    const seed = 20_261_121;
    const random = new SeededRandom(seed);
    const bench = new Bench(factory);
    const remotes = [
      bench.addPeer(0),
      bench.addPeer(1, { fragmentSize: 600 }),
      bench.addPeer(2, { compression: 'stub' }),
    ];
    for (let i = 0; i < 2_000; i += 1) {
      const remote = remotes[random.below(3)] ?? remotes[0];
      assert(remote !== undefined);
      const genuine = remote.seal(hello);
      const hostile = random.chance(0.5)
        ? genuine.slice(0, random.below(genuine.length))
        : new Uint8Array(random.below(120));
      if (random.chance(0.5)) random.fill(hostile.subarray(random.below(hostile.length + 1)));
      if (random.chance(0.5) && hostile.length > 0) hostile[0] = (random.chance(0.8) ? 9 : 6) << 3;
      bench.link.deliver(random.chance(0.7) ? remote.address : endpoint(250), hostile);
    }
    await bench.harness.settle();
    assert.deepEqual(bench.tun.takeWritten(), [], `seed ${seed}`);
    const [remote] = remotes;
    assert(remote !== undefined);
    await bench.deliver(remote, remote.seal(hello));
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    await bench.close();
  });
}

function totalSize(arrays: readonly Uint8Array[]): number {
  return arrays.reduce((total, { length }) => total + length, 0);
}
