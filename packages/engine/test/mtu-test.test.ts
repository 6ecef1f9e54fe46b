import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { EngineOutput } from '@seikan/engine';
import { MtuTest } from '#src/client/mtu-test.js';
import { PacketSizes } from '#src/packet-sizes.js';
import { TunnelLog } from '#src/tunnel-log.js';

/** Magic 16, peer-id header 4, packet id 4, tag 16. */
const OVERHEAD = 40;
const LARGEST = 1_524;
const STEP = 3_000;

/** A test against a peer, with ways that lose what is longer on the link. */
function run({ out, back, answers = true }: { out: number; back: number; answers?: boolean }) {
  const outputs: EngineOutput[] = [];
  const log = new TunnelLog((output) => outputs.push(output));
  const toPeer: Uint8Array[] = [];
  const toUs: Uint8Array[] = [];
  const fits = (plaintext: Uint8Array, limit: number): boolean => plaintext.length + OVERHEAD <= limit;
  const ours = new PacketSizes({
    overhead: OVERHEAD,
    largest: LARGEST,
    send: (plaintext) => void (fits(plaintext, out) && toPeer.push(plaintext)),
  });
  const peer = new PacketSizes({
    overhead: OVERHEAD,
    largest: LARGEST,
    send: (plaintext) => void (fits(plaintext, back) && toUs.push(plaintext)),
  });
  const mtuTest = new MtuTest({ sizes: ours, fragments: false, log }, 0);
  let now = 0;
  for (let next = mtuTest.nextTimeout(); next !== undefined; next = mtuTest.nextTimeout()) {
    assert.equal(next - now, STEP);
    now = next;
    mtuTest.handleTimeout(now);
    for (const plaintext of toPeer.splice(0)) if (answers) peer.handle(plaintext);
    for (const plaintext of toUs.splice(0)) {
      const measured = ours.handle(plaintext);
      if (measured !== undefined) mtuTest.measured(measured);
    }
  }
  return { lines: outputs.map((output) => (output.output === 'log' ? output.text : '')), seconds: now / 1_000 };
}

const BEGINNING = 'NOTE: Beginning empirical MTU test -- results should be available in 3 to 4 minutes.';

test('where everything fits, what was tried arrives, after three minutes of steps', () => {
  assert.deepEqual(run({ out: 9_000, back: 9_000 }), {
    lines: [
      BEGINNING,
      'NOTE: Empirical MTU test completed [Tried,Actual] local->remote=[1524,1524] remote->local=[1524,1524]',
    ],
    seconds: 183,
  });
});

test('a narrow way shows in its direction, with advice', () => {
  const { lines } = run({ out: 1_400, back: 9_000 });
  // Tried are 1524 less 1000, 750, 500, 400, 300, 200, 150, 100, 50 and nothing: 1374 is the longest that fits.
  assert.deepEqual(lines, [
    BEGINNING,
    'NOTE: Empirical MTU test completed [Tried,Actual] local->remote=[1524,1374] remote->local=[1524,1524]',
    'NOTE: This connection is unable to accommodate a UDP packet size of 1524. Consider using --fragment or --mssfix options as a workaround.',
  ]);
});

test('a peer that does not answer is asked ten times', () => {
  assert.deepEqual(run({ out: 9_000, back: 9_000, answers: false }), {
    lines: [
      BEGINNING,
      'NOTE: failed to empirically measure MTU (requires OpenVPN 1.5 or higher at other end of connection).',
    ],
    seconds: 213,
  });
});

test('the messages are those of openvpn, and nobody gets more out of us than the largest packet', () => {
  const sent: Uint8Array[] = [];
  const sizes = new PacketSizes({
    overhead: OVERHEAD,
    largest: LARGEST,
    send: (plaintext) => void sent.push(plaintext),
  });
  sizes.handle(Uint8Array.of(2, 0x03, 0xe8));
  sizes.handle(Uint8Array.of(2, 0xff, 0xff));
  sizes.handle(Uint8Array.of(2, 0, 1));
  assert.deepEqual(
    sent.map((plaintext) => [plaintext[0], plaintext.length + OVERHEAD]),
    [
      [3, 1_000],
      [3, LARGEST],
      [3, 41],
    ],
  );
  sizes.handle(new Uint8Array(500).fill(3, 0, 1));
  sizes.handle(Uint8Array.of(4));
  assert.deepEqual(sent.at(-1), Uint8Array.of(5, 0x02, 0x1c, 0x05, 0xf4));
  // Cut, or nothing at all.
  for (const bad of [[], [2], [2, 1], [5, 0, 0, 0], [77]]) {
    const before = sent.length;
    assert.equal(sizes.handle(Uint8Array.from(bad)), undefined);
    assert.equal(sent.length, before);
  }
});
