/**
 * The service behind its bus interface: devices by path, who may use them, what a client leaves when it goes. No D-Bus
 * types here; `interfaces.ts` gives it its face.
 */

import { isObjectPath } from '@seikan/dbus';
import type { Descriptor } from '@seikan/native';

import type { Caller } from './callers.js';
import type { DcoPort } from './dco-port.js';
import { Device } from './device.js';
import type { DnsService } from './dns-service.js';
import { netcfgError, reasonOf, valueError, withoutControls } from './errors.js';
import type { HostNetwork } from './host-network.js';
import { NETCFG_PATH } from './names.js';
import type { NetworkChange, NetworkChanges } from './network-changes.js';
import { HIGHEST_LEVEL, type LogCategory, type LogWriter, type ServiceLog } from './service-log.js';
import { type RedirectMethod, SocketProtection } from './socket-protection.js';

export interface ManagerOptions {
  readonly network: HostNetwork;
  readonly dns: DnsService;
  readonly changes: NetworkChanges;
  readonly log: ServiceLog;
  readonly logLevel: number;
  readonly method: RedirectMethod;
  readonly mark: number | undefined;
  readonly dco: DcoPort;
  /** Puts a device's object on the bus, and takes it away. */
  readonly exported: (device: Device) => void;
  readonly unexported: (device: Device) => void;
}

const MOST_DEVICES = 1_024;
/** Of one user that is not root: leaves room for others. */
const MOST_DEVICES_OF_USER = 256;
const LONGEST_NAME = 128;
const ROOT = 0;

export class Manager {
  readonly changes: NetworkChanges;
  readonly dns: DnsService;
  readonly log: LogWriter;
  readonly #options: ManagerOptions;
  readonly #protection: SocketProtection;
  readonly #devices = new Map<string, Device>();
  #logLevel: number;

  constructor(options: ManagerOptions) {
    this.#options = options;
    this.changes = options.changes;
    this.dns = options.dns;
    this.#logLevel = options.logLevel;
    this.log = (category, message) => this.#write(NETCFG_PATH, this.#logLevel, category, message);
    this.#protection = new SocketProtection({ ...options, log: this.log });
  }

  get logLevel(): number {
    return this.#logLevel;
  }

  /** For the manager and for devices that are created from now on. */
  set logLevel(level: number) {
    if (level > HIGHEST_LEVEL) throw valueError(`Invalid log level ${level}: 0 to ${HIGHEST_LEVEL} is possible`);
    this.#logLevel = level;
  }

  get deviceCount(): number {
    return this.#devices.size;
  }

  device(path: string): Device | undefined {
    return this.#devices.get(path);
  }

