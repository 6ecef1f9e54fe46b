/**
 * What the compliance suite needs of a data channel under test: ends that it can look into, time that it can move, and
 * the far side of each peer, which seals and opens with core's own formats (those are held to recorded traffic).
 */
import assert from 'node:assert/strict';

import {
  AeadOpener,
  AeadSealer,
  type ChannelSettings,
  type Crypto,
  type DataChannel,
  type DataChannelCommand,
  type DataChannelEvent,
  type DataDrop,
  type DataKey,
  type DataOpener,
  type DataSealer,
  type Endpoint,
  type KeyId,
  type LinkId,
  type Millis,
  Packet,
  type PeerCounters,
  type PeerRef,
  type PeerSettings,
  packetOf,
} from '@seikan/core';
import { createCrypto } from '@seikan/native';

export interface HarnessLink {
  /** Datagrams arrive at the link from `from` (of a stream: its other end). */
  deliver(from: Endpoint, ...datagrams: Uint8Array[]): void;
  /** What has left the link since the last call. */
  takeSent(): { readonly to: Endpoint; readonly bytes: Uint8Array }[];
  /** The link fails; what is reported as the reason is `reason` or the harness's own. */
  fail(reason: string): string;
  /** Whether its queue takes nothing. */
  full: boolean;
  readonly closed: boolean;
}

export interface HarnessTun {
  deliver(...packets: Uint8Array[]): void;
  takeWritten(): Uint8Array[];
  fail(reason: string): string;
  full: boolean;
  readonly closed: boolean;
}

/** One data channel with its ends. `settle` resolves when all that was handed in has had its effects. */
export interface Harness {
  handle(command: DataChannelCommand): void;
  openLink(link: LinkId): HarnessLink;
  /** A listening link, and a way to let somebody connect to it. */
  openListener(link: LinkId): { connect(remote: Endpoint): HarnessLink };
  closeLink(link: LinkId): void;
  attachTun(): HarnessTun;
  detachTun(): void;
  readCounters(peer: PeerRef): PeerCounters | undefined;
  readDrops(): Readonly<Record<string, number>>;
  /** Drops that happen out of the channel's sight: the packet is gone, and nobody counts it. */
  uncounted?(reason: string, ofPeer: boolean): boolean;
  /** Events since the last call but `keyConfirmed`; lent bytes were copied when they came. */
  takeEvents(): DataChannelEvent[];
  /** `keyConfirmed` since the last call: most tests are not about them. */
  takeConfirmations(): Extract<DataChannelEvent, { event: 'keyConfirmed' }>[];
  advance(span: Millis): Promise<void>;
  settle(): Promise<void>;
  close(): Promise<void>;
}

export type HarnessFactory = (settings: ChannelSettings) => Harness;

/** Registers a rule: a sentence, and a body that throws when it does not hold. */
export type Rule = (title: string, body: () => Promise<void>) => void;

/** Copies what is lent, for harnesses that keep events. */
export function ownedEvent(event: DataChannelEvent): DataChannelEvent {
  if (event.event === 'control') return { ...event, bytes: event.bytes.slice() };
  if (event.event === 'message') return { ...event, plaintext: event.plaintext.slice() };
  return event;
}

/** What most harnesses delegate to. */
export type ChannelFace = Pick<
  DataChannel<unknown, unknown>,
  'handle' | 'closeLink' | 'detachTun' | 'readCounters' | 'readDrops' | 'close'
>;

export const channelSettings: ChannelSettings = {
  mode: 'server',
  device: 'tun',
  maxPeers: 8,
  clientToClient: false,
  maxLearned: 4,
  asksToLearn: false,
};

export const peerSettings = {
  link: 1,
  sendPeerId: 0,
  receivePeerId: 0,
  float: true,
  pingInterval: 0,
  pingTimeout: 0,
  mssClamp: 0,
  fragmentSize: 0,
  compression: 'none',
  guardRecursion: false,
  blockIpv6: false,
} as const satisfies Omit<PeerSettings, 'remote'>;

const crypto: Crypto = createCrypto();

/** A key whose bytes are all derived from `seed`: what one side sends with, the other receives with. */
export function dataKey(seed: number): DataKey {
  const bytes = (length: number, salt: number) => new Uint8Array(length).fill((seed * 16 + salt) & 0xff);
  return {
    format: 'aead',
    cipher: 'AES-256-GCM',
    digest: 'none',
    send: { cipher: bytes(32, 1), auth: bytes(8, 2) },
    receive: { cipher: bytes(32, 3), auth: bytes(8, 4) },
    replayWindow: 64,
    replayTime: 15_000,
    longPacketId: false,
  };
}

/** The far side of a peer: its address, its keys the other way round. */
export class Remote {
  readonly peer: PeerRef;
  address: Endpoint;
  readonly #sealers = new Map<KeyId, DataSealer>();
  readonly #openers = new Map<KeyId, DataOpener>();

  constructor(peer: PeerRef, address: Endpoint) {
    this.peer = peer;
    this.address = address;
  }

