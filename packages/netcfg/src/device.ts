/**
 * One virtual interface of a client, from CreateVirtualInterface to Destroy.
 *
 *   idle ──establish──▶ active ──disable──▶ idle          establish while active: the new one is made, then the old undone
 *     └──────────────── destroy ─────────────┘ ──▶ destroyed (also when the client vanishes)
 *
 * A tun vanishes with the client's descriptor; all else is undone here. Operations of one device follow each other.
 */
import { type Descriptor, TunDevice } from '@seikan/native';
import type { Applied, Undone } from '@seikan/netconf';

import type { Caller } from './callers.js';
import type { DcoLink, DcoPort, DcoRequest } from './dco-port.js';
import type { DeviceDns } from './dns-service.js';
import { netcfgError, objectError, reasonOf, valueError, withoutControls } from './errors.js';
import type { HostNetwork } from './host-network.js';
import { ChangeType, type NetworkChange } from './network-changes.js';
import { HIGHEST_LEVEL, type LogWriter } from './service-log.js';
import {
  checkSettings,
  desiredNetwork,
  effectiveAddresses,
  type TunnelAddress,
  type TunnelRoute,
  type TunnelSettings,
} from './tunnel-settings.js';
import { Turn } from './turn.js';

export interface DeviceOptions {
  readonly path: string;
  readonly name: string;
  readonly creator: Caller;
  readonly logLevel: number;
  readonly network: HostNetwork;
  readonly dns: (announce: (change: NetworkChange) => void, log: LogWriter) => DeviceDns;
  /** False: reroute flags are without effect (`--redirect-method none`). */
  readonly redirect: boolean;
  /** Kernel devices of all other devices of the service. */
  readonly otherDevices: () => readonly string[];
  /** How many networks all devices of the owner have together. */
  readonly routesOfOwner: () => number;
  readonly announce: (change: NetworkChange) => void;
  readonly log: (device: Device) => LogWriter;
  readonly dco: DcoPort;
}

/** What was made, and announced, by one Establish. */
interface Establishment {
  readonly key: string;
  readonly device: string;
  readonly addresses: readonly TunnelAddress[];
  readonly routes: readonly TunnelRoute[];
}

type State =
  | { readonly name: 'idle' }
  | { readonly name: 'active'; readonly establishment: Establishment; modified: boolean }
  | { readonly name: 'destroyed' };

const MOST_ADDRESSES = 256;
/** Of all devices of one user. */
const MOST_ROUTES = 65_536;
const LARGEST_MTU = 0xffff;

let establishments = 0;

export class Device {
  readonly path: string;
  readonly creator: Caller;
  readonly dns: DeviceDns;
  readonly #options: DeviceOptions;
  readonly #log: LogWriter;
  readonly #turn = new Turn();
  /** Bus names whose end ends the device. */
  #holder: string;
  #state: State = { name: 'idle' };
  #name: string;
  #dco: DcoLink | undefined;
  #logLevel: number;
  #layer = 0;
  #mtu = 1_500;
  #txQueueLength = 0;
  #reroute4 = false;
  #reroute6 = false;
  #remote: TunnelSettings['remote'];
  #addresses: readonly TunnelAddress[] = [];
  #routes: readonly TunnelRoute[] = [];

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.path = options.path;
    this.creator = options.creator;
    this.#holder = options.creator.name;
    this.#name = options.name;
    this.#logLevel = options.logLevel;
    this.#log = options.log(this);
    this.dns = options.dns(options.announce, this.#log);
  }

  get owner(): number {
    return this.creator.uid;
  }

  /** Users beside owner and root that may use the device. Nothing grants access yet, as in the original. */
  get acl(): readonly number[] {
    return [];
  }

  /** Whose end ends the device: its creator's, or that of the last who established it. */
  get holder(): string {
    return this.#holder;
  }

  get name(): string {
    return this.#name;
  }

  get active(): boolean {
    return this.#state.name === 'active';
  }

  /** Something was set since Establish that is not in force. */
  get modified(): boolean {
    return this.#state.name === 'active' && this.#state.modified;
  }

  get destroyed(): boolean {
    return this.#state.name === 'destroyed';
  }

  get logLevel(): number {
    return this.#logLevel;
  }

  set logLevel(level: number) {
    if (level > HIGHEST_LEVEL) throw valueError(`Invalid log level ${level}: 0 to ${HIGHEST_LEVEL} is possible`);
    this.#logLevel = level;
  }

  get layer(): number {
    return this.#layer;
  }

  set layer(layer: number) {
    this.#layer = layer;
    this.changed();
  }

  get mtu(): number {
    return this.#mtu;
  }

