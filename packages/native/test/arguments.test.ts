/**
 * Random arguments to every function of the addon: whatever TypeScript passes, it throws or returns, and writes
 * nothing outside the arrays that it was given. Around each array stand bytes that nobody may touch.
 * Under SEIKAN_SANITIZE=address the same test finds reads outside them too (docs/native.md).
 */
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import { loadAddon, UdpSocket, UnixSocket, Wake } from '@seikan/native';
import { SeededRandom } from '@seikan/testkit';

const seed = Number(process.env['SEIKAN_SEED'] ?? 20_261_121);
const rounds = Number(process.env['SEIKAN_FUZZ_ROUNDS'] ?? 20_000);
const GUARD = Number(process.env['SEIKAN_FUZZ_GUARD'] ?? 64);

/** They would do what they say to the test's own process. */
const LEFT_OUT = new Set([
  'capabilitiesSet',
  'capabilitiesKeep',
  'descriptorClose',
  'descriptorSetCloseOnExec',
  'descriptorSetNonBlocking',
  'processChangeRoot',
  'processSetDumpable',
  // Makes devices when it is root.
  'tunOpen',
]);
/** Not the rooms over OpenSSL's objects, which have tests of their own. */
const ROOMS =
  /^(aead|capabilities|descriptor|error|group|interface|key|netlink|poll|process|socket|stream|superpacket|tun|udp|unix|user|wake)[A-Z]/;

