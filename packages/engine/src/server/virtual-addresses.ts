/**
 * The addresses and networks behind the clients, as they are told to the data channel and to `learn-address`.
 * upstream: multi.c `multi_learn_in_addr_t`, `learn_address_script` (2.6).
 */
import type { PeerRoute } from '@seikan/core';

import type { EngineOutput } from '../output.js';
import type { Instance } from './instance.js';
import type { Top } from './top.js';

export class VirtualAddresses {
  readonly #top: Top;
  readonly #emit: (output: EngineOutput) => void;

  constructor(top: Top, emit: (output: EngineOutput) => void) {
    this.#top = top;
    this.#emit = emit;
  }

  /** Nothing is routed to an address that `learn-address` has not allowed. */
  add(instance: Instance, route: PeerRoute, text: string): void {
    this.#mayLearn(instance, text, (good) => {
      instance.log.info(1, `MULTI: Learn${good ? '' : ' FAILED'}: ${text} -> ${instance.prefix}`);
      if (good) this.#emit({ output: 'command', command: { verb: 'addRoute', peer: instance.peer, route } });
    });
  }

  /** tap: the data channel has seen a MAC address behind the client. */
  learned(instance: Instance, mac: Uint8Array): void {
    const address = Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
    this.#mayLearn(instance, address, (good) => {
      if (!good) instance.log.warning(`MULTI: Learn FAILED: ${address} -> ${instance.prefix}`);
    });
  }

  #mayLearn(instance: Instance, address: string, then: (good: boolean) => void): void {
    if (!this.#top.asksFor('learn-address')) return then(true);
    const argv = ['add', address, instance.commonName ?? ''];
    return instance.ask({ event: 'learn-address', argv, env: instance.environment }, ({ result }) =>
      then(result === 'success'),
    );
  }
}
