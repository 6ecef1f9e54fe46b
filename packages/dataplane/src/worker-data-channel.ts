/**
 * The `worker` data channel as the control thread has it: it posts commands to the channel's thread and delivers what
 * comes back. Everything that moves packets is an `InlineDataChannel` in that thread (channel-thread.ts).
 *
 *   handle ──port, ring (control datagrams)──▶ thread ──port (events), ring, shared memory (counters)──▶ onEvent, readCounters
 *
 * What comes by the port and the packets of the ring beside it are one sequence: each message names the ring's position
 * at which it happened.
 * When the thread dies, its keys, links and tun are gone with it, which is reported as one event; a new thread begins with
 * the next link or tun.
 */
import type {
  ChannelSettings,
  DataChannel,
  DataChannelCommand,
  DataChannelEvent,
  LinkId,
  PeerCounters,
  PeerRef,
} from '@seikan/core';
import { Descriptor } from '@seikan/native';

import { ControlRing } from './control-ring.js';
import { CounterTable } from './counters.js';
import type { DataThread } from './data-thread.js';
import type { LinkSource, TunSource } from './descriptor-ends.js';
import { splitKey } from './thread-messages.js';

export interface WorkerOptions<Link, Tun> {
  readonly thread: DataThread<Link, Tun>;
  readonly settings: ChannelSettings;
  readonly onEvent: (event: DataChannelEvent) => void;
}

/** Events delivered before other things of the control thread have their turn. */
const AT_ONCE = 256;

/** What belongs to one life of the thread. */
interface Life {
  readonly ring: ControlRing;
  readonly counters: CounterTable;
}

export class WorkerDataChannel<Link = LinkSource, Tun = TunSource> implements DataChannel<Link, Tun> {
  readonly #thread: DataThread<Link, Tun>;
  readonly #settings: ChannelSettings;
  readonly #onEvent: (event: DataChannelEvent) => void;
  #number = 0;
  #life: Life | undefined;
  #closed = false;

  #lastAccepted: LinkId = 0;
  /** The peers that were installed and whose end was not reported. */
  readonly #peers = new Map<string, { readonly peer: PeerRef; leaving: boolean }>();
  /** What the peers of a thread that died had counted, until control deletes them. */
  readonly #orphans = new Map<string, PeerCounters>();

