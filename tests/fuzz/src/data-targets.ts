/** The parsers of the data channel: datagrams in each format, plaintexts behind them, the TCP-independent parts alone. */
import assert from 'node:assert/strict';

import {
  AeadOpener,
  AeadSealer,
  BlockOpener,
  type BlockOptions,
  BlockSealer,
  clampMss,
  concatBytes,
  type DataOpener,
  type DataSealer,
  EpochOpener,
  EpochSealer,
  Fragmenter,
  frameUncompressed,
  Packet,
  packetOf,
  Reassembler,
  unframe,
} from '@seikan/core';
import { createCrypto } from '@seikan/native';
import { ethernetFrame, inlineHarness, ipv4Packet, ipv6Packet, tcpSyn } from '@seikan/testkit';

import type { FuzzTarget } from './fuzz.js';

const crypto = createCrypto();
const replay = { size: 64, time: 15_000 };
const header = Uint8Array.of(0x48, 0, 0, 0);

function cipherOf(name: string) {
  const cipher = crypto.cipher(name);
  if (cipher === undefined) throw new Error(`no ${name}`);
  return cipher;
}

interface Ends {
  readonly sealer: DataSealer;
  readonly opener: DataOpener;
}

function aead(): Ends {
  const key = { cipher: new Uint8Array(32).fill(1), auth: new Uint8Array(8).fill(2) };
  const cipher = cipherOf('AES-256-GCM');
  return { sealer: new AeadSealer(crypto, cipher, key), opener: new AeadOpener(crypto, cipher, key, replay) };
}

function epoch(): Ends {
  const [cipher, secret] = [cipherOf('AES-256-GCM'), new Uint8Array(32).fill(1)];
  const sealer = new EpochSealer(crypto, cipher, secret);
  return { sealer, opener: new EpochOpener(crypto, cipher, secret, replay, sealer) };
}

/** `salt` keeps the keys of the formats apart: one HMAC key for two of them would make their packets interchangeable. */
function block(salt: number, options: Partial<BlockOptions>): Ends {
  const all: BlockOptions = {
    crypto,
    cipher: cipherOf('AES-256-CBC'),
    digest: 'SHA256',
    key: { cipher: new Uint8Array(32).fill(1), auth: new Uint8Array(32).fill(salt) },
    longPacketId: false,
    ...options,
  };
  return {
    sealer: new BlockSealer(
      all,
      (into) => into.fill(9),
      () => 1_800_000_000,
    ),
    opener: new BlockOpener(all, replay),
  };
}

const formats: readonly (() => Ends)[] = [
  aead,
  epoch,
  () => block(3, {}),
  () => block(4, { longPacketId: true }),
  () => block(5, { cipher: cipherOf('AES-256-CFB') }),
  () => block(6, { cipher: 'none' }),
  () => block(7, { cipher: 'none', digest: 'none' }),
];

const plaintext = Uint8Array.from({ length: 40 }, (_, i) => i);

function seal(sealer: DataSealer, content: Uint8Array): Uint8Array {
  const packet = packetOf(content.length);
  packet.load(content);
  assert(sealer.seal(packet, header));
  return packet.view().slice();
}

/** The first byte chooses the format. A genuine datagram opens to what was sealed, once; damaged ones never open where there is a MAC. */
const datagram: FuzzTarget = {
  name: 'data-packet',
  seeds: () => formats.map((make, i) => concatBytes(Uint8Array.of(i), seal(make().sealer, plaintext))),
  run(input) {
    const index = (input[0] ?? 0) % formats.length;
    const { sealer, opener } = (formats[index] ?? aead)();
    const genuine = seal(sealer, plaintext);
    const body = input.slice(1);
    const same = body.length === genuine.length && body.every((byte, i) => byte === genuine[i]);
    const packet = new Packet(body.slice());
    const drop = opener.open(packet, header.length, 0);
    assert(packet.start >= 0 && packet.start <= packet.end && packet.end <= body.length);
    if (drop === undefined) {
      const authentic = index !== formats.length - 1;
      // The header is under the MAC of AEAD only.
      if (authentic) assert.deepEqual(packet.view(), plaintext);
      assert.equal(opener.open(new Packet(body.slice()), header.length, 0), 'replay');
    } else assert(!same, drop);
    return `format ${index}: ${drop ?? 'opened'}`;
  },
};

