/** One installed key of a peer: both directions, the header of its packets, and the limits that were already reported. */
import {
  AeadOpener,
  AeadSealer,
  BlockOpener,
  BlockSealer,
  type Crypto,
  cipherOrNone,
  type DataKey,
  type DataOpener,
  type DataSealer,
  EpochOpener,
  EpochSealer,
  firstByte,
  type KeyId,
  type KeyLimit,
  Opcode,
  type PeerId,
  type RandomFill,
  type UnixSeconds,
} from '@seikan/core';

import type { Peer } from './peer.js';

/** What sealing needs from outside. */
export interface KeyPorts {
  readonly crypto: Crypto;
  readonly random: RandomFill;
  readonly unixTime: () => UnixSeconds;
}

export class KeySlot {
  readonly peer: Peer;
  readonly keyId: KeyId;
  readonly sealer: DataSealer;
  readonly opener: DataOpener;
  /** In front of every datagram under this key. */
  header: Uint8Array = new Uint8Array(0);
  /** The peer has sent something under this key. */
  confirmed = false;
  wiped = false;
  #reportedSend: KeyLimit | undefined;
  #reportedReceive: KeyLimit | undefined;

  /** Copies the key. Throws when the cipher or digest does not exist here: control has negotiated what it did not check. */
  constructor(peer: Peer, keyId: KeyId, key: DataKey, ports: KeyPorts) {
    this.peer = peer;
    this.keyId = keyId;
    const { sealer, opener } = directions(key, ports);
    this.sealer = sealer;
    this.opener = opener;
  }

  /** The limits reached since the last call; for a check right after each packet. */
  takeLimit(): KeyLimit | undefined {
    const { sealer, opener } = this;
    if (sealer.limit !== this.#reportedSend) {
      this.#reportedSend = sealer.limit;
      return sealer.limit;
    }
    if (opener.limit !== this.#reportedReceive) {
      this.#reportedReceive = opener.limit;
      return opener.limit;
    }
    return undefined;
  }

  wipe(): void {
    this.wiped = true;
    this.sealer.wipe();
    this.opener.wipe();
  }
}

export function dataHeader(keyId: KeyId, sendPeerId: PeerId | undefined): Uint8Array {
  if (sendPeerId === undefined) return Uint8Array.of(firstByte(Opcode.dataV1, keyId));
  return Uint8Array.of(firstByte(Opcode.dataV2, keyId), sendPeerId >>> 16, sendPeerId >>> 8, sendPeerId);
}

function directions(key: DataKey, ports: KeyPorts): { sealer: DataSealer; opener: DataOpener } {
  const { crypto, random, unixTime } = ports;
  const replay = { size: key.replayWindow, time: key.replayTime };
  const cipher = crypto.cipher(key.cipher);
  switch (key.format) {
    case 'aead': {
      if (cipher?.mode !== 'aead') throw new Error(`no AEAD cipher ${key.cipher}`);
      return {
        sealer: new AeadSealer(crypto, cipher, key.send),
        opener: new AeadOpener(crypto, cipher, key.receive, replay),
      };
    }
    case 'epoch': {
      if (cipher?.mode !== 'aead') throw new Error(`no AEAD cipher ${key.cipher}`);
      const sealer = new EpochSealer(crypto, cipher, key.send.cipher);
      return { sealer, opener: new EpochOpener(crypto, cipher, key.receive.cipher, replay, sealer) };
    }
    case 'block': {
      const block = cipherOrNone(crypto, key.cipher);
      if (block === undefined || (block !== 'none' && block.mode === 'aead'))
        throw new Error(`no cipher ${key.cipher}`);
      const common = { crypto, cipher: block, digest: key.digest, longPacketId: key.longPacketId };
      return {
        sealer: new BlockSealer({ ...common, key: key.send }, random, unixTime),
        opener: new BlockOpener({ ...common, key: key.receive }, replay),
      };
    }
    default:
      return key.format satisfies never;
  }
}