  addKey(keyId: KeyId, key: DataKey): void {
    const cipher = crypto.cipher(key.cipher);
    if (cipher === undefined) throw new Error(`no cipher ${key.cipher}`);
    const replay = { size: key.replayWindow, time: key.replayTime };
    this.#sealers.set(keyId, new AeadSealer(crypto, cipher, key.receive));
    this.#openers.set(keyId, new AeadOpener(crypto, cipher, key.send, replay));
  }

  /** A P_DATA_V2 datagram, or P_DATA_V1 without a peer-id. */
  seal(plaintext: Uint8Array, keyId: KeyId = 0, peerId: number | 'none' = this.peer.index): Uint8Array {
    const packet = packetOf(plaintext.length);
    packet.load(plaintext);
    const header =
      peerId === 'none'
        ? Uint8Array.of((6 << 3) | keyId)
        : Uint8Array.of((9 << 3) | keyId, peerId >>> 16, peerId >>> 8, peerId);
    const sealer = this.#sealers.get(keyId);
    if (sealer?.seal(packet, header) !== true) throw new Error(`the remote has no key ${keyId}`);
    return packet.view().slice();
  }

  /** The plaintext of a datagram sent to this remote, or why it does not open. */
  open(datagram: Uint8Array): Uint8Array | DataDrop {
    const first = datagram[0] ?? 0;
    const opener = this.#openers.get(first & 7);
    if (opener === undefined) return 'no-key';
    const packet = new Packet(datagram.slice());
    return opener.open(packet, first >>> 3 === 6 ? 1 : 4, 0) ?? packet.view();
  }
}

export function endpoint(host: number, port = 40_000): Endpoint {
  return { family: 4, address: `198.51.100.${host}`, port };
}

/** A harness with link 1 and a tun, in which peers are made with a key and a route each. */
export class Bench {
  readonly harness: Harness;
  readonly link: HarnessLink;
  readonly tun: HarnessTun;

  constructor(factory: HarnessFactory, settings: Partial<ChannelSettings> = {}) {
    this.harness = factory({ ...channelSettings, ...settings });
    this.link = this.harness.openLink(1);
    this.tun = this.harness.attachTun();
  }

  /** Peer `index` at 198.51.100.(index + 1) with key 0 as its primary, and 10.8.0.(index + 2) and fd00::(index + 2) behind it. */
  addPeer(index: number, settings: Partial<PeerSettings> = {}, generation = 1): Remote {
    const peer = { index, generation };
    const remote = new Remote(peer, settings.remote ?? endpoint(index + 1));
    const { harness } = this;
    harness.handle({
      verb: 'newPeer',
      peer,
      settings: { ...peerSettings, sendPeerId: index, receivePeerId: index, remote: remote.address, ...settings },
    });
    this.addKey(remote, 0, dataKey(index * 8 + generation * 64));
    harness.handle({ verb: 'swapKeys', peer, primary: 0 });
    harness.handle({
      verb: 'addRoute',
      peer,
      route: { family: 4, network: Uint8Array.of(10, 8, 0, index + 2), bits: 32 },
    });
    const ipv6 = new Uint8Array(16);
    ipv6[0] = 0xfd;
    ipv6[15] = index + 2;
    harness.handle({ verb: 'addRoute', peer, route: { family: 6, network: ipv6, bits: 128 } });
    return remote;
  }

  addKey(remote: Remote, keyId: KeyId, key: DataKey): void {
    this.harness.handle({ verb: 'newKey', peer: remote.peer, keyId, key });
    remote.addKey(keyId, key);
  }

  /** A datagram of `remote` arrives and has had its effects. */
  async deliver(remote: Remote, ...datagrams: Uint8Array[]): Promise<void> {
    this.link.deliver(remote.address, ...datagrams);
    await this.harness.settle();
  }

  async fromTun(...packets: Uint8Array[]): Promise<void> {
    this.tun.deliver(...packets);
    await this.harness.settle();
  }

  /** Plaintexts that reached `remote` at its address since the last call, other remotes' datagrams not counted. */
  takeFor(...remotes: Remote[]): (Uint8Array | DataDrop)[][] {
    const sent = this.link.takeSent();
    return remotes.map((remote) =>
      sent
        .filter(({ to }) => to.address === remote.address.address && to.port === remote.address.port)
        .map(({ bytes }) => remote.open(bytes)),
    );
  }

  counters(remote: Remote): PeerCounters {
    const counters = this.harness.readCounters(remote.peer);
    if (counters === undefined) throw new Error(`no peer ${remote.peer.index}`);
    return counters;
  }

  /** Without a peer, so many were dropped for this reason. */
  expectDrop(reason: DataDrop, count: number, remote?: Remote): void {
    if (this.harness.uncounted?.(reason, remote !== undefined) === true) return;
    const drops = remote === undefined ? this.harness.readDrops() : this.counters(remote).drops;
    assert.equal(drops[reason], count, reason);
  }

  /** Of a peer, these were dropped and no others. */
  expectDrops(remote: Remote, drops: Readonly<Partial<Record<DataDrop, number>>>): void {
    const counted = Object.entries(drops).filter(([reason]) => this.harness.uncounted?.(reason, true) !== true);
    assert.deepEqual(this.counters(remote).drops, Object.fromEntries(counted));
  }

  close(): Promise<void> {
    return this.harness.close();
  }
}
