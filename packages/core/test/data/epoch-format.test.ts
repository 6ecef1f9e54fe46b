import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { createCrypto } from '@seikan/native';

import { epochHard, epochSoft } from '#src/data/data-format.js';
import { EPOCH_SOFT, EpochOpener, EpochSealer, FUTURE_EPOCHS, LAST_EPOCH } from '#src/data/epoch-format.js';
import { Packet, packetOf } from '#src/data/packet.js';

const crypto = createCrypto();
const replay = { size: 64, time: 15_000 };
const header = Uint8Array.of(0x48, 0, 0, 1);

function cipherOf(name: string) {
  const cipher = crypto.cipher(name);
  assert(cipher !== undefined);
  return cipher;
}

const cipher = cipherOf('AES-256-GCM');
const [forth, back] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];

/** Two ends; `usageLimit` makes epochs short. */
function pair(usageLimit?: number) {
  const sealer = new EpochSealer(crypto, cipher, forth, usageLimit);
  const ownSealer = new EpochSealer(crypto, cipher, back);
  const opener = new EpochOpener(crypto, cipher, forth, replay, ownSealer);
  return { sealer, opener, ownSealer };
}

function seal(sealer: EpochSealer, size = 16): Uint8Array {
  const packet = packetOf(size);
  packet.load(new Uint8Array(size).fill(7));
  assert(sealer.seal(packet, header));
  return packet.view().slice();
}

function open(opener: EpochOpener, datagram: Uint8Array) {
  return opener.open(new Packet(datagram.slice()), header.length, 0);
}

const epochIn = (datagram: Uint8Array) => ((datagram[4] ?? 0) << 8) | (datagram[5] ?? 0);
const counterIn = (datagram: Uint8Array) => Buffer.from(datagram.subarray(6, 12)).readUIntBE(0, 6);

suite('epoch data format', () => {
  test('the sender goes to the next epoch at the usage limit and counts from 1 again', () => {
    const { sealer, opener } = pair(8);
    // Each packet of 16 bytes is one packet and one block: fewer than 8 of both makes 3 packets an epoch.
    const datagrams = Array.from({ length: 10 }, () => seal(sealer));
    assert.deepEqual(datagrams.map(epochIn), [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]);
    assert.deepEqual(datagrams.map(counterIn), [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]);
    for (const datagram of datagrams) assert.equal(open(opener, datagram), undefined);
  });

  test('an authentic packet of a later epoch moves the receiver, and with it what we send', () => {
    const { sealer, opener, ownSealer } = pair();
    sealer.raise(5);
    assert.equal(open(opener, seal(sealer)), undefined);
    assert.equal(opener.epoch, 5);
    assert.equal(ownSealer.epoch, 5);
    assert.deepEqual([epochIn(seal(ownSealer)), counterIn(seal(ownSealer))], [5, 2]);
    sealer.raise(3);
    assert.equal(sealer.epoch, 5, 'never down');
  });

  test('the epoch before the current one still opens, once a packet, and older ones do not', () => {
    const { sealer, opener } = pair();
    const first = seal(sealer);
    const late = seal(sealer);
    sealer.raise(2);
    const second = seal(sealer);
    sealer.raise(3);
    const third = seal(sealer);
    assert.equal(open(opener, first), undefined);
    assert.equal(open(opener, second), undefined);
    assert.equal(open(opener, late), undefined, 'the retiring key');
    assert.equal(open(opener, late), 'replay');
    assert.equal(open(opener, third), undefined);
    assert.equal(open(opener, late), 'bad-epoch', 'two epochs back');
  });

  test('epochs that were jumped over are gone', () => {
    const { sealer, opener } = pair();
    sealer.raise(2);
    const second = seal(sealer);
    sealer.raise(4);
    assert.equal(open(opener, seal(sealer)), undefined);
    assert.equal(open(opener, second), 'bad-epoch');
  });

  test('the future is bounded, and a forged epoch moves nothing', () => {
    const { sealer, opener, ownSealer } = pair();
    const genuine = seal(sealer);
    for (let epoch = 0; epoch <= 0xffff; epoch += 1) {
      if (epoch === 1) continue;
      const forged = genuine.slice();
      forged[4] = epoch >>> 8;
      forged[5] = epoch & 0xff;
      const expected = epoch > 1 && epoch <= 1 + FUTURE_EPOCHS ? 'bad-auth' : 'bad-epoch';
      assert.equal(open(opener, forged), expected, `epoch ${epoch}`);
    }
    assert.deepEqual([opener.epoch, ownSealer.epoch], [1, 1]);
    assert.equal(open(opener, genuine), undefined);
    sealer.raise(2 + FUTURE_EPOCHS);
    assert.equal(open(opener, seal(sealer)), 'bad-epoch');
    const edge = pair();
    edge.sealer.raise(1 + FUTURE_EPOCHS);
    assert.equal(open(edge.opener, seal(edge.sealer)), undefined);
  });

  test('near the last epoch both directions say so; past it nothing is sealed', () => {
    const { sealer, opener } = pair(3);
    sealer.raise(EPOCH_SOFT - 1);
    assert.equal(sealer.limit, undefined);
    sealer.raise(EPOCH_SOFT);
    assert.equal(sealer.limit, epochSoft);
    sealer.raise(LAST_EPOCH);
    seal(sealer);
    const packet = packetOf(16);
    packet.load(new Uint8Array(16));
    assert.equal(sealer.seal(packet, header), false);
    assert.equal(sealer.limit, epochHard);
    assert.equal(opener.limit, undefined);
  });

  test('a receiver that is led through all epochs reports the end', () => {
    const { sealer, opener } = pair();
    for (let epoch = 1; epoch < EPOCH_SOFT; epoch += FUTURE_EPOCHS) {
      sealer.raise(epoch);
      assert.equal(open(opener, seal(sealer)), undefined);
    }
    assert.equal(opener.limit, undefined);
    sealer.raise(EPOCH_SOFT);
    assert.equal(open(opener, seal(sealer)), undefined);
    assert.equal(opener.limit, epochSoft);
  });

  test('a truncated or corrupted packet does not open', () => {
    const { sealer, opener } = pair();
    const datagram = seal(sealer);
    for (let length = 0; length < datagram.length; length += 1) {
      assert.match(open(opener, datagram.subarray(0, length)) ?? 'opened', /^(too-short|bad-auth)$/);
    }
    for (let i = 0; i < datagram.length; i += 1) {
      const corrupted = datagram.slice();
      corrupted[i] = (corrupted[i] ?? 0) ^ 0x80;
      assert.match(open(opener, corrupted) ?? 'opened', /^bad-(auth|epoch)$/, `byte ${i}`);
    }
    assert.equal(open(opener, datagram), undefined);
  });
});
