/**
 * What a VPN engine asks of its plugins and scripts, and what they answer: plain data, no behaviour.
 *
 * The engine leaves an EventRequest with an id; whoever runs plugins and scripts answers that id with verdicts:
 *
 *     request ──▶ [interim: deferred | pending] ──▶ final: success | failure
 *
 * At most one interim verdict comes, and only for `auth-user-pass-verify` and the client-connect events; a final
 * verdict always comes, unless the engine cancels the request (key state or client gone), which also removes its files.
 * Order, arguments and environment per event are those of OpenVPN 2.6 (manual, "Script order of execution").
 */
import type { PluginEventName } from './event-name.js';

/**
 * An occasion on which plugins and scripts run. Plugins' events and scripts' hooks in one list:
 * - the client-connect chain is asked link by link, because the config of one link changes the environment of the
 *   next: `client-connect` (plugins, event 6), `client-connect-v2` (plugins, event 9), `client-connect-script`;
 * - the polls of a deferred client-connect (events 13 and 14) belong to whoever answers and are never asked for;
 * - `tls-crypt-v2-verify` has a script only.
 */
export type EventName =
  | Exclude<PluginEventName, 'client-connect-defer' | 'client-connect-defer-v2'>
  | 'client-connect-script'
  | 'tls-crypt-v2-verify';

/** 0 is the top-level context (or the only one of a client); each client instance has a number of its own, never reused. */
export type EventContext = number;

export interface EventRequest {
  readonly event: EventName;
  readonly context: EventContext;
  /**
   * The arguments after argv[0]. The answering side adds argv[0] (a plugin's name as configured, a script's words) and
   * the paths of files that it makes itself: client-connect's config file, auth-user-pass-verify's via-file.
   */
  readonly argv: readonly string[];
  /**
   * The whole environment of the context, oldest variable first; text as `decodeText` gives it, so bytes that are no
   * UTF-8 survive. `password` is always in it for auth-user-pass-verify; scripts get it only at script-security 3.
   * Control files (`auth_control_file` …) are added by the answering side, and kept until overwritten.
   */
  readonly env: Readonly<Record<string, string>>;
  /** tls-verify only: the certificate under test. */
  readonly certificate?: { readonly depth: number; readonly der: Uint8Array };
  /** tls-crypt-v2-verify only: the client key's metadata (type byte apart, it is in `env.metadata_type`). */
  readonly metadata?: Uint8Array;
  /**
   * How long a call may take, ms, before it is killed and counts as failed; absent: the answering side's default.
   * After an interim verdict there is no limit here: the engine's own timer decides, and it cancels the request.
   */
  readonly deadline?: number;
}

/** Ask the client for more (AUTH_PENDING): what an auth_pending_file says. */
export interface PendingAuth {
  /** Seconds that the client may take. */
  readonly timeout: number;
  /** What must stand in the client's IV_SSO: `webauth`, `openurl`, `crtext`. */
  readonly method: string;
  /** Sent after `INFO_PRE,`: `WEB_AUTH::https://…`, `CR_TEXT:R,E:question`. */
  readonly extra: string;
}

export type EventVerdict =
  /** `config`: lines of a client-specific config, in the order of their plugins; client-connect events only. */
  | { readonly result: 'success'; readonly config?: string }
  /** `reason` goes to the client as `AUTH_FAILED,reason`; `cause` is for our log. */
  | { readonly result: 'failure'; readonly reason?: string; readonly cause?: string }
  /** Interim: more time is needed. Go on with what may be done meanwhile (tls-final, ipchange). */
  | { readonly result: 'deferred' }
  /** Interim, like deferred, and the client is to be told. Whether it can (IV_SSO) is for the engine to check. */
  | ({ readonly result: 'pending' } & PendingAuth);

export type FinalVerdict = Extract<EventVerdict, { result: 'success' | 'failure' }>;
