/**
 * The control thread's end of the channel's thread. One thread serves one channel at a time and outlives it: a soft
 * restart needs no new one, which after `chroot` could not be started any more.
 *
 *   idle ──start()──▶ running ──dies──▶ idle          ended, for good
 *
 * What is said in one turn of the control thread leaves at its end, in one message and with one wake-up.
 * When the thread dies, the descriptors that it had open are closed here.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';

import type { Endpoint, LinkId } from '@seikan/core';
import { Descriptor, Wake, Watch } from '@seikan/native';

import { ControlRing } from './control-ring.js';
import type { LinkSource, TunSource } from './descriptor-ends.js';
import {
  ANSWERED,
  BATCHES,
  type CommandMessage,
  type EventMessage,
  FIRST_DESCRIPTOR,
  NEWS,
  POSTED,
  STATE_BYTES,
  TAKEN,
  type ThreadMessage,
  type ThreadStart,
  WOKEN,
} from './thread-messages.js';
import { atTurnEnd } from './turn-end.js';

export interface DataThreadOptions {
  /** The module that the thread runs; tests have one of their own. */
  readonly entry?: URL;
  /** For that module. */
  readonly extra?: unknown;
}

/** What a channel hears of its thread. */
export interface ThreadListener {
  /** Something was posted, or written into the ring. */
  news(): void;
  died(reason: string): void;
}

/** A thread that does not answer for so long hangs, and is ended. */
const PATIENCE = 10_000;

interface Running<Link, Tun> {
  readonly worker: Worker;
  readonly port: MessagePort;
  readonly commandWake: Wake;
  readonly eventWake: Wake;
  readonly watch: Watch;
  readonly state: Int32Array;
  readonly exited: Promise<void>;
  readonly commands: ControlRing;
  /** Said in this turn and not posted yet. */
  unsent: CommandMessage<Link, Tun>[];
  /** It will be flushed at the end of the turn. */
  flushes: boolean;
}

export class DataThread<Link = LinkSource, Tun = TunSource> {
  readonly #options: DataThreadOptions;
  #running: Running<Link, Tun> | undefined;
  #listener: ThreadListener | undefined;
  #tickets = 0;
  #channels = 0;
  #ended = false;

  constructor(options: DataThreadOptions = {}) {
    this.#options = options;
  }

  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Starts the thread if none runs. */
  start(): void {
    if (this.#running !== undefined || this.#ended) return;
    const { port1, port2 } = new MessageChannel();
    const commandWake = new Wake();
    const eventWake = new Wake();
    const state = new SharedArrayBuffer(STATE_BYTES);
    const words = new Int32Array(state);
    const commands = new SharedArrayBuffer(ControlRing.bytes);
    const start: ThreadStart = {
      port: port2,
      commandWake: commandWake.descriptor.fd,
      eventWake: eventWake.descriptor.fd,
      state,
      commands,
      extra: this.#options.extra,
    };
    const entry = this.#options.entry ?? new URL('./worker-main.js', import.meta.url);
    const worker = new Worker(entry, { workerData: start, transferList: [port2] });
    const watch = new Watch(eventWake.descriptor.fd, { readable: true }, () => {
      eventWake.clear();
      // Before anything is looked at: what is posted from here on wakes again.
      Atomics.store(words, NEWS, 0);
      this.#listener?.news();
    });
    let reason = 'ended';
    worker.on('error', (error: unknown) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    const exited = new Promise<void>((resolve) => {
      worker.on('exit', () => {
        this.#buried(running, reason);
        resolve();
      });
    });
    const running: Running<Link, Tun> = {
      worker,
      port: port1,
      commandWake,
      eventWake,
      watch,
      state: words,
      exited,
      commands: new ControlRing(commands),
      unsent: [],
      flushes: false,
    };
    this.#running = running;
    this.#tickets = 0;
    process.once('exit', this.#leave);
  }

  /** The process waits for its threads when it ends, and one that blocks in the kernel would not hear of that. */
  readonly #leave = (): void => {
    this.post({ do: 'end' });
    this.flush();
  };

  /** A number for a channel that no earlier one had. */
  nextChannel(): number {
    this.#channels += 1;
    return this.#channels;
  }

  /** Who hears of the thread from now on. */
  listen(listener: ThreadListener | undefined): void {
    this.#listener = listener;
  }

  /** Without effect when no thread runs. */
  post(message: ThreadMessage<Link, Tun>): void {
    const running = this.#running;
    if (running === undefined) return;
    running.unsent.push({ message, ring: running.commands.position });
    this.#flushLater(running);
  }

  /** A control packet, copied: in order with what is posted, and without a message where the ring has room. */
  sendControl(link: LinkId, to: Endpoint, bytes: Uint8Array): void {
    const running = this.#running;
    if (running === undefined) return;
    if (running.commands.write(link, to, bytes, true)) this.#flushLater(running);
    else this.post({ do: 'handle', command: { verb: 'sendControl', link, to, bytes: bytes.slice() } });
  }

  /** Posts and blocks until the thread has done it, which takes one turn of its loop: a port or a device is free then. */
  postAndWait(makeMessage: (ticket: number) => ThreadMessage<Link, Tun>): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#tickets += 1;
    const ticket = this.#tickets;
    this.post(makeMessage(ticket));
    this.#flush(running);
    const end = performance.now() + PATIENCE;
    for (;;) {
      const answered = Atomics.load(running.state, ANSWERED);
      if (answered >= ticket) return;
      if (performance.now() >= end) {
        void running.worker.terminate();
        return;
      }
      Atomics.wait(running.state, ANSWERED, answered, 100);
    }
  }

  /** The next event, if one waits. */
  receive(): EventMessage | undefined {
    const running = this.#running;
    if (running === undefined) return undefined;
    if (Atomics.load(running.state, POSTED) === Atomics.load(running.state, TAKEN)) return undefined;
    const received = receiveMessageOnPort(running.port);
    if (received === undefined) return undefined;
    Atomics.add(running.state, TAKEN, 1);
    return received.message as EventMessage;
  }

  /** `news` comes again, after other things have had their turn. */
  remind(): void {
    this.#running?.eventWake.raise();
  }

  /** Ends the thread and what it has open, for good. Idempotent. */
  async end(): Promise<void> {
    this.#ended = true;
    const running = this.#running;
    if (running === undefined) return;
    this.post({ do: 'end' });
    await running.exited;
  }

  #flushLater(running: Running<Link, Tun>): void {
    if (running.flushes) return;
    running.flushes = true;
    atTurnEnd(() => this.#flush(running));
  }

  /** Posts what was said, without waiting for the end of the turn. */
  flush(): void {
    this.#flush(this.#running);
  }

  #flush(running: Running<Link, Tun> | undefined): void {
    if (running?.flushes !== true || this.#running !== running) return;
    running.flushes = false;
    if (running.unsent.length > 0) {
      running.port.postMessage(running.unsent, []);
      running.unsent = [];
      Atomics.add(running.state, BATCHES, 1);
    }
    // After the messages: a packet is not seen before what was said before it.
    running.commands.publish();
    if (Atomics.exchange(running.state, WOKEN, 1) === 0) running.commandWake.raise();
  }

  #buried(running: Running<Link, Tun>, reason: string): void {
    process.removeListener('exit', this.#leave);
    running.watch.close();
    running.commandWake.close();
    running.eventWake.close();
    running.port.close();
    for (const fd of running.state.subarray(FIRST_DESCRIPTOR)) {
      if (fd !== 0) new Descriptor(fd, 'descriptor of the dead thread').close();
    }
    this.#running = undefined;
    this.#listener?.died(reason);
  }
}
