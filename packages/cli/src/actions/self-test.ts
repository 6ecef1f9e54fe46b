/**
 * `--test-crypto`: seals and opens packets of every length with the configured static key, cipher and digest.
 * upstream: init.c `do_test_crypto`, crypto.c `test_crypto` (2.6).
 */
import { randomFillSync } from 'node:crypto';

import {
  AeadOpener,
  AeadSealer,
  BlockOpener,
  BlockSealer,
  cipherOrNone,
  type DataOpener,
  type DataSealer,
  deriveDataKey,
  packetOf,
  wipeDataKey,
} from '@seikan/core';
import type { Options } from '@seikan/engine';
import { createCrypto } from '@seikan/native';
import { MaterialError, readStaticKey } from '@seikan/runtime';

/** What the longest packet carries beside the tun's MTU, as upstream reckons it. */
const LONGEST = 1_768;

/** `say` is called before each length. Throws a MaterialError at the first packet that does not come back as it was. */
export function testCrypto(options: Options, say: (line: string) => void): void {
  const { seal, open } = directions(options);
  say('Entering OpenVPN crypto self-test mode.');
  const packet = packetOf(LONGEST);
  const header = new Uint8Array(0);
  for (let length = 1; length <= LONGEST; length += 1) {
    say(`TESTING ENCRYPT/DECRYPT of packet length=${length}`);
    const content = randomFillSync(new Uint8Array(length));
    packet.load(content);
    const sealed = seal.seal(packet, header);
    const drop = sealed ? open.open(packet, 0, 0) : 'not sealed';
    if (drop !== undefined || Buffer.compare(packet.view(), content) !== 0)
      throw new MaterialError(`SELF TEST FAILED, packet length=${length}: ${drop ?? 'it came back changed'}`);
  }
  say('OpenVPN crypto self-test mode SUCCEEDED.');
  seal.wipe();
  open.wipe();
}

function directions({ data }: Options): { seal: DataSealer; open: DataOpener } {
  if (data.secret === undefined) throw new TypeError('a self-test without a key');
  const crypto = createCrypto();
  const cipher = cipherOrNone(crypto, data.cipher);
  if (cipher === undefined) throw new MaterialError(`Cipher ${data.cipher} not supported`);
  const material = readStaticKey(data.secret.key, 'secret');
  const replay = { size: data.replayWindow, time: data.replayTime * 1000 };
  const key = deriveDataKey({
    crypto,
    material,
    // Both ends are this one: what it sends it must be able to receive.
    direction: 'bidirectional',
    cipher,
    digest: data.auth,
    epoch: false,
    replayWindow: replay.size,
    replayTime: replay.time,
    longPacketId: false,
  });
  material.fill(0);
  const block = { crypto, cipher, digest: data.auth, longPacketId: false };
  const pair =
    cipher !== 'none' && cipher.mode === 'aead'
      ? { seal: new AeadSealer(crypto, cipher, key.send), open: new AeadOpener(crypto, cipher, key.receive, replay) }
      : {
          seal: new BlockSealer({ ...block, key: key.send }, randomFillSync, () => Math.floor(Date.now() / 1000)),
          open: new BlockOpener({ ...block, key: key.receive }, replay),
        };
  wipeDataKey(key);
  return pair;
}
