/**
 * From a configuration text or a command line to Options. Files come through a port: nothing is read here.
 * Source: options.c add_option, read_config_file, parse_argv, options_postprocess (2.6.14).
 */
import { type ClientConfig, plainClientConfig } from './client-config.js';
import { ConfigError, type ConfigSpan, type ConfigWarning, wholeConfiguration } from './config-error.js';
import { type Context, type DirectiveRow, mayStand, type Reader, Use } from './directive.js';
import {
  type AvailableCrypto,
  copyEntry,
  copyPlain,
  type Draft,
  draftOf,
  emptyWrap,
  type Mutable,
  newDraft,
} from './draft.js';
import { expandHelpers } from './helpers.js';
import { type Directive, readArguments, readDirectives } from './lexer.js';
import type { Action, Options, PluginOption } from './options.js';
import { deviceType, resolveClientConfig, resolveOptions } from './resolve.js';
import { directiveTable } from './table.js';
import { usage } from './usage.js';
import { verifyOptions } from './verify.js';

/** What reading a configuration needs from outside. */
export interface ConfigFiles {
  /** The text of a file, or undefined if it cannot be read. Relative paths already stand below `cd`. */
  read(path: string): string | undefined;
  /** `tmp-dir` when nobody says; `/tmp` without. */
  readonly tempDirectory?: string;
  /** Which ciphers and digests there are beside those that are everywhere; without it, none. */
  readonly crypto?: AvailableCrypto;
}

export interface Configuration {
  readonly options: Options;
  /** In the order met; to be logged at start. */
  readonly warnings: readonly ConfigWarning[];
  /** Where each directive stood last, by name. */
  readonly places: ReadonlyMap<string, ConfigSpan>;
}

/** Files may include files so deep. */
const maximumDepth = 10;

/** Reads a configuration given as text; `file` is its name in messages. Throws ConfigError. */
export function parseConfig(text: string, file: string, files: ConfigFiles): Configuration {
  const draft = newDraft(files.tempDirectory ?? '/tmp', files.crypto);
  draft.options.configFile = file;
  const reader = makeReader({ draft, context: 'config', files, depth: 1, report: refuse });
  readText({ text, file, draft, context: 'config', reader, report: refuse });
  return finish(draft);
}

/** A command line that was read and not yet put together: plugins may have something to add. */
export interface ReadConfiguration {
  readonly plugins: readonly PluginOption[];
  /** `cd`: what relative names are relative to. */
  readonly folder: string | undefined;
  /** What a plugin says (initialization point 1); a line that cannot be used is a warning and left out, as upstream does. */
  add(text: string): void;
  /** Throws ConfigError. */
  finish(): Configuration;
}

/** Reads a command line without the program's name: OpenVPN's own argv. Throws ConfigError. */
export function parseArguments(argv: readonly string[], files: ConfigFiles): Configuration {
  return readConfiguration(argv, files).finish();
}

/** As `parseArguments`, in two steps. Throws ConfigError. */
export function readConfiguration(argv: readonly string[], files: ConfigFiles): ReadConfiguration {
  const draft = newDraft(files.tempDirectory ?? '/tmp', files.crypto);
  if (argv.length === 0) draft.options.action = { do: 'help' };
  const reader = makeReader({ draft, context: 'config', files, depth: 0, report: refuse });
  for (const directive of readArguments(argv)) {
    applyDirective(directive, { draft, context: 'config', reader });
    if (isImmediate(draft)) break;
  }
  const report = (problem: ConfigError): void => warnOf(problem, draft);
  return {
    plugins: draft.options.action.do === 'run' ? draft.options.plugins : [],
    folder: draft.options.process.cd,
    add: (text) => {
      const file = '[CONFIG-STRING]';
      const context = 'plugin';
      readText({
        text,
        file,
        draft,
        context,
        reader: makeReader({ draft, context, files, depth: 1, report }),
        report,
      });
    },
    finish: () => finish(draft),
  };
}

/**
 * Reads what a client-config-dir file or a client-connect script says about one client, on top of `base` (the plain one,
 * or what an earlier file said). A line that cannot be used is a warning and left out, as upstream does; nothing is thrown.
 */
export function parseClientConfig(
  text: string,
  file: string,
  { options, base, files }: { options: Options; base?: ClientConfig; files: ConfigFiles },
): { readonly client: ClientConfig; readonly warnings: readonly ConfigWarning[] } {
  const draft = draftOf(options, files.crypto);
  draft.client = copyPlain(base ?? plainClientConfig(options));
  const report = (problem: ConfigError): void => warnOf(problem, draft);
  const reader = makeReader({ draft, context: 'client', files, depth: 1, report });
  readText({ text, file, draft, context: 'client', reader, report });
  const { client } = draft;
  try {
    return { client: resolveClientConfig(draft, client), warnings: draft.warnings };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    report(error);
    return { client, warnings: draft.warnings };
  }
}

