/**
 * Environments as what changes from one to the next: most of the 60 variables keep their values from call to call, and
 * to copy them all into another thread takes longer than all else of a call.
 *
 *     before  a=1 b=2 c=3
 *     after   a=1 b=x c=3       set [1, 'x']
 *     after   a=1 b=x c=3 d=4   whole, as the names differ
 *
 * One with a password is sent whole too, and neither end remembers it.
 */
import type { Env } from '@seikan/plugin-sdk';

export type EnvChange =
  | { readonly whole: Env }
  /** Places and new values, one after the other. */
  | { readonly set: readonly (number | string)[] };

export class EnvSender {
  #names: readonly string[] = [];
  #values: readonly string[] = [];

  change(env: Env): EnvChange {
    const [names, values] = [Object.keys(env), Object.values(env)];
    const [namesBefore, before] = [this.#names, this.#values];
    const secret = 'password' in env;
    [this.#names, this.#values] = secret ? [[], []] : [names, values];
    if (secret || names.length !== namesBefore.length) return { whole: env };
    const set: (number | string)[] = [];
    for (const [at, name] of names.entries()) {
      if (name !== namesBefore[at]) return { whole: env };
      const value = values[at] ?? '';
      if (value !== before[at]) set.push(at, value);
    }
    return { set };
  }
}

export class EnvReceiver {
  #names: readonly string[] = [];
  #env: Record<string, string> = {};

  /** The environment after a change: a copy, which its reader may do with as it likes. */
  apply(change: EnvChange): Env {
    if ('whole' in change) {
      const { whole } = change;
      const kept = 'password' in whole ? {} : whole;
      this.#names = Object.keys(kept);
      this.#env = { ...kept };
      return whole;
    }
    const { set } = change;
    for (let at = 0; at < set.length; at += 2) this.#env[this.#names[Number(set[at])] ?? ''] = String(set[at + 1]);
    return { ...this.#env };
  }
}