test(`random arguments never leave the buffers (seed ${seed}, ${rounds} rounds)`, () => {
  const random = new SeededRandom(seed);
  const native = loadAddon() as Record<string, (...argv: unknown[]) => unknown>;
  const functions = Object.keys(native).filter((name) => ROOMS.test(name) && !LEFT_OUT.has(name));
  assert.ok(functions.length >= 45, `only ${functions.length} functions: ${functions.join(' ')}`);

  const udp = UdpSocket.open({ family: 4, bind: { address: '127.0.0.1', port: 0 } });
  const [left, right] = UnixSocket.pair();
  const wake = new Wake();
  const sink = openSync('/dev/null', 'r+');
  const descriptors = [udp.descriptor.fd, left.descriptor.fd, right.descriptor.fd, wake.descriptor.fd, sink];
  const keys = ['AES-256-GCM', 'CHACHA20-POLY1305'].map((name) =>
    native['aeadCreate']?.(name, new Uint8Array(32), new Uint8Array(12), 0, 8, 4, 4, 8, 24),
  );
  const rings = [0, 1].map(() => native['keyRingCreate']?.(4));
  for (const ring of rings) {
    for (const slot of [0, 1]) {
      const parts = [new Uint8Array(32), new Uint8Array(12), 0, 8, 4, 4, 8, 24, new Uint8Array(4)];
      native['keyRingSet']?.(ring, slot, 'AES-256-GCM', ...parts);
    }
    const parts = ['SHA1', new Uint8Array(20), 4, 4, new Uint8Array(4)];
    native['keyRingSetCbc']?.(ring, 2, 'AES-128-CBC', new Uint8Array(16), ...parts);
  }
  // Ready whenever the wake-up is raised.
  const poll = native['pollSetCreate']?.();
  native['pollSetWatch']?.(poll, wake.descriptor.fd, true, false);
  const watch = native['pollOpen']?.(wake.descriptor.fd, () => {});
  const guarded: { memory: Uint8Array; from: number; to: number }[] = [];

  function array<T>(bytes: number, make: (buffer: ArrayBuffer, offset: number) => T): T {
    const memory = new Uint8Array(GUARD + bytes + GUARD).fill(0xa5);
    random.fill(memory.subarray(GUARD, GUARD + bytes));
    guarded.push({ memory, from: GUARD, to: GUARD + bytes });
    return make(memory.buffer, GUARD);
  }

  const sizes = [0, 1, 7, 12, 16, 44, 64, 88, 200, 1_500, 4_000];
  const pick = <T>(of: readonly T[]): T => of[random.below(of.length)] as T;
  // Half of the numbers lie about the end of some array: where a check that is off by a little shows.
  const small = () =>
    random.chance(0.5)
      ? pick([0, 1, 2, 3, 5, 16, 44, 64, 100, 300])
      : Math.max(0, pick(sizes) - pick([0, 16, 24, 44, 64]) + pick([0, 0, 1, 4, 8]));
  const makers: readonly (() => unknown)[] = [
    () => array(pick(sizes), (buffer, offset) => new Uint8Array(buffer, offset, buffer.byteLength - 2 * GUARD)),
    () => {
      const count = random.below(20);
      return array(4 * count, (buffer, offset) => {
        const words = new Uint32Array(buffer, offset, count);
        // Mostly plausible offsets and lengths, sometimes wild ones.
        for (let i = 0; i < count; i += 1) if (!random.chance(0.2)) words[i] = small();
        return words;
      });
    },
    () =>
      array(
        4 * random.below(20),
        (buffer, offset) => new Int32Array(buffer, offset, (buffer.byteLength - 2 * GUARD) / 4),
      ),
    small,
    small,
    () => pick(descriptors),
    () => pick(descriptors),
    () => pick([4, 6, -1, 0.5, Number.NaN, Infinity, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 31), 1_000_000]),
    () => random.chance(0.5),
    () =>
      pick([
        '',
        'x',
        'tun',
        'stream',
        'datagram',
        'AES-256-GCM',
        'SO_ERROR',
        'IP_TOS',
        'SO_SNDBUF',
        'x'.repeat(300),
        'a\0b',
      ]),
    () => pick(keys),
    () => watch,
    () =>
      pick<unknown>([
        undefined,
        null,
        {},
        [],
        () => {},
        5n,
        Symbol('s'),
        new DataView(new ArrayBuffer(8)),
        new Float64Array(2),
      ]),
    () => pick(rings),
    // Columns of a table (twelve and a state of eight words), a few packets that mostly lie in a slab.
    () => {
      const packets = 1 + random.below(6);
      return array(4 * (12 * packets + 8), (buffer, offset) => {
        const words = new Uint32Array(buffer, offset, 12 * packets + 8);
        for (let column = 0; column < 12; column += 1)
          for (let i = 0; i < packets; i += 1)
            if (!random.chance(0.1)) words[column * packets + i] = plausible[column]?.() ?? 0;
        return words;
      });
    },
    // Columns of an outbox (four and a state of sixteen words).
    () => {
      const messages = 2 + random.below(30);
      return array(4 * (4 * messages + 16), (buffer, offset) => {
        const words = new Uint32Array(buffer, offset, 4 * messages + 16);
        for (let i = 0; i < 4 * messages; i += 1) if (!random.chance(0.1)) words[i] = small();
        const state = [
          random.below(messages + 2),
          pick([0, 64, 4_000]),
          0,
          pick([1, 64, 128]),
          pick([100, 0xffff]),
          0,
          0,
          0,
        ];
        for (const [k, value] of state.entries()) if (!random.chance(0.1)) words[4 * messages + k] = value;
        return words;
      });
    },
    // An IP packet with headers of its own, somewhere in a slab.
    () => {
      const bytes = array(4_000, (buffer, offset) => new Uint8Array(buffer, offset, 4_000));
      for (let at = 0; at < 4_000; at += pick([16, 44, 64, 100])) {
        const six = random.chance(0.3);
        bytes[at] = six ? 0x60 : pick([0x45, 0x45, 0x46]);
        bytes[at + (six ? 6 : 9)] = pick([6, 17]);
        if (!six) bytes.fill(0, at + 6, at + 8);
        bytes[at + (six ? 52 : 32)] = 0x50;
      }
      return bytes;
    },
    () => pick(slabs),
    () => random.below(5),
    () => Uint32Array.from({ length: 6 }, () => random.below(7)),
    () => poll,
    // Sources of a poll set, the wake-up's among them.
    () => {
      const rows = pick([1, 2, 2, 2]);
      return array(32 * rows, (buffer, offset) => {
        const words = new Int32Array(buffer, offset, 8 * rows);
        const row = () => [
          pick(descriptors),
          random.below(4),
          small(),
          small(),
          pick([0, 10, 64]),
          small(),
          random.below(2),
        ];
        for (let i = 0; i < rows; i += 1) {
          words.set(row(), 8 * i);
          if (random.chance(0.7)) words[8 * i] = wake.descriptor.fd;
          if (random.chance(0.1)) words[8 * i + 4 + random.below(2)] = -1;
        }
        return words;
      });
    },
  ];
  const slabs = [70_000, 140_000].map((size) => new Uint8Array(size));
  const plausible: readonly (() => number)[] = [
    () => pick([0, 16, 64, 100, 200, 3_900]), // offset
    () => pick([0, 28, 40, 100, 300, 1_000, 4_000]), // length
    () => random.below(6), // kind
    () => pick([1, 1, 2, 3, 5]), // segments
    () => pick([1, 10, 100, 500]), // segment size
    small,
    () => pick([20, 20, 24, 40]), // transport
    () => random.below(4), // slot
    small,
    small,
    small,
    small,
  ];
  /**
   * What each function wants, most of the time; `?` is anything. u: bytes, p: packets, l: a slab for messages of 64 KiB, w: words, i: Int32Array,
   * n: number, t: tiny number, e: poll set, s: sources, d: order, b: boolean, f: descriptor, k: key, r: key ring, c: columns of a table, o: of an outbox.
   */
  const shapes: Record<string, string> = {
    tunReadBatch: 'fuwwnnn',
    tunWriteBatch: 'fuwwnn',
    udpReceiveBatch: 'fuwwnnnu',
    udpSendBatch: 'f4uwwnnuw',
    streamRead: 'funn',
    streamWrite: 'fuwwnn',
    aeadSeal: 'kuuuuu',
    aeadOpen: 'kuuuuu',
    aeadSealBatch: 'kuwwnn',
    aeadOpenBatch: 'kuwwnnu',
    unixSend: 'funni',
    unixReceive: 'funniw',
    pollSetWait: 'ei0slculcu',
    tunReadTable: 'fblcnnnn',
    tunWriteTable: 'ftpcdttw',
    udpReceiveTable: 'flcnnnu',
    udpSendOutbox: 'f4uottu',
    keyRingSeal: 'rpcdttuof4u',
    keyRingOpen: 'rpcdtt',
    keyRingSetHeader: 'rtu',
    superpacketSplit: 'pcttuwwttn',
  };
  const wanted: Record<string, number> = {
    u: 0,
    w: 1,
    i: 2,
    n: 3,
    f: 5,
    b: 8,
    k: 10,
    r: 13,
    c: 14,
    o: 15,
    p: 16,
    l: 17,
    t: 18,
    d: 19,
    e: 20,
    s: 21,
  };

  let returned = 0;
  // A tag of just the right size is too rare.
  const neverGood = new Set(Object.keys(shapes).filter((name) => name !== 'aeadOpen'));
  const openAtFirst = new Set(readdirSync('/proc/self/fd'));
  // Node's own event loop and pipes: a read there blocks for ever, a change of its epoll set crashes it.
  const foreign = new Set([...openAtFirst].map(Number).filter((fd) => !descriptors.includes(fd)));
  const closeStrays = () => {
    for (const fd of readdirSync('/proc/self/fd'))
      if (!openAtFirst.has(fd) && existsSync(`/proc/self/fd/${fd}`)) native['descriptorClose']?.(Number(fd));
  };
  for (let round = 0; round < rounds; round += 1) {
    const name = random.chance(0.6) ? pick(Object.keys(shapes)) : pick(functions);
    const shape = shapes[name] ?? '?'.repeat(random.below(10));
    const argv = Array.from(shape, (kind) => {
      if (kind === '4') return pick([4, 6]);
      if (kind === '0') return 0;
      const maker = random.chance(0.03) ? undefined : wanted[kind];
      const value = (makers[maker ?? random.below(makers.length)] as () => unknown)();
      // Without bytes around an array, which lie in the same memory, the memory may stand for it.
      return GUARD === 0 && ArrayBuffer.isView(value) && random.chance(0.3) ? value.buffer : value;
    });
    const waits = name === 'pollSetWait' && argv[0] === poll;
    const perhapsDescriptors = name in shapes ? argv.slice(0, 1) : argv;
    if (!waits && perhapsDescriptors.some((value) => typeof value === 'number' && foreign.has(value))) continue;
    // A number that happens to be a descriptor of the process (its standard input, a poll set) could block for ever.
    if (
      !waits &&
      typeof argv[0] === 'number' &&
      Number.isInteger(argv[0]) &&
      argv[0] >= 0 &&
      !descriptors.includes(argv[0])
    )
      argv[0] += 100_000;
    if (waits) wake.raise();
    try {
      native[name]?.(...argv);
      returned += 1;
      neverGood.delete(name);
    } catch (error) {
      assert.ok(error instanceof Error, `${name}: threw ${String(error)}`);
    }
    for (const { memory, from, to } of guarded) {
      const whole =
        memory.subarray(0, from).every((byte) => byte === 0xa5) && memory.subarray(to).every((byte) => byte === 0xa5);
      assert.ok(whole, `${name} wrote outside a buffer (seed ${seed}, round ${round})`);
    }
    guarded.length = 0;
    if (round % 1_000 === 999) closeStrays();
  }
  assert.ok(returned > rounds / 20, `only ${returned} of ${rounds} calls were good enough to return`);
  if (rounds >= 20_000) assert.deepEqual([...neverGood], [], 'functions whose arguments were never good');
  native['pollClose']?.(watch);
  closeSync(sink);
  closeSync(poll as number);
  for (const socket of [udp, left, right, wake]) socket.close();
});
