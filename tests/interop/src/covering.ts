/**
 * The covering array: cells in which every pair of values of two dimensions meets, unless the pair is impossible.
 * Greedy and without chance: of all possible cells it takes, again and again, the first that covers most.
 * `uncoveredPairs` does not share the generator's bookkeeping: it asks the finished array.
 */
import { type Cell, dimensions, impossible, rareCiphers, rareEvents } from './cell.js';
import type { Implementation } from './peers.js';

/** Who plays is one dimension: ours on at least one side. */
export const players: readonly { readonly client: Implementation; readonly server: Implementation }[] = [
  { client: 'ours', server: 'stock-2.6' },
  { client: 'stock-2.6', server: 'ours' },
  { client: 'ours', server: 'stock-2.7' },
  { client: 'stock-2.7', server: 'ours' },
  { client: 'ours', server: 'stock-2.5' },
  { client: 'stock-2.5', server: 'ours' },
  { client: 'ours', server: 'ours' },
];

/** The values of a cell by dimension, as text. */
function values({ client, server, proto, wrap, cipher, event }: Cell): readonly string[] {
  return [`${client}-${server}`, proto, wrap, cipher, event];
}

function pairs(cell: Cell): string[] {
  const all = values(cell);
  return all.flatMap((one, index) => all.slice(index + 1).map((other) => `${one} + ${other}`));
}

function possibleCells(): Cell[] {
  const cells: Cell[] = [];
  for (const event of dimensions.event)
    for (const who of players)
      for (const cipher of dimensions.cipher)
        for (const proto of dimensions.proto)
          for (const wrap of dimensions.wrap) {
            const cell: Cell = { ...who, proto, wrap, cipher, event, ci: false };
            if (!impossible.some(({ when }) => when(cell))) cells.push(cell);
          }
  return cells;
}

/** The pairs that some possible cell has and none of `cells` has. */
export function uncoveredPairs(cells: readonly Cell[]): string[] {
  const covered = new Set(cells.flatMap(pairs));
  return [...new Set(possibleCells().flatMap(pairs))].filter((pair) => !covered.has(pair));
}

/** Takes cells from `candidates` until all goals that `goalsOf` names for any of them are covered. */
function cover(candidates: readonly Cell[], goalsOf: (cell: Cell) => readonly string[]): Cell[] {
  const ids = new Map<string, number>();
  const wanted: boolean[] = [];
  const goals = candidates.map((cell) =>
    goalsOf(cell).map((goal) => {
      const id = ids.get(goal) ?? ids.size;
      ids.set(goal, id);
      wanted[id] = true;
      return id;
    }),
  );
  const taken: Cell[] = [];
  for (;;) {
    let best = -1;
    let most = 0;
    for (const [index, covers] of goals.entries()) {
      let gain = 0;
      for (const id of covers) if (wanted[id]) gain += 1;
      if (gain > most) [best, most] = [index, gain];
    }
    const cell = candidates[best];
    if (cell === undefined) return taken;
    for (const id of goals[best] ?? []) wanted[id] = false;
    taken.push(cell);
  }
}

/** Not for CI: fifty of our clients are fifty processes, and at 30 % loss stock peers too give up now and then (trials.ts). */
const onlyInAll = ({ client, event }: Cell): boolean =>
  event === 'loss-30' || (event === 'clients-50' && client === 'ours');

/** Each rare cipher in both of our roles, with a stock 2.6, the first of them in CI; each rare event with those who know it (2.6 and later). */
function rareCells(): Cell[] {
  const ciphers = rareCiphers.flatMap((cipher, index) =>
    players.slice(0, 2).map(({ client, server }, role): Cell => {
      const proto = (index + role) % 2 === 0 ? 'udp4' : 'tcp4';
      return { client, server, proto, wrap: 'tls-crypt', cipher, event: 'steady', ci: index === 0 };
    }),
  );
  const late = players.filter(({ client, server }) => client !== 'stock-2.5' && server !== 'stock-2.5');
  const events = rareEvents.flatMap((event) =>
    late.map(
      ({ client, server }): Cell => ({
        client,
        server,
        proto: 'udp4',
        wrap: 'tls-crypt',
        cipher: 'AES-256-GCM',
        event,
        ci: false,
      }),
    ),
  );
  return [...ciphers, ...events];
}

/**
 * The matrix: a covering array, of which CI runs a part in which every event but the heavy loss meets each of our two roles and every
 * other value appears at least once; and what is rare.
 */
export function generateCells(): Cell[] {
  const cells = cover(possibleCells(), pairs);
  const inCi = cover(
    cells.filter((cell) => !onlyInAll(cell)),
    (cell) => {
      const [who = '', , , , event = ''] = values(cell);
      const roles = [...(cell.client === 'ours' ? ['client'] : []), ...(cell.server === 'ours' ? ['server'] : [])];
      return [...values(cell), ...roles.map((role) => `${role} + ${event}`), `${who} + ${cell.wrap}`];
    },
  );
  const chosen = new Set(inCi);
  const marked: Cell[] = [];
  for (const cell of cells) marked.push({ ...cell, ci: chosen.has(cell) });
  return [...marked, ...rareCells()];
}
