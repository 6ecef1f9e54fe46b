/**
 * Whether a client whose certificate passed may come in: user name and password by script or plugin, tokens.
 * Called for each finished key exchange, renegotiations included; the answer comes through `instance.authenticated`
 * or a refusal. Whatever goes wrong on the way is a refusal.
 *
 * upstream: ssl_verify.c `verify_user_pass` (2.6).
 */
import {
  type AuthToken,
  type AuthTokenSecret,
  isAuthToken,
  isTokenCurrent,
  type KeyState,
  type RandomFill,
  signAuthToken,
  TOKEN_SESSION_ID_SIZE,
  toBase64,
  verifyAuthToken,
} from '@seikan/core';

import type { Options } from '../options/options.js';
import { optionsAgree } from '../options-string.js';
import type { Time } from '../output.js';
import { type Environment, exportedEnvironment } from '../tunnel-environment.js';
import { clientFile } from './client-config-files.js';
import { addressEnvironment } from './client-environment.js';
import type { Instance } from './instance.js';

/** What tokens are made with. */
export interface TokenMint {
  readonly secret: AuthTokenSecret;
  readonly random: RandomFill;
}

/** The states that `external-auth` scripts find in `session_state`. */
type SessionState = 'Initial' | 'Authenticated' | 'Expired' | 'Invalid' | 'AuthenticatedEmptyUser' | 'ExpiredEmptyUser';

export class Authenticator {
  readonly #options: Options;
  readonly #asksFor: (event: 'auth-user-pass-verify' | 'tls-final') => boolean;
  readonly #mint: TokenMint;

  /** `asksFor`: a script or a plugin stands behind the event. */
  constructor(options: Options, asksFor: (event: 'auth-user-pass-verify' | 'tls-final') => boolean, mint: TokenMint) {
    this.#options = options;
    this.#asksFor = asksFor;
    this.#mint = mint;
  }

  authenticate(instance: Instance, key: KeyState, time: Time): void {
    const { auth, verify } = this.#options;
    const { credentialsTooLong = false } = key.peerHello ?? {};
    const username = printable(key.peerHello?.username);
    const password = printable(key.peerHello?.password);
    if (instance.commonName === undefined && verify.clientCertificate === 'require') {
      this.#refuse(instance, undefined, 'TLS Error: the client sent no certificate', time);
      return;
    }
    if (!this.#asksFor('auth-user-pass-verify')) {
      this.#letIn(instance, key, time);
      return;
    }
    if (credentialsTooLong) {
      const reason = 'Username or password is too long. Maximum length is 128 bytes';
      this.#refuse(instance, reason, 'TLS Auth Error: username or password is too long', time);
      return;
    }
    if (username === undefined || password === undefined) {
      // Whoever checks passwords decides about those without, too.
      if (auth.userPassOptional) this.#ask(instance, key, { username: username ?? '', password: password ?? '' }, {});
      else this.#refuse(instance, undefined, 'TLS Error: Auth Username/Password was not provided by peer', time);
      return;
    }
    if (auth.genToken === undefined || !isAuthToken(password)) this.#ask(instance, key, { username, password }, {});
    else this.#checkToken(instance, key, { username, password }, time);
  }

