/**
 * What a proxy is told of who we are: read or asked for once, and again when a proxy did not want it.
 * upstream: proxy.c `get_user_pass_http`, socks.c `socks_username_password_auth` (2.6).
 */
import type { AskFailure, Credentials, ProxyLogin } from '@seikan/engine';

import { askAtTerminal, type Prompt, readLogin } from './credentials.js';

/** As the questions name it. */
export type ProxyName = 'HTTP Proxy' | 'SOCKS Proxy';

export class ProxyLogins {
  readonly #keep: boolean;
  readonly #prompt: Prompt;
  /** By the source, which stands in the options as one object. */
  readonly #known = new Map<Credentials | undefined, ProxyLogin>();

  /** With `auth-nocache` nothing is kept. */
  constructor(noCache: boolean, prompt: Prompt = askAtTerminal) {
    this.#keep = !noCache;
    this.#prompt = prompt;
  }

  async login(source: Credentials | undefined, name: ProxyName): Promise<ProxyLogin | AskFailure> {
    const known = this.#known.get(source);
    if (known !== undefined) return known;
    const answer = await readLogin(source, name, this.#prompt);
    if (!('error' in answer) && this.#keep) this.#known.set(source, answer);
    return answer;
  }

  forget(source: Credentials | undefined): void {
    this.#known.delete(source);
  }
}
