/**
 * `port-share`: what comes to our TCP port and speaks something else is carried to another service, in a thread of its own
 * (port-share-worker.ts), so that its traffic delays nobody's tunnel.
 *
 *   data channel ── fd, first bytes ──▶ engine logs it, PortShare ── fd ──▶ thread ──▶ host:port
 *
 * upstream: ps.c `port_share_open`, `port_share_redirect` (2.6).
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import type { LogLine, PortShareOptions } from '@seikan/engine';
import { Descriptor } from '@seikan/native';

import { MaterialError, reasonOf } from './materials.js';
import { resolveHost } from './resolve-host.js';

/** Posted to the thread. */
export interface ForeignConnection {
  /** Its owner is the thread. */
  readonly fd: number;
  readonly begun: Uint8Array;
  readonly target: PortShareTarget;
}

/** `ready`: all that it needs is loaded. */
export type FromThread = 'ready' | { readonly problem: string };

export interface PortShareTarget {
  readonly address: string;
  readonly port: number;
  readonly journal: string | undefined;
}

/** Kept over restarts: after `chroot` no new thread could be started. Connections live until it ends. */
export class PortShare {
  #worker: Worker | undefined;
  #target: PortShareTarget | undefined;
  #log: (line: LogLine) => void = () => undefined;

  /** To be called while the process may do everything. Throws a MaterialError when there is no such host. */
  async open({ host, port, journal }: PortShareOptions, log: (line: LogLine) => void): Promise<void> {
    this.#log = log;
    const found = await resolveHost(host, port, undefined);
    if ('error' in found)
      throw new MaterialError(`RESOLVE: Cannot resolve host address: ${host}:${port} (${found.error})`);
    const [first] = found.addresses;
    if (first === undefined) throw new MaterialError(`RESOLVE: Cannot resolve host address: ${host}:${port}`);
    this.#target = { address: first.address, port, journal };
    this.#worker ??= await this.#start();
  }

  /** Takes the connection over; closes it when nobody can serve it. */
  take(fd: number, begun: Uint8Array): void {
    if (this.#worker === undefined || this.#target === undefined)
      new Descriptor(fd, 'connection that nobody serves').close();
    else this.#worker.postMessage({ fd, begun, target: this.#target } satisfies ForeignConnection, []);
  }

  /** Ends the connections. Idempotent. */
  async end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  async #start(): Promise<Worker> {
    const worker = new Worker(new URL('./port-share-worker.js', import.meta.url));
    const say = (verb: number, severity: LogLine['severity'], text: string): void =>
      this.#log({ verb, severity, prefix: undefined, text: `PORT SHARE PROXY: ${text}` });
    worker.on('error', (error: unknown) => {
      this.#worker = undefined;
      say(0, 'error', `the thread died: ${reasonOf(error)}`);
    });
    await once(worker, 'message');
    worker.on('message', (message: FromThread) => {
      if (message !== 'ready') say(1, 'warning', message.problem);
    });
    worker.unref();
    say(3, 'notice', 'proxy starting');
    return worker;
  }
}
