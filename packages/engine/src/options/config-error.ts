/**
 * A configuration that cannot be used: where, which directive, why, and what to do about it.
 *
 * `message` has OpenVPN's own first line, so that a tool that looks for it finds it, and ours below:
 *
 *     Options error: Bad --mode parameter: foo
 *     office.ovpn:3:6: "foo" is no mode. Write "server" or "p2p".
 */

/** A place in the configuration, lines and columns from 1. On the command line: line 1, column = index in argv. */
export interface ConfigSpan {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** FILE:LINE as OpenVPN shows it: inside a connection block its lines count from the block's start. */
  readonly upstream: string;
}

/** The place of an error that belongs to no single directive. */
export const wholeConfiguration: ConfigSpan = { file: '[configuration]', line: 0, column: 0, upstream: '' };

export interface ConfigProblem {
  /** OpenVPN's line, with its `Options error: ` where it writes one. */
  readonly upstream: string;
  /** Why, in a sentence; may be empty when upstream's line says it all. */
  readonly why: string;
  /** What to do, in a sentence. */
  readonly remedy: string;
  /** Without leading dashes; empty when the line has none. */
  readonly directive: string;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly directive: string;
  readonly upstream: string;
  readonly why: string;
  readonly remedy: string;

  constructor(at: ConfigSpan, { upstream, why, remedy, directive }: ConfigProblem) {
    const place = at.line === 0 ? at.file : `${at.file}:${at.line}:${at.column}`;
    super(`${upstream}\n${place}: ${[why, remedy].filter((part) => part !== '').join(' ')}`);
    this.file = at.file;
    this.line = at.line;
    this.column = at.column;
    this.directive = directive;
    this.upstream = upstream;
    this.why = why;
    this.remedy = remedy;
  }
}

/** Something that the configuration says and that is used, but should be known: a line for the log at start. */
export interface ConfigWarning {
  readonly level: 'detail' | 'info' | 'warning';
  readonly text: string;
  readonly at: ConfigSpan;
}
