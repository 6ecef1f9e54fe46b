import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Cell, dimensions, parseCells } from '#interop/cell.js';
import { generateCells, players, uncoveredPairs } from '#interop/covering.js';

const text = readFileSync(join(import.meta.dirname, '../cells.txt'), 'utf8');

describe('the interop matrix', () => {
  const cells = parseCells(text);

  it('has a cell for every possible pair of values', () => {
    assert.deepEqual(uncoveredPairs(cells), []);
  });

  it('notices when a cell is missing', () => {
    const rare = cells.findIndex(({ event, cipher }) => event === 'static-key' && cipher === 'AES-128-CBC');
    assert.notEqual(rare, -1);
    const without = cells.filter((cell) => cell.event !== 'static-key' || cell.cipher !== 'AES-128-CBC');
    assert.ok(uncoveredPairs(without).includes('AES-128-CBC + static-key'));
  });

  it('is what the generator writes', () => {
    assert.deepEqual(generateCells(), cells);
  });

  it('lets every event meet both of our roles in CI, except fifty of our clients and the heavy loss', () => {
    const inCi = cells.filter(({ ci }) => ci);
    for (const event of dimensions.event) {
      if (event === 'loss-30') continue;
      const met = inCi.filter((cell) => cell.event === event);
      assert.ok(
        met.some(({ server }) => server === 'ours'),
        `${event}: no cell with our server`,
      );
      if (event !== 'clients-50')
        assert.ok(
          met.some(({ client }) => client === 'ours'),
          `${event}: no cell with our client`,
        );
    }
  });

  it('lets every version meet every wrapping in CI', () => {
    const inCi = cells.filter(({ ci }) => ci);
    for (const { client, server } of players)
      for (const wrap of dimensions.wrap)
        assert.ok(
          inCi.some((cell: Cell) => cell.client === client && cell.server === server && cell.wrap === wrap),
          `${client} ${server} ${wrap}`,
        );
  });
});

describe('a line of the matrix', () => {
  const line = 'ours stock-2.6 udp4 tls-crypt AES-256-GCM steady ci';

  it('is read word by word', () => {
    assert.deepEqual(parseCells(`# comment\n\n${line}\n`), [
      {
        client: 'ours',
        server: 'stock-2.6',
        proto: 'udp4',
        wrap: 'tls-crypt',
        cipher: 'AES-256-GCM',
        event: 'steady',
        ci: true,
      },
    ]);
  });

  for (const [wrong, message] of [
    [line.replace('udp4', 'udp5'), /cells\.txt:1: no proto is called 'udp5'/],
    [line.replace(' ci', ''), /cells\.txt:1: expected six values/],
    [line.replace('steady', 'static-key'), /cells\.txt:1: a static key has no control channel/],
    [line.replace('udp4', 'tcp4').replace('steady', 'float'), /cells\.txt:1: a TCP connection cannot float/],
  ] as const)
    it(`is refused when it says: ${wrong}`, () => {
      assert.throws(() => parseCells(wrong), message);
    });
});
