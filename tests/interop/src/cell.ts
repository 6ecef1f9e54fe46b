/**
 * A cell of the interop matrix: one session between two implementations, with one value of each dimension.
 * The matrix is data: `cells.txt`, one line a cell, in the order of the columns below; the last column says
 * whether CI runs it. Which cells cannot exist is data too (`impossible`), with the reason.
 */
import { type Implementation, implementations } from './peers.js';

export const dimensions = {
  client: implementations,
  server: implementations,
  proto: ['udp4', 'udp6', 'tcp4', 'tcp6'],
  wrap: ['none', 'tls-auth', 'tls-crypt', 'tls-crypt-v2'],
  cipher: ['AES-256-GCM', 'AES-192-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC', 'AES-128-CBC'],
  event: [
    'steady',
    'reneg-client',
    'reneg-server',
    'restart-client',
    'restart-server',
    'kill-client',
    'kill-server',
    'soft-restart',
    'float',
    'loss-10',
    'loss-30',
    'fragment',
    'stub-v2',
    'p2p',
    'static-key',
    'tap',
    'token',
    'clients-50',
    'refuse-revoked',
    'refuse-expired',
    'refuse-purpose',
    'refuse-password',
    'refuse-wrap-key',
    'refuse-cipher',
  ],
} as const;

/** Ciphers that few use: each in cells of its own, not in the covering array. */
export const rareCiphers = ['ARIA-256-GCM', 'CAMELLIA-256-CBC', 'AES-256-CFB', 'AES-128-OFB', 'AES-192-CFB8'] as const;

/** Events to which transport, wrap and cipher are all the same. */
export const rareEvents = ['migrate'] as const;

type Dimension = keyof typeof dimensions;
export type Proto = (typeof dimensions.proto)[number];
export type Wrap = (typeof dimensions.wrap)[number];
export type Cipher = (typeof dimensions.cipher)[number] | (typeof rareCiphers)[number];
export type EventName = (typeof dimensions.event)[number] | (typeof rareEvents)[number];

export interface Cell {
  readonly client: Implementation;
  readonly server: Implementation;
  readonly proto: Proto;
  readonly wrap: Wrap;
  readonly cipher: Cipher;
  readonly event: EventName;
  readonly ci: boolean;
}

/** How the data keys are derived; it follows from who plays, since no option chooses it. */
export type Derivation = 'prf' | 'exporter' | 'epoch' | 'static';

const overUdp = ({ proto }: Cell): boolean => proto.startsWith('udp');
const isAead = ({ cipher }: Cell): boolean => /GCM|POLY1305/.test(cipher);

export const impossible: readonly { readonly why: string; readonly when: (cell: Cell) => boolean }[] = [
  { why: 'fragment exists over UDP only', when: (cell) => cell.event === 'fragment' && !overUdp(cell) },
  { why: 'a TCP connection cannot float', when: (cell) => cell.event === 'float' && !overUdp(cell) },
  {
    why: 'the tunnelled TCP of the check starves on a TCP link that loses 30 %, stock on both sides too',
    when: (cell) => cell.event === 'loss-30' && !overUdp(cell),
  },
  {
    why: 'a static key has no control channel to wrap and no AEAD cipher',
    when: (cell) => cell.event === 'static-key' && (cell.wrap !== 'none' || isAead(cell)),
  },
  { why: 'no wrap, no key to be wrong', when: (cell) => cell.event === 'refuse-wrap-key' && cell.wrap === 'none' },
];

export function derivationOf(cell: Cell): Derivation {
  const { client, server, event } = cell;
  if (event === 'static-key') return 'static';
  if (client === 'stock-2.5' || server === 'stock-2.5') return 'prf';
  const epoch = client !== 'stock-2.6' && server !== 'stock-2.6';
  return epoch && isAead(cell) && event !== 'p2p' ? 'epoch' : 'exporter';
}

export function cellName(cell: Cell): string {
  return [cell.client, cell.server, cell.proto, cell.wrap, cell.cipher, cell.event].join(' ');
}

/** Reads the matrix; a line is six values and 'ci' or 'all'. Blank lines and lines that start with # are comments. */
export function parseCells(text: string): Cell[] {
  const cells: Cell[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const words = line.trim().split(/\s+/);
    const fail = (what: string): never => {
      throw new Error(`cells.txt:${index + 1}: ${what}`);
    };
    const oneOf = <V extends string>(known: readonly V[], what: Dimension, word: string | undefined): V =>
      known.find((one) => one === word) ?? fail(`no ${what} is called '${word ?? ''}'`);
    const value = <D extends Dimension>(dimension: D, word: string | undefined): (typeof dimensions)[D][number] =>
      oneOf<(typeof dimensions)[D][number]>(dimensions[dimension], dimension, word);
    const [client, server, proto, wrap, cipher, event, when] = words;
    if (words.length !== 7 || (when !== 'ci' && when !== 'all')) fail("expected six values and 'ci' or 'all'");
    const cell: Cell = {
      client: value('client', client),
      server: value('server', server),
      proto: value('proto', proto),
      wrap: value('wrap', wrap),
      cipher: oneOf<Cipher>([...dimensions.cipher, ...rareCiphers], 'cipher', cipher),
      event: oneOf<EventName>([...dimensions.event, ...rareEvents], 'event', event),
      ci: when === 'ci',
    };
    const rule = impossible.find(({ when }) => when(cell));
    if (rule !== undefined) fail(rule.why);
    cells.push(cell);
  }
  return cells;
}

export function formatCell(cell: Cell): string {
  return [
    cell.client.padEnd(10),
    cell.server.padEnd(10),
    cell.proto.padEnd(5),
    cell.wrap.padEnd(13),
    cell.cipher.padEnd(18),
    cell.event.padEnd(16),
    cell.ci ? 'ci' : 'all',
  ].join(' ');
}
