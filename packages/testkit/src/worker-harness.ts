/**
 * The compliance harness of the `worker` channel: its real thread over real UDP and TCP sockets and a pair of sockets as
 * the tun, in a network namespace in which 198.51.100.0/24 is this host. Time is the suite's.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import type { DataChannelEvent, Endpoint } from '@seikan/core';
import { DataThread, WorkerDataChannel } from '@seikan/dataplane';
import { TcpListener, TcpSocket, UdpSocket, UnixSocket, Wake } from '@seikan/native';

import {
  type Harness,
  type HarnessFactory,
  type HarnessLink,
  type HarnessTun,
  ownedEvent,
} from './compliance/harness.js';
import { type Datagram, Remotes } from './remotes.js';
import {
  ARRIVED,
  BROKEN,
  CLOSED,
  FULL,
  GATE_BYTES,
  type GatedSource,
  gateFailure,
  LOOKS,
  NOW,
  SEEN,
  SENT,
} from './worker-harness-gate.js';

const HOST = '198.51.100.254';
const LONGEST = 8_192;
/** Packets on their way into the thread: few enough for every socket's buffer. */
const MOST_UNDER_WAY = 32;
const PATIENCE = 10_000;
const STEP = 100;
/** No link has this id: closing it is a turn of the thread and nothing else. */
const NO_LINK = 1_000_000;
/** The loop looks at the clock before and after it waits; one more than two turns of it. */
const LOOKS_OF_A_TURN = 5;

/** Call it inside `inNetworkNamespace`, once. */
export function workerHarness(): HarnessFactory {
  execFileSync('ip', ['route', 'add', 'local', '198.51.100.0/24', 'dev', 'lo']);
  const remotes = new Remotes();
  const threads: ThreadOfSuite[] = [];
  after(async () => {
    for (const thread of threads) await thread.end();
    remotes.close();
  });

  return (settings) => {
    let lane = threads.find(({ busy }) => !busy);
    if (lane === undefined) {
      lane = new ThreadOfSuite();
      threads.push(lane);
    }
    lane.begin();
    const { thread, open, time } = lane;
    let events: DataChannelEvent[] = [];
    const seen = { linkUp: 0, linkDown: 0 };
    const channel = new WorkerDataChannel({
      thread,
      settings,
      onEvent: (event) => {
        if (event.event === 'linkUp' || event.event === 'linkDown') seen[event.event] += 1;
        events.push(ownedEvent(event));
      },
    });
    const gates: GateOfSuite[] = [];
    const conditions: (() => boolean)[] = [];
    const newGate = (): GateOfSuite => {
      const gate = new GateOfSuite();
      gates.push(gate);
      open.push(gate);
      return gate;
    };
    const barrier = (): void => channel.closeLink(NO_LINK);
    const settle = async (): Promise<void> => {
      const end = performance.now() + PATIENCE;
      const done = (): boolean => gates.every((gate) => gate.settled) && conditions.every((holds) => holds());
      do {
        barrier();
        barrier();
        for (let i = 0; i < 3; i += 1) await turn();
        assert(performance.now() < end, 'the channel has not settled');
      } while (!done());
      barrier();
      for (let i = 0; i < 3; i += 1) await turn();
    };
    const take = (wanted: (event: DataChannelEvent) => boolean): DataChannelEvent[] => {
      const taken = events.filter(wanted);
      events = events.filter((event) => !wanted(event));
      return taken;
    };

    const harness: Harness = {
      handle: (command) => {
        remotes.expect(command);
        channel.handle(command);
        // The suite does not return to the event loop between a command and the packets that come after it.
        thread.flush();
      },
      openLink: (id) => {
        const socket = UdpSocket.open({ family: 4, bind: { address: HOST, port: 0 } });
        const link = new UdpLinkOfSuite(newGate(), socket.address, remotes);
        channel.openLink(id, link.gate.source('udp', socket.descriptor.release()));
        return link;
      },
      openListener: (id) => {
        const listener = TcpListener.open({ family: 4, bind: { address: HOST, port: 0 } });
        const { address } = listener;
        const connections = new Connections(newGate(), () => {
          const expected = seen.linkDown + 1;
          conditions.push(() => seen.linkDown >= expected);
        });
        channel.openLink(id, connections.gate.source('tcp-listener', listener.descriptor.release()));
        let expected = 0;
        return {
          connect: (remote) => {
            expected += 1;
            conditions.push(() => seen.linkUp >= expected);
            const connection = connections.connect(remote, address);
            open.push(connection);
            return connection;
          },
        };
      },
      closeLink: (id) => channel.closeLink(id),
      attachTun: () => {
        const tun = new TunOfSuite(newGate());
        open.push(tun);
        channel.attachTun(tun.gate.source('tun', tun.far));
        return tun;
      },
      detachTun: () => channel.detachTun(),
      readCounters: (peer) => channel.readCounters(peer),
      readDrops: () => channel.readDrops(),
      takeEvents: () => take(({ event }) => event !== 'keyConfirmed'),
      takeConfirmations: () =>
        take(({ event }) => event === 'keyConfirmed') as ReturnType<Harness['takeConfirmations']>,
      advance: async (span) => {
        await settle();
        for (let left = span; left > 0; left -= STEP) {
          time[NOW] = (time[NOW] as number) + Math.min(STEP, left);
          // Looked at more often than a turn does: a whole turn has passed at that time.
          const end = performance.now() + PATIENCE;
          do {
            barrier();
            assert(performance.now() < end, 'the thread does not look at the time');
          } while (time[SEEN] !== time[NOW] || (time[LOOKS] as number) < LOOKS_OF_A_TURN);
        }
        await settle();
      },
      settle,
      close: async () => {
        await channel.close();
        await settle();
        lane.busy = false;
      },
    };
    return harness;
  };
}

