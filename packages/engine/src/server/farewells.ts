/**
 * What is to be told of clients that are gone, each step when the one before has been dealt with; the end of the server
 * waits for all of it:
 *
 *   closed ─▶ final counters ─▶ client-disconnect ─▶ its context ends ─▶ learn-address delete, for each address
 *
 * upstream: multi.c `multi_client_disconnect_script`, `multi_reap_range` (2.6).
 * Differs from OpenVPN 2.6: addresses are forgotten at once, not within some ten seconds.
 */
import type { PeerCounters, PeerRef } from '@seikan/core';

import { type AskBook, Asks } from '../asks.js';
import type { EngineOutput, Time } from '../output.js';
import type { Instance } from './instance.js';
import type { Top } from './top.js';

export interface FarewellsSettings {
  readonly top: Top;
  readonly emit: (output: EngineOutput) => void;
  readonly book: AskBook;
  readonly addressesOf: (instance: Instance) => readonly string[];
}

export class Farewells {
  readonly asks: Asks;
  readonly #settings: FarewellsSettings;
  /** Those that the data channel has not given back yet. */
  readonly #leaving = new Map<string, (counters: PeerCounters, time: Time) => void>();
  #open = 0;
  #then: ((time: Time) => void) | undefined;

  constructor(settings: FarewellsSettings) {
    this.#settings = settings;
    this.asks = new Asks(settings.emit, settings.book);
  }

  /** A client is being closed; whoever was connected is asked about with its final counters. */
  begin(instance: Instance, was: { readonly connected: boolean; readonly hadPeer: boolean }, time: Time): void {
    this.#open += 1;
    const finish = (counters: PeerCounters | undefined, at: Time): void => {
      if (was.connected) this.disconnect(instance, counters, at, (when) => this.#forget(instance, when));
      else this.#forget(instance, at);
    };
    if (was.hadPeer) this.#leaving.set(keyOf(instance.peer), finish);
    else finish(undefined, time);
  }

  peerDeleted(peer: PeerRef, counters: PeerCounters, time: Time): void {
    const finish = this.#leaving.get(keyOf(peer));
    this.#leaving.delete(keyOf(peer));
    finish?.(counters, time);
  }

  /** client-disconnect; also of a client that client-connect has refused, as upstream does. */
  disconnect(
    instance: Instance,
    counters: PeerCounters | undefined,
    time: Time,
    then: (time: Time) => void = () => undefined,
  ): void {
    if (!this.#settings.top.asksFor('client-disconnect')) return then(time);
    const env = {
      ...instance.environment,
      bytes_received: String(counters?.linkRead ?? 0),
      bytes_sent: String(counters?.linkWritten ?? 0),
      time_duration: String(time.wallClock - instance.connectedAt),
    };
    const request = { event: 'client-disconnect', context: instance.eventContext, argv: [], env } as const;
    this.asks.ask('event', { request }, (_verdict, at) => then(at));
    return undefined;
  }

  /** Calls `then` when nothing is left to be told. */
  whenDone(then: (time: Time) => void, time: Time): void {
    if (this.#open === 0) then(time);
    else this.#then = then;
  }

  #forget(instance: Instance, time: Time): void {
    const { top, emit, addressesOf } = this.#settings;
    emit({ output: 'context', context: instance.eventContext, change: 'closed' });
    for (const address of top.asksFor('learn-address') ? addressesOf(instance) : []) {
      this.#open += 1;
      const request = { event: 'learn-address', context: 0, argv: ['delete', address], env: {} } as const;
      this.asks.ask('event', { request }, (_verdict, at) => this.#done(at));
    }
    this.#done(time);
  }

  #done(time: Time): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    const then = this.#then;
    this.#then = undefined;
    then?.(time);
  }
}

function keyOf({ index, generation }: PeerRef): string {
  return `${index}.${generation}`;
}