/** A byte of length before each fragment. */
const fragments: FuzzTarget = {
  name: 'data-fragments',
  seeds: () => {
    const fragmenter = new Fragmenter();
    const cut = fragmenter.cut(plaintext.length, 20);
    assert(cut !== undefined);
    const pieces = Array.from({ length: cut.count }, (_, n) => {
      const piece = packetOf(cut.size);
      piece.load(plaintext.subarray(n * cut.size, (n + 1) * cut.size));
      fragmenter.prepend(piece, cut, n);
      return concatBytes(Uint8Array.of(piece.length), piece.view());
    });
    return [concatBytes(...pieces), Uint8Array.of(6, 0, 0, 0, 0, 1, 2), Uint8Array.of(4, 0, 0, 0, 3)];
  },
  run(input) {
    const reassembler = new Reassembler();
    let [whole, more, bad] = [0, 0, 0];
    for (let at = 0; at < input.length; ) {
      const length = input[at] ?? 0;
      const packet = new Packet(input.slice(at + 1, at + 1 + length));
      at += 1 + length;
      const result = reassembler.take(packet, at);
      if (result === true) {
        whole += 1;
        assert(packet.length <= 0x1_0000 && packet.end <= packet.bytes.length);
      } else if (result === false) more += 1;
      else bad += 1;
    }
    return `${Math.min(whole, 2)} whole, ${Math.min(more, 4)} more, ${Math.min(bad, 2)} bad`;
  },
};

const framings = ['none', 'lzo-no', 'stub', 'stub-v2'] as const;

/** The first byte chooses the framing. What can be framed comes out as it went in. */
const compression: FuzzTarget = {
  name: 'data-compression',
  seeds: () =>
    [0x50, 0xfa, 0xfb, 0x66, 0x45].flatMap((byte) => framings.map((_, i) => Uint8Array.of(i, byte, 0, 1, 2))),
  run(input) {
    const framing = framings[(input[0] ?? 0) & 3] ?? 'none';
    const body = input.subarray(1);
    const packet = new Packet(body.slice());
    const drop = unframe(packet, framing);
    assert(packet.length >= 0 && packet.length <= body.length);
    if (body.length > 0) {
      const framed = packetOf(body.length);
      framed.load(body);
      frameUncompressed(framed, framing);
      assert.equal(unframe(framed, framing), undefined);
      assert.deepEqual(framed.view(), body);
    }
    return `${framing}: ${drop ?? `${body.length - packet.length} bytes off`}`;
  },
};

/** Only the MSS and the checksum of a SYN change, and a second clamp finds nothing left to do. */
const mss: FuzzTarget = {
  name: 'data-mss',
  seeds: () =>
    [0, 1, 2].flatMap((padding) => [
      tcpSyn({ from: '10.0.0.1', to: '10.0.0.2', mss: 1_460, padding }),
      tcpSyn({ from: 'fd00::1', to: 'fd00::2', mss: 1_460, padding }),
    ]),
  run(input) {
    const slab = concatBytes(new Uint8Array(8), input, new Uint8Array(8));
    const changed = clampMss(slab, 8, 8 + input.length, 1_300);
    assert(
      slab.subarray(0, 8).every((byte) => byte === 0) && slab.subarray(8 + input.length).every((byte) => byte === 0),
    );
    const different = input.reduce((count, byte, i) => count + Number(slab[8 + i] !== byte), 0);
    assert(changed || different === 0);
    const again = slab.slice();
    assert.equal(clampMss(again, 8, 8 + input.length, 1_300), false);
    return `${(input[0] ?? 0) >>> 4 === 6 ? 'IPv6' : 'other'} ${changed ? `${Math.min(different, 4)} bytes` : 'as it was'}`;
  },
};

