/**
 * Who the client says it is: user name and password as they were read or typed, the token that the server gave for
 * them, and what a refusal means for both. Outlives soft restarts.
 * upstream: misc.c `get_user_pass`, ssl.c `ssl_set_auth_token`, push.c `receive_auth_failed` (2.6).
 * Differs from OpenVPN 2.x: a malformed challenge is a refusal like others; there it ends the process.
 */
import { fromBase64, type Millis } from '@seikan/core';

import type { Asks } from '../asks.js';
import type { AuthOptions } from '../options/options.js';
import type { DynamicChallenge, Time } from '../output.js';
import type { Advance } from './connection-list.js';

/** What follows an AUTH_FAILED. */
export type AfterRefusal =
  | {
      readonly action: 'restart';
      /** As the restart is logged. */
      readonly reason: string;
      readonly advance: Advance;
      readonly pause: Millis;
    }
  | { readonly action: 'exit' };

export class Login {
  readonly #asks: Asks;
  readonly #auth: AuthOptions;
  #credentials: { readonly username: string; readonly password: string } | undefined;
  /** The name that was sent last: a token may come without one. */
  #sentAs: string | undefined;
  /** What the server asked last, to be answered with the next login. */
  #challenge: DynamicChallenge | undefined;
  #token: { readonly username: string | undefined; readonly token: string } | undefined;

  constructor(asks: Asks, auth: AuthOptions) {
    this.#asks = asks;
    this.#auth = auth;
  }

  get username(): string | undefined {
    return this.#token?.username ?? this.#credentials?.username;
  }

  get password(): string | undefined {
    return this.#token?.token ?? this.#credentials?.password;
  }

  /** False: nobody has to be asked, now or at all. Otherwise `then` learns whether there is a login, or why not. */
  ask(then: (failure: string | undefined, time: Time) => void): boolean {
    const isKnown = this.#credentials !== undefined || this.#token !== undefined;
    if (this.#auth.userPass === undefined || isKnown) return false;
    const challenge = this.#challenge;
    this.#challenge = undefined;
    this.#asks.ask('credentials', { purpose: 'Auth', challenge }, (answer, time) => {
      if ('error' in answer) return then(answer.error, time);
      this.#credentials = answer;
      return then(undefined, time);
    });
    return true;
  }

  /** A pushed auth-token takes the place of the password; `user` is base64 (auth-token-user). */
  takeToken(token: string, user: string | undefined): void {
    const username = user === undefined ? this.#sentAs : decodeText(user);
    this.#token = { token, username };
  }

  /** The server has been told: with `auth-nocache` the next key asks again, unless there is a token by then. */
  sent(): void {
    this.#sentAs = this.username;
    if (this.#auth.noCache) this.#credentials = undefined;
  }

  /** What the user has said is to be asked for again; a token holds on. */
  forget(): void {
    this.#credentials = undefined;
    this.#challenge = undefined;
  }

  /** The session is over; with `auth-nocache` the next one asks again. */
  sessionEnded(): void {
    if (this.#auth.noCache) this.#credentials = undefined;
  }

  /** `reason` is what stands behind `AUTH_FAILED,`; `warn` is told of flags that mean nothing. */
  refused(reason: string, warn: (text: string) => void): AfterRefusal {
    const temporary = /^TEMP(?:\[([^\]]*)\])?/.exec(reason);
    if (temporary !== null) return afterTemporary(temporary[1], warn);
    if (this.#token !== undefined) {
      // The token has run out, or its server was restarted: what the user typed still holds.
      this.#token = undefined;
      return { action: 'restart', reason: 'auth-failure (auth-token)', advance: 'no', pause: 0 };
    }
    if (this.#auth.retry === 'none') return { action: 'exit' };
    if (this.#auth.retry === 'interact') {
      this.#credentials = undefined;
      this.#challenge = parseChallenge(reason);
    }
    return { action: 'restart', reason: 'auth-failure', advance: 'no', pause: 0 };
  }
}

/** `AUTH_FAILED,TEMP[backoff 5,advance no]:text` (10.4): the same place again, unless it is said. */
function afterTemporary(flags: string | undefined, warn: (text: string) => void): AfterRefusal {
  let advance: Advance = 'no';
  let backoff = 0;
  for (const flag of flags?.split(',') ?? []) {
    const [name, value = ''] = flag.split(' ');
    if (name === 'backoff') {
      if (/^\d/.test(value)) backoff = Number.parseInt(value, 10);
      else warn(`invalid AUTH_FAIL,TEMP flag: ${flag}`);
    } else if (name === 'advance') advance = value === 'remote' ? 'remote' : value === 'addr' ? 'address' : 'no';
    else warn(`WARNING: unknown AUTH_FAIL,TEMP flag: ${flag}`);
  }
  const reason = 'auth-temp-failure (server temporary reject)';
  return { action: 'restart', reason, advance, pause: backoff * 1000 };
}

/** `CRV1:R,E:state:base64(user):text`; undefined when it is none. */
export function parseChallenge(reason: string): DynamicChallenge | undefined {
  const [, flags = '', state = '', user = '', text = ''] = /^CRV1:([^:]*):([^:]*):([^:]*):(.*)$/s.exec(reason) ?? [];
  const username = decodeText(user);
  if (state === '' || username === undefined) return undefined;
  return { username, state, text, echo: flags.includes('E') };
}

/** Base64 of UTF-8 text; `undefined` when it is none. */
function decodeText(base64: string): string | undefined {
  const bytes = fromBase64(base64);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}
