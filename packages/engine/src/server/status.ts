/** When a server writes its status, and what stands in it. upstream: multi.c `multi_print_status`, status.c (2.6). */
import type { Millis, UnixSeconds } from '@seikan/core';

import type { EngineOutput, Time } from '../output.js';
import { realAddress } from '../tunnel-log.js';
import type { Instance } from './instance.js';
import type { InstanceTable } from './instance-table.js';
import { formatServerStatus, type ServerStatus } from './status-file.js';
import type { Top } from './top.js';

export interface StatusSettings {
  readonly top: Top;
  readonly instances: InstanceTable;
  readonly emit: (output: EngineOutput) => void;
}

export class Status {
  readonly #settings: StatusSettings;
  #writeAt: Millis | undefined;
  /** How many bytes for a client had been read from the tun, and since when it is that many. */
  readonly #uses = new WeakMap<Instance, { readonly carried: number; readonly since: UnixSeconds }>();

  constructor(settings: StatusSettings) {
    this.#settings = settings;
  }

  start(now: Millis): void {
    if (this.#settings.top.options.log.status !== undefined) this.#writeAt = now;
  }

  /** `write`: the last state is written down. */
  stop(write: boolean, time: Time): void {
    if (write) this.#write(time);
    this.#writeAt = undefined;
  }

  handleTimeout(time: Time): void {
    if (this.#writeAt !== undefined && time.now >= this.#writeAt) this.#write(time);
  }

  nextTimeout(): Millis | undefined {
    return this.#writeAt;
  }

  /** In the version that is configured, for the log too. */
  text({ wallClock }: Time): string {
    const { options, settings } = this.#settings.top;
    return formatServerStatus(this.#status(wallClock), options.log.statusVersion, wallClock, settings.formatTime);
  }

  #write(time: Time): void {
    const { status } = this.#settings.top.options.log;
    if (status === undefined) return;
    this.#writeAt = time.now + Math.max(1, status.interval) * 1000;
    this.#settings.emit({ output: 'write-file', path: status.file, text: this.text(time) });
  }

  /** When something was last sent to a client, as exactly as this is looked at. */
  #lastUse(instance: Instance, carried: number, now: UnixSeconds): UnixSeconds {
    const known = this.#uses.get(instance) ?? { carried: 0, since: instance.connectedAt };
    if (known.carried === carried) return known.since;
    this.#uses.set(instance, { carried, since: now });
    return now;
  }

  #status(now: UnixSeconds): ServerStatus {
    const { top, instances } = this.#settings;
    const { product, readCounters } = top.settings;
    const present = instances.all().map((instance) => ({ instance, counters: readCounters(instance.peer) }));
    return {
      title: `OpenVPN ${product.openvpnVersion} ${product.platform} ${product.name} ${product.version}`,
      clients: present.map(({ instance, counters }) => {
        const { received, sent } = instance.traffic(counters);
        return {
          commonName: instance.commonName ?? 'UNDEF',
          realAddress: realAddress(instance.remote),
          virtualAddress: instance.virtualAddress,
          virtualAddressIpv6: instance.virtualAddressIpv6,
          bytesReceived: received,
          bytesSent: sent,
          connectedSince: instance.connectedAt,
          username: instance.username,
          clientId: instance.clientId,
          peerId: instance.peer.index,
          cipher: instance.context.negotiated?.cipher ?? top.options.data.cipher,
        };
      }),
      routes: present.flatMap(({ instance, counters }) => {
        const lastReference = this.#lastUse(instance, counters?.tunRead ?? 0, now);
        return instance.routes.map((virtualAddress) => ({
          virtualAddress,
          commonName: instance.commonName ?? 'UNDEF',
          realAddress: realAddress(instance.remote),
          lastReference,
        }));
      }),
      maxQueueLength: 0,
      offloaded: top.settings.abilities.offload,
    };
  }
}
