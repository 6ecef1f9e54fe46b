/**
 * Variables that this side has added to a context's environment. OpenVPN's environment is one list per context in which
 * a variable stays until it is overwritten or deleted, so `auth_control_file` still names its (deleted) file in every
 * event after the authentication: plugins and scripts see that, and so they do here.
 */
import type { EventContext, EventRequest } from '@seikan/plugin-sdk';

export class KeptEnv {
  readonly #contexts = new Map<EventContext, Map<string, string>>();

  add(context: EventContext, variables: Readonly<Record<string, string>>): void {
    let kept = this.#contexts.get(context);
    if (kept === undefined) this.#contexts.set(context, (kept = new Map<string, string>()));
    for (const [name, value] of Object.entries(variables)) {
      kept.delete(name);
      kept.set(name, value);
    }
  }

  delete(context: EventContext, names: Iterable<string>): void {
    const kept = this.#contexts.get(context);
    for (const name of names) kept?.delete(name);
  }

  /** The environment of a request with what was kept, oldest variable first. */
  of(request: EventRequest): Record<string, string> {
    const kept = this.#contexts.get(request.context);
    return kept === undefined ? { ...request.env } : { ...request.env, ...Object.fromEntries(kept) };
  }

  close(context: EventContext): void {
    this.#contexts.delete(context);
  }
}
