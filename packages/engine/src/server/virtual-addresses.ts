/**
 * The addresses and networks behind the clients, as they are told to the data channel and to `learn-address`.
 * upstream: multi.c `multi_learn_in_addr_t`, `learn_address_script` (2.6).
 */
import type { PeerRoute } from '@seikan/core';

import { parseIpv4, parseIpv6 } from '../options/address.js';
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

  add(instance: Instance, route: PeerRoute, text: string): void {
    this.#emit({ output: 'command', command: { verb: 'addRoute', peer: instance.peer, route } });
    instance.log.info(1, `MULTI: Learn: ${text} -> ${instance.prefix}`);
    this.#tell(instance, text);
  }

  /** tap: the data channel has seen a MAC address behind the client. */
  learned(instance: Instance, mac: Uint8Array): void {
    this.#tell(instance, Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':'));
  }

  #tell(instance: Instance, address: string): void {
    if (!this.#top.asksFor('learn-address')) return;
    const argv = ['add', address, instance.commonName ?? ''];
    const env = { ...instance.environment, script_type: 'learn-address' };
    instance.ask({ event: 'learn-address', argv, env }, (verdict) => {
      if (verdict.result !== 'failure') return;
      instance.log.warning(`MULTI: Learn: ${address} was refused by learn-address`);
      const route = routeOf(address);
      if (route !== undefined)
        this.#emit({ output: 'command', command: { verb: 'delRoute', peer: instance.peer, route } });
    });
  }
}

function routeOf(text: string): PeerRoute | undefined {
  const [address = '', bits] = text.split('/');
  const ipv4 = parseIpv4(address);
  if (ipv4 !== undefined) {
    const network = new Uint8Array(4);
    new DataView(network.buffer).setUint32(0, ipv4);
    return { family: 4, network, bits: bits === undefined ? 32 : Number(bits) };
  }
  const ipv6 = parseIpv6(address);
  return ipv6 === undefined ? undefined : { family: 6, network: ipv6, bits: bits === undefined ? 128 : Number(bits) };
}
