/** What ours must reach, as ratios within one run, and what a measure found. */
import type { Column, Row } from './measure.js';
import type { Section } from './results.js';
import type { ContenderName } from './tunnel.js';

interface Floor {
  readonly what: string;
  readonly measure: 'tcp' | 'udp' | 'rtt';
  readonly where: Partial<Section['setting']> & { readonly major?: string };
  readonly contender: ContenderName;
  readonly column: Column['key'];
  /** The ratio to this contender's figure counts, or the figure itself. */
  readonly beside?: ContenderName;
  readonly atLeast?: number;
  readonly atMost?: number;
}

const usual = { cipher: 'AES-256-GCM', transport: 'udp', wire: false } as const;
const tcp = { measure: 'tcp', where: usual, contender: 'ours', column: 'mean' } as const;
const rtt = { measure: 'rtt', where: usual, contender: 'ours' } as const;
const newest = { ...tcp, where: { ...usual, major: '24' } } as const;

const floors: readonly Floor[] = [
  { ...newest, what: 'TCP, mean of the four cells, Node 24', beside: 'openvpn', atLeast: 10 },
  { ...newest, what: 'TCP, mean of the four cells, Node 24', beside: 'wireguard-go-gso', atLeast: 3.5 },
  { ...newest, what: 'TCP, mean of the four cells, Node 24', beside: 'forwarder', atLeast: 0.85 },
  { ...newest, what: 'TCP, lowest cell beside the mean, Node 24', column: 'lowest', atLeast: 0.9 },
  { ...tcp, what: 'TCP, Node 20', where: { ...usual, major: '20' }, beside: 'openvpn', atLeast: 8 },
  { ...tcp, what: 'TCP, segmented before the wire', where: { ...usual, wire: true }, beside: 'openvpn', atLeast: 5 },
  { ...tcp, what: 'client ours, server stock', contender: 'ours-to-openvpn', beside: 'openvpn', atLeast: 1.2 },
  { ...tcp, what: '… share of a core, stock', contender: 'ours-to-openvpn', column: 'serverShare', atLeast: 0.95 },
  { ...tcp, what: '… share of a core, ours', contender: 'ours-to-openvpn', column: 'clientShare', atMost: 0.25 },
  { ...tcp, what: 'client stock, server ours', contender: 'openvpn-to-ours', beside: 'openvpn', atLeast: 1.2 },
  { ...tcp, what: '… share of a core, stock', contender: 'openvpn-to-ours', column: 'clientShare', atLeast: 0.95 },
  { ...tcp, what: '… share of a core, ours', contender: 'openvpn-to-ours', column: 'serverShare', atMost: 0.25 },
  {
    ...tcp,
    what: 'ChaCha20-Poly1305',
    where: { ...usual, cipher: 'CHACHA20-POLY1305' },
    beside: 'openvpn',
    atLeast: 8,
  },
  { ...tcp, what: 'TCP transport', where: { ...usual, transport: 'tcp' }, beside: 'openvpn', atLeast: 3 },
  { ...tcp, what: 'UDP, paced 64 B', measure: 'udp', column: '64', beside: 'openvpn', atLeast: 4 },
  { ...tcp, what: 'UDP, paced 1300 B', measure: 'udp', column: '1300', beside: 'openvpn', atLeast: 4 },
  { ...rtt, what: 'round trip, idle', column: 'idle', beside: 'openvpn', atMost: 1 },
  { ...rtt, what: "round trip with openvpn's load", column: 'load', beside: 'openvpn', atMost: 1 },
  { ...rtt, what: 'round trip, saturated', column: 'saturated', beside: 'forwarder', atMost: 1 },
  { ...tcp, what: 'processor seconds per GB', column: 'cpuPerGigabyte', beside: 'openvpn', atMost: 0.1 },
  { ...tcp, what: '1 000 peers and 10 000 routes', contender: 'ours-1000-peers', beside: 'ours', atLeast: 0.95 },
  { ...tcp, what: 'major garbage collections per GB', column: 'majorPerGigabyte', atMost: 0 },
];

/** A row for each floor that one of the sections has measured; of several settings that fit, the newest counts. */
export function floorsTable(sections: readonly Section[]): string[][] {
  const body = floors.flatMap((floor) => {
    const found = sections.filter((section) => fits(floor, section)).toSorted(byDate);
    const rows = found.flatMap((section) => section.rows.filter(({ contender }) => contender === floor.contender));
    const figure = rows.map((row) => figureOf(floor, row)).find((value) => value !== undefined && !Number.isNaN(value));
    if (figure === undefined) return [];
    const { what, beside, atLeast, atMost } = floor;
    const unit = beside === undefined ? '' : ` × ${beside}`;
    const bound = atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
    const reached = figure >= (atLeast ?? -Infinity) && figure <= (atMost ?? Infinity);
    return [[what, `${bound}${unit}`, figure.toFixed(2), reached ? 'reached' : 'missed']];
  });
  return [['', 'floor', 'measured', ''], ...body];
}

function fits({ measure, where }: Floor, section: Section): boolean {
  const { cipher, transport, wire, node } = section.setting;
  return (
    measure === section.measure &&
    (where.cipher ?? cipher) === cipher &&
    (where.transport ?? transport) === transport &&
    (where.wire ?? wire) === wire &&
    (where.major === undefined || node.startsWith(`${where.major}.`))
  );
}

function byDate(one: Section, other: Section): number {
  return other.date.localeCompare(one.date);
}

function figureOf({ column, beside }: Floor, { medians, ratios }: Omit<Row, 'rounds'>): number | undefined {
  return beside === undefined ? medians[column] : ratios[column]?.[beside];
}
