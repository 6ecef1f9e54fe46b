/**
 * The tun of a tunnel whose process has no privileges: the netcfg service makes it, with its network and DNS, and hands
 * over the descriptor. The service knows one moment, Establish, at which all must be known: so the device comes up whole
 * when it is opened, its routes before `up` scripts run, and what is configured later is there already.
 */
import type { AskFailure, ConfigureTunAsk, LogLine, OpenedTun, OpenTunAsk } from '@seikan/engine';
import { type Descriptor, TunDevice } from '@seikan/native';
import type { NetcfgClient, RemoteDevice, TunnelAddress, TunnelRoute } from '@seikan/netcfg';
import { type IpFamily, ipFamily, networkOf } from '@seikan/netconf';

import { dnsSettings } from './dns-settings.js';
import { reasonOf } from './materials.js';
import { TUN_QUEUE_LENGTH, type TunnelHost } from './tunnel-tun.js';

export interface ServiceTunOptions {
  readonly client: NetcfgClient;
  /** Gives the tun to the data channel, which owns it then. */
  readonly attach: (tun: Descriptor) => void;
  readonly detach: () => void;
  readonly log: (line: LogLine) => void;
}

interface OpenServiceTun {
  readonly device: RemoteDevice;
  readonly routeErrors: readonly string[];
}

export class ServiceTun implements TunnelHost {
  readonly #options: ServiceTunOptions;
  #open: OpenServiceTun | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #count = 0;

  constructor(options: ServiceTunOptions) {
    this.#options = options;
  }

  open(ask: OpenTunAsk): Promise<OpenedTun | AskFailure> {
    return this.#inTurn(async () => {
      const { client, attach } = this.#options;
      let device: RemoteDevice | undefined;
      try {
        const { settings, problems } = translate(ask);
        device = await client.create(`seikan_${this.#count++}`);
        await describe(device, ask, settings);
        const tun = new TunDevice((await device.establish()).release());
        attach(tun.descriptor);
        this.#open = { device, routeErrors: problems };
        return { name: tun.name, mtu: ask.mtu, netGateway: undefined };
      } catch (error) {
        await device?.destroy().catch(() => undefined);
        return { error: `ERROR: the netcfg service gives no ${ask.type} device: ${reasonOf(error)}` };
      }
    });
  }

  configure(_ask: ConfigureTunAsk): Promise<{ routeErrors: readonly string[] } | AskFailure> {
    return this.#inTurn(async () =>
      this.#open === undefined ? { error: 'the tun is not open' } : { routeErrors: this.#open.routeErrors },
    );
  }

  close(): Promise<object | AskFailure> {
    return this.#inTurn(async () => {
      const open = this.#open;
      this.#open = undefined;
      if (open === undefined) return {};
      this.#options.log({ verb: 2, severity: 'notice', prefix: undefined, text: 'Closing TUN/TAP interface' });
      try {
        await open.device.destroy();
        return {};
      } catch (error) {
        return { error: `the netcfg service did not take the device back: ${reasonOf(error)}` };
      } finally {
        this.#options.detach();
      }
    });
  }

  async protect(socket: Descriptor, remote: string): Promise<void> {
    await this.#options.client.protectSocket(remote, socket.duplicate(), this.#open?.device.path);
  }

  #inTurn<Result>(step: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(step);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

interface ServiceSettings {
  readonly addresses: readonly TunnelAddress[];
  readonly routes: readonly TunnelRoute[];
  readonly remote: string;
}

/** In an order that the service's every version takes. */
async function describe(device: RemoteDevice, ask: OpenTunAsk, network: ServiceSettings): Promise<void> {
  const { plan, dns } = ask;
  const { redirect } = plan;
  for (const address of network.addresses) await device.addAddress(address);
  await device.setRemote(network.remote);
  await device.setProperties({
    layer: ask.type === 'tun' ? 3 : 2,
    mtu: ask.mtu,
    txQueueLength: ask.txQueueLength ?? TUN_QUEUE_LENGTH,
    reroute4: redirect?.reroute === true && redirect.ipv4,
    reroute6: redirect?.ipv6 === true,
  });
  await device.addRoutes(network.routes);
  const settings = dns === undefined ? undefined : dnsSettings(dns);
  if (settings === undefined) return;
  const { servers, searchDomains, routeDomains = [], scope, dnssec, transport } = settings;
  await device.addDns(
    servers.map(({ address }) => address),
    [...searchDomains, ...routeDomains],
  );
  if (scope === 'tunnel') await device.setDnsScope(scope);
  if (dnssec !== undefined) await device.setDnssec(dnssec);
  if (transport !== undefined) await device.setDnsTransport(transport);
}

/** Throws for what the service cannot do; single routes that it cannot have are problems. */
function translate(ask: OpenTunAsk): { settings: ServiceSettings; problems: readonly string[] } {
  const { plan, macAddress, device, type, nat } = ask;
  if (nat.length > 0) throw new Error('its devices cannot translate addresses (client-nat)');
  if (macAddress !== undefined) throw new Error('it cannot set a hardware address (lladdr)');
  if (plan.remote === undefined) throw new Error('it needs the address of the server');
  const problems: string[] = [];
  if (device !== type) problems.push(`NOTE: the netcfg service names devices itself, not ${device}`);
  const addresses = plan.addresses.map(({ address, prefixLength, peer }): TunnelAddress => {
    const ipv6 = ipFamily(address) === 6;
    const gateway = peer ?? (ipv6 ? plan.gateway6 : plan.gateway4) ?? '';
    // The service knows no peers: a prefix that holds both ends takes their place.
    return { address, prefix: peer === undefined ? prefixLength : commonPrefix(address, peer), gateway, ipv6 };
  });
  const routes: TunnelRoute[] = [];
  for (const { destination, prefixLength, gateway = 'vpn_gateway', metric = -1 } of plan.routes) {
    const network = destination === 'remote_host' ? plan.remote : destination;
    const family: IpFamily | undefined = ipFamily(network);
    if (family === undefined || (gateway !== 'vpn_gateway' && gateway !== 'net_gateway' && gateway !== plan.gateway4)) {
      problems.push(`ROUTE: the netcfg service has no routes to ${destination} through ${gateway}`);
      continue;
    }
    const exclude = gateway === 'net_gateway';
    const { address } = networkOf({ address: network, length: prefixLength });
    routes.push({ network: address, prefix: prefixLength, metric, ipv6: family === 6, exclude });
  }
  return { settings: { addresses, routes, remote: plan.remote }, problems };
}

function commonPrefix(address: string, peer: string): number {
  for (let length = 30; length > 0; length--) {
    if (networkOf({ address, length }).address === networkOf({ address: peer, length }).address) return length;
  }
  return 0;
}
