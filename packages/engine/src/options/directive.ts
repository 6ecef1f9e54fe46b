/**
 * The shape of one row of the directive table, and what a row's function works with.
 *
 * A row says where its directive may stand in upstream's permission classes (options.h OPT_P_*): a configuration allows
 * all but `instance`; a connection block only `connection`; a client's own file and a pushed option the sets below.
 */
import { parseIpv4, parseIpv6, parseIpv6Prefix } from './address.js';
import { ConfigError, type ConfigSpan } from './config-error.js';
import type { Draft, DraftEntry, Mutable } from './draft.js';
import type { Directive } from './lexer.js';
import type { Material, Options } from './options.js';

export type Permission =
  | 'general'
  | 'up'
  | 'route'
  | 'route-extras'
  | 'dhcp-dns'
  | 'script'
  | 'setenv'
  | 'shaper'
  | 'timer'
  | 'persist'
  | 'persist-ip'
  | 'compression'
  | 'messages'
  | 'ncp'
  | 'tls'
  | 'mtu'
  | 'push-mtu'
  | 'nice'
  | 'push'
  | 'instance'
  | 'config'
  | 'exit-notify'
  | 'echo'
  | 'inherit'
  | 'pull-mode'
  | 'plugin'
  | 'socket-buffer'
  | 'socket-flags'
  | 'connection'
  | 'peer-id'
  /** Upstream does not check. */
  | 'anywhere';

/** Who is speaking: a configuration, one of its connection blocks, a plugin, a client's own file, or the server's push. */
export type Context = 'config' | 'connection' | 'plugin' | 'client' | 'pull';

const clientPermissions: ReadonlySet<Permission> = new Set<Permission>([
  'instance',
  'inherit',
  'push',
  'timer',
  'config',
  'echo',
  'compression',
  'socket-flags',
]);

const pullPermissions: ReadonlySet<Permission> = new Set<Permission>([
  'up',
  'route-extras',
  'socket-buffer',
  'socket-flags',
  'setenv',
  'shaper',
  'timer',
  'compression',
  'persist',
  'messages',
  'exit-notify',
  'echo',
  'pull-mode',
  'peer-id',
  'ncp',
  'push-mtu',
]);

/** `routeNoPull`: routes and DNS may not be pushed. */
export function mayStand(permissions: readonly Permission[], context: Context, routeNoPull: boolean): boolean {
  return permissions.some((permission) => {
    if (permission === 'anywhere') return true;
    switch (context) {
      case 'config':
        return permission !== 'instance' && permission !== 'pull-mode';
      case 'plugin':
        return permission !== 'instance' && permission !== 'pull-mode' && permission !== 'plugin';
      case 'connection':
        return permission === 'connection';
      case 'client':
        return clientPermissions.has(permission);
      case 'pull':
        return (
          pullPermissions.has(permission) || (!routeNoPull && (permission === 'route' || permission === 'dhcp-dns'))
        );
    }
    return context satisfies never;
  });
}

interface Row {
  readonly name: string;
  /** Least and most parameters; Infinity for a list. */
  readonly parameters: readonly [number, number];
  readonly permissions: readonly Permission[];
  readonly inline: boolean;
}

export type DirectiveRow = Row &
  (
    | {
        readonly support: 'supported';
        readonly apply: (use: Use) => void;
        /** Where ours differs, for docs/compatibility.md. */
        readonly note: string;
      }
    /** `upstream` is its own refusal, where it has one. */
    | { readonly support: 'refused'; readonly reason: string; readonly remedy: string; readonly upstream: string }
    /** Taken without effect; the reason is also the warning, so nobody believes it works. */
    | { readonly support: 'ignored'; readonly reason: string }
  );

export interface RowShape {
  readonly inline?: true;
  readonly note?: string;
}

export function supported(
  name: string,
  parameters: readonly [number, number],
  permissions: readonly Permission[],
  apply: (use: Use) => void,
  { inline, note }: RowShape = {},
): DirectiveRow {
  return { name, parameters, permissions, inline: inline ?? false, support: 'supported', apply, note: note ?? '' };
}

export function refused(name: string, reason: string, remedy = 'Remove the line.', upstream = ''): DirectiveRow {
  return {
    name,
    parameters: [0, Number.POSITIVE_INFINITY],
    permissions: ['anywhere'],
    inline: true,
    support: 'refused',
    reason,
    remedy,
    upstream,
  };
}

export function ignored(
  name: string,
  parameters: readonly [number, number],
  permissions: readonly Permission[],
  reason: string,
): DirectiveRow {
  return { name, parameters, permissions, inline: false, support: 'ignored', reason };
}

/** What a directive may ask of the reader that met it. */
export interface Reader {
  /** `config FILE` */
  include(use: Use): void;
  /** `<connection>` */
  connection(use: Use): void;
}

/** One directive being applied: its parameters, checked as they are taken, and what they change. */
export class Use {
  readonly draft: Draft;
  readonly context: Context;
  readonly name: string;
  readonly at: ConfigSpan;
  readonly inline: boolean;
  readonly reader: Reader;
  readonly #directive: Directive;