function warnOf({ file, line, column, upstream }: ConfigError, { warnings }: Draft): void {
  warnings.push({ level: 'warning', text: upstream, at: { file, line, column, upstream: '' } });
}

export interface Application {
  readonly draft: Draft;
  readonly context: Context;
  readonly reader: Reader;
}

/** Applies one directive by the table. Throws ConfigError. */
export function applyDirective(written: Directive, application: Application): void {
  const { draft, context } = application;
  const optional = written.name === 'setenv' && written.parameters[0]?.text === 'opt' && context !== 'pull';
  const directive = optional ? withoutPrefix(written) : written;
  const { name, parameters, at } = directive;
  const forgiven =
    optional || draft.forwardCompatible || draft.options.pulling.ignoreUnknown.some((ignored) => ignored === name);
  const row = directiveTable.get(name);
  const refuse = (upstream: string, why: string, remedy: string): void => {
    const problem = new ConfigError(at, { upstream: `Options error: ${upstream}`, why, remedy, directive: name });
    if (!forgiven) throw problem;
    draft.warnings.push({ level: 'warning', text: upstream, at });
  };
  const unrecognized = `Unrecognized option or missing or extra parameter(s) in ${at.upstream}: ${name} (2.6.14)`;
  if (row === undefined) {
    refuse(unrecognized, `There is no option "${name}".`, suggestion(name));
    return;
  }
  const [least, most] = row.parameters;
  if (parameters.length < least || parameters.length > most) {
    refuse(unrecognized, `${name} takes ${countText(least, most)}, not ${parameters.length}.`, 'See the manual page.');
    return;
  }
  if (row.support === 'refused') {
    if (row.upstream !== '' && !forgiven)
      throw new ConfigError(at, { upstream: row.upstream, why: row.reason, remedy: row.remedy, directive: name });
    refuse(unrecognized, row.reason, row.remedy);
    return;
  }
  checkPlace(directive, row, application);
  draft.given.set(name, at);
  if (row.support === 'ignored') {
    if (context !== 'pull') draft.warnings.push({ level: 'warning', text: ignoredText(row.reason, name), at });
    return;
  }
  row.apply(new Use(directive, application));
}

function withoutPrefix(written: Directive): Directive {
  const [, name, ...parameters] = written.parameters;
  // Without an option after it, upstream warns about an option of that name.
  if (name === undefined) return { ...written, name: 'setenv opt', parameters };
  return { ...written, name: name.text, parameters };
}

function checkPlace({ name, at, inline }: Directive, row: DirectiveRow, { draft, context }: Application): void {
  const problem = (upstream: string, why: string, remedy: string): never => {
    throw new ConfigError(at, { upstream: `Options error: ${upstream}`, why, remedy, directive: name });
  };
  if (!mayStand(row.permissions, context, draft.options.pulling.routeNoPull))
    problem(
      `option '${name}' cannot be used in this context (${at.upstream.slice(0, at.upstream.lastIndexOf(':'))})`,
      wrongPlace[context],
      'Move it, or remove it.',
    );
  if (inline !== undefined && !row.inline)
    problem(
      `option '${name}' is not expected to be inline (${at.upstream})`,
      `${name} has no contents that could stand in a block.`,
      `Write "${name} VALUE" on one line.`,
    );
  if (context === 'config' && draft.blocks.length > 0 && row.permissions.includes('connection'))
    draft.warnings.push({
      level: 'warning',
      text: `Option '${name}' in ${at.upstream} is ignored by previous <connection> blocks `,
      at,
    });
}

const wrongPlace: Readonly<Record<Context, string>> = {
  config: 'It belongs into a file about one client, or is pushed by a server.',
  connection: 'It is not about one connection.',
  client: 'It is not about one client.',
  plugin: 'A plugin may not load plugins.',
  pull: 'A server may not set it.',
};

type Report = (problem: ConfigError) => void;

function refuse(problem: ConfigError): never {
  throw problem;
}

interface TextInput extends Application {
  readonly text: string;
  readonly file: string;
  readonly report: Report;
}

function readText({ text, file, report, ...application }: TextInput): void {
  const source = { text, file, firstLine: 1, upstreamName: file, warnings: application.draft.warnings, report };
  for (const directive of readDirectives(source)) {
    try {
      applyDirective(directive, application);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      report(error);
    }
    if (isImmediate(application.draft)) return;
  }
}

/** Upstream does these as soon as it reads them; what follows may be wrong. */
function isImmediate({ options }: Draft): boolean {
  const { do: what } = options.action;
  return what === 'help' || what === 'version' || what === 'show-gateway';
}

interface ReaderInput {
  readonly draft: Draft;
  readonly context: Context;
  readonly files: ConfigFiles;
  readonly depth: number;
  readonly report: Report;
}