  set mtu(mtu: number) {
    if (mtu > LARGEST_MTU) throw valueError(`Invalid MTU ${mtu}`);
    this.#mtu = mtu;
    this.changed();
  }

  get txQueueLength(): number {
    return this.#txQueueLength;
  }

  set txQueueLength(length: number) {
    if (length > LARGEST_MTU) throw valueError(`Invalid queue length ${length}`);
    this.#txQueueLength = length;
    this.changed();
  }

  get reroute4(): boolean {
    return this.#reroute4;
  }

  set reroute4(on: boolean) {
    this.#reroute4 = on;
    this.changed();
  }

  get reroute6(): boolean {
    return this.#reroute6;
  }

  set reroute6(on: boolean) {
    this.#reroute6 = on;
    this.changed();
  }

  get routeCount(): number {
    return this.#routes.length;
  }

  /** A setting was made: what stands differs from it until the next Establish. */
  changed(): void {
    if (this.#state.name === 'active') this.#state.modified = true;
  }

  addAddress(address: TunnelAddress): void {
    if (this.#addresses.length >= MOST_ADDRESSES) throw netcfgError(`More than ${MOST_ADDRESSES} addresses`);
    const added = { ...address, address: wellFormed(address.address), gateway: wellFormed(address.gateway) };
    this.#addresses = [...this.#addresses, added];
    this.changed();
    const { ipv6, prefix, gateway } = added;
    const family = ipv6 ? 'IPv6' : 'IPv4';
    this.#log('info', `Adding ${family} address ${added.address}/${prefix} gateway ${gateway}`);
  }

  setRemote(address: string, ipv6: boolean): void {
    this.#remote = { address: wellFormed(address), ipv6 };
    this.changed();
    this.#log('info', `Remote address set to ${this.#remote.address}`);
  }

  addRoutes(routes: readonly TunnelRoute[]): void {
    if (this.#options.routesOfOwner() + routes.length > MOST_ROUTES)
      throw netcfgError(`More than ${MOST_ROUTES} networks`);
    const added = routes.map((route) => ({ ...route, network: wellFormed(route.network) }));
    this.#routes = [...this.#routes, ...added];
    this.changed();
    for (const { network, prefix, exclude } of added) {
      this.#log('info', `${exclude ? 'Excluding' : 'Adding'} network ${network}/${prefix}`);
    }
  }

  /** Makes the kernel's device for offload. Resolves to the path of its object. */
  enableDco(request: Pick<DcoRequest, 'tree' | 'authorize'>, name: string): Promise<string> {
    return this.#alive(async () => {
      const path = `${this.path}/dco`;
      if (this.#dco !== undefined) throw objectError('[DBus::Object::Method] DCO is enabled already');
      try {
        this.#dco = await this.#options.dco.enable({ ...request, name: wellFormed(name), path, log: this.#log });
      } catch (error) {
        this.#log('error', `No offload: ${reasonOf(error)}`);
        // The original's text ends with the kernel's number.
        const text = error instanceof Error ? error.message : String(error);
        throw objectError(`[DBus::Object::Method] Error creating ovpn-dco device: ${text}\n`);
      }
      this.#name = this.#dco.name;
      return path;
    });
  }

  /**
   * Puts the settings in force. Resolves to the tun, which is the caller's, or undefined with DCO. Throws the original's
   * error with nothing changed.
   */
  establish(caller: Caller): Promise<Descriptor | undefined> {
    return this.#alive(async () => {
      const settings = this.#settings();
      checkSettings(settings);
      const old = this.#state.name === 'active' ? this.#state.establishment : undefined;
      await this.dns.enableBefore();
      let tun: TunDevice | undefined;
      try {
        if (this.#dco === undefined) tun = openTun(settings);
        const device = tun?.name ?? this.#name;
        // The kernel's device of DCO stays the same, and cannot have an address twice.
        if (old?.device === device) await this.#deactivate();
        const establishment = await this.#apply(settings, device);
        this.#holder = caller.name;
        this.#state = { name: 'active', establishment, modified: false };
        this.#name = device;
        if (old !== undefined && old.device !== device) await this.#undo(old);
        this.#announceAdded(establishment);
        this.dns.enableAfter(establishment.device);
      } catch (error) {
        tun?.close();
        if (this.#state.name !== 'active') await this.dns.disable();
        this.#log('critical', `Failed to establish ${this.#name}: ${reasonOf(error)}`);
        throw netcfgError(`Failed to establish the virtual interface: ${reasonOf(error)}`);
      }
      return tun?.descriptor;
    });
  }

  /** The client's tunnel pauses: everything is undone, the settings stay. */
  disable(): Promise<void> {
    return this.#alive(async () => {
      await this.dns.disable();
      this.dns.clear();
      await this.#deactivate();
    });
  }

