/** The plot of docs/performance.md: a panel of bars for each throughput measured, drawn to one scale. */
import { type Section, titleOf } from './results.js';
import type { ContenderName } from './tunnel.js';

const WIDTH = 820;
const LABEL = 170;
const BAR = 18;
const GAP = 6;
const HEAD = 44;
const FIGURE = 170;
/** The bare wire would leave no room for the others. */
const left: ReadonlySet<ContenderName> = new Set(['veth', 'ours-1000-peers']);

const colors: Readonly<Partial<Record<ContenderName, string>>> = { ours: '#0969da', forwarder: '#8c959f' };
const OTHER = '#afb8c1';

/** Bars of the mean of the four TCP cells. */
export function drawPlot(sections: readonly Section[]): string {
  const panels = sections.filter(({ measure }) => measure === 'tcp');
  const longest = Math.max(...panels.flatMap((panel) => barsOf(panel).map(({ megabits }) => megabits)), 1);
  const parts: string[] = [];
  let y = 8;
  for (const panel of panels) {
    parts.push(text(8, y + 18, `TCP through a tunnel: ${titleOf(panel.setting)}`, 'font-weight="600"'));
    parts.push(text(8, y + 35, 'geometric mean of 1 and 4 streams, both directions, Mbit/s', 'font-size="11"'));
    y += HEAD;
    for (const { contender, megabits, ratio } of barsOf(panel)) {
      const length = Math.max(1, (megabits / longest) * (WIDTH - LABEL - FIGURE));
      const times = ratio === undefined ? '' : `, ${ratio.toFixed(1)} × openvpn`;
      parts.push(
        text(LABEL - 8, y + 13, contender, 'text-anchor="end"'),
        `<rect x="${LABEL}" y="${y}" width="${length.toFixed(1)}" height="${BAR}" rx="2" fill="${colors[contender] ?? OTHER}"/>`,
        text(LABEL + length + 6, y + 13, `${megabits.toFixed(0)}${times}`, ''),
      );
      y += BAR + GAP;
    }
    y += 14;
  }
  const style = 'font-family="system-ui, sans-serif" font-size="13" fill="#1f2328"';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" ${style}>`,
    `<rect width="${WIDTH}" height="${y}" fill="#ffffff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

interface Bar {
  readonly contender: ContenderName;
  readonly megabits: number;
  readonly ratio: number | undefined;
}

function barsOf({ rows }: Section): Bar[] {
  return rows
    .filter(({ contender }) => !left.has(contender))
    .map(({ contender, medians, ratios }) => ({
      contender,
      megabits: medians['mean'] ?? 0,
      ratio: ratios['mean']?.openvpn,
    }));
}

function text(x: number, y: number, words: string, attributes: string): string {
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${words}</text>`;
}
