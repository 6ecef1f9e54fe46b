/**
 * Environments as what changes from one to the next: most of the 60 variables keep their values from call to call, and
 * to copy them all into another thread takes longer than all else of a call.
 *
 *     before  a=1 b=2 c=3
 *     after   a=1 b=x c=3       set 1: 'x'
 *     after   a=1 b=x c=3 d=4   whole, as the names differ
 *
 * One with a password is sent whole too, and neither end remembers it.
 */
import type { Env } from '@seikan/plugin-sdk';

export type EnvChange = { readonly whole: Env } | { readonly set: readonly EnvValue[] };

/** The new value of the variable at a place. */
export interface EnvValue {
  readonly place: number;
  readonly value: string;
}

export class EnvSender {
  #names: string[] = [];
  #values: string[] = [];

  change(env: Env): EnvChange {
    const [names, values] = [this.#names, this.#values];
    const set: EnvValue[] = [];
    let at = 0;
    // Half as long as with Object.keys and Object.values; an environment inherits no names.
    for (const name in env) {
      if (name !== names[at]) return this.#whole(env);
      const value = env[name] ?? '';
      if (value !== values[at]) {
        values[at] = value;
        set.push({ place: at, value });
      }
      at += 1;
    }
    return at === names.length ? { set } : this.#whole(env);
  }

  #whole(env: Env): EnvChange {
    const secret = 'password' in env;
    this.#names = secret ? [] : Object.keys(env);
    this.#values = secret ? [] : Object.values(env);
    return { whole: env };
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
    for (const { place, value } of change.set) this.#env[this.#names[place] ?? ''] = value;
    return { ...this.#env };
  }
}