  constructor(directive: Directive, { draft, context, reader }: { draft: Draft; context: Context; reader: Reader }) {
    this.draft = draft;
    this.context = context;
    this.reader = reader;
    this.name = directive.name;
    this.at = directive.at;
    this.inline = directive.inline !== undefined;
    this.#directive = directive;
  }

  get options(): Mutable<Options> {
    return this.draft.options;
  }

  /** The line where the text of an inline block starts. */
  get contentLine(): number {
    return this.#directive.inline?.contentLine ?? this.at.line;
  }

  get entry(): DraftEntry {
    return this.draft.entry;
  }

  get count(): number {
    return this.#directive.parameters.length;
  }

  get words(): readonly string[] {
    return this.#directive.parameters.map(({ text }) => text);
  }

  /** The parameter, which the table's least count promises. */
  word(index: number): string {
    return this.#directive.parameters[index]?.text ?? '';
  }

  optional(index: number): string | undefined {
    return this.#directive.parameters[index]?.text;
  }

  /** The first parameter as a path or an inline block. */
  material(): Material {
    return this.inline ? { from: 'inline', text: this.word(0) } : { from: 'file', path: this.word(0) };
  }

  /**
   * A number as upstream's atoi reads it, but said aloud where atoi is silent: digits followed by something else are a
   * warning, no digits at all an error. Out of [least, most]: an error with upstream's `line`.
   */
  number(index: number, least = -2_147_483_648, most = 2_147_483_647, line?: string): number {
    const text = this.word(index);
    const match = /^[ \t]*([+-]?\d+)(.*)$/s.exec(text);
    if (match === null)
      return this.fail(
        line ?? `bad number '${text}' for --${this.name}`,
        `"${text}" is no number.`,
        'Write a whole number.',
        index,
      );
    const value = Number(match[1]);
    if (match[2] !== '') this.warn(`--${this.name}: '${text}' is read as ${value}`);
    if (value < least || value > most)
      return this.fail(
        line ?? `--${this.name} value '${text}' is out of range`,
        `${value} is not between ${least} and ${most}.`,
        'Choose a value in that range.',
        index,
      );
    return value;
  }

  /** A number that is not negative; negative ones become 0 with a warning, as upstream's positive_atoi does silently. */
  positive(index: number): number {
    const value = this.number(index);
    if (value >= 0) return value;
    this.warn(`--${this.name}: ${value} is negative and read as 0`);
    return 0;
  }

  port(index: number): number {
    const text = this.word(index);
    if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
    return this.fail(
      `bad port number '${text}' for --${this.name}`,
      `"${text}" is no port number; names of services are not looked up.`,
      'Write a number from 0 to 65535.',
      index,
    );
  }

  choice<const Choice extends string>(index: number, choices: readonly Choice[], line: string): Choice {
    const text = this.word(index);
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    return this.fail(line, `"${text}" is not known to ${this.name}.`, `Write one of: ${choices.join(', ')}.`, index);
  }

  ipv4(index: number, line: string): number {
    const value = parseIpv4(this.word(index));
    if (value !== undefined) return value;
    return this.fail(line, `"${this.word(index)}" is no IPv4 address.`, 'Write four numbers: 10.8.0.1.', index);
  }

  ipv6(index: number, line: string): Uint8Array {
    const value = parseIpv6(this.word(index));
    if (value !== undefined) return value;
    return this.fail(line, `"${this.word(index)}" is no IPv6 address.`, 'Write it like fd00::1.', index);
  }

  ipv6Prefix(index: number, line: string): { readonly address: Uint8Array; readonly bits: number } {
    const value = parseIpv6Prefix(this.word(index));
    if (value !== undefined) return value;
    return this.fail(line, `"${this.word(index)}" is no IPv6 network.`, 'Write it like fd00::/64.', index);
  }

  /** Upstream takes parameters from `index` on without using them. */
  ignoreFrom(index: number): void {
    if (this.count > index) this.warn(`--${this.name}: '${this.words.slice(index).join(' ')}' is ignored`);
  }

  warn(text: string, level: 'info' | 'warning' = 'warning'): void {
    this.draft.warnings.push({ level, text, at: this.at });
  }

  /** `line` is upstream's message without its `Options error: `. */
  fail(line: string, why: string, remedy: string, index?: number): never {
    const parameter = index === undefined ? undefined : this.#directive.parameters[index];
    const column = parameter === undefined || this.inline ? this.at.column : parameter.column;
    this.#throw({ ...this.at, column }, line, why, remedy);
  }

  /** As `fail`, about line `offset` (from 0) of the only parameter: in an inline block, the line there. */
  failInside(offset: number, line: string, why: string, remedy: string): never {
    const { inline } = this.#directive;
    const place = inline === undefined ? this.at : { ...this.at, line: inline.contentLine + offset, column: 1 };
    this.#throw(place, line, why, remedy);
  }

  #throw(at: ConfigSpan, line: string, why: string, remedy: string): never {
    throw new ConfigError(at, { upstream: `Options error: ${line}`, why, remedy, directive: this.name });
  }
}
