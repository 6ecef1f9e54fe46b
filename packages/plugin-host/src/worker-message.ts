/** What is said between a TypeScript plugin's thread and the cascade, in JSON. Each request with an id has one answer with it. */
import type { Env, EventInput, Final, Host, PendingAuth, PluginEventName } from '@seikan/plugin-sdk';
import type { EnvChange } from './env-change.js';
import type { LogLevel } from './log.js';
import type { InitNumber } from './member.js';
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

/** An event as JSON can say it. */
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
