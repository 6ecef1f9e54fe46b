/** What is said between a TypeScript plugin's thread and the cascade, in JSON. Each request with an id has one answer with it. */
import {
  type Env,
  type EventInput,
  eventName,
  eventNumbers,
  type Final,
  type Host,
  type PendingAuth,
  type PluginEventName,
} from '@seikan/plugin-sdk';
import type { EnvChange, EnvValue } from './env-change.js';
import type { LogLevel } from './log.js';
import type { InitNumber } from './member.js';
import type { WordForm } from './memory-slot.js';
import type { ChannelEnd } from './thread-channel.js';

/** A thread's data. */
export interface WorkerStart {
  readonly channel: ChannelEnd;
  /** A file or a package, as configured. */
  readonly name: string;
  readonly folder: string;
  /** The address of a bundled plugin; such a one is not looked for. */
  readonly program: string | undefined;
}

/** An event as JSON can say it, its arguments without argv[0]. */
export type EventMessage = Omit<EventInput, 'certificate' | 'env'> & {
  readonly env: EnvChange;
  readonly certificate?: { readonly depth: number; readonly der: string };
};

export type ToWorker =
  | { readonly say: 'open'; readonly argv: readonly string[]; readonly env: Env; readonly host: Host }
  | ({ readonly say: 'event'; readonly id: number } & EventMessage)
  | { readonly say: 'client-closed'; readonly context: number }
  | { readonly say: 'close' };

export type FromWorker =
  | {
      readonly say: 'loaded';
      readonly plugin: string;
      readonly initPoint: InitNumber;
      readonly deadline?: number | undefined;
    }
  | { readonly say: 'not-loaded'; readonly why: string }
  | { readonly say: 'opened'; readonly events: readonly PluginEventName[]; readonly config?: string | undefined }
  | { readonly say: 'not-opened' }
  /** `later`: an `answer` with the same id follows. */
  | { readonly say: 'outcome'; readonly id: number; readonly outcome: Final | Later }
  | { readonly say: 'answer'; readonly id: number; readonly final: Final }
  | { readonly say: 'closed' }
  | { readonly say: 'log'; readonly level: LogLevel; readonly text: string };

export interface Later {
  readonly result: 'later';
  readonly pending?: PendingAuth | undefined;
}

/** `id │ event │ context │ number of arguments │ arguments │ number of changes │ place and value of each` */
export const eventForm: WordForm<ToWorker> = {
  write(message, to) {
    if (message.say !== 'event') return false;
    const { id, event, context, argv, env, certificate } = message;
    if (!isWord(id) || !isWord(context) || certificate !== undefined || 'whole' in env) return false;
    to.word(id);
    to.word(eventNumbers[event]);
    to.word(context);
    to.word(argv.length);
    for (const argument of argv) to.text(argument);
    to.word(env.set.length);
    for (const { place, value } of env.set) {
      to.word(place);
      to.text(value);
    }
    return true;
  },
  read(from) {
    const id = from.word();
    // One of `write`.
    const event = eventName(from.word()) as PluginEventName;
    const context = from.word();
    const argv: string[] = [];
    for (let left = from.word(); left > 0; left -= 1) argv.push(from.text());
    const set: EnvValue[] = [];
    for (let left = from.word(); left > 0; left -= 1) set.push({ place: from.word(), value: from.text() });
    return { say: 'event', id, event, context, argv, env: { set } };
  },
};

/** A plain yes: `id`. */
export const yesForm: WordForm<FromWorker> = {
  write(message, to) {
    if (message.say !== 'outcome') return false;
    const { id, outcome } = message;
    if (!isWord(id) || outcome.result !== 'success' || outcome.config !== undefined) return false;
    to.word(id);
    return true;
  },
  read: (from) => ({ say: 'outcome', id: from.word(), outcome: { result: 'success' } }),
};

function isWord(value: number): boolean {
  return (value | 0) === value;
}
