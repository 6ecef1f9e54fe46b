/**
 * The results in docs/: performance.json keeps the newest of each setting and measure, performance.md shows them
 * between two marks, performance.svg draws them. What else stands in the page is written by hand.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { floorsTable } from './floors.js';
import { drawPlot } from './plot.js';
import { type Section, titleOf } from './results.js';
import { asMarkdown } from './table.js';

const docs = resolve(import.meta.dirname, '../../../docs');
const [opening, closing] = ['<!-- results: written by bench/tunnel --write-docs -->', '<!-- end of results -->'];
const picture = '![Throughput of tunnels](performance.svg)';

/** Gives the files that it wrote. */
export function writeDocs(fresh: readonly Section[]): string[] {
  const paths = ['performance.json', 'performance.md', 'performance.svg'].map((name) => join(docs, name));
  const [data = '', page = '', plot = ''] = paths;
  const kept = existsSync(data) ? (JSON.parse(readFileSync(data, 'utf8')) as Section[]) : [];
  const key = ({ setting, measure }: Section): string => `${titleOf(setting)}: ${measure}`;
  const newest = new Map([...kept, ...fresh].map((section) => [key(section), section]));
  const sections = [...newest.values()].toSorted((one, other) => key(one).localeCompare(key(other)));
  writeFileSync(data, `${JSON.stringify(sections, undefined, 2)}\n`);
  writeFileSync(plot, drawPlot(sections));
  const text = readFileSync(page, 'utf8');
  const [start, end] = [text.indexOf(opening), text.indexOf(closing)];
  if (start < 0 || end < start) throw new Error(`${page} has no place for results: ${opening} … ${closing}`);
  writeFileSync(
    page,
    `${text.slice(0, start)}${opening}\n\n${[picture, asMarkdown(floorsTable(sections)), ...sections.map(asPage)].join('\n\n')}\n\n${text.slice(end)}`,
  );
  // As the rest of the house is formatted.
  execFileSync(join(docs, '../node_modules/.bin/biome'), ['format', '--write', data, page], { stdio: 'pipe' });
  return paths;
}

function asPage({ setting, heading, title, date, machine, versions, rounds, table }: Section): string {
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `### ${heading}: ${titleOf(setting)}`,
    `${title}.`,
    `${date.slice(0, 10)}, ${machine.cores} cores of ${machine.model}, Linux ${machine.kernel}; ${rounds} round(s). ${names.join('; ')}.`,
    asMarkdown(table),
  ].join('\n\n');
}
