/**
 * The token that a client sends instead of its password (auth-gen-token): signed anew at each login, told at the next
 * push, and alone under a running tunnel (9.8).
 */
export class ClientToken {
  #current: string | undefined;
  #initial: string | undefined;
  #isTold = true;

  get current(): string | undefined {
    return this.#current;
  }

  /** The first of this session: clients that never take a renewal go on sending it. */
  get initial(): string | undefined {
    return this.#initial;
  }

  give(token: string, first: boolean): void {
    this.#current = token;
    if (first) this.#initial = token;
    this.#isTold = false;
  }

  told(): void {
    this.#isTold = true;
  }

  /** The one that the client has not been told. */
  get untold(): string | undefined {
    return this.#isTold ? undefined : this.#current;
  }
}
