/**
 * DNS settings of all devices, and the back end that gives them to the system. A back end of files is waited for, since
 * names must resolve when the tunnel is up; systemd-resolved is another service, which may be slow or gone, so it is
 * asked in the background, in order, up to three times.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type { DnsBackend, DnsSettings } from '@seikan/netconf';

import { netcfgError, reasonOf, valueError, withoutControls } from './errors.js';
import { ChangeType, type NetworkChange } from './network-changes.js';
import type { LogWriter } from './service-log.js';
import { Turn } from './turn.js';

export const DNSSEC_MODES = ['yes', 'no', 'optional'] as const;
export const DNS_TRANSPORTS = ['plain', 'dot', 'doh'] as const;
const SCOPES = ['global', 'tunnel'] as const;

const TRIES = 3;
const BETWEEN_TRIES = 1_000;
const MOST_SERVERS = 256;
const MOST_DOMAINS = 1_024;
const LONGEST_VALUE = 255;
const NO_BACKEND = 'No DNS resolver configured';

export class DnsService {
  readonly backend: DnsBackend | undefined;
  readonly #records = new Set<DeviceDns>();
  readonly #turn = new Turn();
  #count = 0;
  /** Settings that could not be taken back: the system's own may not be in force. */
  unrestored = 0;

  constructor(backend: DnsBackend | undefined) {
    this.backend = backend;
  }

  /** Settings of a new device; `announce` and `log` are the device's. */
  create(announce: (change: NetworkChange) => void, log: LogWriter): DeviceDns {
    const record = new DeviceDns(this, { key: `netcfg-${this.#count++}`, announce, log });
    this.#records.add(record);
    return record;
  }

  forget(record: DeviceDns): void {
    this.#records.delete(record);
  }

  /** All devices' values, oldest device first. */
  allServers(): string[] {
    return this.backend === undefined ? [] : [...this.#records].flatMap(({ servers }) => servers);
  }

  allDomains(): string[] {
    return this.backend === undefined ? [] : [...this.#records].flatMap(({ domains }) => domains);
  }

  /** Runs one change of the system after the other; resolves when it is done, whatever became of it. */
  inTurn(action: () => Promise<void>): Promise<void> {
    return this.#turn.take(action);
  }

  /** Resolves when nothing is under way. */
  settled(): Promise<void> {
    return this.#turn.settled();
  }
}

interface DeviceDnsOptions {
  /** Names the record where the back end needs no device. */
  readonly key: string;
  readonly announce: (change: NetworkChange) => void;
  readonly log: LogWriter;
}

/** One device's settings: collected first, then in force from `enable` to `disable`. */
export class DeviceDns {
  readonly #service: DnsService;
  readonly #options: DeviceDnsOptions;
  #scope: (typeof SCOPES)[number] = 'global';
  #servers: string[] = [];
  #domains: string[] = [];
  #dnssec: (typeof DNSSEC_MODES)[number] | undefined;
  #transport: (typeof DNS_TRANSPORTS)[number] | undefined;
  /** In force for this device of the kernel, with what was announced of it. */
  #enabled: { readonly device: string; readonly servers: string[]; readonly domains: string[] } | undefined;

  constructor(service: DnsService, options: DeviceDnsOptions) {
    this.#service = service;
    this.#options = options;
  }

  get scope(): string {
    return this.#service.backend === undefined ? '' : this.#scope;
  }

  setScope(scope: string): void {
    if (this.#service.backend === undefined) throw valueError(NO_BACKEND);
    const known = SCOPES.find((one) => one === scope);
    if (known === undefined) throw valueError(`[SetDNSScope] Invalid DNS Scope value: ${scope}`);
    this.#scope = known;
  }

  get servers(): readonly string[] {
    return this.#servers;
  }

  get domains(): readonly string[] {
    return this.#domains;
  }

  get dnssec(): string {
    return this.#service.backend === undefined ? '' : (this.#dnssec ?? 'unset');
  }

  get transport(): string {
    return this.#service.backend === undefined ? '' : (this.#transport ?? 'unset');
  }

  /** Without a back end this and the following are logged and otherwise without effect, as the original has it. */
  addServers(servers: readonly string[]): void {
    if (!this.#possible('adding DNS servers')) return;
    this.#servers = merged(this.#servers, servers, MOST_SERVERS, 'DNS servers');
  }

  addDomains(domains: readonly string[]): void {
    if (!this.#possible('adding DNS search domains')) return;
    this.#domains = merged(this.#domains, domains, MOST_DOMAINS, 'DNS search domains');
  }

  setDnssec(mode: string): void {
    if (!this.#possible('setting DNSSEC mode')) return;
    const known = DNSSEC_MODES.find((one) => one === mode);
    if (known === undefined) throw netcfgError(`[SetDNSSEC] Invalid DNSSEC mode: '${mode}'`);
    this.#dnssec = known;
  }

  setTransport(mode: string): void {
    if (!this.#possible('setting DNS transport mode')) return;
    const known = DNS_TRANSPORTS.find((one) => one === mode);
    if (known === undefined) throw netcfgError(`[SetDNSTransport] Invalid DNS transport mode: '${mode}'`);
    this.#transport = known;
  }

  /** For back ends that come before the device: resolves when names resolve through the tunnel's servers. */
  async enableBefore(): Promise<void> {
    if (this.#service.backend?.moment === 'before-up') await this.#enable('');
  }

  /** For back ends that belong to a device, which is up now. Goes on in the background. */
  enableAfter(device: string): void {
    if (this.#service.backend?.moment === 'after-up') void this.#enable(device);
  }

  /** Takes the settings out of force. Waits only for files. */
  async disable(): Promise<void> {
    const { backend } = this.#service;
    const enabled = this.#enabled;
    if (backend === undefined || enabled === undefined) return;
    this.#enabled = undefined;
    this.#announce(enabled, 'removed', enabled.device);
    const reverted = this.#service.inTurn(async () => {
      try {
        await backend.revert(this.#keyOf(enabled.device));
      } catch (error) {
        this.#service.unrestored++;
        this.#options.log('error', `DNS settings could not be taken back: ${reasonOf(error)}`);
      }
    });
    if (backend.moment === 'before-up') await reverted;
  }

  /** After Disable the client gives its servers and domains again. */
  clear(): void {
    this.#servers = [];
    this.#domains = [];
  }

  /** The device is destroyed. */
  async remove(): Promise<void> {
    await this.disable();
    this.#service.forget(this);
  }

  async #enable(device: string): Promise<void> {
    const { backend } = this.#service;
    if (backend === undefined || this.#servers.length + this.#domains.length === 0) return;
    if (this.#enabled !== undefined && this.#enabled.device !== device) await this.disable();
    const before = this.#enabled;
    const servers = [...this.#servers];
    const wholeNameSpace = backend.moment === 'after-up' && this.#scope === 'global' ? ['.'] : [];
    const enabled = { device, servers, domains: [...this.#domains, ...wholeNameSpace] };
    const settings: DnsSettings = {
      servers: servers.map((address) => ({ address })),
      searchDomains: [...this.#domains],
      scope: this.#scope,
      ...(this.#dnssec === undefined ? {} : { dnssec: this.#dnssec }),
      ...(this.#transport === undefined ? {} : { transport: this.#transport }),
    };
    this.#enabled = enabled;
    await this.#service.inTurn(async () => {
      for (let attempt = 1; this.#enabled === enabled; attempt++) {
        try {
          const { warnings } = await backend.apply(this.#keyOf(device), settings);
          for (const warning of warnings) this.#options.log('warning', warning);
          if (this.#enabled === enabled) this.#announce(enabled, 'added', device, before);
          return;
        } catch (error) {
          this.#options.log('critical', `DNS settings could not be applied: ${reasonOf(error)}`);
          if (backend.moment === 'before-up' || attempt === TRIES) return;
          await sleep(BETWEEN_TRIES);
        }
      }
    });
  }

  #keyOf(device: string): string {
    return device === '' ? this.#options.key : device;
  }

  #possible(what: string): boolean {
    if (this.#service.backend !== undefined) return true;
    this.#options.log('error', `Failed ${what}: ${NO_BACKEND}`);
    return false;
  }

  #announce(
    { servers, domains }: { readonly servers: readonly string[]; readonly domains: readonly string[] },
    what: 'added' | 'removed',
    device: string,
    before: { readonly servers: readonly string[]; readonly domains: readonly string[] } = { servers: [], domains: [] },
  ): void {
    const added = what === 'added';
    const serverType = added ? ChangeType.dnsServerAdded : ChangeType.dnsServerRemoved;
    const searchType = added ? ChangeType.dnsSearchAdded : ChangeType.dnsSearchRemoved;
    for (const server of servers) {
      if (!before.servers.includes(server)) {
        this.#options.announce({ type: serverType, device, details: { dns_server: server } });
      }
    }
    for (const domain of domains) {
      if (!before.domains.includes(domain)) {
        this.#options.announce({ type: searchType, device, details: { search_domain: domain } });
      }
    }
  }
}

function merged(present: readonly string[], more: readonly string[], most: number, what: string): string[] {
  const all = new Set(present);
  for (const value of more) {
    if (value.length > LONGEST_VALUE) throw netcfgError(`Too long for ${what}: ${value.length} characters`);
    all.add(withoutControls(value));
  }
  if (all.size > most) throw netcfgError(`Too many ${what}: more than ${most}`);
  return [...all];
}
