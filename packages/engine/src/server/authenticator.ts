/**
 * Whether a client whose certificate passed may come in: user name and password by script or plugin, tokens.
 * Called for each finished key exchange, renegotiations included; the answer comes through `instance.authenticated`
 * or a refusal. Whatever goes wrong on the way is a refusal.
 *
 * upstream: ssl_verify.c `verify_user_pass` (2.6).
 */
import type { KeyState, Millis } from '@seikan/core';

import type { Options } from '../options/options.js';
import type { Time } from '../output.js';
import type { Instance } from './instance.js';

/** Upstream's limit without PKCS#11: 127 characters and a NUL; Debian's build takes 4095. */
const CREDENTIAL_LIMIT = 4_095;

export class Authenticator {
  readonly #options: Options;
  readonly #asksFor: (event: 'auth-user-pass-verify') => boolean;

  /** `asksFor`: a script or a plugin stands behind the event. */
  constructor(options: Options, asksFor: (event: 'auth-user-pass-verify') => boolean) {
    this.#options = options;
    this.#asksFor = asksFor;
  }

  authenticate(instance: Instance, key: KeyState, time: Time): void {
    const { auth, verify, tls } = this.#options;
    const { username, password } = key.peerHello ?? {};
    if (!this.#asksFor('auth-user-pass-verify')) {
      if (instance.commonName === undefined && verify.clientCertificate !== 'none') {
        this.#refuse(instance, undefined, 'TLS Error: the client sent no certificate', time);
        return;
      }
      instance.authenticated(key, { username: undefined, commonName: undefined }, time);
      return;
    }
    if (username === undefined || password === undefined) {
      if (auth.userPassOptional) instance.authenticated(key, { username: undefined, commonName: undefined }, time);
      else this.#refuse(instance, undefined, 'TLS Error: Auth Username/Password was not provided by peer', time);
      return;
    }
    if (username.length > CREDENTIAL_LIMIT || password.length > CREDENTIAL_LIMIT) {
      this.#refuse(
        instance,
        'Username or password is too long. Maximum length is 128 bytes',
        'TLS Auth Error: credentials too long',
        time,
      );
      return;
    }
    const deadline: Millis = 1000 * (tls.renegSec === 0 ? tls.handWindow : Math.min(tls.handWindow, tls.renegSec / 2));
    const env = { ...instance.environment, username, password, script_type: 'user-pass-verify' };
    instance.ask({ event: 'auth-user-pass-verify', argv: [], env, deadline }, (verdict, at) => {
      switch (verdict.result) {
        case 'deferred':
        case 'pending':
          instance.log.info(3, `TLS: Username/Password authentication deferred for username '${username}'`);
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
          instance.log.info(1, `TLS: Username/Password authentication succeeded for username '${username}'`);
          instance.setEnvironment({ username });
          instance.authenticated(key, { username, commonName: auth.usernameAsCommonName ? username : undefined }, at);
          return;
        default:
          verdict satisfies never;
      }
    });
  }

  #refuse(instance: Instance, reason: string | undefined, text: string, time: Time): void {
    instance.log.error(text);
    instance.refuse(reason, time);
  }
}