function makeReader({ draft, context, files, depth, report }: ReaderInput): Reader {
  return {
    include(use: Use) {
      const file = use.word(0);
      if (context === 'config') draft.options.configFile ??= file;
      if (depth >= maximumDepth)
        use.fail(
          `In ${use.at.upstream}: Maximum recursive include levels exceeded in include attempt of file ${file} -- probably you have a configuration file that tries to include itself.`,
          `Files include files ${maximumDepth} deep.`,
          'Look for a file that includes itself.',
        );
      const { cd } = draft.options.process;
      const text = files.read(cd === undefined || file.startsWith('/') || file === 'stdin' ? file : `${cd}/${file}`);
      if (text === undefined)
        use.fail(
          `In ${use.at.upstream}: Error opening configuration file: ${file}`,
          'The file cannot be read.',
          'Check its path and permissions.',
          0,
        );
      const reader = makeReader({ draft, context, files, depth: depth + 1, report });
      readText({ text, file, draft, context, reader, report });
    },
    connection(use) {
      if (!use.inline)
        use.fail(
          `Unrecognized option or missing or extra parameter(s) in ${use.at.upstream}: connection (2.6.14)`,
          'A connection is a block.',
          'Write <connection>, lines, </connection>.',
        );
      const entry = { ...copyEntry(draft.entry), wrap: emptyWrap(), at: use.at };
      const block: Draft = { ...draft, entry, blocks: [], given: new Map() };
      const source = {
        text: use.word(0),
        file: use.at.file,
        firstLine: use.contentLine,
        upstreamName: '[CONNECTION-OPTIONS]',
        warnings: draft.warnings,
        report: refuse,
      };
      const reader = makeReader({ draft: block, context: 'connection', files, depth, report: refuse });
      for (const directive of readDirectives(source))
        applyDirective(directive, { draft: block, context: 'connection', reader });
      if (entry.settings.remote === undefined)
        use.fail(
          "Each 'connection' block must contain exactly one 'remote' directive",
          'This block names nobody to connect to.',
          'Write remote HOST PORT PROTOCOL in it.',
        );
      draft.blocks.push(entry);
    },
  };
}

function finish(draft: Draft): Configuration {
  const { action } = draft.options;
  switch (action.do) {
    case 'run':
      expandHelpers(draft);
      resolveOptions(draft);
      verifyOptions(draft);
      break;
    case 'test-crypto':
      resolveOptions(draft);
      break;
    case 'mktun':
    case 'rmtun':
      draft.options.device.type = deviceType(draft);
      break;
    case 'genkey':
      resolveGenkey(draft, action);
      break;
    default:
      break;
  }
  return { options: draft.options, warnings: draft.warnings, places: draft.given };
}

/** Source: init.c do_genkey (2.6.14). */
function resolveGenkey(draft: Draft, action: Mutable<Action> & { do: 'genkey' }): void {
  const secret = draft.options.data.secret?.key;
  action.serverKey = draft.wrap.tlsCryptV2;
  if (action.type === 'secret' && action.file === undefined && secret?.from === 'file') {
    action.file = secret.path;
    draft.warnings.push({
      level: 'warning',
      text: 'WARNING: Using --genkey --secret filename is DEPRECATED.  Use --genkey secret filename instead.',
      at: draft.given.get('secret') ?? wholeConfiguration,
    });
  }
  if (action.type === 'tls-crypt-v2-client' && action.serverKey === undefined)
    usage(draft, 'genkey')(
      '--genkey tls-crypt-v2-client requires a server key to be set via --tls-crypt-v2 to create a client key',
      'A client key is wrapped with the key of its server.',
      'Add "--tls-crypt-v2 SERVERKEY".',
    );
}

function ignoredText(reason: string, name: string): string {
  return /^[A-Z]/.test(reason) ? reason : `--${name} is ignored: ${reason}`;
}

function countText(least: number, most: number): string {
  if (most === 0) return 'no parameters';
  if (most === Number.POSITIVE_INFINITY) return least === 1 ? 'at least one parameter' : 'any number of parameters';
  return least === most ? `${least} parameter${least === 1 ? '' : 's'}` : `${least} to ${most} parameters`;
}

/** The nearest known name, if it is near: one or two letters wrong. */
function suggestion(name: string): string {
  let best = '';
  let least = 3;
  for (const known of directiveTable.keys()) {
    if (Math.abs(known.length - name.length) >= least) continue;
    const distance = editDistance(name, known);
    if (distance < least) [best, least] = [known, distance];
  }
  return best === '' ? 'Remove the line, or put "setenv opt" in front of it.' : `Do you mean "${best}"?`;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1)
      current.push(
        Math.min(
          (current[column - 1] ?? 0) + 1,
          (previous[column] ?? 0) + 1,
          (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1),
        ),
      );
    previous = current;
  }
  return previous[b.length] ?? 0;
}
