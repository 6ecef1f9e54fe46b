/**
 * The channel's thread: an `InlineDataChannel` over a loop that blocks in the kernel. Commands come in by the port when
 * the command wake is raised; events go out by the port, control datagrams by the ring.
 *
 * The thread ends when it is told to, or with the error of whatever threw. What it has open then is the control thread's
 * to close, as when it is killed; keys are wiped with the handles that hold them.
 */
import { randomFillSync } from 'node:crypto';
import { receiveMessageOnPort } from 'node:worker_threads';

import type { DataChannelCommand, DataChannelEvent, DataKey, Millis } from '@seikan/core';
import { createCrypto, dropThreadCapabilities, Wake } from '@seikan/native';

import { ControlRing } from './control-ring.js';
import { CounterTable } from './counters.js';
import type { Ends } from './descriptor-ends.js';
import { InlineDataChannel } from './inline-data-channel.js';
import { KeyNumbers } from './key-numbers.js';
import { PollLoop } from './poll-loop.js';
import {
  ANSWERED,
  BATCHES,
  type ChannelStart,
  type CommandBatch,
  type EventMessage,
  FIRST_DESCRIPTOR,
  joinKey,
  NEWS,
  POSTED,
  TAKEN,
  type ThreadMessage,
  type ThreadStart,
  WOKEN,
} from './thread-messages.js';

export interface ChannelThreadOptions<Link, Tun> {
  readonly start: ThreadStart;
  readonly ends: (loop: PollLoop) => Ends<Link, Tun>;
  /** Instead of the monotonic clock, for tests. */
  readonly now?: () => Millis;
}

/** So many events wait for the control thread before peers may cause no more. */
const MOST_WAITING = 4_096;

/** Greater than any ticket. */
const LAST_TICKET = 2 ** 31 - 1;

/** What goes with a channel from its beginning to its end. */
interface OpenChannel {
  readonly number: number;
  readonly channel: InlineDataChannel;
  readonly ring: ControlRing;
  readonly counters: CounterTable;
}

export class ChannelThread<Link, Tun> {
  readonly #start: ThreadStart;
  readonly #state: Int32Array;
  readonly #loop: PollLoop;
  readonly #ends: Ends<Link, Tun>;
  readonly #commandWake: Wake;
  readonly #eventWake: Wake;
  readonly #commands: ControlRing;
  #open: OpenChannel | undefined;
  /** Taken so far. */
  #batches = 0;
  /** Something was posted or written since the event wake was raised. */
  #news = false;
  #ended = false;

  constructor({ start, ends, now }: ChannelThreadOptions<Link, Tun>) {
    this.#start = start;
    this.#state = new Int32Array(start.state);
    this.#loop = new PollLoop({ now, descriptors: this.#state.subarray(FIRST_DESCRIPTOR) });
    this.#ends = ends(this.#loop);
    this.#commandWake = new Wake(start.commandWake);
    this.#eventWake = new Wake(start.eventWake);
    this.#commands = new ControlRing(start.commands);
  }