/** A thread that serves one channel after the other; most tests have one channel at a time. */
class ThreadOfSuite {
  readonly thread: DataThread<GatedSource, GatedSource>;
  readonly time = new Float64Array(new SharedArrayBuffer(24));
  /** What the suite has open of the last channel: its test may still look at it when that is closed. */
  readonly open: { close(): void }[] = [];
  busy = false;

  constructor() {
    const entry = new URL('./worker-harness-main.js', import.meta.url);
    this.thread = new DataThread({ entry, extra: this.time.buffer });
  }

  begin(): void {
    this.busy = true;
    for (const end of this.open.splice(0)) end.close();
  }

  async end(): Promise<void> {
    await this.thread.end();
    this.begin();
  }
}

/** The suite's side of a gate (worker-harness-gate.ts), and how many packets it has sent through. */
class GateOfSuite {
  readonly cells = new Int32Array(new SharedArrayBuffer(GATE_BYTES));
  readonly #wake = new Wake();
  #delivered = 0;

  source(kind: GatedSource['kind'], fd: number): GatedSource {
    return { kind, fd, gate: this.cells.buffer, wake: this.#wake.descriptor.fd };
  }

  get closed(): boolean {
    return this.cells[CLOSED] === 1;
  }

  get sent(): number {
    return Atomics.load(this.cells, SENT);
  }

  get settled(): boolean {
    return this.closed || (this.#underWay === 0 && this.cells[BROKEN] === 0);
  }

  setFull(full: boolean): void {
    this.cells[FULL] = full ? 1 : 0;
  }

  break(): string {
    this.cells[BROKEN] = 1;
    this.#wake.raise();
    return gateFailure;
  }

  /** Makes room for one more packet, and counts it. */
  enter(): void {
    if (this.closed) return;
    waitUntil(() => this.closed || this.#underWay < MOST_UNDER_WAY, this.cells, ARRIVED);
    this.#delivered += 1;
  }

  close(): void {
    this.#wake.close();
  }

  get #underWay(): number {
    return this.#delivered - Atomics.load(this.cells, ARRIVED);
  }
}

/** Blocks: what is waited for happens in another thread. */
function waitUntil(holds: () => boolean, cells: Int32Array, cell: number): void {
  const end = performance.now() + PATIENCE;
  for (;;) {
    const before = Atomics.load(cells, cell);
    if (holds()) return;
    assert(performance.now() < end, 'nothing more comes');
    Atomics.wait(cells, cell, before, 5);
  }
}

/** The next `count` datagrams of the link at this port. */
function takeArrived(
  remotes: Remotes,
  port: number,
  { count, gate }: { readonly count: number; readonly gate: GateOfSuite },
): Datagram[] {
  waitUntil(() => remotes.arrived(port).length >= count, gate.cells, SENT);
  return remotes.take(port);
}

class UdpLinkOfSuite implements HarnessLink {
  readonly gate: GateOfSuite;
  readonly #address: Endpoint;
  readonly #remotes: Remotes;
  #taken = 0;

  constructor(gate: GateOfSuite, address: Endpoint, remotes: Remotes) {
    this.gate = gate;
    this.#address = address;
    this.#remotes = remotes;
  }

  deliver(from: Endpoint, ...datagrams: Uint8Array[]): void {
    for (const bytes of datagrams) {
      this.gate.enter();
      this.#remotes.send(from, this.#address, bytes);
    }
  }

  takeSent(): Datagram[] {
    const { sent } = this.gate;
    const datagrams = takeArrived(this.#remotes, this.#address.port, { count: sent - this.#taken, gate: this.gate });
    this.#taken = sent;
    return datagrams;
  }

  fail(): string {
    return this.gate.break();
  }

  set full(full: boolean) {
    this.gate.setFull(full);
  }

  get full(): boolean {
    return this.gate.cells[FULL] === 1;
  }

  get closed(): boolean {
    return this.gate.closed;
  }
}

/** The far ends of the connections that one listener accepts. They share its gate. */
class Connections {
  readonly gate: GateOfSuite;
  readonly #onFail: () => void;
  readonly #all: ConnectionOfSuite[] = [];

  constructor(gate: GateOfSuite, onFail: () => void) {
    this.gate = gate;
    this.#onFail = onFail;
  }

  connect(remote: Endpoint, listener: Endpoint): ConnectionOfSuite {
    const socket = TcpSocket.connect(listener, { family: 4, bind: remote, reuseAddress: true });
    const connection = new ConnectionOfSuite(this, socket, remote, this.#onFail);
    this.#all.push(connection);
    return connection;
  }

  /** All that was sent has arrived here. */
  receive(): void {
    waitUntil(
      () => this.#all.reduce((sum, connection) => sum + connection.receive(), 0) >= this.gate.sent,
      this.gate.cells,
      SENT,
    );
  }
}

class ConnectionOfSuite implements HarnessLink {
  readonly #connections: Connections;
  readonly #socket: TcpSocket;
  readonly #remote: Endpoint;
  readonly #onFail: () => void;
  readonly #stream = new Uint8Array(LONGEST);
  #length = 0;
  #arrived: Datagram[] = [];
  #count = 0;
  closed = false;
  full = false;

  constructor(connections: Connections, socket: TcpSocket, remote: Endpoint, onFail: () => void) {
    this.#connections = connections;
    this.#socket = socket;
    this.#remote = remote;
    this.#onFail = onFail;
  }

  deliver(_from: Endpoint, ...packets: Uint8Array[]): void {
    for (const packet of packets) {
      this.#connections.gate.enter();
      const frame = Uint8Array.from([packet.length >>> 8, packet.length & 0xff, ...packet]);
      assert.equal(this.#socket.writeBytes(frame, 0, frame.length), frame.length);
    }
  }

  takeSent(): Datagram[] {
    this.#connections.receive();
    const taken = this.#arrived;
    this.#arrived = [];
    return taken;
  }

  /** How many packets have come in all. */
  receive(): number {
    if (this.closed) return this.#count;
    const read = this.#socket.read(this.#stream, this.#length, LONGEST - this.#length);
    if (read > 0) this.#length += read;
    for (;;) {
      const size = ((this.#stream[0] as number) << 8) | (this.#stream[1] as number);
      if (this.#length < 2 || this.#length < 2 + size) return this.#count;
      this.#arrived.push({ to: this.#remote, bytes: this.#stream.slice(2, 2 + size) });
      this.#stream.copyWithin(0, 2 + size, this.#length);
      this.#length -= 2 + size;
      this.#count += 1;
    }
  }

  fail(): string {
    this.#onFail();
    this.close();
    return 'closed by the peer';
  }

  close(): void {
    this.closed = true;
    this.#socket.close();
  }
}

class TunOfSuite implements HarnessTun {
  readonly gate: GateOfSuite;
  /** The descriptor of the end that the channel gets. */
  readonly far: number;
  readonly #near: UnixSocket;
  readonly #bytes = new Uint8Array(LONGEST);
  #taken = 0;

  constructor(gate: GateOfSuite) {
    this.gate = gate;
    const [near, far] = UnixSocket.pair('seqpacket');
    this.#near = near;
    this.far = far.descriptor.release();
  }

  deliver(...packets: Uint8Array[]): void {
    for (const packet of packets) {
      this.gate.enter();
      const sent = this.#near.send(packet);
      assert(this.gate.closed || sent === packet.length, `${sent}`);
    }
  }

  takeWritten(): Uint8Array[] {
    const written: Uint8Array[] = [];
    const { sent } = this.gate;
    waitUntil(
      () => {
        while (this.#taken < sent) {
          const length = this.#near.receive(this.#bytes, 0, LONGEST, []);
          if (length <= 0) return false;
          written.push(this.#bytes.slice(0, length));
          this.#taken += 1;
        }
        return true;
      },
      this.gate.cells,
      SENT,
    );
    return written;
  }

  close(): void {
    this.#near.close();
  }

  fail(): string {
    return this.gate.break();
  }

  set full(full: boolean) {
    this.gate.setFull(full);
  }

  get full(): boolean {
    return this.gate.cells[FULL] === 1;
  }

  get closed(): boolean {
    return this.gate.closed;
  }
}