const peerSettings = {
  link: 1,
  remote: { family: 4, address: '192.0.2.1', port: 1_194 },
  sendPeerId: 0,
  receivePeerId: 0,
  float: true,
  pingInterval: 0,
  pingTimeout: 0,
  mssClamp: 1_300,
  fragmentSize: 0,
  compression: 'none',
  guardRecursion: false,
  blockIpv6: true,
} as const;

/** What an authenticated but hostile client can put inside. The first byte chooses tun or tap; nothing with a foreign source gets through. */
const inside: FuzzTarget = {
  name: 'data-plaintext',
  seeds: () => [
    concatBytes(Uint8Array.of(0), ipv4Packet({ from: '10.8.0.2', to: '10.8.0.1' })),
    concatBytes(Uint8Array.of(0), ipv4Packet({ from: '10.8.0.2', to: '224.0.0.1' })),
    concatBytes(Uint8Array.of(0), ipv4Packet({ from: '10.8.0.9', to: '10.8.0.1' })),
    concatBytes(Uint8Array.of(0), tcpSyn({ from: '10.8.0.2', to: '10.8.0.1', mss: 1_460 })),
    concatBytes(Uint8Array.of(0), ipv6Packet({ from: 'fd00::2', to: 'fd00::1' })),
    concatBytes(Uint8Array.of(0), ipv6Packet({ from: 'fe80::2', to: 'ff02::1' })),
    concatBytes(Uint8Array.of(1), ethernetFrame({ from: '02:00:00:00:00:01', to: 'ff:ff:ff:ff:ff:ff' })),
    concatBytes(Uint8Array.of(1), ethernetFrame({ from: '02:00:00:00:00:01', to: '02:00:00:00:00:02', type: 0x86dd })),
  ],
  run(input) {
    const device = ((input[0] ?? 0) & 1) === 0 ? 'tun' : 'tap';
    const harness = inlineHarness({
      mode: 'server',
      device,
      maxPeers: 1,
      clientToClient: true,
      maxLearned: 1,
      asksToLearn: false,
    });
    const link = harness.openLink(1);
    const tun = harness.attachTun();
    const peer = { index: 0, generation: 1 };
    const key = { cipher: new Uint8Array(32).fill(1), auth: new Uint8Array(8).fill(2) };
    const cipher = cipherOf('AES-256-GCM');
    harness.handle({ verb: 'newPeer', peer, settings: peerSettings });
    harness.handle({
      verb: 'newKey',
      peer,
      keyId: 0,
      key: {
        format: 'aead',
        cipher: 'AES-256-GCM',
        digest: 'none',
        send: key,
        receive: key,
        replayWindow: 64,
        replayTime: 15_000,
        longPacketId: false,
      },
    });
    harness.handle({ verb: 'swapKeys', peer, primary: 0 });
    harness.handle({ verb: 'addRoute', peer, route: { family: 4, network: Uint8Array.of(10, 8, 0, 2), bits: 32 } });
    harness.handle({ verb: 'addRoute', peer, route: { family: 6, network: ipv6Source, bits: 128 } });
    link.deliver(peerSettings.remote, seal(new AeadSealer(crypto, cipher, key), input.subarray(1)));
    const written = tun.takeWritten();
    for (const packet of written) {
      if (device === 'tun') assert.deepEqual([...packet.subarray(12, 16)], [10, 8, 0, 2]);
      else assert(((packet[6] ?? 0) & 1) === 0);
    }
    const drops = Object.keys(harness.readCounters(peer)?.drops ?? {});
    return `${device}: ${[...drops, `${written.length} written`, `${link.takeSent().length} sent`].join(', ')}`;
  },
};

const ipv6Source = Uint8Array.of(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);

export const dataTargets: readonly FuzzTarget[] = [datagram, fragments, compression, mss, inside];
