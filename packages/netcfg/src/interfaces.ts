/** The interface `net.openvpn.v3.netcfg` of the manager and of devices, as clients see it. */
import { type Call, DbusError, DbusInterface, ErrorName, type ObjectTree } from '@seikan/dbus';

import type { Callers } from './callers.js';
import type { Device } from './device.js';
import { netcfgError, objectError } from './errors.js';
import { type Manager, mayUse } from './manager.js';
import { CHANGE_ARGUMENTS, INTERFACE_VERSION, LOG_ARGUMENTS, NETCFG } from './names.js';

const ROOT = 0;

export interface ManagerFace {
  readonly manager: Manager;
  readonly callers: Callers;
  readonly configFile: string;
}

export const managerInterface = new DbusInterface<ManagerFace>(NETCFG, { authorize: authorizeManager })
  .method(
    'CreateVirtualInterface',
    { in: { device_name: 's' }, out: { device_path: 'o' } },
    async (face, args, call) => {
      const caller = await face.callers.identify(call);
      return { device_path: face.manager.createDevice(caller, args.device_name).path };
    },
  )
  .method('FetchInterfaceList', { out: { device_paths: 'ao' } }, async ({ manager, callers }, _args, call) => {
    return { device_paths: manager.devicesOf((await callers.identify(call)).uid) };
  })
  .method(
    'ProtectSocket',
    { in: { remote: 's', ipv6: 'b', device_path: 'o' }, out: { succeeded: 'b' } },
    async ({ manager, callers }, { remote, ipv6, device_path: devicePath }, call) => {
      const caller = await callers.identify(call);
      await manager.protectSocket(caller, { remote, ipv6, devicePath }, call.descriptors[0]);
      return { succeeded: true };
    },
  )
  .method('DcoAvailable', { out: { available: 'b' } }, async ({ manager }) => ({
    available: await manager.dcoAvailable(),
  }))
  .method('Cleanup', {}, async ({ manager, callers }, _args, call) => manager.cleanUp(await callers.identify(call)))
  .method('NotificationSubscribe', { in: { filter: 'u' } }, async ({ manager, callers }, { filter }, call) => {
    const { name } = await callers.identify(call);
    manager.changes.subscribe(name, filter);
    manager.log('verb2', `${name} subscribed to network changes, filter ${filter}`);
  })
  .method(
    'NotificationUnsubscribe',
    { in: { subscriber: 's' } },
    async ({ manager, callers }, { subscriber }, call) => {
      const { name, uid } = await callers.identify(call);
      if (uid === ROOT && subscriber === '') throw netcfgError('Failed to retrieve subscriber');
      const which = uid === ROOT ? subscriber : name;
      if (!manager.changes.unsubscribe(which)) throw netcfgError(`Subscription not found for '${which}'`);
      manager.log('verb2', `${which} unsubscribed from network changes`);
    },
  )
  .method('NotificationSubscriberList', { out: { subscriptions: 'a(su)' } }, ({ manager }) => ({
    subscriptions: manager.changes.list(),
  }))
  .signal('Log', LOG_ARGUMENTS)
  .signal('NetworkChange', CHANGE_ARGUMENTS)
  .property('config_file', 's', { get: ({ configFile }) => configFile })
  .property('global_dns_search', 'as', { get: ({ manager }) => manager.dns.allDomains() })
  .property('global_dns_servers', 'as', { get: ({ manager }) => manager.dns.allServers() })
  .property('log_level', 'u', {
    get: ({ manager }) => manager.logLevel,
    set: ({ manager }, level) => {
      manager.logLevel = level;
    },
  })
  .property('version', 's', { get: () => INTERFACE_VERSION });

export interface DeviceFace {
  readonly device: Device;
  readonly manager: Manager;
  readonly callers: Callers;
  readonly tree: ObjectTree;
}

