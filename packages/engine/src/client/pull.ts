/**
 * Asking a server for its options: PUSH_REQUEST until the reply is whole, or the time is over. Lives with one session;
 * a renewed token comes as a reply that nobody asked for.
 * upstream: push.c `send_push_request`, `process_incoming_push_msg`, `parse_auth_pending_keywords` (2.6).
 */
import type { Millis } from '@seikan/core';

import type { Connection, Options } from '../options/options.js';
import { type PushOutcome, PushReader } from '../options/pull.js';
import type { Time } from '../output.js';

/** Upstream asks again after so long, and gives up with the hand-window. */
const REQUEST_INTERVAL: Millis = 5_000;

export class Pull {
  readonly #options: Options;
  readonly #connection: Connection;
  readonly #request: (time: Time) => void;
  #reader: PushReader | undefined;
  #waiting: { readonly since: Millis; requestAt: Millis; deadline: Millis } | undefined;

  /** `request` sends one PUSH_REQUEST. */
  constructor(options: Options, connection: Connection, request: (time: Time) => void) {
    this.#options = options;
    this.#connection = connection;
    this.#request = request;
  }

  get isWaiting(): boolean {
    return this.#waiting !== undefined;
  }

  start(time: Time): void {
    const deadline = time.now + this.#options.tls.handWindow * 1000;
    this.#waiting = { since: time.now, requestAt: time.now, deadline };
    this.#ask(this.#waiting, time);
  }

  /** Nothing more is awaited: the options are here, or the session is over. */
  finish(): void {
    this.#waiting = undefined;
  }

  /** AUTH_PENDING: somebody is being asked about us. Returns how many seconds there are from now on. */
  extend(argument: string, now: Millis): number | undefined {
    if (this.#waiting === undefined) return undefined;
    const asked = Number(/timeout (\d+)/.exec(argument)?.[1] ?? 0);
    const { renegSec, handWindow } = this.#options.tls;
    const seconds = Math.min(asked === 0 ? handWindow : asked, Math.max(renegSec / 2, handWindow));
    this.#waiting.deadline = now + seconds * 1000;
    return seconds;
  }

  read(text: string): PushOutcome {
    this.#reader ??= new PushReader(this.#options, this.#connection);
    const read = this.#reader.read(text);
    if (read.outcome === 'done' || read.outcome === 'rejected') this.#reader = undefined;
    return read;
  }

  /** Why it is given up; `undefined` while there is time. */
  handleTimeout(time: Time): string | undefined {
    const waiting = this.#waiting;
    if (waiting === undefined) return undefined;
    if (time.now >= waiting.deadline) {
      return `No reply from server to push requests in ${Math.floor((time.now - waiting.since) / 1000)}s`;
    }
    if (time.now >= waiting.requestAt) this.#ask(waiting, time);
    return undefined;
  }

  nextTimeout(): Millis | undefined {
    return this.#waiting === undefined ? undefined : Math.min(this.#waiting.requestAt, this.#waiting.deadline);
  }

  #ask(waiting: { requestAt: Millis }, time: Time): void {
    waiting.requestAt = time.now + REQUEST_INTERVAL;
    this.#request(time);
  }
}