  constructor({ thread, settings, onEvent }: WorkerOptions<Link, Tun>) {
    this.#thread = thread;
    this.#settings = settings;
    this.#onEvent = onEvent;
    thread.listen({ news: () => this.#deliver(), died: (reason) => this.#died(reason) });
  }

  openLink(link: LinkId, source: Link): void {
    if (this.#closed) return;
    this.#begin();
    this.#thread.post({ do: 'openLink', link, source });
  }

  /** Blocks for a turn of the thread when the link is one that control opened: what it is bound to is free then. */
  closeLink(link: LinkId): void {
    if (link < 0) this.#thread.post({ do: 'closeLink', link, ticket: undefined });
    else this.#thread.postAndWait((ticket) => ({ do: 'closeLink', link, ticket }));
  }

  /** Blocks for a turn of the thread: the tun before is closed then. */
  attachTun(source: Tun): void {
    if (this.#closed) return;
    this.#begin();
    this.#thread.postAndWait((ticket) => ({ do: 'attachTun', source, ticket }));
  }

  /** Blocks for a turn of the thread: the device is closed then. */
  detachTun(): void {
    this.#thread.postAndWait((ticket) => ({ do: 'detachTun', ticket }));
  }

  handle(command: DataChannelCommand): void {
    if (this.#closed) return;
    switch (command.verb) {
      case 'sendControl':
        this.#thread.sendControl(command.link, command.to, command.bytes);
        return;
      case 'delPeer':
        if (this.#deletePeer(command.peer)) return;
        break;
      case 'newPeer':
        this.#begin();
        this.#peers.set(keyOf(command.peer), { peer: command.peer, leaving: false });
        break;
      case 'newKey': {
        const { peer, keyId, key } = command;
        this.#thread.post({ do: 'newKey', peer, keyId, ...splitKey(key) });
        return;
      }
      default:
    }
    this.#thread.post({ do: 'handle', command: compact(command) });
  }

  readCounters(peer: PeerRef): PeerCounters | undefined {
    return this.#orphans.get(keyOf(peer)) ?? this.#life?.counters.read(peer);
  }

  readDrops(): Readonly<Record<string, number>> {
    return this.#life?.counters.noPeer.drops() ?? {};
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#thread.postAndWait((ticket) => ({ do: 'close', ticket }));
      this.#thread.listen(undefined);
    }
    return Promise.resolve();
  }

  /** Makes sure that a thread runs and has this channel. */
  #begin(): void {
    if (this.#life !== undefined && this.#thread.running) return;
    this.#thread.start();
    const settings = this.#settings;
    const ring = new SharedArrayBuffer(ControlRing.bytes);
    const counters = new SharedArrayBuffer(CounterTable.bytes(settings.maxPeers));
    this.#number = this.#thread.nextChannel();
    this.#life = { ring: new ControlRing(ring), counters: new CounterTable(settings.maxPeers, counters) };
    this.#thread.post({
      do: 'open',
      start: { channel: this.#number, settings, counters, ring, lastAccepted: this.#lastAccepted },
    });
  }

  #deliver(): void {
    const life = this.#life;
    if (life === undefined) return;
    // What is in the ring now was written after the events that came before it were posted.
    const position = life.ring.published;
    for (let i = 0; i < AT_ONCE; i += 1) {
      const message = this.#thread.receive();
      if (message === undefined) {
        this.#deliverControl(life, position);
        return;
      }
      if (message.channel !== this.#number) {
        // Nobody is there to take it.
        if (message.event.event === 'linkForeign')
          new Descriptor(message.event.fd, 'connection of a channel before').close();
        continue;
      }
      this.#deliverControl(life, message.ring);
      this.#note(message.event);
      if (!this.#closed) this.#onEvent(message.event);
    }
    this.#thread.remind();
  }

  #deliverControl({ ring }: Life, position: number): void {
    ring.readTo(position, (link, from, bytes) => {
      if (!this.#closed) this.#onEvent({ event: 'control', link, from, bytes });
    });
  }

  #note(event: DataChannelEvent): void {
    if (event.event === 'linkUp') this.#lastAccepted = Math.min(this.#lastAccepted, event.link);
    else if (event.event === 'peerDeleted') this.#peers.delete(keyOf(event.peer));
  }

  #died(reason: string): void {
    const life = this.#life;
    this.#life = undefined;
    if (this.#closed) return;
    const peers = [...this.#peers.values()];
    this.#peers.clear();
    const left: PeerRef[] = [];
    for (const { peer, leaving } of peers) {
      this.#orphans.set(keyOf(peer), life?.counters.read(peer) ?? nothingCounted);
      if (leaving) left.push(peer);
    }
    for (const peer of left) this.#deletePeer(peer);
    this.#onEvent({ event: 'channelDown', reason: `the data channel's thread died: ${reason}` });
  }

  /** True: it was a peer of a thread that died, and the answer is given. */
  #deletePeer(peer: PeerRef): boolean {
    const key = keyOf(peer);
    const installed = this.#peers.get(key);
    if (installed !== undefined) installed.leaving = true;
    const counters = this.#orphans.get(key);
    if (counters === undefined) return false;
    this.#orphans.delete(key);
    this.#onEvent({ event: 'peerDeleted', peer, counters });
    return true;
  }
}

const nothingCounted: PeerCounters = {
  linkRead: 0,
  linkWritten: 0,
  tunRead: 0,
  tunWritten: 0,
  packetsRead: 0,
  packetsWritten: 0,
  drops: {},
};

function keyOf({ index, generation }: PeerRef): string {
  return `${index} ${generation}`;
}

/** A message carries the whole memory behind a view: views are copied first. */
function compact(command: DataChannelCommand): DataChannelCommand {
  switch (command.verb) {
    case 'sendMessage':
      return { ...command, plaintext: command.plaintext.slice() };
    case 'addRoute':
    case 'delRoute': {
      const { verb, peer, route } = command;
      return { verb, peer, route: { family: route.family, network: route.network.slice(), bits: route.bits } };
    }
    case 'learnMac':
      return { ...command, mac: command.mac.slice() };
    default:
      return command;
  }
}
