import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { createTlsContext } from '@seikan/native';
import { exchangeTls, openTlsPair, SeededRandom, takeTls } from '@seikan/testkit';

import { TestAuthority } from './test-pki.js';

const root = TestAuthority.root();
after(() => root.remove());
const made = (version: '1.2' | '1.3') => ({
  client: createTlsContext({ role: 'client', ca: root.cert, ...root.issue({ name: 'client' }), versionMax: version }),
  server: createTlsContext({ role: 'server', ca: root.cert, ...root.issue({ name: 'server', usage: 'server' }) }),
});
const both = [made('1.2'), made('1.3')] as const;
const seed = Date.now() >>> 0;

describe(`hostile input (seed ${seed})`, () => {
  const random = new SeededRandom(seed);

  it('of any byte value ends in failure or silence, never in a throw', () => {
    for (let round = 0; round < 500; round += 1) {
      const server = both[1].server.open(() => 'reject');
      const garbage = new Uint8Array(3 + random.below(1_400));
      random.fill(garbage);
      // Every other one starts like a handshake record, so that more than the first byte is looked at.
      if (round % 2 === 0) garbage.set([0x16, 0x03, 0x01]);
      server.receive(garbage);
      server.receive(garbage);
      assert.notEqual(server.state, 'secured');
      server.close();
    }
  });

  it('that flips bits, cuts or repeats a real handshake never gives two sides that disagree', () => {
    for (let round = 0; round < 300; round += 1) {
      const pair = openTlsPair(both[round % 2 === 0 ? 0 : 1]);
      const target = random.below(3_000);
      let carried = 0;
      for (let flight = 0; flight < 8; flight += 1) {
        const [from, to] = flight % 2 === 0 ? [pair.client, pair.server] : [pair.server, pair.client];
        const data = takeTls(from);
        const at = target - carried;
        carried += data.length;
        if (at < 0 || at >= data.length) {
          to.receive(data);
          continue;
        }
        const how = random.below(3);
        if (how === 0) data[at] = (data[at] ?? 0) ^ (1 << random.below(8));
        to.receive(how === 1 ? data.subarray(0, at) : data);
        if (how === 2) to.receive(data);
      }
      if (pair.client.state === 'secured' && pair.server.state === 'secured') {
        const ours = pair.client.exportKeyingMaterial('EXPORTER-test', 32);
        assert.deepEqual(ours, pair.server.exportKeyingMaterial('EXPORTER-test', 32), `round ${round}`);
      }
      pair.client.close();
      pair.server.close();
    }
  });

  it('that asks for a renegotiation or claims an endless record is bounded', () => {
    const server = both[1].server.open(() => 'accept');
    server.receive(Uint8Array.of(0x16, 0x03, 0x01, 0xff, 0xff));
    server.receive(new Uint8Array(1_000));
    assert.equal(server.state, 'failed');
    assert.equal(server.failure?.alert?.direction, 'sent');
  });
});

const resident = () => process.memoryUsage().rss / 1_048_576;

describe('connections in great number', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  async function run(count: number, how: 'close' | 'forget'): Promise<void> {
    for (let i = 1; i <= count; i += 1) {
      const pair = openTlsPair(both[1]);
      // Most attackers never finish: one in ten completes the handshake.
      if (i % 10 === 0) exchangeTls(pair);
      else pair.server.receive(takeTls(pair.client));
      if (how === 'close') {
        pair.client.close();
        pair.server.close();
      } else if (i % 100 === 0) {
        collect();
        // Finalizers run between tasks.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  for (const how of ['close', 'forget'] as const) {
    it(`leave no memory behind when their owner ${how}s them`, { timeout: 60_000 }, async () => {
      await run(300, how);
      const before = resident();
      await run(1_200, how);
      // 1 200 leaked pairs would be more than 100 MB.
      assert.ok(resident() - before < 20, `${before.toFixed(1)} → ${resident().toFixed(1)} MB`);
    });
  }
});