  createDevice(caller: Caller, requested: string): Device {
    const name = withoutControls(requested);
    const path = `${NETCFG_PATH}/${caller.pid}_${name}`;
    if (!isObjectPath(path) || name.includes('/') || name.length > LONGEST_NAME) {
      throw netcfgError(`Error creating virtual interface '${name.slice(0, LONGEST_NAME)}'`);
    }
    if (this.#devices.has(path)) throw netcfgError(`Error creating virtual interface '${name}': it exists already`);
    const ofUser = this.#ownedBy(caller.uid);
    if (this.#devices.size >= MOST_DEVICES || (caller.uid !== ROOT && ofUser.length >= MOST_DEVICES_OF_USER)) {
      throw netcfgError(`Error creating virtual interface '${name}': there are too many`);
    }
    const device = new Device({
      path,
      name,
      creator: caller,
      logLevel: this.#logLevel,
      network: this.#options.network,
      dns: (announce, log) => this.dns.create(announce, log),
      redirect: this.#options.method !== 'none',
      otherDevices: () => this.#kernelDevices(),
      routesOfOwner: () => this.#ownedBy(caller.uid).reduce((sum, { routeCount }) => sum + routeCount, 0),
      announce: (change: NetworkChange) => this.changes.announce(path, change),
      log: (self) => (category, message) => this.#write(path, self.logLevel, category, message),
      dco: this.#options.dco,
    });
    this.#devices.set(path, device);
    this.#options.exported(device);
    this.log(
      'info',
      `Virtual device '${name}' registered on ${path} (owner uid ${caller.uid}, owner pid ${caller.pid})`,
    );
    return device;
  }

  async destroyDevice(device: Device, why: string): Promise<void> {
    await device.destroy();
    if (this.#devices.get(device.path) !== device) return;
    this.#devices.delete(device.path);
    this.#options.unexported(device);
    this.log('verb1', `Device '${device.name}' was removed: ${why}`);
  }

  dcoAvailable(): Promise<boolean> {
    return this.#options.dco.available();
  }

  /** Paths of the devices that a user may use. */
  devicesOf(uid: number): string[] {
    return [...this.#devices.values()].filter((device) => mayUse(device, uid)).map(({ path }) => path);
  }

  async protectSocket(
    caller: Caller,
    { remote, ipv6, devicePath }: { remote: string; ipv6: boolean; devicePath: string },
    socket: Descriptor | undefined,
  ): Promise<void> {
    const device = this.#devices.get(devicePath);
    const own = device !== undefined && mayUse(device, caller.uid) ? device : undefined;
    const address = withoutControls(remote).slice(0, LONGEST_NAME);
    this.log('info', `Socket of PID ${caller.pid} protected: remote '${address}', device '${own?.name ?? ''}'`);
    const ignoreDevices = own?.active === true ? [own.name] : [];
    await this.#protection.protect({ caller, remote: address, ipv6, socket, ignoreDevices });
  }

  /** Everything that the caller's process still holds. Of a process in a foreign pid namespace the number is 0. */
  async cleanUp(caller: Caller): Promise<void> {
    const { pid, uid } = caller;
    this.log('info', `Cleaning up resources for PID ${pid}.`);
    const own = this.#ownedBy(uid).filter(({ creator }) => creator.pid === pid);
    await this.#destroyAll(own, 'clean-up');
    await this.#protection.release(caller);
  }

  /** A bus connection has gone, with the client behind it. Nobody waits for this: what fails is logged. */
  async handleVanished(caller: Caller): Promise<void> {
    this.changes.unsubscribe(caller.name);
    const own = [...this.#devices.values()].filter(({ holder }) => holder === caller.name);
    for (const device of own) this.log('error', `The client of device '${device.name}' vanished (${caller.name})`);
    await this.#destroyAll(own, 'its client vanished');
    try {
      await this.#protection.releaseOf(caller);
    } catch (error) {
      this.log('error', `The protecting route of PID ${caller.pid} could not be removed: ${reasonOf(error)}`);
    }
  }

  /** The service ends: nothing stays behind. */
  async close(): Promise<void> {
    await this.#destroyAll([...this.#devices.values()], 'the service ends');
    await this.#protection.releaseAll();
    await this.dns.settled();
  }

  async #destroyAll(devices: readonly Device[], why: string): Promise<void> {
    for (const device of devices) {
      try {
        await this.destroyDevice(device, why);
      } catch (error) {
        this.log('error', `Device '${device.name}' could not be removed: ${reasonOf(error)}`);
      }
    }
  }

  #ownedBy(uid: number): Device[] {
    return [...this.#devices.values()].filter(({ owner }) => owner === uid);
  }

  #kernelDevices(): string[] {
    return [...this.#devices.values()].filter(({ active }) => active).map(({ name }) => name);
  }

  #write(path: string, level: number, category: LogCategory, message: string): void {
    this.#options.log.write(path, level, category, message);
  }
}

/** Owner, ACL, root. */
export function mayUse({ owner, acl }: Pick<Device, 'owner' | 'acl'>, uid: number): boolean {
  return uid === ROOT || uid === owner || acl.includes(uid);
}
