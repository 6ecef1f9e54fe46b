/**
 * The peer table: by index (which is the peer-id that we give out), and by real address for P_DATA_V1 and for floats.
 * Generations of an index only go up; a message for an older one finds nobody.
 */
import {
  type DataKey,
  type Endpoint,
  formatEndpoint,
  type KeyId,
  type LinkId,
  type Millis,
  type PeerRef,
  type PeerSettings,
} from '@seikan/core';

import type { CounterTable } from './counters.js';
import { dataHeader, type KeyPorts, KeySlot } from './key-slot.js';
import { Peer } from './peer.js';

export interface PeersOptions {
  readonly maxPeers: number;
  /** Static key mode: packets have no header at all. */
  readonly headers: boolean;
  readonly ports: KeyPorts;
  readonly counters: CounterTable;
}

export class Peers {
  readonly counters: CounterTable;
  readonly #maxPeers: number;
  readonly #headers: boolean;
  readonly #ports: KeyPorts;
  readonly #table: (Peer | undefined)[];
  readonly #generations: Float64Array;
  readonly #byAddress = new Map<string, Peer>();
  readonly #list: Peer[] = [];

  constructor({ maxPeers, headers, ports, counters }: PeersOptions) {
    this.#maxPeers = maxPeers;
    this.#headers = headers;
    this.#ports = ports;
    this.counters = counters;
    this.#table = Array.from({ length: maxPeers });
    this.#generations = new Float64Array(maxPeers);
  }

  /** All of them, in no order that means anything. */
  get list(): readonly Peer[] {
    return this.#list;
  }

  /** Whoever has this index now. */
  at(index: number): Peer | undefined {
    return this.#table[index];
  }

  atAddress(link: LinkId, address: Endpoint): Peer | undefined {
    return this.#byAddress.get(addressKey(link, address));
  }

  /** The peer that a message means, if it is still the one. */
  find(ref: PeerRef): Peer | undefined {
    const peer = this.#table[ref.index];
    return peer?.ref.generation === ref.generation ? peer : undefined;
  }

  /** `undefined`: the index is taken or out of range, or its generation was already used. */
  add(ref: PeerRef, settings: PeerSettings, now: Millis): Peer | undefined {
    const { index, generation } = ref;
    if (index >= this.#maxPeers || this.#table[index] !== undefined) return undefined;
    if (generation <= (this.#generations[index] as number)) return undefined;
    this.#generations[index] = generation;
    const counters = this.counters.row(index);
    counters.begin(generation);
    const peer = new Peer({ index, generation }, { ...settings }, counters, now);
    this.#table[index] = peer;
    this.#list.push(peer);
    this.#hold(peer);
    return peer;
  }

  remove(peer: Peer): void {
    for (const slot of peer.slots) slot?.wipe();
    peer.slots.fill(undefined);
    peer.primary = undefined;
    this.#release(peer);
    peer.counters.end();
    this.#table[peer.ref.index] = undefined;
    this.#list.splice(this.#list.indexOf(peer), 1);
  }

  clear(): void {
    for (let last = this.#list.at(-1); last !== undefined; last = this.#list.at(-1)) this.remove(last);
  }

  change(peer: Peer, settings: Partial<PeerSettings>): void {
    this.#release(peer);
    peer.settings = { ...peer.settings, ...settings };
    this.#hold(peer);
    for (const slot of peer.slots) if (slot !== undefined) slot.header = this.#header(slot);
  }

  installKey(peer: Peer, keyId: KeyId, key: DataKey): void {
    const slot = new KeySlot(peer, keyId, key, this.#ports);
    slot.header = this.#header(slot);
    this.removeKey(peer, keyId);
    peer.slots[keyId] = slot;
  }

  removeKey(peer: Peer, keyId: KeyId): void {
    const slot = peer.slots[keyId];
    if (slot === undefined) return;
    slot.wipe();
    peer.slots[keyId] = undefined;
    if (peer.primary === slot) peer.primary = undefined;
  }

  #header(slot: KeySlot): Uint8Array {
    return this.#headers ? dataHeader(slot.keyId, slot.peer.settings.sendPeerId) : new Uint8Array(0);
  }

  /** The latest peer at an address holds it. */
  #hold(peer: Peer): void {
    this.#byAddress.set(addressKey(peer.settings.link, peer.settings.remote), peer);
  }

  #release(peer: Peer): void {
    const key = addressKey(peer.settings.link, peer.settings.remote);
    if (this.#byAddress.get(key) === peer) this.#byAddress.delete(key);
  }
}

function addressKey(link: LinkId, address: Endpoint): string {
  return `${link} ${formatEndpoint(address)}`;
}