  /** Nobody asks for a password. */
  #letIn(instance: Instance, key: KeyState, time: Time): void {
    const final = this.#finalCheck(instance, key, (at) => this.#admit(instance, key, undefined, at));
    final.begin(time);
    final.granted(time);
  }

  #checkToken(instance: Instance, key: KeyState, login: Login, time: Time): void {
    const { genToken } = this.#options.auth;
    if (genToken === undefined) return;
    const token = verifyAuthToken(this.#mint.secret, login.username, login.password);
    const current =
      token !== undefined &&
      isTokenCurrent(token, {
        now: time.wallClock,
        renewal: genToken.renewal,
        lifetime: genToken.lifetime,
        initial: login.password === instance.token.initial,
      });
    const plain = token === undefined ? 'Invalid' : current ? 'Authenticated' : 'Expired';
    const isNobodys = token?.emptyUser === true;
    const state: SessionState = isNobodys && plain !== 'Invalid' ? `${plain}EmptyUser` : plain;
    const session = {
      session_state: state,
      ...(token === undefined ? {} : { session_id: toBase64(token.sessionId) }),
    };
    if (genToken.externalAuth) {
      // Of the name beside such a token nobody has seen a proof.
      const shown = isNobodys ? { ...login, username: '' } : login;
      this.#ask(instance, key, shown, session, current ? token : undefined);
    } else if (current && !isNobodys) {
      instance.log.info(2, `TLS: Username/auth-token authentication succeeded for username '${login.username}'`);
      instance.setEnvironment(() => ({ username: login.username, ...session }));
      this.#nameIt(instance, login.username);
      const final = this.#finalCheck(instance, key, (at) =>
        this.#succeed(instance, key, login.username, { sessionId: token.sessionId, token }, at),
      );
      final.begin(time);
      final.granted(time);
    } else {
      const text = `TLS Auth Error: --auth-gen-token: auth-token of '${login.username}' ${token === undefined || current ? 'is not valid' : 'has expired'}`;
      this.#refuse(instance, 'SESSION: token expired', text, time);
    }
  }

  #ask(
    instance: Instance,
    key: KeyState,
    { username, password }: Login,
    session: Readonly<Record<string, string>>,
    token?: AuthToken,
  ): void {
    const { tls, auth } = this.#options;
    const window = tls.renegSec === 0 ? tls.handWindow : Math.min(tls.handWindow, tls.renegSec / 2);
    const sessionId = token?.sessionId ?? new Uint8Array(TOKEN_SESSION_ID_SIZE);
    if (token === undefined) this.#mint.random(sessionId);
    const initial =
      auth.genToken !== undefined && session['session_state'] === undefined
        ? { session_id: toBase64(sessionId), session_state: 'Initial' }
        : {};
    const from = (): Environment => addressEnvironment('untrusted', instance.remote);
    instance.setEnvironment(() => ({ username, ...from(), ...initial, ...session }));
    const env = { ...instance.environment, password };
    const final = this.#finalCheck(instance, key, (at) =>
      this.#succeed(instance, key, username, { sessionId, token }, at),
    );
    instance.ask({ event: 'auth-user-pass-verify', argv: [], env, deadline: 1000 * window }, (verdict, at) => {
      switch (verdict.result) {
        case 'pending':
        case 'deferred':
          instance.log.info(3, `TLS: Username/Password authentication deferred for username '${username}'`);
          instance.awaitLogin(key.createdAt + 1000 * window);
          if (verdict.result === 'pending' && !instance.askUser(key, verdict, at)) {
            const reason = `Authentication failed, required pending auth method '${verdict.method}' not supported`;
            this.#refuse(instance, reason, `TLS Auth Error: ${reason}`, at);
          } else {
            this.#nameIt(instance, username);
            final.begin(at);
          }
          return;
        case 'failure':
          this.#refuse(
            instance,
            verdict.reason,
            'TLS Auth Error: Auth Username/Password verification failed for peer',
            at,
          );
          return;
        case 'success':
          instance.log.info(
            2,
            `TLS: Username/Password authentication succeeded for username '${username}' ${this.#options.auth.usernameAsCommonName ? '[CN SET]' : ''}`,
          );
          instance.awaitLogin(undefined);
          this.#nameIt(instance, username);
          final.begin(at);
          final.granted(at);
          return;
        default:
          verdict satisfies never;
      }
    });
  }

  /** As upstream, as soon as nobody has said no. */
  #nameIt(instance: Instance, username: string): void {
    if (this.#options.auth.usernameAsCommonName) instance.nameAfter(username);
  }

  /** `opt-verify`, which upstream asks behind the login. */
  #isInconsistent({ expectedOptions }: Instance, { peerHello }: KeyState): boolean {
    return this.#options.auth.optionsMustMatch && !optionsAgree(expectedOptions, peerHello?.options ?? '');
  }

  /** tls-final, once, while a deferred login goes on; `then` when both have said yes. */
  #finalCheck(
    instance: Instance,
    key: KeyState,
    then: (time: Time) => void,
  ): { begin(time: Time): void; granted(time: Time): void } {
    let asked = false;
    let good = !this.#asksFor('tls-final');
    let granted = false;
    return {
      begin: (time) => {
        // Its negotiation may have failed while the login was looked at: there is nobody to be let in.
        if (asked || key.state === 'failed') return;
        asked = true;
        if (this.#isInconsistent(instance, key)) {
          good = false;
          const text = 'Option inconsistency warnings triggering disconnect due to --opt-verify';
          return this.#refuse(instance, undefined, text, time);
        }
        if (good) return instance.loginHeard(time);
        const env = { ...instance.environment, ...exportedEnvironment(this.#options, key) };
        instance.ask({ event: 'tls-final', argv: [], env }, (verdict, at) => {
          good = verdict.result === 'success';
          if (!good) {
            this.#refuse(instance, undefined, 'TLS Auth Error: a plugin refused the finished handshake', at);
            return;
          }
          instance.loginHeard(at);
          if (granted && key.state !== 'failed') then(at);
        });
        return undefined;
      },
      granted: (time) => {
        granted = true;
        if (good && key.state !== 'failed') then(time);
      },
    };
  }

  /** Lets the client in, with a new token where tokens are given: its first, or the renewal of `token`. */
  #succeed(
    instance: Instance,
    key: KeyState,
    username: string,
    { sessionId, token }: { readonly sessionId: Uint8Array; readonly token: AuthToken | undefined },
    time: Time,
  ): void {
    const { auth } = this.#options;
    if (auth.genToken !== undefined) {
      const issued = token?.issued ?? time.wallClock;
      const renewed = { sessionId, issued, renewed: time.wallClock };
      instance.token.give(signAuthToken(this.#mint.secret, username, renewed), token === undefined);
    }
    this.#admit(instance, key, username, time);
  }

  /** With ccd-exclusive a client has a file of its own, or is not let in, nor kept at a renegotiation. */
  #admit(instance: Instance, key: KeyState, username: string | undefined, time: Time): void {
    const { ccdExclusive, clientConfigDir } = this.#options.server;
    if (!ccdExclusive || clientConfigDir === undefined) {
      instance.authenticated(key, username, time);
      return;
    }
    const { commonName } = instance;
    const path = commonName === undefined ? undefined : clientFile(clientConfigDir, commonName);
    const refuse = (at: Time): void => {
      const where = `common name '${commonName ?? ''}' file='${path ?? 'UNDEF'}'`;
      this.#refuse(instance, undefined, `TLS Auth Error: --client-config-dir authentication failed for ${where}`, at);
    };
    if (path === undefined || commonName === 'DEFAULT') {
      refuse(time);
      return;
    }
    instance.asks.ask('read-file', { path }, (answer, at) => {
      if ('error' in answer) refuse(at);
      else instance.authenticated(key, username, at);
    });
  }

  #refuse(instance: Instance, reason: string | undefined, text: string, time: Time): void {
    instance.log.error(text);
    instance.refuse(reason, time);
  }
}

interface Login {
  readonly username: string;
  readonly password: string;
}

/** What a script or a log is shown of a client's credentials: no character that ends a line. upstream: `string_mod(…, CC_PRINT, CC_CRLF, '_')`. */
function printable(text: string | undefined): string | undefined {
  return text?.replace(/[\u0000-\u001f\u007f]/g, '_');
}
