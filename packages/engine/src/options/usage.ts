/** Refusals that concern a directive as a whole, once the configuration is known. */
import { ConfigError, type ConfigSpan, wholeConfiguration } from './config-error.js';
import type { Draft } from './draft.js';

/** Throws a ConfigError at the last place of a directive; `line` is upstream's without `Options error: `. */
export interface Fail {
  (line: string, why: string, remedy: string): never;
  readonly at: ConfigSpan;
}

export function usage(draft: Draft, directive: string): Fail {
  const at = draft.given.get(directive) ?? wholeConfiguration;
  const fail = (line: string, why: string, remedy: string): never => {
    throw new ConfigError(at, { upstream: `Options error: ${line}`, why, remedy, directive });
  };
  return Object.assign(fail, { at });
}
