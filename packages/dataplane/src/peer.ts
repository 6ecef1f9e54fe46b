/** One peer as the data channel knows it: where it is, its keys, its timers. Plain fields, read on the packet path. */
import {
  type Endpoint,
  Fragmenter,
  type KeyId,
  type LinkId,
  type Millis,
  type PeerRef,
  type PeerRoute,
  type PeerSettings,
  Reassembler,
} from '@seikan/core';
import { addressBytes } from '@seikan/native';

import type { CounterRow } from './counters.js';
import type { KeySlot } from './key-slot.js';

/** One for each key id. */
const NO_KEYS: readonly undefined[] = Array.from({ length: 8 });

export class Peer {
  readonly ref: PeerRef;
  settings: PeerSettings;
  readonly counters: CounterRow;

  /** By key id. */
  readonly slots: (KeySlot | undefined)[] = NO_KEYS.slice();
  /** What is sent is sealed under this one. */
  primary: KeySlot | undefined;

  lastSent: Millis;
  lastHeard: Millis;
  /** `peerTimeout` was reported and the peer has been silent since. */
  timedOut = false;

  readonly fragmenter = new Fragmenter();
  readonly reassembler = new Reassembler();

  /** What the internal multiplexer holds for this peer, so that it can be taken out again. */
  readonly routes = new Map<string, PeerRoute>();
  readonly macs = new Set<number>();
  /** Addresses that control has been asked about and has not allowed. */
  readonly asked = new Set<number>();

  /** Two objects that were found to be the same address. */
  homeFrom: Endpoint | undefined;
  homeRemote: Endpoint | undefined;

  /** What a link's record of the peer's address was made from; see UdpLink. */
  addressOf: Endpoint | undefined;
  addressStamp: object | undefined;

  #remote: { readonly of: Endpoint; readonly bytes: Uint8Array } | undefined;

  /** The last address for which a conflict was reported, and when. */
  conflict: { readonly link: LinkId; readonly from: Endpoint; readonly at: Millis } | undefined;

  constructor(ref: PeerRef, settings: PeerSettings, counters: CounterRow, now: Millis) {
    this.ref = ref;
    this.settings = settings;
    this.counters = counters;
    this.lastSent = now;
    this.lastHeard = now;
  }

  slot(keyId: KeyId): KeySlot | undefined {
    return this.slots[keyId];
  }

  /** The real address as it would stand in a packet. */
  remoteBytes(): Uint8Array {
    const { remote } = this.settings;
    if (this.#remote?.of !== remote) this.#remote = { of: remote, bytes: addressBytes(remote.family, remote.address) };
    return this.#remote.bytes;
  }

  /** True: the peer had timed out, and its time-out counts again from now. */
  heard(now: Millis): boolean {
    this.lastHeard = now;
    const revived = this.timedOut;
    this.timedOut = false;
    return revived;
  }
}
