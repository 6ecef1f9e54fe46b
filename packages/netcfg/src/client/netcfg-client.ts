/** The service as a client uses it: ours or the original. */
import {
  type CallOptions,
  Connection,
  type DbusValue,
  type Reply,
  type Subscription,
  type Variant,
} from '@seikan/dbus';
import type { Descriptor } from '@seikan/native';

import { NETCFG, NETCFG_PATH } from '../names.js';
import type { TunnelAddress, TunnelRoute } from '../tunnel-settings.js';

const PROPERTIES = 'org.freedesktop.DBus.Properties';
/** The last version whose AddNetworks takes no metrics. */
const LAST_WITHOUT_METRIC = 25;

export interface ClientOptions {
  /** The bus; left out, the system bus. */
  readonly address?: string;
}

export interface ReceivedChange {
  readonly path: string;
  readonly type: number;
  readonly device: string;
  readonly details: ReadonlyMap<string, string>;
}

/** Methods reject with a DbusError. */
export class NetcfgClient {
  readonly bus: Connection;

  private constructor(bus: Connection) {
    this.bus = bus;
  }

  /** Rejects when there is no bus; the service starts with the first call. */
  static async open(options: ClientOptions = {}): Promise<NetcfgClient> {
    return new NetcfgClient(await Connection.open(options));
  }

  /** The device's object. Its name may hold letters, digits and underscores. */
  async create(name: string): Promise<RemoteDevice> {
    const { body } = await this.#call('CreateVirtualInterface', { signature: 's', body: [name], returns: 'o' });
    const version = (await this.properties(NETCFG_PATH)).get('version')?.value;
    return new RemoteDevice(this, body[0], takesMetrics(version));
  }

  /** Paths of the devices that this user may use. */
  async devices(): Promise<readonly string[]> {
    return (await this.#call('FetchInterfaceList', { signature: '', body: [], returns: 'ao' })).body[0];
  }

  /** Keeps a socket, connected to `remote` or about to be, out of tunnels. `device`: the path of its tunnel's device. */
  async protectSocket(remote: string, socket: Descriptor | undefined, device = '/'): Promise<void> {
    await this.#call('ProtectSocket', {
      signature: 'sbo',
      body: [remote, remote.includes(':'), device],
      descriptors: socket === undefined ? [] : [socket],
      returns: 'b',
    });
  }

  async dcoAvailable(): Promise<boolean> {
    return (await this.#call('DcoAvailable', { signature: '', body: [], returns: 'b' })).body[0];
  }

  /** Takes back everything that this process still holds. */
  async cleanUp(): Promise<void> {
    await this.#call('Cleanup', { signature: '', body: [], returns: '' });
  }

  /** Tells of changes whose types are in `filter`, until the subscription is closed. */
  async watch(filter: number, changed: (change: ReceivedChange) => void): Promise<Subscription> {
    const rule = { sender: NETCFG, interface: NETCFG, member: 'NetworkChange' };
    const subscription = await this.bus.signals.subscribe(rule, ({ path, signature, body }) => {
      if (signature !== 'usa{ss}') return;
      const [type, device, details] = body as unknown as [number, string, ReadonlyMap<string, string>];
      changed({ path, type, device, details });
    });
    await this.#call('NotificationSubscribe', { signature: 'u', body: [filter], returns: '' });
    return subscription;
  }

  async properties(path: string): Promise<ReadonlyMap<string, Variant>> {
    const { body } = await this.bus.call({
      destination: NETCFG,
      path,
      interface: PROPERTIES,
      member: 'GetAll',
      signature: 's',
      body: [NETCFG],
      returns: 'a{sv}',
    });
    return body[0];
  }

  close(): void {
    this.bus.close();
  }

  #call<S extends string, R extends string>(
    member: string,
    rest: Pick<CallOptions<S, R>, 'signature' | 'body' | 'descriptors' | 'returns'>,
  ): Promise<Reply<R>> {
    return this.bus.call({ destination: NETCFG, path: NETCFG_PATH, interface: NETCFG, member, ...rest });
  }
}

export interface DeviceProperties {
  /** 3 tun, 2 tap. */
  readonly layer: number;
  readonly mtu: number;
  readonly txQueueLength?: number | undefined;
  readonly reroute4: boolean;
  readonly reroute6: boolean;
}