  /** Blocks the thread until the end. */
  run(): void {
    dropThreadCapabilities();
    this.#loop.lend(this.#start.commandWake, () => this.#takeMessages());
    try {
      while (!this.#ended) {
        this.#loop.turn();
        this.#raise();
      }
      this.#close();
      this.#loop.close();
      // They are the control thread's to close.
      for (const { descriptor } of [this.#commandWake, this.#eventWake]) descriptor.release();
    } finally {
      // Nobody waits for a thread that is no more.
      this.#answer(LAST_TICKET);
    }
  }

  #takeMessages(): void {
    this.#commandWake.clear();
    // Before the messages are looked at: what is posted from here on wakes again.
    Atomics.store(this.#state, WOKEN, 0);
    // What is in the ring now was written after the messages that came before it were posted.
    const position = this.#commands.published;
    while (this.#batches !== Atomics.load(this.#state, BATCHES)) {
      const received = receiveMessageOnPort(this.#start.port);
      if (received === undefined) break;
      this.#batches = (this.#batches + 1) | 0;
      for (const { message, ring } of received.message as CommandBatch<Link, Tun>) {
        this.#sendControl(ring);
        this.#take(message);
      }
    }
    this.#sendControl(position);
  }

  /** The control packets that were written before `position`, all in one call of the kernel. */
  #sendControl(position: number): void {
    const { channel } = this.#open ?? {};
    this.#commands.readTo(position, (link, to, bytes) => channel?.queueControl(link, to, bytes));
    channel?.settle();
  }

  #take(message: ThreadMessage<Link, Tun>): void {
    const { channel } = this.#open ?? {};
    switch (message.do) {
      case 'open':
        this.#openChannel(message.start);
        return;
      case 'handle':
        channel?.handle(compared(message.command));
        return;
      case 'newKey': {
        const { peer, keyId } = message;
        const key = joinKey(message.terms, message.secrets);
        channel?.handle({ verb: 'newKey', peer, keyId, key });
        wipe(key);
        return;
      }
      case 'openLink':
        channel?.openLink(message.link, this.#ends.link(message.source));
        return;
      case 'closeLink':
        channel?.closeLink(message.link);
        break;
      case 'attachTun':
        channel?.attachTun(this.#ends.tun(message.source));
        break;
      case 'detachTun':
        channel?.detachTun();
        break;
      case 'close':
        this.#close();
        break;
      case 'end':
        this.#ended = true;
        return;
      default:
        message satisfies never;
        return;
    }
    if (message.ticket !== undefined) this.#answer(message.ticket);
  }

  #openChannel({ channel: number, settings: sent, counters: memory, ring, lastAccepted }: ChannelStart): void {
    this.#close();
    const settings = withOwnWords(sent);
    const counters = new CounterTable(settings.maxPeers, memory);
    this.#open = {
      number,
      counters,
      ring: new ControlRing(ring),
      channel: new InlineDataChannel({
        settings,
        counters,
        lastAccepted,
        crypto: createCrypto(),
        random: (into) => {
          randomFillSync(into);
        },
        clock: this.#loop,
        keys: new KeyNumbers(),
        onEvent: (event) => this.#tell(event),
        mayReport: () => this.#waiting < MOST_WAITING,
      }),
    };
  }

  #close(): void {
    void this.#open?.channel.close();
    this.#open = undefined;
  }

  #tell(event: DataChannelEvent): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#news = true;
    const { channel, ring, counters, number } = open;
    if (event.event === 'control') {
      const { link, from, bytes } = event;
      // Whether it is a peer's is asked only where that decides.
      const written =
        ring.write(link, from, bytes, false) || (channel.knows(link, from) && ring.write(link, from, bytes, true));
      if (!written) counters.noPeer.addDrop('control-full');
      return;
    }
    if (event.event === 'message' && this.#waiting >= MOST_WAITING) {
      counters.noPeer.addDrop('control-full');
      return;
    }
    // A message would carry the whole slab that a view shows a part of.
    const owned = event.event === 'message' ? { ...event, plaintext: event.plaintext.slice() } : event;
    Atomics.add(this.#state, POSTED, 1);
    const message: EventMessage = { channel: number, event: owned, ring: ring.position };
    this.#start.port.postMessage(message, []);
  }

  get #waiting(): number {
    return (Atomics.load(this.#state, POSTED) - Atomics.load(this.#state, TAKEN)) | 0;
  }

  #answer(ticket: number): void {
    this.#raise();
    Atomics.store(this.#state, ANSWERED, ticket);
    Atomics.notify(this.#state, ANSWERED);
  }

  #raise(): void {
    if (!this.#news) return;
    this.#news = false;
    this.#open?.ring.publish();
    if (Atomics.exchange(this.#state, NEWS, 1) === 0) this.#eventWake.raise();
  }
}

/** Words in settings that the packet path compares. */
function compared(command: DataChannelCommand): DataChannelCommand {
  if (command.verb === 'newPeer') return { ...command, settings: withOwnWords(command.settings) };
  if (command.verb === 'setPeer') return { ...command, settings: withOwnWords(command.settings) };
  return command;
}

/**
 * A string that came in a message is another object than the same word in the code, and V8 compares the two letter by
 * letter for every packet. Property names are unique: through one, the word becomes the code's own.
 */
function withOwnWords<Settings extends object>(settings: Settings): Settings {
  const own = { ...settings } as Settings & Record<string, unknown>;
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === 'string') Object.assign(own, { [name]: Object.keys({ [value]: 0 })[0] });
  }
  return own;
}

function wipe({ send, receive }: DataKey): void {
  for (const part of [send.cipher, send.auth, receive.cipher, receive.auth]) part.fill(0);
}
