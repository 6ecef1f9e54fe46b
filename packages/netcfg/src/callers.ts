/**
 * Who calls: the user and process behind a bus name, known from the first call that asks until the name vanishes, so
 * that the last calls of a client that has left already still count as its own.
 */
import {
  type Call,
  type Connection,
  type Credentials,
  credentialsOf,
  DbusError,
  type Subscription,
} from '@seikan/dbus';

import { requestError } from './errors.js';

export interface Caller extends Credentials {
  /** The unique name, `:1.42`. */
  readonly name: string;
}

const BUS = 'org.freedesktop.DBus';

export class Callers {
  readonly #bus: Connection;
  readonly #known = new Map<string, Promise<Caller>>();
  readonly #vanished: (caller: Caller) => void;
  #subscription: Subscription | undefined;

  private constructor(bus: Connection, vanished: (caller: Caller) => void) {
    this.#bus = bus;
    this.#vanished = vanished;
  }

  /** `vanished` is told of each caller that was identified. One rule watches all names: the bus limits their number. */
  static async watch(bus: Connection, vanished: (caller: Caller) => void): Promise<Callers> {
    const callers = new Callers(bus, vanished);
    const rule = { sender: BUS, interface: BUS, member: 'NameOwnerChanged' };
    callers.#subscription = await bus.signals.subscribe(rule, ({ signature, body }) => {
      if (signature === 'sss' && body[2] === '') callers.#forget(body[0] as string);
    });
    return callers;
  }

  /** Rejects with the original's error when the caller has left before it was known. */
  async identify({ sender }: Pick<Call, 'sender'>): Promise<Caller> {
    const known = this.#known.get(sender) ?? this.#ask(sender);
    this.#known.set(sender, known);
    try {
      const caller = await known;
      if (this.#known.get(sender) !== known) throw requestError(`Caller ${sender} has left`);
      return caller;
    } catch (error) {
      if (this.#known.get(sender) === known) this.#known.delete(sender);
      throw error;
    }
  }

  close(): void {
    this.#subscription?.close();
  }

  async #ask(name: string): Promise<Caller> {
    try {
      return { name, ...(await credentialsOf(this.#bus, name)) };
    } catch (error) {
      if (!(error instanceof DbusError)) throw error;
      throw requestError(`Failed to look up the caller ${name}: ${error.message}`);
    }
  }

  #forget(name: string): void {
    const known = this.#known.get(name);
    if (known === undefined) return;
    this.#known.delete(name);
    known.then(this.#vanished, () => {});
  }
}
