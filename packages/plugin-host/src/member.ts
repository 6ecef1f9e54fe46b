/**
 * One plugin in the cascade, whatever it is written in. The cascade asks; a member answers each call exactly once,
 * never rejects a call, and handles one call at a time in the order in which they came.
 *
 *     load ──▶ open ──▶ call … ──▶ close | abort
 */
import type { EventContext, Final, PendingAuth, PluginEventName } from '@seikan/plugin-sdk';

/** A plugin or script that keeps the VPN from starting. Upstream: exit status 1. `message` says what to do. */
export class PluginError extends Error {
  override readonly name = 'PluginError';
}

/** When a plugin is opened, by OpenVPN's numbers. */
export type InitNumber = 1 | 2 | 3 | 4;

export interface MemberCall {
  readonly event: PluginEventName;
  readonly context: EventContext;
  /** Without argv[0]. */
  readonly argv: readonly string[];
  /** Oldest variable first. */
  readonly env: Readonly<Record<string, string>>;
  readonly certificate?: { readonly depth: number; readonly der: Uint8Array };
  /** How long the call may take from when it starts, ms. */
  readonly deadline: number;
}

export type MemberOutcome =
  | { readonly result: 'success'; readonly config?: string }
  | { readonly result: 'failure'; readonly reason?: string; readonly cause?: string }
  /** A compiled plugin's DEFERRED: the answer comes through the files named in the environment. */
  | { readonly result: 'deferred' }
  /** A TypeScript plugin's promise. */
  | { readonly result: 'later'; readonly answer: Promise<Final | NoVerdict>; readonly pending?: PendingAuth }
  | NoVerdict;

/** The plugin's process or thread is gone, or took too long. */
export interface NoVerdict {
  readonly result: 'none';
  readonly cause: string;
}

export interface Member {
  /** As configured. */
  readonly name: string;
  readonly initPoint: InitNumber;
  /** Answers later through files that the environment names; others have promises. */
  readonly answersByFile: boolean;
  /** What it asked for when it was opened. */
  readonly events: ReadonlySet<PluginEventName>;
  /** Throws PluginError. */
  load(): Promise<void>;
  /** Returns text for the configuration (init point 1 only). Throws PluginError. */
  open(env: Readonly<Record<string, string>>): Promise<string | undefined>;
  call(call: MemberCall): Promise<MemberOutcome>;
  openContext(context: EventContext): void;
  closeContext(context: EventContext): void;
  /** After it, the plugin runs as that user. */
  dropPrivileges(to: Privileges): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}

export interface Privileges {
  readonly uid: number;
  readonly gid: number;
  /** The folder that is to be the root of what the plugin sees. */
  readonly root?: string;
}
