/**
 * What is to be told of clients that are gone, each step when the one before has been dealt with; the end of the server
 * waits for all of it:
 *
 *   closed ─▶ final counters ─▶ client-disconnect ─▶ its context ends ─▶ learn-address delete, for each address
 *
 * Whoever comes with the same name, or is given one of the addresses, is told of afterwards (turns.ts).
 * upstream: multi.c `multi_client_disconnect_script`, `multi_reap_range` (2.6).
 * Differs from OpenVPN 2.6: addresses are forgotten at once, not within some ten seconds.
 */
import type { PeerCounters, PeerRef } from '@seikan/core';

import { type AskBook, Asks } from '../asks.js';
import type { EngineOutput, Time } from '../output.js';
import type { Instance } from './instance.js';
import type { Top } from './top.js';
import type { Turns } from './turns.js';
import { lineOf, lineOfAddress, type VirtualAddresses } from './virtual-addresses.js';

export interface FarewellsSettings {
  readonly top: Top;
  readonly emit: (output: EngineOutput) => void;
  readonly book: AskBook;
  readonly turns: Turns;
  readonly addresses: VirtualAddresses;
}

/** A client whose final counters the data channel has not given back yet. */
interface Leaving {
  counters: PeerCounters | undefined;
  heard: boolean;
  goOn: ((time: Time) => void) | undefined;
}

export class Farewells {
  readonly #asks: Asks;
  readonly #settings: FarewellsSettings;
  readonly #leaving = new Map<string, Leaving>();
  #open = 0;
  #then: ((time: Time) => void) | undefined;

  constructor(settings: FarewellsSettings) {
    this.#settings = settings;
    this.#asks = new Asks(settings.emit, settings.book);
  }

  /** A client is being closed; whoever was connected is asked about with its final counters. */
  begin(instance: Instance, was: { readonly connected: boolean; readonly hadPeer: boolean }, time: Time): void {
    const { turns, addresses } = this.#settings;
    const leaving: Leaving = { counters: undefined, heard: !was.hadPeer, goOn: undefined };
    if (was.hadPeer) this.#leaving.set(keyOf(instance.peer), leaving);
    this.#open += 1;
    const own = was.connected ? this.#linesOf(instance) : [lineOf(instance)];
    turns.take([...own, ...addresses.of(instance).map(lineOfAddress)], time, (at, end) => {
      const done = (when: Time): void => {
        end(when);
        this.#done(when);
      };
      const goOn = (when: Time): void => {
        if (was.connected) this.#ask(instance, leaving.counters, when, (then) => this.#forget(instance, then, done));
        else this.#forget(instance, when, done);
      };
      if (leaving.heard) goOn(at);
      else leaving.goOn = goOn;
    });
  }

  peerDeleted(peer: PeerRef, counters: PeerCounters, time: Time): void {
    const leaving = this.#leaving.get(keyOf(peer));
    if (leaving === undefined) return;
    this.#leaving.delete(keyOf(peer));
    leaving.counters = counters;
    leaving.heard = true;
    leaving.goOn?.(time);
  }

  /** client-disconnect of a client that client-connect has refused, as upstream has it. */
  disconnect(instance: Instance, time: Time): void {
    this.#settings.turns.take(this.#linesOf(instance), time, (at, end) => this.#ask(instance, undefined, at, end));
  }

  /** Calls `then` when everything has been told of those that had the name of `instance`. */
  afterNamesake(instance: Instance, time: Time, then: (time: Time) => void): void {
    const name = this.#nameLineOf(instance);
    if (name === undefined) then(time);
    else
      this.#settings.turns.take([name], time, (at, end) => {
        end(at);
        then(at);
      });
  }

  /** Calls `then` when nothing is left to be told. */
  whenDone(then: (time: Time) => void, time: Time): void {
    if (this.#open === 0) then(time);
    else this.#then = then;
  }

  #linesOf(instance: Instance): readonly string[] {
    const name = this.#nameLineOf(instance);
    return name === undefined ? [lineOf(instance)] : [lineOf(instance), name];
  }

  /** Where many may have one name, or nobody hears of them, they need not wait for each other. */
  #nameLineOf({ commonName }: Instance): string | undefined {
    const { top } = this.#settings;
    if (commonName === undefined || top.options.server.duplicateCn || !top.asksFor('client-disconnect'))
      return undefined;
    return `name ${commonName}`;
  }

  #ask(instance: Instance, counters: PeerCounters | undefined, time: Time, then: (time: Time) => void): void {
    if (!this.#settings.top.asksFor('client-disconnect')) return then(time);
    const { received, sent } = instance.traffic(counters);
    const env = {
      ...instance.environment,
      bytes_received: String(received),
      bytes_sent: String(sent),
      time_duration: String(time.wallClock - instance.connectedAt),
    };
    const request = { event: 'client-disconnect', context: instance.eventContext, argv: [], env } as const;
    this.#asks.ask('event', { request }, (_verdict, at) => then(at));
    return undefined;
  }

  #forget(instance: Instance, time: Time, then: (time: Time) => void): void {
    const { emit, addresses } = this.#settings;
    emit({ output: 'context', context: instance.eventContext, change: 'closed' });
    addresses.forget(instance, time, then);
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
