/**
 * What a server pushes, read by the client.
 *
 *     PUSH_REPLY,route 10.0.0.0 255.0.0.0,ifconfig 10.8.0.6 10.8.0.5,peer-id 0,cipher AES-256-GCM
 *     PUSH_REPLY,…,push-continuation 2        more follows
 *     PUSH_REPLY,…,push-continuation 1        that was the last
 *
 * The server is not trusted with everything: only the pull-permitted classes are taken (directive.ts), pull-filter and
 * route-nopull narrow them, and what cannot be used is a warning, never an exception.
 * Source: push.c process_incoming_push_reply, options.c apply_push_options, init.c do_deferred_options (2.6.14).
 */
import { ConfigError, type ConfigSpan, type ConfigWarning } from './config-error.js';
import type { Reader, Use } from './directive.js';
import { compresses } from './directives/data.js';
import { copyPlain, type Draft, draftOf, type ProtocolFlag } from './draft.js';
import { readLine } from './lexer.js';
import type { Connection, Options } from './options.js';
import { applyDirective } from './parse.js';

/** The client's options with the push applied. */
export interface PulledOptions {
  readonly options: Options;
  readonly connection: Connection;
  readonly peerId: number | undefined;
  readonly protocolFlags: ReadonlySet<ProtocolFlag>;
  /** The pushed data cipher; whether it is one of ours is the negotiation's to check. */
  readonly cipher: string | undefined;
  readonly authToken: string | undefined;
  /** Base64. */
  readonly authTokenUser: string | undefined;
  /** To be hashed with SHA-256: unchanged on a reconnect, the tun stays as it is. */
  readonly digestInput: string;
  /** The names of the pushed options that were taken. */
  readonly names: ReadonlySet<string>;
  readonly warnings: readonly ConfigWarning[];
}

export type PushOutcome =
  | { readonly outcome: 'more' }
  | { readonly outcome: 'done'; readonly pulled: PulledOptions }
  /** A filter says so, or the settings cannot work: the connection restarts. */
  | {
      readonly outcome: 'rejected';
      readonly reason: string;
      /** What was said of the options before it. */
      readonly warnings: readonly ConfigWarning[];
      /** The user's own filter has rejected it. */
      readonly byFilter: boolean;
    }
  | { readonly outcome: 'not-a-reply' };

/** Of all messages of one push together: some ten thousand routes. A server may not fill our memory. */
const maximumPush = 262_144;

/** Longest pushed option in bytes, upstream's OPTION_PARM_SIZE with its end. */
const maximumOption = 255;

/** Pushed options that may differ from one connection to the next without any effect on the tun. */
const volatileOptions: ReadonlySet<string> = new Set([
  'peer-id',
  'auth-token',
  'auth-token-user',
  'protocol-flags',
  'key-derivation',
  'explicit-exit-notify',
  'ping',
  'ping-exit',
  'ping-restart',
  'push-continuation',
]);

/** Reads one push, which may come in several messages; each connection has its own reader. */
export class PushReader {
  readonly #draft: Draft;
  readonly #reader: Reader = { include: neverPushed, connection: neverPushed };
  #digestInput = '';
  #line = 0;
  #size = 0;

  constructor(options: Options, connection: Connection) {
    this.#draft = draftOf(options);
    this.#draft.entry.settings = copyPlain(connection);
    this.#draft.allowCompression = options.data.compression.allow;
  }

  /** Reads one control message as text, without its final NUL. */
  read(message: string): PushOutcome {
    if (message !== 'PUSH_REPLY' && !message.startsWith('PUSH_REPLY,')) return { outcome: 'not-a-reply' };
    this.#size += message.length;
    if (this.#size > maximumPush)
      return this.#rejected(`The server pushed more than ${maximumPush} characters of options`);
    const draft = this.#draft;
    draft.pull.continuation = 0;
    for (const option of message.split(',').slice(1)) {
      const rejected = this.#readOption(option);
      if (rejected !== undefined) return this.#rejected(rejected, true);
    }
    if (draft.pull.continuation === 2) return { outcome: 'more' };
    const { compression } = draft.options.data;
    if (compression.allow === 'no' && compresses(compression))
      return this.#rejected(
        'OPTIONS ERROR: server pushed compression settings that are not allowed and will result in a non-working connection. See also allow-compression in the manual.',
      );
    return { outcome: 'done', pulled: this.#result() };
  }

  #rejected(reason: string, byFilter = false): PushOutcome {
    return { outcome: 'rejected', reason, warnings: this.#draft.warnings, byFilter };
  }

  #readOption(option: string): string | undefined {
    if (option === '') return undefined;
    const { warnings, options, entry } = this.#draft;
    this.#line += 1;
    const at: ConfigSpan = {
      file: '[PUSH-OPTIONS]',
      line: this.#line,
      column: 1,
      upstream: `[PUSH-OPTIONS]:${this.#line}`,
    };
    const [name = ''] = option.trimStart().split(' ', 1);
    const sizeIsFixed = name === 'cipher' && entry.settings.linkMtu === undefined;
    if (!volatileOptions.has(name) && !sizeIsFixed) this.#digestInput += `${option}\0`;
    const filter = options.pulling.filters.find(({ prefix }) => option.trimStart().startsWith(prefix));
    if (filter?.action === 'accept')
      warnings.push({ level: 'detail', text: `Pushed option accepted by filter: '${option}'`, at });
    if (filter?.action === 'reject') return `Pushed option rejected by filter: '${option}'. Restarting.`;
    if (filter?.action === 'ignore') {
      warnings.push({ level: 'info', text: `Pushed option removed by filter: '${option}'`, at });
      return undefined;
    }
    try {
      if (new TextEncoder().encode(option).length > maximumOption)
        throw new ConfigError(at, {
          upstream: `Options error: pushed option is too long: ${option.slice(0, 40)}…`,
          why: '',
          remedy: '',
          directive: name,
        });
      const directive = readLine(option, at);
      if (directive !== undefined)
        applyDirective(directive, { draft: this.#draft, context: 'pull', reader: this.#reader });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      warnings.push({ level: 'warning', text: error.upstream, at });
    }
    return undefined;
  }

  #result(): PulledOptions {
    const { options, entry, pull, cipher, given, warnings } = this.#draft;
    options.dns.servers = options.dns.servers.filter((server) => {
      if (server.addresses.length > 0) return true;
      const text = `ERROR: dns server ${server.priority} does not have an address assigned`;
      warnings.push({ level: 'warning', text, at: { file: '[PUSH-OPTIONS]', line: 1, column: 1, upstream: '' } });
      return false;
    });
    if (cipher !== undefined) options.data.cipher = cipher;
    return {
      options,
      connection: entry.settings,
      peerId: pull.peerId,
      protocolFlags: pull.protocolFlags,
      cipher,
      authToken: pull.authToken,
      authTokenUser: pull.authTokenUser,
      digestInput: this.#digestInput,
      names: new Set(given.keys()),
      warnings,
    };
  }
}

function neverPushed(use: Use): never {
  return use.fail(`option '${use.name}' cannot be used in this context ([PUSH-OPTIONS])`, '', '');
}