export class RemoteDevice {
  readonly #client: NetcfgClient;
  readonly path: string;
  readonly #takesMetrics: boolean;

  constructor(client: NetcfgClient, path: string, metrics: boolean) {
    this.#client = client;
    this.path = path;
    this.#takesMetrics = metrics;
  }

  async setProperties({ layer, mtu, txQueueLength, reroute4, reroute6 }: DeviceProperties): Promise<void> {
    await this.#set('layer', 'u', layer);
    await this.#set('mtu', 'q', mtu);
    if (txQueueLength !== undefined) await this.#set('txqueuelen', 'q', txQueueLength);
    if (reroute4) await this.#set('reroute_ipv4', 'b', true);
    if (reroute6) await this.#set('reroute_ipv6', 'b', true);
  }

  setDnsScope(scope: 'global' | 'tunnel'): Promise<void> {
    return this.#set('dns_scope', 's', scope);
  }

  async addAddress({ address, prefix, gateway, ipv6 }: TunnelAddress): Promise<void> {
    await this.#call('AddIPAddress', 'susb', [address, prefix, gateway, ipv6]);
  }

  async setRemote(address: string): Promise<void> {
    await this.#call('SetRemoteAddress', 'sb', [address, address.includes(':')]);
  }

  async addRoutes(routes: readonly TunnelRoute[]): Promise<void> {
    if (this.#takesMetrics) {
      const body = routes.map((r) => [r.network, r.prefix, r.metric, r.ipv6, r.exclude] as const);
      await this.#call('AddNetworks', 'a(suibb)', [body]);
    } else {
      const body = routes.map((r) => [r.network, r.prefix, r.ipv6, r.exclude] as const);
      await this.#call('AddNetworks', 'a(subb)', [body]);
    }
  }

  async addDns(servers: readonly string[], domains: readonly string[]): Promise<void> {
    if (servers.length > 0) await this.#call('AddDNS', 'as', [servers]);
    if (domains.length > 0) await this.#call('AddDNSSearch', 'as', [domains]);
  }

  async setDnssec(mode: 'yes' | 'no' | 'optional'): Promise<void> {
    await this.#call('SetDNSSEC', 's', [mode]);
  }

  async setDnsTransport(mode: 'plain' | 'dot' | 'doh'): Promise<void> {
    await this.#call('SetDNSTransport', 's', [mode]);
  }

  /** The tun device's descriptor, the caller's to close. Rejects with an Error when the service gives none. */
  async establish(): Promise<Descriptor> {
    const { descriptors } = await this.#call('Establish', '', [], true);
    const [tun, ...more] = descriptors;
    for (const stray of more) stray.close();
    // The original answers so when it failed.
    if (tun === undefined) throw new Error('the service could not establish the device');
    return tun;
  }

  async disable(): Promise<void> {
    await this.#call('Disable', '', []);
  }

  async clearConfig(): Promise<void> {
    await this.#call('ClearConfig', '', []);
  }

  async destroy(): Promise<void> {
    await this.#call('Destroy', '', []);
  }

  /** The kernel's name of the device, once it is established. */
  async name(): Promise<string> {
    const name = (await this.#client.properties(this.path)).get('device_name')?.value;
    return typeof name === 'string' ? name : '';
  }

  async #set(name: string, signature: string, value: DbusValue): Promise<void> {
    await this.#client.bus.call({
      destination: NETCFG,
      path: this.path,
      interface: PROPERTIES,
      member: 'Set',
      signature: 'ssv',
      body: [NETCFG, name, { signature, value }],
      returns: '',
    });
  }

  #call<S extends string>(
    member: string,
    signature: S,
    body: CallOptions<S>['body'] & {},
    takesDescriptors = false,
  ): Promise<Pick<Reply, 'descriptors'>> {
    const target = { destination: NETCFG, path: this.path, interface: NETCFG };
    return this.#client.bus.call<S, ''>({ ...target, member, signature, body, takesDescriptors, returns: '' });
  }
}

function takesMetrics(version: DbusValue | undefined): boolean {
  const [, digits] = /^v(\d+)/.exec(typeof version === 'string' ? version : '') ?? [];
  return digits === undefined || Number(digits) > LAST_WITHOUT_METRIC;
}
