/**
 * The service's log: signals to the log service, from the path of the object that they are about, and lines of a file.
 *
 *   category   1 debug  2 verb2  3 verb1  4 info  5 warning  6 error  7 critical  8 fatal
 *   from level     6        5        4       3        2         1        always
 */
import type { Connection } from '@seikan/dbus';

import { withoutControls } from './errors.js';
import { NETCFG } from './names.js';

const CATEGORIES = { debug: 1, verb2: 2, verb1: 3, info: 4, warning: 5, error: 6, critical: 7, fatal: 8 } as const;
export type LogCategory = keyof typeof CATEGORIES;

const GROUP_NETCFG = 8;
export const HIGHEST_LEVEL = 6;
const LOG_SERVICE = 'net.openvpn.v3.log';
const LOG_PATH = '/net/openvpn/v3/log';
const LONGEST_MESSAGE = 8_192;

export interface ServiceLogOptions {
  readonly bus: Connection;
  /** Gets each line with its time; undefined: no file. */
  readonly write: ((line: string) => void) | undefined;
  readonly now?: () => Date;
}

export class ServiceLog {
  readonly #bus: Connection;
  readonly #write: ((line: string) => void) | undefined;
  readonly #now: () => Date;
  #listener: string | undefined;

  constructor({ bus, write, now = () => new Date() }: ServiceLogOptions) {
    this.#bus = bus;
    this.#write = write;
    this.#now = now;
  }

  /** Starts the log service and makes it listen. Rejects with a DbusError when there is none. */
  async attach(): Promise<void> {
    await this.#bus.callBus('StartServiceByName', 'su', [LOG_SERVICE, 0], 'u');
    await this.#bus.signals.watchName(LOG_SERVICE, (owner) => {
      this.#listener = owner;
    });
    await this.#bus.call({ ...LOG_TARGET, member: 'Attach', signature: 's', body: [NETCFG] });
  }

  /** Rejects when the log service has gone. */
  async detach(): Promise<void> {
    if (this.#listener === undefined) return;
    await this.#bus.call({ ...LOG_TARGET, member: 'Detach', signature: 's', body: [NETCFG], noAutoStart: true });
  }

  /** `level` is that of the object at `path`: what is finer is left out. */
  write(path: string, level: number, category: LogCategory, message: string): void {
    const number = CATEGORIES[category];
    if (number < CATEGORIES.critical && number + level < CATEGORIES.critical) return;
    const text = withoutControls(message).slice(0, LONGEST_MESSAGE);
    this.#write?.(`${this.#now().toISOString()} ${category.toUpperCase()} ${path} ${text}\n`);
    if (this.#listener === undefined) return;
    const body = [GROUP_NETCFG, number, text] as const;
    const destination = this.#listener;
    this.#bus.emit({ path, interface: NETCFG, member: 'Log', signature: 'uus', body, destination });
  }
}

const LOG_TARGET = { destination: LOG_SERVICE, path: LOG_PATH, interface: LOG_SERVICE };

/** What one object logs with: its path and level go along. */
export type LogWriter = (category: LogCategory, message: string) => void;
