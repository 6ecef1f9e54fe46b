/** A call of ours that somebody else made: who it is, what descriptors it brought, and those that go back. */
import type { Descriptor } from '@seikan/native';

import { type Credentials, credentialsOf } from './bus-names.js';
import type { Connection } from './connection.js';
import type { MethodCall } from './message.js';

export class Call {
  readonly #connection: Connection;
  readonly message: MethodCall;
  readonly #received: Descriptor[];
  readonly #attached: Descriptor[] = [];
  #credentials: Promise<Credentials> | undefined;

  /** Takes over the descriptors. */
  constructor(connection: Connection, message: MethodCall, received: Descriptor[]) {
    this.#connection = connection;
    this.message = message;
    this.#received = received;
  }

  /** The caller's unique name; the bus vouches for it. */
  get sender(): string {
    return this.message.sender ?? '';
  }

  get path(): string {
    return this.message.path;
  }

  /** The caller's user and process, asked once per call. Rejects when it is gone. */
  credentials(): Promise<Credentials> {
    this.#credentials ??= credentialsOf(this.#connection, this.sender);
    return this.#credentials;
  }

  /** What came; an `h` is an index into it. Closed when the handler is done: duplicate or release what must stay. */
  get descriptors(): readonly Descriptor[] {
    return this.#received;
  }

  /** Sends a descriptor with the answer, whether or not an `h` names it. Takes it over. Returns the index for the `h`. */
  attach(descriptor: Descriptor): number {
    return this.#attached.push(descriptor) - 1;
  }

  /** For the object tree: what goes with the answer. */
  takeAttached(): Descriptor[] {
    return this.#attached.splice(0);
  }

  /** For the object tree: closes what came and what will not go. */
  end(): void {
    for (const descriptor of [...this.#received, ...this.#attached.splice(0)]) {
      if (!descriptor.closed) descriptor.close();
    }
  }
}
