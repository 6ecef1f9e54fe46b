/** `ifconfig-pool-persist`: the leases of the pool, read at the start and written soon after they change. */
import type { Millis } from '@seikan/core';

import type { Asks } from '../asks.js';
import type { ServerOptions } from '../options/options.js';
import type { EngineOutput, Time } from '../output.js';
import type { TunnelLog } from '../tunnel-log.js';
import type { AddressPool } from './pool.js';

export interface PoolFileSettings {
  readonly persist: ServerOptions['poolPersist'];
  readonly pool: AddressPool;
  readonly asks: Asks;
  readonly log: TunnelLog;
  readonly emit: (output: EngineOutput) => void;
}

export class PoolFile {
  readonly #settings: PoolFileSettings;
  #writeAt: Millis | undefined;
  /** What stands in the file is in the pool: until then it would be lost. */
  #restored = false;

  constructor(settings: PoolFileSettings) {
    this.#settings = settings;
  }

  restore(time: Time, then: (time: Time) => void): void {
    const { persist, pool, asks, log } = this.#settings;
    if (persist === undefined) {
      then(time);
      return;
    }
    asks.ask('read-file', { path: persist.file }, (answer, at) => {
      if ('text' in answer) {
        for (const line of pool.restore(answer.text, !this.#isWritten))
          log.warning(`WARNING: ifconfig-pool-persist file ${persist.file}: cannot use line '${line}'`);
      }
      this.#restored = true;
      then(at);
    });
  }

  changed(time: Time): void {
    if (this.#isWritten) this.#writeAt ??= time.now;
  }

  handleTimeout(time: Time): void {
    if (this.#writeAt !== undefined && time.now >= this.#writeAt) this.write();
  }

  nextTimeout(): Millis | undefined {
    return this.#writeAt;
  }

  write(): void {
    const { persist, pool, emit } = this.#settings;
    this.#writeAt = undefined;
    if (persist !== undefined && this.#restored && this.#isWritten)
      emit({ output: 'write-file', path: persist.file, text: pool.encode() });
  }

  /** A refresh of 0 seconds means that the file is only read: its addresses are for those whom it names alone. */
  get #isWritten(): boolean {
    return (this.#settings.persist?.refresh ?? 0) > 0;
  }
}
