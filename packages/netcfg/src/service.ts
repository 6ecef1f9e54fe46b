/** The running service: on the bus, with its objects, until a signal, idleness or the loss of its name ends it. */
import { Connection, DbusError, ObjectTree, requestName, type Subscription } from '@seikan/dbus';
import { type DnsBackend, ResolvConfFile, SystemdResolved } from '@seikan/netconf';

import { Callers } from './callers.js';
import type { ServiceOptions } from './command-line.js';
import type { DcoPort } from './dco-port.js';
import { DnsService } from './dns-service.js';
import { reasonOf } from './errors.js';
import { HostNetwork } from './host-network.js';
import { deviceInterface, managerInterface } from './interfaces.js';
import { Manager } from './manager.js';
import { NETCFG, NETCFG_PATH } from './names.js';
import { NetworkChanges } from './network-changes.js';
import { ServiceLog } from './service-log.js';

export interface ServiceSurroundings {
  /** The bus; left out, the system bus. */
  readonly address?: string;
  /** For journals and records, our own user's. */
  readonly stateFolder: string;
  readonly dco: DcoPort;
  /** Lines of the log file. */
  readonly writeLog: ((line: string) => void) | undefined;
  /** What an administrator must see even without any log. */
  readonly complain: (text: string) => void;
}

export type ServiceEnd = 'stopped' | 'idle' | 'name-lost' | 'disconnected';

const MINUTE = 60_000;

export class Service {
  readonly #bus: Connection;
  readonly #log: ServiceLog;
  readonly #network: HostNetwork;
  readonly #manager: Manager;
  readonly #callers: Callers;
  readonly #lastUse: { time: number };
  /** Resolves with the reason why the service must end; then `close`. */
  readonly ended: Promise<ServiceEnd>;
  #end: (why: ServiceEnd) => void = () => {};
  #nameWatch: Subscription | undefined;
  #idleTimer: NodeJS.Timeout | undefined;

  private constructor(parts: {
    readonly bus: Connection;
    readonly log: ServiceLog;
    readonly network: HostNetwork;
    readonly manager: Manager;
    readonly callers: Callers;
    readonly lastUse: { time: number };
  }) {
    this.#bus = parts.bus;
    this.#log = parts.log;
    this.#network = parts.network;
    this.#manager = parts.manager;
    this.#callers = parts.callers;
    this.#lastUse = parts.lastUse;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Takes back what a crashed service left, then owns the name. Rejects when the bus or the name cannot be had. */
  static async start(options: ServiceOptions, surroundings: ServiceSurroundings): Promise<Service> {
    const { address, stateFolder, dco, writeLog, complain } = surroundings;
    const bus = await Connection.open(address === undefined ? {} : { address });
    try {
      const log = new ServiceLog({ bus, write: writeLog });
      await attachLog(log, complain);
      const lastUse = { time: Date.now() };
      const tree = new ObjectTree(bus, {
        called: () => {
          lastUse.time = Date.now();
        },
        failed: (error, { member }) => manager.log('error', `${member} failed: ${reasonOf(error)}`),
      });
      const backend = await openDns(options, { bus, stateFolder, complain });
      const opened = await HostNetwork.open({
        stateFolder: networkFolder(stateFolder),
        failed: (error) => manager.log('error', `A tunnel's routes could not be renewed: ${reasonOf(error)}`),
      });
      const callers = await Callers.watch(bus, (caller) => void manager.handleVanished(caller));
      const manager: Manager = new Manager({
        network: opened.network,
        dns: new DnsService(backend),
        changes: new NetworkChanges(bus),
        log,
        logLevel: options.logLevel,
        method: options.redirectMethod,
        mark: options.mark,
        dco,
        exported: (device) => tree.export(device.path, deviceInterface, { device, manager, callers, tree }),
        unexported: (device) => tree.unexport(device.path),
      });
      for (const { steps } of opened.recovered) {
        manager.log('warning', `Took back ${steps.length} changes that an earlier service left`);
      }
      if (backend === undefined) manager.log('warning', 'No DNS resolver has been configured');
      tree.export(NETCFG_PATH, managerInterface, { manager, callers, configFile: options.configFile });
      const service = new Service({ bus, log, network: opened.network, manager, callers, lastUse });
      await service.#own(options);
      return service;
    } catch (error) {
      bus.close();
      throw error;
    }
  }

  /** For a signal. */
  stop(): void {
    this.#end('stopped');
  }

  /** Takes everything back and leaves the bus. Resolves to false when DNS settings could not be taken back. */
  async close(): Promise<boolean> {
    clearInterval(this.#idleTimer);
    this.#nameWatch?.close();
    await this.#manager.close();
    await this.#network.close();
    await this.#log.detach().catch(() => {});
    this.#callers.close();
    await this.#bus.drained();
    this.#bus.close();
    return this.#manager.dns.unrestored === 0;
  }

  async #own({ redirectMethod, mark, idleExit }: ServiceOptions): Promise<void> {
    const how = mark === undefined ? redirectMethod : `mark ${mark}`;
    this.#manager.log('verb1', `Transports are kept out of tunnels by ${how}`);
    await requestName(this.#bus, NETCFG, { replaceExisting: true });
    let owned = false;
    this.#nameWatch = await this.#bus.signals.watchName(NETCFG, (owner) => {
      if (owner === this.#bus.uniqueName) owned = true;
      else if (owned) this.#end('name-lost');
    });
    if (!owned) throw new Error(`another process owns ${NETCFG}`);
    void this.#bus.closed.then(() => this.#end('disconnected'));
    if (idleExit > 0) this.#watchIdleness(idleExit * MINUTE);
  }

  /** So the end comes between one and two such times after the last use. Subscribers do not keep the service alive. */
  #watchIdleness(time: number): void {
    this.#idleTimer = setInterval(() => {
      if (this.#manager.deviceCount === 0 && Date.now() - this.#lastUse.time > time) this.#end('idle');
    }, time);
  }
}

/** Seikan alone has no log service: then the log file has to do. The original ends here. */
async function attachLog(log: ServiceLog, complain: (text: string) => void): Promise<void> {
  try {
    await log.attach();
  } catch (error) {
    if (!(error instanceof DbusError)) throw error;
    complain(`no log service: ${error.message}`);
  }
}

async function openDns(
  { dns }: ServiceOptions,
  { bus, stateFolder, complain }: { bus: Connection; stateFolder: string; complain: (text: string) => void },
): Promise<DnsBackend | undefined> {
  switch (dns.kind) {
    case 'none':
      return undefined;
    case 'file': {
      const { path } = dns;
      const backend = new ResolvConfFile({ path, backupPath: `${path}.ovpn3bak`, stateFolder: `${stateFolder}/dns` });
      await backend.recover();
      return backend;
    }
    case 'systemd-resolved':
      try {
        // systemd-resolved asks polkit whether our user may change links: without it every call would be refused.
        await bus.callBus('StartServiceByName', 'su', ['org.freedesktop.PolicyKit1', 0], 'u');
        return new SystemdResolved(bus);
      } catch (error) {
        if (!(error instanceof DbusError)) throw error;
        complain(`systemd-resolved is of no use without polkit: ${error.message}`);
        return undefined;
      }
    default:
      return dns satisfies never;
  }
}

/** Where the journals of the host's network lie. */
export function networkFolder(stateFolder: string): string {
  return `${stateFolder}/network`;
}
