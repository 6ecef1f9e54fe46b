/**
 * What a measure is: columns of figures for each contender in each round, the rounds alternating between contenders.
 * Ratios are taken within a round, then their median: what else the machine does falls on both sides of one.
 */
import { median } from './statistics.js';
import type { ContenderName, Tunnel } from './tunnel.js';

export type Figures = Readonly<Record<string, number>>;
export type Round = ReadonlyMap<ContenderName, Figures>;
export type Tunnels = ReadonlyMap<ContenderName, Tunnel>;

export type Progress = (text: string) => void;

export interface Column {
  readonly key: string;
  readonly title: string;
  readonly digits: number;
  /** Whom it is compared with. */
  readonly beside?: readonly ContenderName[];
}

export interface Measure {
  readonly name: string;
  readonly heading: string;
  /** What it measures and in which units. */
  readonly title: string;
  readonly columns: readonly Column[];
  /** Figures that come from the medians of others. */
  readonly derive?: (medians: Figures) => Figures;
  readonly round: (tunnels: Tunnels, round: number, progress: Progress) => Promise<Round>;
}

export interface Row {
  readonly contender: ContenderName;
  readonly medians: Figures;
  /** By column, then by who it is beside. */
  readonly ratios: Readonly<Record<string, Readonly<Partial<Record<ContenderName, number>>>>>;
  readonly rounds: readonly Figures[];
}

export function summarize(measure: Measure, rounds: readonly Round[]): Row[] {
  const names = [...new Set(rounds.flatMap((round) => [...round.keys()]))];
  return names.map((contender) => {
    const own = rounds.map((round) => round.get(contender) ?? {});
    const figure = (figures: Figures | undefined, key: string): number => figures?.[key] ?? Number.NaN;
    const middle = (key: string): number => median(own.map((figures) => figure(figures, key)).filter(Number.isFinite));
    const ratios = measure.columns.map(({ key, beside = [] }) => {
      const against = (other: ContenderName): number =>
        median(
          rounds
            .map((round) => figure(round.get(contender), key) / figure(round.get(other), key))
            .filter(Number.isFinite),
        );
      const present = beside.filter((other) => names.includes(other));
      return [key, Object.fromEntries(present.map((other) => [other, against(other)]))] as const;
    });
    const medians = Object.fromEntries(measure.columns.map(({ key }) => [key, middle(key)]));
    return {
      contender,
      medians: { ...medians, ...measure.derive?.(medians) },
      ratios: Object.fromEntries(ratios.filter(([, beside]) => Object.keys(beside).length > 0)),
      rounds: own,
    };
  });
}

/** The contenders in an order that moves on with each round, so that nobody is always first. */
export function rotated(tunnels: Tunnels, round: number): [ContenderName, Tunnel][] {
  const all = [...tunnels];
  const by = round % all.length;
  return [...all.slice(by), ...all.slice(0, by)];
}

/** Runs once more what failed: iperf3 can miss a busy machine's moment. What fails twice gives `none`. */
export async function twice<Result>(run: () => Promise<Result>, none: Result, progress: Progress): Promise<Result> {
  for (let tried = 0; tried < 2; tried += 1)
    try {
      return await run();
    } catch (error) {
      progress(`failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  return none;
}
