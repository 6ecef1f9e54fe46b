/**
 * Which place to try next: the `remote`s in their order, each with the addresses that its name resolves to, and the
 * pause before another attempt.
 *
 *   remote 1: address a, address b ─▶ remote 2: address a ─▶ … ─▶ remote 1 (next round)
 *
 * Only a failure moves on, so what worked is tried again first. The pause doubles from the fifth round on, up to the
 * maximum.
 * upstream: init.c `next_connection_entry`, `socket_restart_pause` (2.6).
 */
import type { Endpoint, Millis, RandomFill } from '@seikan/core';

import type { Connection } from '../options/options.js';

/** Rounds at the configured pause before it starts to double: the fifth failure waits twice as long. */
const PATIENT_ROUNDS = 4;

export class ConnectionList {
  readonly #connections: readonly Connection[];
  #index = 0;
  #addresses: readonly Endpoint[] = [];
  #addressIndex = 0;
  #rounds = 0;

  /** With `shuffle` (remote-random) the order is drawn once. */
  constructor(connections: readonly Connection[], shuffle: RandomFill | undefined) {
    const usable = connections.filter(({ enabled }) => enabled);
    this.#connections = shuffle === undefined ? usable : shuffled(usable, shuffle);
  }

  get current(): Connection {
    const connection = this.#connections[this.#index];
    if (connection === undefined) throw new RangeError('a configuration without any connection');
    return connection;
  }

  /** The address to connect to; `undefined` before the name was resolved. */
  get address(): Endpoint | undefined {
    return this.#addresses[this.#addressIndex];
  }

  /** Complete passes over all places since the last success. */
  get rounds(): number {
    return this.#rounds;
  }

  resolved(addresses: readonly Endpoint[]): void {
    this.#addresses = addresses;
    this.#addressIndex = 0;
  }

  /** The tunnel came up: after a restart the same address is tried first. */
  succeeded(): void {
    this.#rounds = 0;
  }

  /** Moves to the next address, or the next remote. `remote`: leave this remote's other addresses aside. */
  advance(by: 'address' | 'remote' = 'address'): void {
    if (by === 'address' && this.#addressIndex + 1 < this.#addresses.length) {
      this.#addressIndex += 1;
      return;
    }
    this.#addresses = [];
    this.#addressIndex = 0;
    this.#index = (this.#index + 1) % this.#connections.length;
    if (this.#index === 0) this.#rounds += 1;
  }

  /** Forget resolved names: the network may have changed. */
  forgetAddresses(): void {
    this.#addresses = [];
    this.#addressIndex = 0;
  }

  pause(): Millis {
    const { connectRetry, connectRetryMaximum } = this.current;
    const doublings = Math.min(Math.max(0, this.#rounds - PATIENT_ROUNDS), 16);
    return Math.min(connectRetry * 2 ** doublings, connectRetryMaximum) * 1000;
  }
}

function shuffled<Item>(items: readonly Item[], random: RandomFill): Item[] {
  const result = [...items];
  const bytes = new Uint8Array(4);
  for (let i = result.length - 1; i > 0; i -= 1) {
    random(bytes);
    const j = new DataView(bytes.buffer).getUint32(0) % (i + 1);
    const [a, b] = [result[i], result[j]];
    if (a !== undefined && b !== undefined) [result[i], result[j]] = [b, a];
  }
  return result;
}
