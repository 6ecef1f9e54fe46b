import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '@seikan/testkit';

import { PrefixTable } from '#src/prefix-table.js';

/** The same by trying all routes: what the table is held to. */
class Naive {
  readonly routes: { network: Uint8Array; bits: number; value: number }[] = [];

  set(network: Uint8Array, bits: number, value: number): void {
    this.delete(network, bits);
    this.routes.push({ network, bits, value });
  }

  delete(network: Uint8Array, bits: number): void {
    const at = this.routes.findIndex((route) => route.bits === bits && holds(route.network, bits, network));
    if (at >= 0) this.routes.splice(at, 1);
  }

  lookup(address: Uint8Array): number | undefined {
    const matching = this.routes.filter(({ network, bits }) => holds(network, bits, address));
    return matching.toSorted((a, b) => b.bits - a.bits)[0]?.value;
  }
}

function holds(network: Uint8Array, bits: number, address: Uint8Array): boolean {
  for (let bit = 0; bit < bits; bit += 1) {
    const mask = 0x80 >>> (bit & 7);
    if (((network[bit >>> 3] ?? 0) & mask) !== ((address[bit >>> 3] ?? 0) & mask)) return false;
  }
  return true;
}

for (const family of [4, 6] as const) {
  test(`IPv${family}: the table agrees with a plain search through insertions, replacements and deletions`, () => {
    const seed = 99;
    const random = new SeededRandom(seed);
    const size = family === 4 ? 4 : 16;
    const table = new PrefixTable<number>(family);
    const naive = new Naive();
    // Few different bytes, so that prefixes nest and meet.
    const address = () => Uint8Array.from({ length: size }, () => [0, 1, 0x80, 0xff][random.below(4)] ?? 0);
    let asked = Uint8Array.from([7, ...address()]);
    for (let round = 0; round < 3_000; round += 1) {
      const network = address();
      const bits = random.chance(0.3) ? size * 8 : random.below(size * 8 + 1);
      if (random.chance(0.6)) {
        table.set(network, bits, round);
        naive.set(network, bits, round);
      } else {
        const victim = random.chance(0.8) ? naive.routes[random.below(naive.routes.length)] : undefined;
        table.delete(victim?.network ?? network, victim?.bits ?? bits);
        naive.delete(victim?.network ?? network, victim?.bits ?? bits);
      }
      assert.equal(table.size, naive.routes.length, `seed ${seed}, round ${round}`);
      // The address that was asked for before the change, then another.
      assert.equal(table.lookup(asked, 1), naive.lookup(asked.subarray(1)), `seed ${seed}, round ${round}, again`);
      asked = Uint8Array.from([7, ...address()]);
      assert.equal(table.lookup(asked, 1), naive.lookup(asked.subarray(1)), `seed ${seed}, round ${round}`);
    }
    for (const { network, bits } of naive.routes) table.delete(network, bits);
    assert.equal(table.size, 0);
    assert.equal(table.lookup(address(), 0), undefined);
  });
}
