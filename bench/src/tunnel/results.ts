/** What a run found out, and under which circumstances. */
import type { Measure, Row } from './measure.js';
import { tableOf } from './table.js';
import type { Cipher } from './tunnel.js';

export interface ResultSetting {
  readonly cipher: Cipher;
  readonly transport: 'udp' | 'tcp';
  readonly wire: boolean;
  /** The version of the node that ran ours. */
  readonly node: string;
}

export interface Results {
  readonly date: string;
  readonly machine: { readonly cores: number; readonly model: string; readonly kernel: string };
  readonly setting: ResultSetting;
  readonly versions: Readonly<Record<string, string>>;
  readonly rounds: number;
  readonly measures: Readonly<Record<string, readonly Row[]>>;
}

/** One measure under one setting, as it is kept. */
export interface Section extends Omit<Results, 'measures'> {
  readonly measure: string;
  readonly heading: string;
  /** What it measures, in words. */
  readonly title: string;
  readonly table: readonly (readonly string[])[];
  readonly rows: readonly Omit<Row, 'rounds'>[];
}

export function titleOf({ cipher, transport, wire, node }: ResultSetting): string {
  const segments = wire ? ', segmented before the wire' : '';
  return `${cipher} over ${transport.toUpperCase()}${segments}, Node ${node.split('.')[0]}`;
}

export function sectionsOf(
  { measures: _measures, ...about }: Results,
  measured: readonly { readonly measure: Measure; readonly rows: readonly Row[] }[],
): Section[] {
  return measured.map(({ measure, rows }) => ({
    ...about,
    measure: measure.name,
    heading: measure.heading,
    title: measure.title,
    table: tableOf(measure, rows),
    rows: rows.map(({ rounds: _rounds, ...row }) => row),
  }));
}