export const deviceInterface = new DbusInterface<DeviceFace>(NETCFG, {
  authorize: (face, { kind, member }, call) => authorizeDevice(face, kind === 'call' ? member : undefined, call),
})
  .method(
    'AddIPAddress',
    { in: { ip_address: 's', prefix_size: 'u', gateway: 's', ipv6: 'b' } },
    ({ device }, { ip_address: address, prefix_size: prefix, gateway, ipv6 }) =>
      device.addAddress({ address, prefix, gateway, ipv6 }),
  )
  .method('SetRemoteAddress', { in: { ip_address: 's', ipv6: 'b' } }, ({ device }, { ip_address: address, ipv6 }) =>
    device.setRemote(address, ipv6),
  )
  // Clients of versions up to v25 send no metric.
  .method('AddNetworks', { in: { networks: 'a(suibb)' }, orIn: { networks: 'a(subb)' } }, ({ device }, { networks }) =>
    device.addRoutes(
      networks.map((given) => {
        const [network, prefix, metric, ipv6, exclude] =
          given.length === 5 ? given : ([given[0], given[1], -1, given[2], given[3]] as const);
        return { network, prefix, metric, ipv6, exclude };
      }),
    ),
  )
  .method('AddDNS', { in: { server_list: 'as' } }, ({ device }, { server_list: servers }) => {
    device.dns.addServers(servers);
    device.changed();
  })
  .method('AddDNSSearch', { in: { domains: 'as' } }, ({ device }, { domains }) => {
    device.dns.addDomains(domains);
    device.changed();
  })
  .method('SetDNSSEC', { in: { mode: 's' } }, ({ device }, { mode }) => {
    device.dns.setDnssec(mode);
    device.changed();
  })
  .method('SetDNSTransport', { in: { mode: 's' } }, ({ device }, { mode }) => {
    device.dns.setTransport(mode);
    device.changed();
  })
  .method(
    'EnableDCO',
    { in: { dev_name: 's' }, orIn: { dev_name: 's', proto: 'u' }, out: { dco_device_path: 'o' } },
    async (face, { dev_name: name }) => {
      const authorize = (call: Call, member: string) => authorizeDevice(face, member, call);
      return { dco_device_path: await face.device.enableDco({ tree: face.tree, authorize }, name) };
    },
  )
  .method('Establish', {}, async ({ device, manager, callers }, _args, call) => {
    const tun = await device.establish(await callers.identify(call));
    try {
      // One that is not the creator may have left meanwhile: nobody would end the device.
      await callers.identify(call);
    } catch (error) {
      tun?.close();
      await manager.destroyDevice(device, 'its client vanished');
      throw error;
    }
    // In no `h`: the interface says so.
    if (tun !== undefined) call.attach(tun);
  })
  .method('Disable', {}, ({ device }) => device.disable())
  .method('ClearConfig', {}, ({ device }) => device.clearConfig())
  .method('Destroy', {}, async ({ device, manager, callers }, _args, call) => {
    const { uid } = await callers.identify(call);
    await manager.destroyDevice(device, `by user ${uid}`);
  })
  .signal('Log', LOG_ARGUMENTS)
  .signal('NetworkChange', CHANGE_ARGUMENTS)
  .property('acl', 'au', { get: ({ device }) => device.acl })
  .property('active', 'b', { get: ({ device }) => device.active })
  .property('device_name', 's', { get: ({ device }) => device.name })
  .property('dns_name_servers', 'as', { get: ({ device }) => device.dns.servers })
  .property('dns_scope', 's', {
    get: ({ device }) => device.dns.scope,
    set: ({ device }, scope) => {
      device.dns.setScope(scope);
      device.changed();
    },
  })
  .property('dns_search_domains', 'as', { get: ({ device }) => device.dns.domains })
  .property('dns_transport', 's', { get: ({ device }) => device.dns.transport })
  .property('dnssec_mode', 's', { get: ({ device }) => device.dns.dnssec })
  .property('layer', 'u', {
    get: ({ device }) => device.layer,
    set: ({ device }, layer) => {
      device.layer = layer;
    },
  })
  .property('log_level', 'u', {
    get: ({ device }) => device.logLevel,
    set: ({ device }, level) => {
      device.logLevel = level;
    },
  })
  .property('modified', 'b', { get: ({ device }) => device.modified })
  .property('mtu', 'q', {
    get: ({ device }) => device.mtu,
    set: ({ device }, mtu) => {
      device.mtu = mtu;
    },
    alsoSets: ['u'],
  })
  .property('owner', 'u', { get: ({ device }) => device.owner })
  .property('reroute_ipv4', 'b', {
    get: ({ device }) => device.reroute4,
    set: ({ device }, on) => {
      device.reroute4 = on;
    },
  })
  .property('reroute_ipv6', 'b', {
    get: ({ device }) => device.reroute6,
    set: ({ device }, on) => {
      device.reroute6 = on;
    },
  })
  .property('txqueuelen', 'q', {
    get: ({ device }) => device.txQueueLength,
    set: ({ device }, length) => {
      device.txQueueLength = length;
    },
    alsoSets: ['u'],
  });

/** The bus policy says who may call what; this is what it cannot say. */
async function authorizeManager(
  { callers, manager }: ManagerFace,
  { kind, member }: { readonly kind: 'call' | 'get' | 'set'; readonly member: string },
  call: Call,
): Promise<void> {
  if (kind === 'set') {
    const { uid } = await callers.identify(call);
    if (uid !== ROOT && uid !== process.geteuid?.()) throw accessDenied(member);
  } else if (member === 'NotificationSubscriberList') {
    if ((await callers.identify(call)).uid !== ROOT) throw refused(call, member);
  } else if (member === 'NotificationUnsubscribe') {
    const { uid, name } = await callers.identify(call);
    if (uid !== ROOT && !manager.changes.has(name)) throw refused(call, member);
  }
}

/** `member`: of a method; undefined for properties. */
async function authorizeDevice({ device, callers }: DeviceFace, member: string | undefined, call: Call): Promise<void> {
  const { uid } = await callers.identify(call);
  if (device.destroyed) {
    throw new DbusError(ErrorName.unknownMethod, `Object does not exist at path “${call.path}”`);
  }
  if (mayUse(device, uid)) return;
  throw member === undefined ? accessDenied('a property') : refused(call, member);
}

function refused({ sender, path }: Call, member: string): DbusError {
  return objectError(`Authorization failed for ${sender} performing method call ${NETCFG}.${member} in object ${path}`);
}

function accessDenied(member: string): DbusError {
  return new DbusError(ErrorName.accessDenied, `Access to ${member} is not granted`);
}