  /** As `disable`, but the DNS settings stay and addresses and networks go. */
  clearConfig(): Promise<void> {
    return this.#alive(async () => {
      await this.#deactivate();
      this.#addresses = [];
      this.#routes = [];
    });
  }

  /** Undoes everything; errors are logged. Idempotent. */
  destroy(): Promise<void> {
    return this.#turn.take(async () => {
      if (this.#state.name === 'destroyed') return;
      await this.dns.remove();
      await this.#deactivate();
      try {
        await this.#dco?.close();
      } catch (error) {
        this.#log('error', `DCO could not be ended: ${reasonOf(error)}`);
      }
      this.#dco = undefined;
      this.#state = { name: 'destroyed' };
    });
  }

  #settings(): TunnelSettings {
    return {
      layer: this.#layer,
      mtu: this.#mtu,
      txQueueLength: this.#txQueueLength,
      remote: this.#remote,
      addresses: this.#addresses,
      routes: this.#routes,
      reroute4: this.#reroute4,
      reroute6: this.#reroute6,
    };
  }

  async #apply(settings: TunnelSettings, device: string): Promise<Establishment> {
    const key = `device-${establishments++}`;
    const { redirect, otherDevices, network } = this.#options;
    const applied = await network.claim(key, () =>
      desiredNetwork(settings, { device, redirect, ignoreDevices: otherDevices() }),
    );
    this.#logApplied(applied);
    return { key, device, addresses: settings.addresses, routes: settings.routes };
  }

  #logApplied({ results, warnings }: Applied): void {
    for (const warning of warnings) this.#log('error', warning);
    for (const { error } of results) if (error !== undefined) this.#log('error', `Failed: ${error.message}`);
  }

  async #deactivate(): Promise<void> {
    if (this.#state.name !== 'active') return;
    const { establishment } = this.#state;
    this.#state = { name: 'idle' };
    await this.#undo(establishment);
  }

  async #undo(establishment: Establishment): Promise<void> {
    try {
      const { failures }: Undone = await this.#options.network.release(establishment.key);
      for (const { error } of failures) this.#log('error', `Failed to undo: ${error.message}`);
    } catch (error) {
      this.#log('error', `Failed to undo: ${reasonOf(error)}`);
    }
    this.#announceRemoved(establishment);
  }

  #announceAdded(establishment: Establishment): void {
    const { device, addresses, routes } = establishment;
    const { announce } = this.#options;
    const { ipv4, ipv6 } = effectiveAddresses(establishment);
    announce({ type: ChangeType.deviceAdded, device, details: {} });
    for (const address of addresses) {
      announce({ type: ChangeType.addressAdded, device, details: addressDetails(address) });
    }
    for (const route of routes) {
      const type = route.exclude ? ChangeType.routeExcluded : ChangeType.routeAdded;
      const gateway = (route.ipv6 ? ipv6 : ipv4)?.gateway ?? '';
      announce({ type, device, details: { ...routeDetails(route), gateway } });
    }
  }

  #announceRemoved({ device, addresses, routes }: Establishment): void {
    const { announce } = this.#options;
    for (const route of routes) {
      if (!route.exclude) announce({ type: ChangeType.routeRemoved, device, details: routeDetails(route) });
    }
    for (const address of addresses) {
      announce({ type: ChangeType.addressRemoved, device, details: addressDetails(address) });
    }
    announce({ type: ChangeType.deviceRemoved, device, details: {} });
  }

  #alive<T>(action: () => Promise<T>): Promise<T> {
    return this.#turn.take(async () => {
      if (this.#state.name === 'destroyed') throw objectError(`${this.path} has been destroyed`);
      return action();
    });
  }
}

/** The kernel gives the first free number. */
function openTun({ layer }: TunnelSettings): TunDevice {
  const kind = layer === 3 ? 'tun' : 'tap';
  return TunDevice.open({ kind, name: kind });
}

const LONGEST_NAME = 255;

function wellFormed(text: string): string {
  if (text.length > LONGEST_NAME) throw netcfgError(`A value of ${text.length} characters is too long`);
  return withoutControls(text);
}

function addressDetails({ address, prefix, ipv6 }: TunnelAddress): Record<string, string> {
  return { ip_address: address, prefix: `${prefix}`, prefix_size: `${prefix}`, ip_version: ipv6 ? '6' : '4' };
}

function routeDetails({ network, prefix, ipv6 }: TunnelRoute): Record<string, string> {
  return { ip_version: ipv6 ? '6' : '4', subnet: network, prefix: `${prefix}`, prefix_size: `${prefix}` };
}
