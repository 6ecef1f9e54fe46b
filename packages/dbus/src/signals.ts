/** Signals that were subscribed to, and who owns which name. */

import type { CallOptions, Reply } from './connection.js';
import { DbusError, ErrorName } from './dbus-error.js';
import { type MatchRule, ruleMatches, ruleText } from './match-rule.js';
import type { Signal } from './message.js';
import type { ValuesOf } from './value.js';

const BUS = 'org.freedesktop.DBus';

export interface Subscription {
  /** No handler runs after this. Idempotent. */
  close(): void;
}

/** The part of a connection that is needed here. */
interface Bus {
  callBus<S extends string, R extends string>(
    member: string,
    signature: S,
    body: NoInfer<ValuesOf<S>>,
    returns: R,
  ): Promise<Reply<R>>;
  callWithoutReply<S extends string>(options: CallOptions<S>): void;
}

interface Entry {
  readonly rule: MatchRule;
  readonly handler: (signal: Signal) => void;
  /** The unique name of the sender that the rule names; undefined while nobody owns the name. */
  sender: string | undefined;
}

export class Signals {
  readonly #bus: Bus;
  readonly #entries = new Set<Entry>();

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /**
   * Handlers run in the order of arrival. Signals that others send us directly pass the same rules: name a `sender`
   * where it matters who speaks.
   */
  async subscribe(rule: MatchRule, handler: (signal: Signal) => void): Promise<Subscription> {
    const entry: Entry = { rule, handler, sender: rule.sender };
    const owner =
      rule.sender === undefined || rule.sender === BUS || rule.sender.startsWith(':')
        ? undefined
        : await this.watchName(rule.sender, (unique) => {
            entry.sender = unique;
          });
    const text = ruleText(rule);
    this.#entries.add(entry);
    try {
      await this.#bus.callBus('AddMatch', 's', [text], '');
    } catch (error) {
      this.#entries.delete(entry);
      owner?.close();
      throw error;
    }
    return {
      close: () => {
        if (!this.#entries.delete(entry)) return;
        owner?.close();
        this.#bus.callWithoutReply({
          destination: BUS,
          path: '/org/freedesktop/DBus',
          interface: BUS,
          member: 'RemoveMatch',
          signature: 's',
          body: [text],
        });
      },
    };
  }

  /**
   * Tells who owns a name, now (before the promise resolves) and at every change; undefined for nobody. For a unique
   * name, undefined means that the connection is gone for good.
   */
  async watchName(name: string, changed: (owner: string | undefined) => void): Promise<Subscription> {
    let told = false;
    const tell = (owner: string) => {
      told = true;
      changed(owner === '' ? undefined : owner);
    };
    const rule = { sender: BUS, interface: BUS, member: 'NameOwnerChanged', arg0: name };
    const subscription = await this.subscribe(rule, ({ signature, body }) => {
      if (signature === 'sss') tell(body[2] as string);
    });
    try {
      const owner = await this.#ownerOf(name);
      // A change that came with the answer is newer than it only if it came first to be told.
      if (!told) tell(owner);
    } catch (error) {
      subscription.close();
      throw error;
    }
    return subscription;
  }

  /** For the connection. A handler's exception is its own: it ends in `uncaughtException`. */
  handleSignal(signal: Signal): void {
    for (const { rule, sender, handler } of this.#entries) {
      if (rule.sender !== undefined && sender !== signal.sender) continue;
      if (ruleMatches(rule, signal)) handler(signal);
    }
  }

  async #ownerOf(name: string): Promise<string> {
    try {
      const { body } = await this.#bus.callBus('GetNameOwner', 's', [name], 's');
      return body[0];
    } catch (error) {
      if (error instanceof DbusError && error.errorName === ErrorName.nameHasNoOwner) return '';
      throw error;
    }
  }
}
