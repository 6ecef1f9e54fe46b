/** What stands around an IP packet inside the encryption: fragments, compression bytes, pings and messages, the MSS. */
import assert from 'node:assert/strict';

import { type DataKey, occMagic, pingPayload } from '@seikan/core';

import { ipv4Packet, tcpChecksum, tcpSyn } from '../packets.js';
import { Bench, dataKey, endpoint, type HarnessFactory, peerSettings, Remote, type Rule } from './harness.js';

const hello = ipv4Packet({ from: '10.8.0.2', to: '10.8.0.1' });

function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

export function payloadRules(factory: HarnessFactory, test: Rule): void {
  test('an OCC message goes to control without its magic, never to the tun; sendMessage puts the magic on', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0);
    await bench.deliver(remote, remote.seal(bytes(...occMagic, 6)));
    assert.deepEqual(bench.harness.takeEvents(), [{ event: 'message', peer: remote.peer, plaintext: bytes(6) }]);
    assert.deepEqual(bench.tun.takeWritten(), []);
    bench.harness.handle({ verb: 'sendMessage', peer: remote.peer, plaintext: bytes(0) });
    await bench.harness.settle();
    assert.deepEqual(bench.takeFor(remote), [[bytes(...occMagic, 0)]]);
    assert.equal(bench.counters(remote).tunRead, 0);
    await bench.close();
  });

  test('compression framing: what is sent, what is taken, what is refused', async () => {
    const marked = bytes(0x50, 0x77, ...hello);
    const swapped = bytes(0xfb, ...hello.subarray(1), hello[0] ?? 0);
    const cases = [
      { framing: 'none', sent: hello, taken: [hello], refused: [] },
      { framing: 'lzo-no', sent: bytes(0xfa, ...hello), taken: [bytes(0xfa, ...hello), swapped], refused: [hello] },
      { framing: 'stub', sent: swapped, taken: [swapped], refused: [bytes(0x00, ...hello)] },
      {
        framing: 'stub-v2',
        sent: hello,
        taken: [hello, bytes(0x50, 0, ...hello), bytes(0x50, 0x0a, ...hello)],
        refused: [marked],
      },
    ] as const;
    for (const { framing, sent, taken, refused } of cases) {
      const bench = new Bench(factory, { mode: 'p2p' });
      const remote = bench.addPeer(0, { compression: framing });
      await bench.fromTun(hello);
      assert.deepEqual(bench.takeFor(remote), [[sent]], framing);
      await bench.deliver(remote, ...[...taken, ...refused].map((plaintext) => remote.seal(plaintext)));
      assert.deepEqual(
        bench.tun.takeWritten(),
        taken.map(() => hello),
        framing,
      );
      if (refused.length > 0) bench.expectDrops(remote, { 'bad-compression': 1 });
      await bench.close();
    }
  });

  test('compressed packets are refused as such, and pings pass through the framing', async () => {
    const bench = new Bench(factory, { mode: 'p2p' });
    const remote = bench.addPeer(0, { compression: 'lzo-no', pingInterval: 5_000 });
    await bench.deliver(
      remote,
      remote.seal(bytes(0x66, 1, 2, 3)),
      remote.seal(bytes(0x69, 1, 2, 3)),
      remote.seal(bytes(0xfa)),
    );
    bench.expectDrops(remote, { compressed: 2, 'bad-packet': 1 });
    await bench.harness.advance(5_100);
    assert.deepEqual(bench.takeFor(remote), [[bytes(0xfa, ...pingPayload)]]);
    await bench.deliver(remote, remote.seal(bytes(0xfa, ...pingPayload)));
    assert.deepEqual(bench.tun.takeWritten(), []);
    await bench.close();
  });

  test('a stub-v2 payload that begins with 0x50 is escaped', async () => {
    const bench = new Bench(factory, { mode: 'p2p' });
    const remote = bench.addPeer(0, { compression: 'stub-v2' });
    const odd = bytes(0x50, 0x01, 0x02);
    await bench.fromTun(odd);
    assert.deepEqual(bench.takeFor(remote), [[bytes(0x50, 0x00, 0x50, 0x01, 0x02)]]);
    await bench.close();
  });

  test('fragment: a large packet leaves in pieces no larger than asked, and pieces in any order make it whole', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0, { fragmentSize: 500 });
    const large = ipv4Packet({
      from: '10.8.0.1',
      to: '10.8.0.2',
      payload: Uint8Array.from({ length: 1_379 }, (_, i) => i & 0xff),
    });
    await bench.fromTun(large);
    const [pieces = []] = bench.takeFor(remote);
    assert(pieces.length === 3 && pieces.every((piece) => typeof piece === 'object' && piece.length <= 500));
    assert.equal(bench.counters(remote).packetsWritten, 3);
    assert.equal(bench.counters(remote).tunRead, large.length);

    // By hand: 3 pieces of 16 bytes and one of 8; header = size/4 << 15 (last only) | n << 10 | sequence << 2 | type.
    const small = ipv4Packet({ from: '10.8.0.2', to: '10.8.0.1', payload: new Uint8Array(36).fill(9) });
    const parts = [
      bytes(...head((7 << 2) | 1), ...small.subarray(0, 16)),
      bytes(...head((1 << 10) | (7 << 2) | 1), ...small.subarray(16, 32)),
      bytes(...head((2 << 10) | (7 << 2) | 1), ...small.subarray(32, 48)),
      bytes(...head((4 << 15) | (3 << 10) | (7 << 2) | 2), ...small.subarray(48)),
    ];
    const order = [2, 0, 3];
    await bench.deliver(remote, ...order.map((n) => remote.seal(parts[n] ?? bytes())));
    assert.deepEqual(bench.tun.takeWritten(), []);
    await bench.deliver(remote, remote.seal(parts[1] ?? bytes()));
    assert.deepEqual(bench.tun.takeWritten(), [small]);

    await bench.deliver(
      remote,
      remote.seal(bytes(...head(0), ...hello)),
      remote.seal(bytes(...head(3), ...hello)),
      remote.seal(bytes(0)),
    );
    assert.deepEqual(bench.tun.takeWritten(), [hello]);
    bench.expectDrops(remote, { 'bad-fragment': 2 });
    await bench.close();
  });

  test('fragment: what a client has cut and another gets is whole, however small, under every framing', async () => {
    for (const compression of ['none', 'lzo-no', 'stub', 'stub-v2'] as const)
      for (const size of [12, 2_028]) {
        const bench = new Bench(factory, { clientToClient: true });
        const a = bench.addPeer(0, { fragmentSize: 1_200 });
        const b = bench.addPeer(1, { fragmentSize: 1_200, compression });
        const packet = ipv4Packet({ from: '10.8.0.2', to: '10.8.0.3', payload: new Uint8Array(size).fill(9) });
        const half = packet.length / 2;
        await bench.deliver(
          a,
          a.seal(bytes(...head((7 << 2) | 1), ...packet.subarray(0, half))),
          a.seal(bytes(...head(((half / 4) << 15) | (1 << 10) | (7 << 2) | 2), ...packet.subarray(half))),
        );
        const [, pieces = []] = bench.takeFor(a, b);
        const got = pieces.flatMap((piece): unknown[] =>
          typeof piece === 'object' ? Array.from(piece.subarray(4)) : [piece],
        );
        const framed = {
          none: [...packet],
          'lzo-no': [0xfa, ...packet],
          stub: [0xfb, ...packet.subarray(1), packet[0]],
          'stub-v2': [...packet],
        };
        assert.deepEqual(got, framed[compression], `${compression}, ${size}`);
        await bench.close();
      }
  });

  test('a packet that would need more than 32 fragments is a counted drop', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0, { fragmentSize: 36 });
    await bench.fromTun(ipv4Packet({ from: '10.8.0.1', to: '10.8.0.2', payload: new Uint8Array(1_100) }));
    assert.deepEqual(bench.link.takeSent(), []);
    bench.expectDrops(remote, { 'too-many-fragments': 1 });
    await bench.close();
  });

  test('mssfix: the MSS of SYNs is lowered in both directions, 20 less on IPv6, and the checksum stays right', async () => {
    const bench = new Bench(factory);
    const remote = bench.addPeer(0, { mssClamp: 1_300 });
    const ends = [
      { from: '10.8.0.1', to: '10.8.0.2', header: 20, expected: 1_300 },
      { from: 'fd00::1', to: 'fd00::2', header: 40, expected: 1_280 },
    ];
    for (const { from, to, header, expected } of ends) {
      for (const padding of [0, 1, 2, 3]) {
        await bench.fromTun(tcpSyn({ from, to, mss: 1_460, padding }));
        await bench.deliver(remote, remote.seal(tcpSyn({ from: to, to: from, mss: 1_460, padding })));
        const [sent = []] = bench.takeFor(remote);
        for (const packet of [sent[0], bench.tun.takeWritten()[0]]) {
          assert(typeof packet === 'object');
          const at = header + 20 + padding + 2;
          assert.equal(((packet[at] ?? 0) << 8) | (packet[at + 1] ?? 0), expected);
          assert.equal(tcpChecksum(from, to, packet.slice(header)), 0);
        }
      }
    }
    const low = tcpSyn({ from: '10.8.0.1', to: '10.8.0.2', mss: 536 });
    await bench.fromTun(low);
    assert.deepEqual(bench.takeFor(remote), [[low]]);
    await bench.close();
  });

  test('every format carries packets between two channels: AEAD, epoch, CBC, CFB, OFB, without cipher, without HMAC', async () => {
    // The overhead that the layouts of engine table 7.3 to 7.7 give for 28 + 8 bytes of plaintext.
    const cases: [DataKey, number][] = [
      [aead('AES-128-GCM', 16), 24],
      [aead('AES-192-GCM', 24), 24],
      [aead('AES-256-GCM', 32), 24],
      [aead('CHACHA20-POLY1305', 32), 24],
      [epoch('AES-256-GCM'), 28],
      [epoch('CHACHA20-POLY1305'), 28],
      [block('AES-256-CBC', 32, 'SHA256', 32), 4 + 32 + 16 + 4 + 16],
      [block('AES-128-CBC', 16, 'SHA1', 20), 4 + 20 + 16 + 4 + 16],
      [block('AES-256-CBC', 32, 'none', 0), 4 + 16 + 4 + 16],
      [block('AES-256-CFB', 32, 'SHA512', 64), 4 + 64 + 16],
      [block('AES-256-OFB', 32, 'SHA256', 32), 4 + 32 + 16],
      [block('none', 0, 'SHA256', 32), 4 + 32 + 4],
      [block('none', 0, 'none', 0), 4 + 4],
    ];
    const packet = ipv4Packet({ from: '10.8.0.2', to: '10.8.0.1', payload: new Uint8Array(8) });
    for (const [key, overhead] of cases) {
      const label = `${key.format} ${key.cipher} ${key.digest}`;
      const mirrored = { ...key, send: key.receive, receive: key.send };
      const [a, b] = [key, mirrored].map((own) => {
        const bench = new Bench(factory, { mode: 'p2p', maxPeers: 1 });
        const peer = { index: 0, generation: 1 };
        bench.harness.handle({ verb: 'newPeer', peer, settings: { ...peerSettings, remote: endpoint(1) } });
        bench.harness.handle({ verb: 'newKey', peer, keyId: 3, key: own });
        bench.harness.handle({ verb: 'swapKeys', peer, primary: 3 });
        return bench;
      });
      assert(a !== undefined && b !== undefined);
      for (let round = 0; round < 3; round += 1) {
        await a.fromTun(packet);
        const datagrams: Uint8Array[] = a.link.takeSent().map((sent) => sent.bytes);
        assert.deepEqual(
          datagrams.map(({ length }) => length - packet.length),
          [overhead - paddingOf(key, packet.length)],
          label,
        );
        await b.deliver(new Remote({ index: 0, generation: 1 }, endpoint(1)), ...datagrams, ...datagrams);
        assert.deepEqual(b.tun.takeWritten(), [packet], label);
      }
      assert.deepEqual(b.harness.readCounters({ index: 0, generation: 1 })?.drops, { replay: 3 }, label);
      await a.close();
      await b.close();
    }
  });
}

/** A 32-bit number in network order. */
function head(word: number): number[] {
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255];
}

function block(cipher: string, keySize: number, digest: string, authSize: number): DataKey {
  return {
    ...dataKey(1),
    format: 'block',
    cipher,
    digest,
    send: { cipher: secret(keySize, 1), auth: secret(authSize, 2) },
    receive: { cipher: secret(keySize, 3), auth: secret(authSize, 4) },
  };
}

function aead(cipher: string, keySize: number): DataKey {
  return {
    ...dataKey(1),
    cipher,
    send: { cipher: secret(keySize, 1), auth: secret(8, 2) },
    receive: { cipher: secret(keySize, 3), auth: secret(8, 4) },
  };
}

function epoch(cipher: string): DataKey {
  return {
    ...aead(cipher, 32),
    format: 'epoch',
    send: { cipher: secret(32, 1), auth: bytes() },
    receive: { cipher: secret(32, 3), auth: bytes() },
  };
}

function secret(size: number, fill: number): Uint8Array {
  return new Uint8Array(size).fill(fill);
}

/** CBC fills up to the next block; the table above counts a whole one. */
function paddingOf({ cipher }: DataKey, length: number): number {
  return cipher.endsWith('CBC') ? (length + 4) % 16 : 0;
}
