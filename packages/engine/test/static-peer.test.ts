/** A static-key peer asks for the other’s options: at once when it knows where, then every 10 s; the twelfth time is the end of it (2.13). */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { OptionsCheck } from '#src/client/options-check.js';
import { TunnelLog } from '#src/tunnel-log.js';

const OWN = 'V4,dev-type tun,tun-mtu 1500,secret';

function asking(atOnce: boolean) {
  const sent: number[] = [];
  const replies: Uint8Array[] = [];
  const logged: string[] = [];
  let now = 1_000;
  const check = new OptionsCheck({
    own: OWN,
    expected: OWN,
    log: new TunnelLog((output) => {
      if (output.output === 'log') logged.push(output.text);
    }),
    send: (message) => {
      if (message[0] === 0) sent.push((now - 1_000) / 1_000);
      else replies.push(message);
    },
  });
  check.start(now, atOnce);
  const run = (until: number): void => {
    for (let next = check.nextTimeout(); next !== undefined && next <= until; next = check.nextTimeout()) {
      now = next;
      check.handleTimeout(now);
    }
  };
  return { check, sent, replies, logged, run };
}

const seconds = (from: number, to: number): number[] =>
  Array.from({ length: (to - from) / 10 + 1 }, (_, i) => from + 10 * i);

test('without an answer it stops, and says so', () => {
  for (const [atOnce, times] of [
    [true, seconds(0, 100)],
    [false, seconds(10, 110)],
  ] as const) {
    const { check, sent, logged, run } = asking(atOnce);
    run(600_000);
    assert.deepEqual(sent, times);
    assert.equal(check.nextTimeout(), undefined);
    assert.ok(logged[0]?.startsWith('NOTE: failed to obtain options consistency info from peer'));
  }
});

test('an answer ends the asking, and what differs is told; a question is answered with our own', () => {
  const { check, sent, replies, logged, run } = asking(true);
  run(1_000);
  const text = new TextEncoder().encode('V4,dev-type tun,tun-mtu 1400,secret\0');
  check.handle(Uint8Array.of(1, ...text));
  run(600_000);
  assert.deepEqual(sent, [0]);
  assert.deepEqual(logged, ["WARNING: 'tun-mtu' is used inconsistently, local='tun-mtu 1500', remote='tun-mtu 1400'"]);
  check.handle(Uint8Array.of(0));
  assert.deepEqual(replies, [Uint8Array.of(1, ...new TextEncoder().encode(`${OWN}\0`))]);
});
