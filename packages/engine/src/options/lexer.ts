/**
 * OpenVPN's configuration text and command line, cut into directives.
 *
 *     # comment            ; comment              only where a parameter could start
 *     name "quoted \" \\"  'literal'  plain\ text
 *     <ca>                 lines up to </ca> are one inline parameter
 *
 * Source: options.c parse_line, check_inline_file, read_config_file, parse_argv (2.6.14).
 * Differs from OpenVPN 2.x: NUL bytes are refused (there they hide the rest of a line), and parameters past the
 * fifteenth are reported (there they vanish).
 */
import { ConfigError, type ConfigSpan, type ConfigWarning } from './config-error.js';

/** A parameter and the column of its first character (of its quote, if quoted). */
export interface Parameter {
  readonly text: string;
  readonly column: number;
}

export interface Directive {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  /** The only parameter is the text of an inline block; `contentLine` is the line of its first character. */
  readonly inline: { readonly contentLine: number } | undefined;
  readonly at: ConfigSpan;
}

/** Where lines come from; a connection block is text inside a file. */
export interface LexerSource {
  readonly text: string;
  readonly file: string;
  /** The file's line number of the text's first line. */
  readonly firstLine: number;
  /** What OpenVPN calls this text in messages, with lines counted from its start. */
  readonly upstreamName: string;
  /** Warnings are appended here. */
  readonly warnings: ConfigWarning[];
  /** Throws the problem, or notes it: then the line is left out and reading goes on. */
  report(problem: ConfigError): void;
}

/** Bytes of a line with its end; upstream's OPTION_LINE_SIZE. */
const maximumLine = 256;
/** Name and parameters; upstream's MAX_PARMS. */
const maximumWords = 16;

const whitespace = ' \t\n\v\f\r';

/** Cuts a configuration text into directives; what cannot be read goes to `report`. */
export function* readDirectives(source: LexerSource): Generator<Directive> {
  const { text, file, firstLine, upstreamName, warnings } = source;
  const lines = splitLines(text.startsWith('\ufeff') ? text.slice(1) : text);
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    const at: ConfigSpan = { file, line: firstLine + index, column: 1, upstream: `${upstreamName}:${index + 1}` };
    const words = readWords(line, at, source);
    const first = words[0];
    if (first === undefined) continue;
    if (words.length > maximumWords) {
      warnings.push({
        level: 'warning',
        text: `${at.upstream}: parameters after the ${maximumWords - 1}th are ignored`,
        at: { ...at, column: words[maximumWords]?.column ?? 1 },
      });
      words.length = maximumWords;
    }
    const span = { ...at, column: first.column };
    const tag = /^<(.*)>$/s.exec(first.text)?.[1];
    if (tag !== undefined && words.length === 1) {
      const close = `</${tag}>`;
      const start = index + 1;
      index = lines.findIndex((candidate, at) => at >= start && skipSpace(candidate).startsWith(close));
      if (index < 0) {
        const problem = new ConfigError(span, {
          upstream: `ERROR: Endtag ${close} missing`,
          why: 'The block that starts here never ends.',
          remedy: `Write ${close} on a line of its own after the contents.`,
          directive: tag,
        });
        source.report(problem);
        return;
      }
      const contents = { text: lines.slice(start, index).join(''), column: 1 };
      yield { name: tag, parameters: [contents], inline: { contentLine: firstLine + start }, at: span };
      continue;
    }
    yield { name: withoutDashes(first.text), parameters: words.slice(1), inline: undefined, at: span };
  }
}

function readWords(line: string, at: ConfigSpan, source: LexerSource): Parameter[] {
  try {
    if (utf8Length(line) >= maximumLine)
      throw new ConfigError(at, {
        upstream: `Options error: In ${at.upstream}: Maximum option line length (${maximumLine}) exceeded, line starts with ${line.slice(0, maximumLine)}`,
        why: `The line has ${utf8Length(line)} bytes.`,
        remedy: 'Shorten it, or put long contents into an inline block or a file.',
        directive: '',
      });
    return splitWords(line, at);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    source.report(error);
    return [];
  }
}

/** Cuts one line without inline blocks, as pushed options and push-list entries are read. Throws ConfigError. */
export function readLine(line: string, at: ConfigSpan): Directive | undefined {
  const words = splitWords(line, at).slice(0, maximumWords);
  const first = words[0];
  if (first === undefined) return undefined;
  return { name: first.text, parameters: words.slice(1), inline: undefined, at: { ...at, column: first.column } };
}

/**
 * Cuts a command line (without program name) into directives: `--name` starts one, what follows up to the next `--` are
 * its parameters. A single argument without dashes is a configuration file. Throws ConfigError.
 */
