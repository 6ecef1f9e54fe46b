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
  /** tap: whom `learn-address` was told about last, while its instance lives. */
  readonly #owners = new Map<string, Instance>();

  constructor(top: Top, emit: (output: EngineOutput) => void) {
    this.#top = top;
    this.#emit = emit;
  }

  /** Nothing is routed to an address that `learn-address` has not allowed. */
  add(instance: Instance, route: PeerRoute, text: string): void {
    this.#mayLearn(instance, 'add', text, (good) => {
      instance.log.info(3, `MULTI: Learn${good ? '' : ' FAILED'}: ${text} -> ${instance.prefix}`);
      if (good) this.#emit({ output: 'command', command: { verb: 'addRoute', peer: instance.peer, route } });
    });
  }

  /** tap: the data channel has seen a MAC address behind the client, and waits where there is somebody to ask. */
  seen(instance: Instance, mac: Uint8Array): void {
    // After the @ is the VLAN.
    const address = `${Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':')}@0`;
    const asks = this.#top.asksFor('learn-address');
    this.#mayLearn(instance, this.#owners.has(address) ? 'update' : 'add', address, (good) => {
      instance.log.info(3, `MULTI: Learn${good ? '' : ' FAILED'}: ${address} -> ${instance.prefix}`);
      if (!good || !asks) return;
      this.#owners.set(address, instance);
      this.#emit({ output: 'command', command: { verb: 'learnMac', peer: instance.peer, mac } });
    });
  }

  /** tap: the addresses of a client that is gone. */
  forget(instance: Instance): string[] {
    const addresses = [...this.#owners].filter(([, owner]) => owner === instance).map(([address]) => address);
    for (const address of addresses) this.#owners.delete(address);
    return addresses;
  }

  #mayLearn(instance: Instance, operation: 'add' | 'update', address: string, then: (good: boolean) => void): void {
    if (!this.#top.asksFor('learn-address')) return then(true);
    const argv = [operation, address, instance.commonName ?? ''];
    return instance.ask({ event: 'learn-address', argv, env: instance.environment }, ({ result }) =>
      then(result === 'success'),
    );
  }
}
