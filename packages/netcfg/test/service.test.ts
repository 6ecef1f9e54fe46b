import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';

import { DbusError } from '@seikan/dbus';
import { TunDevice, UdpSocket } from '@seikan/native';
import { ChangeType, NETCFG, NETCFG_PATH, type NetcfgClient, type ReceivedChange } from '@seikan/netcfg';
import { hostState, inNetworkNamespace, ip, makeHost } from '@seikan/testkit';

import { Bench, eventually } from './bench.js';

const run = promisify(execFile);
const NETCFG_ERROR = 'org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2ev3_2enetcfg_2eerror.Code36';

inNetworkNamespace(import.meta.filename, () => {
  let bench: Bench;
  let client: NetcfgClient;
  let clean: string[];
  let descriptors: number;

  before(makeHost);
  beforeEach(async () => {
    clean = hostState();
    descriptors = openDescriptors();
    bench = await Bench.open();
    client = await bench.client();
  });
  afterEach(async () => {
    client.close();
    await bench.close();
    assert.deepEqual(hostState(), clean);
    await eventually('all descriptors closed', () => openDescriptors() === descriptors);
  });
  after(() => ip('link del e0'));

  test('a device gets address, routes, halves and exclusions as the reference says, and all is taken back', async () => {
    const device = await client.create('est0');
    assert.match(device.path, new RegExp(`^${NETCFG_PATH}/${process.pid}_est0$`));
    await device.addAddress({ address: '10.20.0.2', prefix: 24, gateway: '10.20.0.1', ipv6: false });
    await device.addAddress({ address: 'fd20::2', prefix: 64, gateway: 'fd20::1', ipv6: true });
    await device.setProperties({ layer: 3, mtu: 1_420, txQueueLength: 77, reroute4: true, reroute6: false });
    await device.setRemote('198.51.100.7');
    await device.addRoutes([
      { network: '10.21.5.0', prefix: 24, metric: -1, ipv6: false, exclude: false },
      { network: '10.24.0.0', prefix: 24, metric: 300, ipv6: false, exclude: false },
      { network: 'fd21::', prefix: 48, metric: -1, ipv6: true, exclude: false },
      { network: '10.23.0.0', prefix: 16, metric: -1, ipv6: false, exclude: true },
    ]);
    const tun = new TunDevice((await device.establish()).release());
    assert.equal(tun.info.kind, 'tun');
    const { name } = tun;
    assert.equal(await device.name(), name);
    const [link] = JSON.parse(ip(`-j link show ${name}`)) as { mtu: number; txqlen: number; flags: string[] }[];
    assert.deepEqual([link?.mtu, link?.txqlen, link?.flags.includes('UP')], [1_420, 77, true]);
    const [{ addr_info: addresses = [] } = {}] = JSON.parse(ip(`-j addr show ${name} scope global`)) as {
      addr_info?: { local: string; prefixlen: number; broadcast?: string; address?: string }[];
    }[];
    assert.deepEqual(
      addresses
        .filter(({ local }) => local !== undefined)
        .map(({ local, prefixlen, broadcast, address }) => [local, prefixlen, broadcast, address]),
      [
        ['10.20.0.2', 24, '10.20.0.255', undefined],
        ['fd20::2', 64, undefined, undefined],
      ],
    );
    const routes = ip('route show')
      .split('\n')
      .map((line) => line.trim());
    for (const wanted of [
      `0.0.0.0/1 via 10.20.0.1 dev ${name}`,
      `128.0.0.0/1 via 10.20.0.1 dev ${name}`,
      `10.21.5.0/24 via 10.20.0.1 dev ${name}`,
      `10.24.0.0/24 via 10.20.0.1 dev ${name} metric 300`,
      '10.23.0.0/16 via 192.0.2.1 dev e0',
    ])
      assert.ok(routes.includes(wanted), `${wanted} in\n${routes.join('\n')}`);
    assert.match(ip('-6 route show fd21::/48'), new RegExp(`^fd21::/48 via fd20::1 dev ${name} metric 1024`));
    await device.destroy();
    tun.close();
    await assert.rejects(device.disable(), { errorName: 'org.freedesktop.DBus.Error.UnknownMethod' });
  });

  test('changes are told to who asked for them, of the types asked for, in the order of the original', async () => {
    const seen: ReceivedChange[] = [];
    await client.watch(0x7ff, (change) => void seen.push(change));
    const device = await client.create('dev');
    await device.addAddress({ address: '10.20.0.2', prefix: 24, gateway: '10.20.0.1', ipv6: false });
    await device.addRoutes([
      { network: '10.21.5.0', prefix: 24, metric: -1, ipv6: false, exclude: false },
      { network: '10.23.0.0', prefix: 16, metric: -1, ipv6: false, exclude: true },
    ]);
    await device.setRemote('198.51.100.7');
    await device.setProperties({ layer: 3, mtu: 1_500, reroute4: false, reroute6: false });
    const tun = await device.establish();
    await device.disable();
    tun.close();
    await eventually('all changes', () => seen.length === 7);
    const name = seen[0]?.device ?? '';
    assert.match(name, /^tun\d+$/);
    const address = { ip_address: '10.20.0.2', prefix: '24', prefix_size: '24', ip_version: '4' };
    const subnet = { ip_version: '4', subnet: '10.21.5.0', prefix: '24', prefix_size: '24' };
    const excluded = { ip_version: '4', subnet: '10.23.0.0', prefix: '16', prefix_size: '16', gateway: '10.20.0.1' };
    assert.deepEqual(
      seen.map(({ path, type, device: on, details }) => [path, type, on, Object.fromEntries(details)]),
      [
        [device.path, ChangeType.deviceAdded, name, {}],
        [device.path, ChangeType.addressAdded, name, address],
        [device.path, ChangeType.routeAdded, name, { ...subnet, gateway: '10.20.0.1' }],
        [device.path, ChangeType.routeExcluded, name, excluded],
        [device.path, ChangeType.routeRemoved, name, subnet],
        [device.path, ChangeType.addressRemoved, name, address],
        [device.path, ChangeType.deviceRemoved, name, {}],
      ],
    );
    const other = await bench.client();
    const few: number[] = [];
    await other.watch(ChangeType.deviceAdded, ({ type }) => void few.push(type));
    (await device.establish()).close();
    await device.destroy();
    await eventually('the other has heard of it', () => few.length > 0);
    other.close();
    assert.deepEqual(few, [ChangeType.deviceAdded]);
  });

  test('a client that vanishes takes its devices, routes and subscription with it', async () => {
    const doomed = await bench.client();
    const device = await doomed.create('doomed');
    await doomed.create('neverEstablished');
    await device.addAddress({ address: '10.20.0.2', prefix: 24, gateway: '10.20.0.1', ipv6: false });
    await device.setRemote('198.51.100.7');
    await device.setProperties({ layer: 3, mtu: 1_500, reroute4: true, reroute6: false });
    await doomed.watch(ChangeType.deviceAdded, () => {});
    await doomed.protectSocket('203.0.113.99', undefined);
    assert.match(ip('route show 203.0.113.99'), /dev e2/);
    const tun = await device.establish();
    doomed.close();
    await eventually('no device is left', async () => (await client.devices()).length === 0);
    await eventually('no host route is left', () => ip('route show 203.0.113.99') === '');
    tun.close();
    const { body } = await call('NotificationSubscriberList', '', []);
    assert.deepEqual(body, [[]]);
  });

  test('who establishes a device of another connection and leaves meanwhile takes it along', async () => {
    const device = await client.create('lent');
    await device.addAddress({ address: '10.20.0.2', prefix: 24, gateway: '10.20.0.1', ipv6: false });
    await device.setRemote('198.51.100.7');
    await device.setProperties({ layer: 3, mtu: 1_500, reroute4: true, reroute6: false });
    // So many that it leaves before they are all made.
    await device.addRoutes(networks(5_000));
    const other = await bench.client();
    await other.devices();
    other.bus.callWithoutReply({ destination: NETCFG, path: device.path, interface: NETCFG, member: 'Establish' });
    await eventually('the tunnel is being made', () => ip('-o addr show').includes('10.20.0.2/24'));
    other.close();
    await eventually('its device is gone', async () => (await client.devices()).length === 0);
  });

  test('the networks of one user have a limit, however many devices they are spread over', async () => {
    const [one, other] = [await client.create('many1'), await client.create('many2')];
    await one.addRoutes(networks(39_000));
    await assert.rejects(other.addRoutes(networks(30_000)), /More than 65536 networks/);
    await one.destroy();
    await other.addRoutes(networks(30_000));
    await other.destroy();
  });

  test('one more Establish makes the new tunnel before it takes the old one back', async () => {
    const device = await client.create('again');
    await device.addAddress({ address: '10.20.0.2', prefix: 24, gateway: '10.20.0.1', ipv6: false });
    await device.setRemote('198.51.100.7');
    await device.setProperties({ layer: 3, mtu: 1_500, reroute4: false, reroute6: false });
    await device.addRoutes([{ network: '10.23.0.0', prefix: 16, metric: -1, ipv6: false, exclude: true }]);
    const first = new TunDevice((await device.establish()).release());
    assert.equal(await property(device.path, 'modified'), false);
    await device.addRoutes([{ network: '10.66.0.0', prefix: 16, metric: -1, ipv6: false, exclude: false }]);
    assert.equal(await property(device.path, 'modified'), true);
    const second = new TunDevice((await device.establish()).release());
    assert.notEqual(first.name, second.name);
    assert.equal(ip(`-o addr show ${first.name}`), '');
    assert.match(ip('route show 10.66.0.0/16'), new RegExp(second.name));
    assert.match(ip('route show 10.23.0.0/16'), /via 192\.0\.2\.1 dev e0/);
    await device.clearConfig();
    assert.equal(await property(device.path, 'active'), false);
    assert.equal(ip('route show 10.66.0.0/16'), '');
    first.close();
    second.close();
  });

  test('two clients exclude the same network: it stays excluded until both are gone', async () => {
    const tuns = [];
    const devices = [];
    for (const number of [1, 2]) {
      const device = await client.create(`twin${number}`);
      await device.addAddress({ address: `10.2${number}.0.2`, prefix: 24, gateway: `10.2${number}.0.1`, ipv6: false });
      await device.setRemote('198.51.100.7');
      await device.setProperties({ layer: 3, mtu: 1_500, reroute4: false, reroute6: false });
      await device.addRoutes([{ network: '10.99.0.0', prefix: 16, metric: -1, ipv6: false, exclude: true }]);
      tuns.push(await device.establish());
      devices.push(device);
    }
    await devices[0]?.destroy();
    assert.match(ip('route show 10.99.0.0/16'), /via 192\.0\.2\.1/);
    await devices[1]?.destroy();
    assert.equal(ip('route show 10.99.0.0/16'), '');
    for (const tun of tuns) tun.close();
  });

  test('Cleanup takes back all that the process holds; a second protected socket replaces the first', async () => {
    const socket = UdpSocket.open({ family: 4 });
    await client.create('one');
    await client.create('two');
    await client.protectSocket('198.51.100.1', socket.descriptor.duplicate());
    assert.match(ip('route show 198.51.100.1'), /via 192\.0\.2\.1 dev e0/);
    await client.protectSocket('198.51.100.2', undefined);
    assert.equal(ip('route show 198.51.100.1'), '');
    assert.match(ip('route show 198.51.100.2'), /via 192\.0\.2\.1 dev e0/);
    await client.protectSocket('no address', undefined);
    assert.equal(ip('route show 198.51.100.2'), '');
    await client.protectSocket('2001:db8:1::1', undefined);
    assert.match(ip('-6 route show 2001:db8:1::1'), /via 2001:db8::1 dev e0/);
    await client.cleanUp();
    assert.equal(ip('-6 route show 2001:db8:1::1'), '');
    assert.deepEqual(await client.devices(), []);
    socket.close();
  });

  test('nothing that a caller sends is more than an error, in the form of the original', async () => {
    const device = await client.create('bad');
    const refusals: [attempt: () => Promise<unknown>, errorName: string, text: RegExp][] = [
      [() => client.create('a-b'), NETCFG_ERROR, /Error creating virtual interface/],
      [() => client.create('a/b'), NETCFG_ERROR, /Error creating virtual interface/],
      [() => client.create('x'.repeat(1_000)), NETCFG_ERROR, /Error creating virtual interface/],
      [() => client.create('bad'), NETCFG_ERROR, /Error creating virtual interface 'bad'/],
      [() => call('NotificationSubscribe', 'u', [0]), NETCFG_ERROR, /Subscription filter flag must be > 0/],
      [() => call('NotificationSubscribe', 'u', [65_536]), NETCFG_ERROR, /Invalid subscription flag, must be < 65535/],
      [() => call('NotificationUnsubscribe', 's', ['']), NETCFG_ERROR, /Failed to retrieve subscriber/],
      [() => call('NotificationUnsubscribe', 's', [':1.99']), NETCFG_ERROR, /Subscription not found for ':1.99'/],
      [() => device.establish(), NETCFG_ERROR, /Invalid layer 0/],
      [() => call('Establish', 's', ['x'], device.path), INVALID, /“\(s\)”, does not match expected type “\(\)”/],
      [() => call('AddIPAddress', 'ss', ['1', '2'], device.path), INVALID, /does not match/],
      [
        () => call('AddNetworks', 'a(sub)', [[]], device.path),
        INVALID,
        /does not match expected type “\(a\(suibb\)\)”/,
      ],
      [() => call('Nope', '', [], device.path), 'org.freedesktop.DBus.Error.UnknownMethod', /No such method/],
      [
        () => call('EnableDCO', 's', ['tun'], device.path),
        /gdbuspp\.Code36$/.source,
        /Error creating ovpn-dco device: .*-95/,
      ],
      [() => call('SetDNSSEC', 'b', [true], device.path), INVALID, /does not match/],
      [() => set(device.path, 'mtu', 's', 'x'), INVALID, /Expected type “q” but got “s”/],
      [() => set(device.path, 'mtu', 'u', 65_536), FAILED, /Invalid MTU 65536/],
      [() => set(device.path, 'log_level', 'u', 7), FAILED, /Invalid log level 7/],
      [() => set(NETCFG_PATH, 'log_level', 'u', 7), FAILED, /Invalid log level 7/],
      [() => set(device.path, 'dns_scope', 's', 'global'), FAILED, /No DNS resolver configured/],
      [() => set(device.path, 'owner', 'u', 7), INVALID, /not writable/],
      [
        () => device.addRoutes([{ network: 'x'.repeat(300), prefix: 8, metric: 0, ipv6: false, exclude: false }]),
        NETCFG_ERROR,
        /too long/,
      ],
    ];
    for (const [attempt, errorName, text] of refusals) {
      await assert.rejects(attempt(), (error: DbusError) => {
        assert.ok(error instanceof DbusError);
        assert.match(error.errorName, new RegExp(`${errorName}$`), error.message);
        assert.match(error.message, text);
        return true;
      });
    }
    await set(device.path, 'mtu', 'u', 1_400);
    await set(device.path, 'mtu', 'q', 1_300);
    assert.equal(await property(device.path, 'mtu'), 1_300);
    // Without a resolver the original logs these and goes on.
    await device.addDns(['10.8.0.1'], ['corp.example']);
    await device.setDnssec('yes');
    assert.ok(bench.logLines.some((line) => /ERROR .* No DNS resolver configured/.test(line)));
  });

  test('every method refuses arguments of other types, on both kinds of object', async () => {
    const device = await client.create('typed');
    let tried = 0;
    for (const path of [NETCFG_PATH, device.path]) {
      const { body } = await client.bus.call({
        destination: NETCFG,
        path,
        interface: 'org.freedesktop.DBus.Introspectable',
        member: 'Introspect',
        returns: 's',
      });
      const [, own = ''] = body[0].split(`<interface name="${NETCFG}">`);
      for (const [, member = ''] of own.matchAll(/<method name="(\w+)"/g)) {
        for (const [signature, values] of [
          ['a{sv}', [new Map()]],
          ['h', [0]],
          ['(((((s)))))', [[[[[['x']]]]]]],
          ['sssssssss', Array.from({ length: 9 }, () => 'x')],
        ] as const) {
          await assert.rejects(call(member, signature, values, path), { errorName: INVALID }, `${member} ${signature}`);
          tried++;
        }
      }
    }
    assert.ok(tried >= 80, `${tried} calls`);
    assert.equal(await property(device.path, 'mtu'), 1_500);
  });

  test('another user can do nothing with a device, nor see it', async () => {
    const device = await client.create('private');
    const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    const bus = ['--address', bench.bus.abstractAddress, '--dest', NETCFG];
    /** What a call by another user comes to. */
    const on = async (path: string, member: string, ...values: string[]): Promise<string> => {
      const words = [...nobody, 'gdbus', 'call', ...bus, '--object-path', path, '--method', member, ...values];
      try {
        return (await run('setpriv', words)).stdout;
      } catch (error) {
        return (error as { stderr: string }).stderr;
      }
    };
    const networks = "[('10.9.0.0', 16, -1, false, false)]";
    for (const [member, ...values] of [
      ['AddIPAddress', '10.9.0.2', '24', '10.9.0.1', 'false'],
      ['SetRemoteAddress', '192.0.2.1', 'false'],
      ['AddNetworks', networks],
      ['AddDNS', "['10.9.0.1']"],
      ['AddDNSSearch', "['evil.example']"],
      ['SetDNSSEC', 'no'],
      ['SetDNSTransport', 'plain'],
      ['EnableDCO', 'tun'],
      ['Establish'],
      ['Disable'],
      ['ClearConfig'],
      ['Destroy'],
    ] as const)
      assert.match(await on(device.path, `${NETCFG}.${member}`, ...values), /Authorization failed/, member);
    for (const [member, ...values] of [
      ['Get', NETCFG, 'mtu'],
      ['Set', NETCFG, 'mtu', '<uint16 1000>'],
    ] as const)
      assert.match(
        await on(device.path, `org.freedesktop.DBus.Properties.${member}`, ...values),
        /AccessDenied/,
        member,
      );
    const all = await on(device.path, 'org.freedesktop.DBus.Properties.GetAll', NETCFG);
    assert.match(all, /^\(@a\{sv\} \{\},\)$/m);
    assert.match(
      await on(NETCFG_PATH, 'org.freedesktop.DBus.Properties.Set', NETCFG, 'log_level', '<uint32 0>'),
      /Denied/,
    );
    assert.match(await on(NETCFG_PATH, `${NETCFG}.FetchInterfaceList`), /^\(@ao \[\],\)$/m);
    assert.match(await on(NETCFG_PATH, `${NETCFG}.Cleanup`), /^\(\)$/m);
    assert.deepEqual(await client.devices(), [device.path]);
    assert.equal(await property(device.path, 'mtu'), 1_500);
  });

  test('settings that make no tunnel fail as a whole, and nothing is changed', async () => {
    const good = { address: '10.20.0.2', prefix: 24, gateway: '10.20.0.1', ipv6: false };
    const route = { network: '10.9.0.0', prefix: 16, metric: -1, ipv6: false, exclude: false };
    const cases: [addresses: (typeof good)[], routes: (typeof route)[], remote: string, text: RegExp][] = [
      [[{ ...good, prefix: 33 }], [], '192.0.2.1', /Invalid prefix/],
      [[{ ...good, prefix: 4_294_967_295 }], [], '192.0.2.1', /Invalid prefix/],
      [[{ ...good, address: 'nonsense' }], [], '192.0.2.1', /Invalid IP address/],
      [[{ ...good, ipv6: true }], [], '192.0.2.1', /Invalid IP address/],
      [[{ ...good, gateway: '1.2.3' }], [], '192.0.2.1', /Invalid gateway/],
      [[good], [{ ...route, network: '10.9.0.1' }], '192.0.2.1', /host bits/],
      [[good], [{ ...route, prefix: 99 }], '192.0.2.1', /Invalid prefix/],
      [[good], [{ ...route, network: '' }], '192.0.2.1', /Invalid network/],
      [[good], [], 'server.example', /Invalid remote/],
    ];
    for (const [index, [addresses, routes, remote, text]] of cases.entries()) {
      const device = await client.create(`case${index}`);
      await device.setProperties({ layer: 3, mtu: 1_500, reroute4: true, reroute6: true });
      for (const address of addresses) await device.addAddress(address);
      await device.addRoutes(routes);
      await device.setRemote(remote);
      await assert.rejects(device.establish(), text);
      assert.equal(await property(device.path, 'active'), false);
      await device.destroy();
    }
    assert.deepEqual(hostState(), clean);
  });

  const INVALID = 'org.freedesktop.DBus.Error.InvalidArgs';
  const FAILED = 'org.freedesktop.DBus.Error.Failed';

  function call(member: string, signature: string, body: readonly unknown[], path = NETCFG_PATH) {
    const target = { destination: NETCFG, path, interface: NETCFG, member };
    return client.bus.call({ ...target, signature, body: body as never });
  }

  function set(path: string, name: string, signature: string, value: string | number) {
    return client.bus.call({
      destination: NETCFG,
      path,
      interface: 'org.freedesktop.DBus.Properties',
      member: 'Set',
      signature: 'ssv',
      body: [NETCFG, name, { signature, value }],
    });
  }

  async function property(path: string, name: string) {
    return (await client.properties(path)).get(name)?.value;
  }
});

function networks(count: number) {
  return Array.from({ length: count }, (_, i) => ({
    network: `10.${100 + (i >> 8)}.${i & 255}.0`,
    prefix: 24,
    metric: -1,
    ipv6: false,
    exclude: false,
  }));
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
