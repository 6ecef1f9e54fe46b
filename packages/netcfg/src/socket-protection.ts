/**
 * Keeps a client's transport out of the tunnels: one socket per process, by a host route the way that packets to the
 * server take now, by binding the socket to that way's device, or by a mark for the administrator's own rules.
 */
import { bindSocketToDevice, type Descriptor, markSocket } from '@seikan/native';
import { ipFamily, RouteNetlink, readSnapshot, wayTo } from '@seikan/netconf';

import type { Caller } from './callers.js';
import { netcfgError, reasonOf } from './errors.js';
import type { HostNetwork } from './host-network.js';
import type { LogWriter } from './service-log.js';
import { Turn } from './turn.js';

export const REDIRECT_METHODS = ['host-route', 'bind-device', 'none'] as const;
export type RedirectMethod = (typeof REDIRECT_METHODS)[number];

export interface SocketProtectionOptions {
  readonly network: HostNetwork;
  readonly method: RedirectMethod;
  readonly mark: number | undefined;
  readonly log: LogWriter;
}

export interface ProtectRequest {
  readonly caller: Caller;
  readonly remote: string;
  readonly ipv6: boolean;
  /** Borrowed. */
  readonly socket: Descriptor | undefined;
  /** The kernel's devices that are no way out. */
  readonly ignoreDevices: readonly string[];
}

export class SocketProtection {
  readonly #options: SocketProtectionOptions;
  /** By process. */
  readonly #routes = new Map<string, { readonly key: string; readonly caller: string }>();
  readonly #turn = new Turn();
  #count = 0;

  constructor(options: SocketProtectionOptions) {
    this.#options = options;
  }

  /** Throws the original's error when the socket itself cannot be protected. */
  async protect(request: ProtectRequest): Promise<void> {
    const { mark, method } = this.#options;
    const { caller, socket } = request;
    if (mark !== undefined) {
      change(socket, 'SO_MARK', (given) => markSocket(given, mark));
      return;
    }
    switch (method) {
      case 'host-route':
        await this.#turn.take(() => this.#addRoute(request));
        return;
      case 'bind-device':
        await this.#bind(request);
        return;
      case 'none':
        this.#options.log('debug', `Socket of PID ${caller.pid} needs no protection: redirecting is off`);
        return;
      default:
        method satisfies never;
    }
  }

  /** Takes back the host route of a process. */
  release(caller: Caller): Promise<void> {
    return this.#turn.take(() => this.#release(processOf(caller)));
  }

  /** As `release`, for a connection that has gone: another of the same process keeps what it asked for. */
  releaseOf(caller: Caller): Promise<void> {
    return this.#turn.take(async () => {
      const process = processOf(caller);
      if (this.#routes.get(process)?.caller === caller.name) await this.#release(process);
    });
  }

  releaseAll(): Promise<void> {
    return this.#turn.take(async () => {
      for (const process of this.#routes.keys()) await this.#release(process);
    });
  }

  async #release(process: string): Promise<void> {
    const route = this.#routes.get(process);
    if (route === undefined) return;
    this.#routes.delete(process);
    const { failures } = await this.#options.network.release(route.key);
    for (const { error } of failures)
      this.#options.log('error', `Failed to remove a protecting route: ${error.message}`);
  }

  async #addRoute({ caller, remote, ipv6, ignoreDevices }: ProtectRequest): Promise<void> {
    const process = processOf(caller);
    await this.#release(process);
    if (ipFamily(remote) !== (ipv6 ? 6 : 4)) {
      this.#options.log('verb1', `No route protects the socket: ${JSON.stringify(remote)} is no address`);
      return;
    }
    const key = `protect-${caller.pid}-${this.#count++}`;
    const routes = [{ destination: remote, prefixLength: ipv6 ? 128 : 32, exclude: true }];
    this.#routes.set(process, { key, caller: caller.name });
    const { warnings, results } = await this.#options.network.claim(key, () => ({ routes, ignoreDevices }));
    for (const warning of warnings) this.#options.log('verb1', warning);
    for (const { error } of results) {
      if (error !== undefined) this.#options.log('error', `Failed to add a protecting route: ${error.message}`);
    }
  }

  async #bind({ remote, ipv6, socket, ignoreDevices }: ProtectRequest): Promise<void> {
    const netlink = new RouteNetlink();
    try {
      const snapshot = await readSnapshot(netlink);
      const ignored = snapshot.links.filter(({ name }) => ignoreDevices.includes(name)).map(({ index }) => index);
      const known = ipFamily(remote) === (ipv6 ? 6 : 4) ? remote : ipv6 ? '::' : '0.0.0.0';
      const way = wayTo(snapshot, known, new Set(ignored));
      if (way === undefined) throw netcfgError(`Failed to protect the socket: there is no way to ${remote}`);
      change(socket, 'SO_BINDTODEVICE', (given) => bindSocketToDevice(given, way.link.name));
    } finally {
      netlink.close();
    }
  }
}

/** Of a process in a foreign pid namespace the number is 0: no user's may stand for another's. */
function processOf({ uid, pid }: Caller): string {
  return `${uid}:${pid}`;
}

function change(socket: Descriptor | undefined, what: string, act: (socket: Descriptor) => void): void {
  if (socket === undefined) throw netcfgError(`Failed to set ${what}: no socket came with the call`);
  try {
    act(socket);
  } catch (error) {
    throw netcfgError(`Failed to set ${what}: ${reasonOf(error)}`);
  }
}
