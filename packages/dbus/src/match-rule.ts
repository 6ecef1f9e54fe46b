/** Which signals a subscriber wants. Source: D-Bus specification 0.43, "Match Rules". */
import type { Signal } from './message.js';
import { isObjectPath } from './names.js';

export interface MatchRule {
  /** A bus name; a well-known one follows its owner. */
  readonly sender?: string;
  readonly path?: string;
  /** This path and those below it. */
  readonly pathNamespace?: string;
  readonly interface?: string;
  readonly member?: string;
  /** The first argument, a string. */
  readonly arg0?: string;
}

/** The rule as `AddMatch` takes it. */
export function ruleText(rule: MatchRule): string {
  const keys: [string, string | undefined][] = [
    ['sender', rule.sender],
    ['path', rule.path],
    ['path_namespace', rule.pathNamespace],
    ['interface', rule.interface],
    ['member', rule.member],
    ['arg0', rule.arg0],
  ];
  const parts = keys.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${quoted(value)}`]));
  return ["type='signal'", ...parts].join(',');
}

/** Whether a signal fits, its sender aside. */
export function ruleMatches(rule: MatchRule, signal: Signal): boolean {
  return (
    (rule.path === undefined || rule.path === signal.path) &&
    (rule.pathNamespace === undefined || isBelow(signal.path, rule.pathNamespace)) &&
    (rule.interface === undefined || rule.interface === signal.interface) &&
    (rule.member === undefined || rule.member === signal.member) &&
    (rule.arg0 === undefined || (signal.signature.startsWith('s') && rule.arg0 === signal.body[0]))
  );
}

function isBelow(path: string, top: string): boolean {
  return isObjectPath(top) && (top === '/' || path === top || path.startsWith(`${top}/`));
}

/** An apostrophe cannot stand between apostrophes: it closes them, is escaped outside, and opens them again. */
function quoted(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}
