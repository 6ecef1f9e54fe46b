/**
 * The results in docs/: performance.json keeps the newest of each setting and measure, performance.md shows them
 * between two marks, performance.svg draws them. What else stands in the page is written by hand.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import type { Measure, Row } from './measure.js';
import { drawPlot } from './plot.js';
import { type Results, type Section, titleOf } from './results.js';
import { asMarkdown, tableOf } from './table.js';

const docs = resolve(import.meta.dirname, '../../../docs');
const [opening, closing] = ['<!-- results: written by bench/tunnel --write-docs -->', '<!-- end of results -->'];
const picture = '![Throughput of tunnels](performance.svg)';

/** Gives the files that it wrote. */
export function writeDocs(
  results: Results,
  measured: readonly { readonly measure: Measure; readonly rows: readonly Row[] }[],
): string[] {
  const paths = ['performance.json', 'performance.md', 'performance.svg'].map((name) => join(docs, name));
  const [data = '', page = '', plot = ''] = paths;
  const kept = existsSync(data) ? (JSON.parse(readFileSync(data, 'utf8')) as Section[]) : [];
  const { measures: _, ...about } = results;
  const fresh = measured.map(({ measure, rows }) => ({
    ...about,
    measure: measure.name,
    title: measure.title,
    table: tableOf(measure, rows),
    rows: rows.map(({ rounds: _rounds, ...row }) => row),
  }));
  const key = ({ setting, measure }: Section): string => `${titleOf(setting)}: ${measure}`;
  const sections = [...new Map([...kept, ...fresh].map((section) => [key(section), section])).values()];
  writeFileSync(data, `${JSON.stringify(sections, undefined, 2)}\n`);
  writeFileSync(plot, drawPlot(sections));
  const text = readFileSync(page, 'utf8');
  const [start, end] = [text.indexOf(opening), text.indexOf(closing)];
  if (start < 0 || end < start) throw new Error(`${page} has no place for results: ${opening} … ${closing}`);
  writeFileSync(
    page,
    `${text.slice(0, start)}${opening}\n\n${[picture, ...sections.map(asPage)].join('\n\n')}\n\n${text.slice(end)}`,
  );
  return paths;
}

function asPage({ setting, title, date, machine, versions, rounds, table }: Section): string {
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `### ${titleOf(setting)}: ${title}`,
    `${date.slice(0, 10)}, ${machine.cores} cores of ${machine.model}, Linux ${machine.kernel}; ${rounds} rounds. ${names.join('; ')}.`,
    asMarkdown(table),
  ].join('\n\n');
}