export function* readArguments(argv: readonly string[]): Generator<Directive> {
  const only = argv[0];
  if (argv.length === 1 && only !== undefined && !only.startsWith('--')) {
    yield { name: 'config', parameters: [{ text: only, column: 1 }], inline: undefined, at: argumentSpan(1) };
    return;
  }
  for (let index = 0; index < argv.length; ) {
    const name = argv[index] ?? '';
    const at = argumentSpan(index + 1);
    if (!name.startsWith('--'))
      throw new ConfigError(at, {
        upstream: `Options error: I'm trying to parse "${name}" as an --option parameter but I don't see a leading '--'`,
        why: 'Each option on the command line starts with two dashes.',
        remedy: 'Write --config FILE for a configuration file, and quote a parameter that has spaces.',
        directive: name,
      });
    index += 1;
    const parameters: Parameter[] = [];
    while (index < argv.length && parameters.length < maximumWords - 1) {
      const text = argv[index] ?? '';
      if (text.startsWith('--')) break;
      index += 1;
      parameters.push({ text, column: index });
    }
    yield { name: name.slice(2), parameters, inline: undefined, at };
  }
}

function argumentSpan(column: number): ConfigSpan {
  return { file: '[CMD-LINE]', line: 1, column, upstream: '[CMD-LINE]:1' };
}

/** Splits a command directive (`up "/etc/script a b"`) into words, by the same quoting rules. Throws ConfigError. */
export function splitCommand(command: string, at: ConfigSpan): readonly string[] {
  return splitWords(command, at).map(({ text }) => text);
}

/** Lines with their line feeds, as fgets gives them. */
function splitLines(text: string): readonly string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function splitWords(line: string, at: ConfigSpan): Parameter[] {
  const words: Parameter[] = [];
  let state: 'between' | 'plain' | 'double' | 'single' = 'between';
  let word = '';
  let column = 0;
  let escaped = false;
  const fail = (upstream: string, why: string, remedy: string, position: number): never => {
    throw new ConfigError(
      { ...at, column: at.column + position },
      { upstream, why, remedy, directive: words[0]?.text ?? '' },
    );
  };
  const finish = (): void => {
    words.push({ text: word, column: at.column + column });
    word = '';
    state = 'between';
  };
  for (let index = 0; index <= line.length; index += 1) {
    const character = line[index] ?? '';
    if (character === '\0')
      fail(
        `Options error: In ${at.upstream}: not a text file`,
        'There is a NUL byte.',
        'Give a configuration in plain text.',
        index,
      );
    const isSpace = character === '' || whitespace.includes(character);
    if (character === '\\' && !escaped && state !== 'single') {
      escaped = true;
      if (state === 'between') column = index;
      continue;
    }
    let add = '';
    if (state === 'between') {
      if (!isSpace) {
        if (character === '#' || character === ';') return words;
        if (!escaped) column = index;
        if (character === '"' && !escaped) state = 'double';
        else if (character === "'" && !escaped) state = 'single';
        else {
          state = 'plain';
          add = character;
        }
      }
    } else if (state === 'plain') {
      if (isSpace && !escaped) finish();
      else add = character;
    } else if (state === 'double') {
      if (character === '"' && !escaped) finish();
      else add = character;
    } else if (character === "'") finish();
    else add = character;
    if (escaped && add !== '' && add !== '\\' && add !== '"' && !isSpace) badBackslash(at, index, fail);
    escaped = false;
    word += add;
  }
  if (state === 'double')
    fail(
      `Options error: No closing quotation (") in ${at.upstream}`,
      'The quotation that starts here does not end on its line.',
      'Close it; a quotation mark inside is written \\".',
      column,
    );
  if (state === 'single')
    fail(
      `Options error: No closing single quotation (') in ${at.upstream}`,
      'The quotation that starts here does not end on its line.',
      'Close it; inside single quotation marks nothing can be escaped.',
      column,
    );
  if (state === 'plain')
    fail(
      `Options error: Residual parse state (2) in ${at.upstream}`,
      'The text ends with a backslash.',
      'Remove it, or double it.',
      line.length - 1,
    );
  return words;
}

function badBackslash(
  at: ConfigSpan,
  position: number,
  fail: (upstream: string, why: string, remedy: string, position: number) => never,
): never {
  return fail(
    `Options warning: Bad backslash ('\\') usage in ${at.upstream}`,
    'A backslash may stand before a backslash, a quotation mark or white space only.',
    'Double it where a backslash is meant.',
    position - 1,
  );
}

function skipSpace(line: string): string {
  let index = 0;
  while (index < line.length && whitespace.includes(line[index] ?? '')) index += 1;
  return line.slice(index);
}

/** Two dashes in front of a name in a file are allowed if a name follows. */
function withoutDashes(name: string): string {
  return name.length >= 3 && name.startsWith('--') ? name.slice(2) : name;
}

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}
