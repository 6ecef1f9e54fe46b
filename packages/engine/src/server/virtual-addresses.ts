/**
 * The addresses and networks behind the clients, as they are told to the data channel and to `learn-address`: one after
 * another of a client, and of an address, since who keeps a firewall by them needs their order.
 * upstream: multi.c `multi_learn_in_addr_t`, `learn_address_script` (2.6).
 */
import type { PeerRoute } from '@seikan/core';

import { type AskBook, Asks } from '../asks.js';
import type { EngineOutput, Time } from '../output.js';
import type { Instance } from './instance.js';
import type { Top } from './top.js';
import type { Turns } from './turns.js';

export class VirtualAddresses {
  readonly #top: Top;
  readonly #emit: (output: EngineOutput) => void;
  readonly #turns: Turns;
  /** Not the instance's: an `add` that has begun goes on to its end, and what follows waits for it. */
  readonly #asks: Asks;
  /** To whom each address or network leads. */
  readonly #holders = new Map<string, Instance>();
  /** Whom `learn-address` was told about last, while its instance lives. */
  readonly #owners = new Map<string, Instance>();

  constructor(top: Top, emit: (output: EngineOutput) => void, book: AskBook, turns: Turns) {
    this.#top = top;
    this.#emit = emit;
    this.#turns = turns;
    this.#asks = new Asks(emit, book);
  }

  /** Nothing is routed to an address that `learn-address` has not allowed. */
  add(instance: Instance, route: PeerRoute, text: string, time: Time): void {
    this.#learn(instance, text, time, () => {
      this.#hold(instance, text);
      this.#emit({ output: 'command', command: { verb: 'addRoute', peer: instance.peer, route } });
    });
  }

  /** tap: the data channel has seen a MAC address behind the client, and waits where there is somebody to ask. */
  seen(instance: Instance, mac: Uint8Array, time: Time): void {
    // After the @ is the VLAN.
    const address = `${Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':')}@0`;
    const asks = this.#top.asksFor('learn-address');
    this.#learn(instance, address, time, () => {
      if (asks) this.#emit({ output: 'command', command: { verb: 'learnMac', peer: instance.peer, mac } });
    });
  }

  /** What `learn-address` was told of a client, or is being told. */
  of(instance: Instance): string[] {
    return [...this.#owners].filter(([, owner]) => owner === instance).map(([address]) => address);
  }

  /** The client is gone; to be called in its turn. */
  forget(instance: Instance, time: Time, then: (time: Time) => void): void {
    for (const route of instance.routes) if (this.#holders.get(route) === instance) this.#holders.delete(route);
    const [address] = this.of(instance);
    if (address === undefined) return then(time);
    this.#owners.delete(address);
    const request = { event: 'learn-address', context: 0, argv: ['delete', address], env: {} } as const;
    this.#asks.ask('event', { request }, (_verdict, at) => this.forget(instance, at, then));
    return undefined;
  }

  /** Whoever had it before has it no more, nor again when this one leaves. */
  #hold(instance: Instance, address: string): void {
    const last = this.#holders.get(address);
    if (last !== undefined && last !== instance) last.routes = last.routes.filter((route) => route !== address);
    this.#holders.set(address, instance);
  }

  #learn(instance: Instance, address: string, time: Time, learned: () => void): void {
    const say = (good: boolean): void => {
      instance.log.info(3, `MULTI: Learn${good ? '' : ' FAILED'}: ${address} -> ${instance.prefix}`);
      if (good) learned();
    };
    if (!this.#top.asksFor('learn-address')) return say(true);
    return this.#turns.take([lineOf(instance), lineOfAddress(address)], time, (at, end) => {
      if (instance.phase === 'closed') return end(at);
      const operation = this.#owners.has(address) ? 'update' : 'add';
      this.#owners.set(address, instance);
      const argv = [operation, address, instance.commonName ?? ''];
      const request = {
        event: 'learn-address',
        context: instance.eventContext,
        argv,
        env: instance.environment,
      } as const;
      this.#asks.ask('event', { request }, ({ result }, when) => {
        if (result !== 'success' && this.#owners.get(address) === instance) this.#owners.delete(address);
        if (instance.phase !== 'closed') say(result === 'success');
        end(when);
      });
      return undefined;
    });
  }
}

/** The line of what is told of a client. */
export function lineOf({ clientId }: Instance): string {
  return `client ${clientId}`;
}

export function lineOfAddress(address: string): string {
  return `address ${address}`;
}
