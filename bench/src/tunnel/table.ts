/** A measure's rows as text: columns of figures, then a column for each ratio. */
import type { Measure, Row } from './measure.js';

const markdown = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

/** The head and the rows as cells. */
export function tableOf(measure: Measure, rows: readonly Row[]): string[][] {
  const format = (value: number | undefined, digits: number): string =>
    value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits);
  const ratios = measure.columns.flatMap((column) =>
    (column.beside ?? [])
      .filter((other) => rows.some((row) => row.ratios[column.key]?.[other] !== undefined))
      .map((other) => ({ column, other })),
  );
  const several = new Set(ratios.map(({ column }) => column.key)).size > 1;
  const head = [
    '',
    ...measure.columns.map(({ title }) => title),
    ...ratios.map(({ column, other }) => `${several ? `${column.title} ` : ''}× ${other}`),
  ];
  const body = rows.map((row) => [
    row.contender,
    ...measure.columns.map(({ key, digits }) => format(row.medians[key], digits)),
    ...ratios.map(({ column, other }) => format(row.ratios[column.key]?.[other], 2)),
  ]);
  return [head, ...body];
}

export function asText(table: readonly (readonly string[])[]): string {
  const widths = table[0]?.map((_, at) => Math.max(...table.map((row) => row[at]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]): string =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ');
  return table.map(line).join('\n');
}

export function asMarkdown(table: readonly (readonly string[])[]): string {
  const [head = [], ...body] = table;
  const rule = head.map((_, at) => (at === 0 ? '---' : '---:'));
  return [head, rule, ...body].map(markdown).join('\n');
}
