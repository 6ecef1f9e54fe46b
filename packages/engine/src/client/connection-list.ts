/**
 * Which place to try next: the `remote`s in their order, each with the addresses that its name resolves to, and the
 * pause before another attempt.
 *
 *   remote 1: address a, address b ─▶ remote 2: address a ─▶ … ─▶ remote 1 (next round)
 *
 * Only a tunnel that was up may try its own place again, once; whatever else ends moves on. The pause doubles from the
 * fifth round on, up to the maximum.
 * upstream: init.c `next_connection_entry`, `socket_restart_pause` (2.6).
 */
import { type Endpoint, type Millis, type RandomFill, sameEndpoint } from '@seikan/core';

import type { Connection } from '../options/options.js';

/** Where the next attempt goes: nowhere else, to the next address, or past this remote's other addresses; where nobody has said so, on unless it was up. */
export type Advance = 'no' | 'address' | 'remote';

/** Between two attempts, whatever is configured: OpenVPN 2.6.14 was seen to take that long with `connect-retry 0`. */
const LEAST_PAUSE: Millis = 500;
/** Rounds at the configured pause before it starts to double: the fifth failure waits twice as long. */
const PATIENT_ROUNDS = 4;

export class ConnectionList {
  readonly #connections: readonly Connection[];
  #index = 0;
  #addresses: readonly Endpoint[] = [];
  #addressIndex = 0;
  #rounds = 0;
  #wasUp = false;

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

  /** Whether it is one of the addresses that the current name has. */
  has(address: Endpoint): boolean {
    return this.#addresses.some((known) => sameEndpoint(known, address));
  }

  /** Complete passes over all places since the last success. */
  get rounds(): number {
    return this.#rounds;
  }

  resolved(addresses: readonly Endpoint[]): void {
    this.#addresses = addresses;
    this.#addressIndex = 0;
  }

  /** The tunnel came up: after its end the same address is tried first. */
  succeeded(): void {
    this.#rounds = 0;
    this.#wasUp = true;
  }

  /** An attempt, or the tunnel that it became, is over. */
  ended(advance?: Advance): void {
    const stays = advance === 'no' || (this.#wasUp && advance === undefined);
    this.#wasUp = false;
    if (stays) return;
    if (advance !== 'remote' && this.#addressIndex + 1 < this.#addresses.length) {
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

  /** `least` takes the place of a shorter `connect-retry`; the maximum holds for it too. */
  pause(least: Millis): Millis {
    const { connectRetry, connectRetryMaximum } = this.current;
    const doublings = Math.min(Math.max(0, this.#rounds - PATIENT_ROUNDS), 16);
    const pause = Math.min(Math.max(connectRetry * 1000, least) * 2 ** doublings, connectRetryMaximum * 1000);
    return Math.max(pause, LEAST_PAUSE);
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
