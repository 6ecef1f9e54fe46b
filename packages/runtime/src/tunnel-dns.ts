/**
 * The host's name resolution while a tunnel is up: given to whoever keeps it here, and taken back. What a process that was
 * killed left behind is taken back by the next one, before it looks a name up.
 */
import { existsSync, readFileSync, readlinkSync } from 'node:fs';

import { Connection } from '@seikan/dbus';
import type { AskFailure, DnsOptions, LogLine } from '@seikan/engine';
import {
  type DnsBackend,
  type DnsKind,
  findDnsKind,
  ResolvConfFile,
  ResolvconfProgram,
  SystemdResolved,
} from '@seikan/netconf';

import { dnsSettings } from './dns-settings.js';
import { reasonOf } from './materials.js';

const RESOLV_CONF = '/etc/resolv.conf';
const RESOLVCONF_RECORDS = '/run/seikan/resolvconf';

export interface TunnelDnsOptions {
  readonly log: (line: LogLine) => void;
  /** Why what is given could not be taken back, when the process will have given up what that needs. */
  readonly obstacle: string | undefined;
}

interface Keeper {
  readonly kind: DnsKind;
  readonly backend: DnsBackend;
  readonly close: () => void;
}

export class TunnelDns {
  readonly #options: TunnelDnsOptions;
  #given: { readonly device: string; readonly keeper: Keeper } | undefined;

  constructor(options: TunnelDnsOptions) {
    this.#options = options;
  }

  /** Gives `device` these settings in place of those that it had. */
  async apply(device: string, dns: DnsOptions): Promise<object | AskFailure> {
    const settings = dnsSettings(dns);
    if (settings === undefined) return this.revert();
    const obstacle = this.#options.obstacle ?? obstacleHere();
    if (obstacle !== undefined) return { error: `DNS is left as it is: ${obstacle}` };
    try {
      const keeper = this.#given?.keeper ?? (await openKeeper());
      this.#given = { device, keeper };
      const { warnings } = await keeper.backend.apply(device, settings);
      for (const text of warnings) this.#say('warning', `DNS of ${device}: ${text}`);
      const servers = settings.servers.map(({ address }) => address).join(', ');
      const domains = [...settings.searchDomains, ...(settings.routeDomains ?? [])].join(', ');
      const scope = settings.scope === 'tunnel' ? ', for these only' : '';
      const parts = [servers && `servers ${servers}`, domains && `domains ${domains}${scope}`].filter((part) => part);
      this.#say('notice', `DNS of ${device}: ${parts.join('; ')} (${keeper.kind})`);
      return {};
    } catch (error) {
      return { error: `DNS of ${device} could not be set: ${reasonOf(error)}` };
    }
  }

  /** Takes back what was given. Idempotent. */
  async revert(): Promise<object | AskFailure> {
    const given = this.#given;
    this.#given = undefined;
    if (given === undefined) return {};
    const { device, keeper } = given;
    try {
      await keeper.backend.revert(device);
      this.#say('notice', `DNS of ${device} taken back`);
      return {};
    } catch (error) {
      return { error: `DNS of ${device} could not be taken back: ${reasonOf(error)}` };
    } finally {
      keeper.close();
    }
  }

  /** Takes back what processes that died left behind. Undefined: there is nothing. */
  recover(): Promise<void> | undefined {
    const { backupPath, stateFolder } = filesHere();
    const traces = [backupPath, stateFolder, RESOLVCONF_RECORDS].some((path) => existsSync(path));
    return traces && obstacleHere() === undefined ? this.#recover() : undefined;
  }

  async #recover(): Promise<void> {
    try {
      const keeper = await openKeeper();
      await keeper.backend.recover();
      keeper.close();
    } catch (error) {
      this.#say('warning', `DNS settings of a tunnel that was killed could not be taken back: ${reasonOf(error)}`);
    }
  }

  #say(severity: LogLine['severity'], text: string): void {
    this.#options.log({ verb: 1, severity, prefix: undefined, text });
  }
}

async function openKeeper(): Promise<Keeper> {
  const found = await findDnsKind(RESOLV_CONF);
  const kind = found === 'resolvconf' && !existsSync('/sbin/resolvconf') ? 'file' : found;
  const close = (): void => undefined;
  switch (kind) {
    case 'file':
      return { kind, backend: new ResolvConfFile({ path: RESOLV_CONF, ...filesHere() }), close };
    case 'resolvconf':
      return { kind, backend: new ResolvconfProgram({ stateFolder: RESOLVCONF_RECORDS }), close };
    case 'systemd-resolved': {
      const bus = await Connection.open();
      return { kind, backend: new SystemdResolved(bus), close: () => bus.close() };
    }
    default:
      return kind satisfies never;
  }
}

/** Why the host's file is not ours to change. */
function obstacleHere(): string | undefined {
  if (process.geteuid?.() !== 0) return 'only root changes it';
  if (foreignNetwork() === undefined || isMountPoint(RESOLV_CONF)) return undefined;
  return `${RESOLV_CONF} belongs to another network namespace (ip-netns(8): write /etc/netns/NAME/resolv.conf)`;
}

/** A network namespace with a file of its own has its own records, too. */
function filesHere(): { readonly backupPath: string; readonly stateFolder: string } {
  const network = foreignNetwork();
  const suffix = network === undefined ? '' : `-${network}`;
  return { backupPath: `${RESOLV_CONF}.seikan${suffix}`, stateFolder: `/run/seikan/resolv.conf${suffix}` };
}

/** The number of a namespace of the network that is not the host's, but shares the host's files. */
function foreignNetwork(): string | undefined {
  try {
    const own = readlinkSync('/proc/self/ns/net');
    return own === readlinkSync('/proc/1/ns/net') ? undefined : /\d+/.exec(own)?.[0];
  } catch {
    return undefined;
  }
}

function isMountPoint(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === path);
}
