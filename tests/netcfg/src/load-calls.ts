/**
 * Many clients at once, and one that misbehaves; runs inside a tree, as the service's user.
 *
 *     node load-calls.js tunnels     20 clients set up and tear down 10 devices each; prints milliseconds per device
 *     node load-calls.js flood       one client sends calls as fast as it can, without reading answers; another goes on
 *                                    with its work; prints the latter's slowest call in milliseconds
 */
import { connect } from 'node:net';

import { Connection } from '@seikan/dbus';
import { NETCFG, NETCFG_PATH, NetcfgClient, type RemoteDevice } from '@seikan/netcfg';

import { whenUp } from './scripted-calls.js';

const CLIENTS = 20;
const DEVICES_EACH = 10;
const FLOOD = 30_000;
const BUS_SOCKET = '/run/dbus/system_bus_socket';

async function tunnels(): Promise<number> {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => NetcfgClient.open()));
  for (const { bus } of clients.slice(0, 1)) await whenUp(bus);
  const started = performance.now();
  await Promise.all(
    clients.map(async (client, index) => {
      for (let number = 0; number < DEVICES_EACH; number++) await oneTunnel(client, index * DEVICES_EACH + number);
    }),
  );
  const took = performance.now() - started;
  for (const client of clients) client.close();
  return took / (CLIENTS * DEVICES_EACH);
}

async function oneTunnel(client: NetcfgClient, number: number): Promise<void> {
  const device = await client.create(`load${number}`);
  const net = `10.${100 + (number >> 8)}.${number & 255}`;
  await setUp(device, net);
  await device.addRoutes([{ network: `172.20.${number}.0`, prefix: 24, metric: -1, ipv6: false, exclude: false }]);
  const tun = await device.establish();
  await device.destroy();
  tun.close();
}

async function setUp(device: RemoteDevice, net: string): Promise<void> {
  await device.addAddress({ address: `${net}.2`, prefix: 24, gateway: `${net}.1`, ipv6: false });
  await device.setRemote('198.51.100.1');
  await device.setProperties({ layer: 3, mtu: 1_500, reroute4: false, reroute6: false });
}

async function flood(): Promise<number> {
  // Bytes that are no D-Bus: the bus ends such a connection.
  for (const garbage of ['\0AUTH EXTERNAL zzzz\r\n', '\0\r\n\r\n', `\0${'A'.repeat(100_000)}`, 'l\u0001\u0000\u0001']) {
    connect(BUS_SOCKET, function (this: ReturnType<typeof connect>) {
      this.end(garbage);
    }).on('error', () => {});
  }
  const flooder = await Connection.open();
  const target = { destination: NETCFG, path: NETCFG_PATH, interface: NETCFG };
  for (let number = 0; number < FLOOD; number++) {
    const named = { signature: 's', body: [`flood-${number}`] };
    if (number % 3 === 0) flooder.callWithoutReply({ ...target, member: 'DcoAvailable' });
    else
      flooder.callWithoutReply({
        ...target,
        member: number % 3 === 1 ? 'CreateVirtualInterface' : 'Nonsense',
        ...named,
      });
  }
  const client = await NetcfgClient.open();
  let slowest = 0;
  for (let number = 0; number < 5; number++) {
    const started = performance.now();
    await oneTunnel(client, number);
    slowest = Math.max(slowest, performance.now() - started);
  }
  client.close();
  flooder.close();
  return slowest;
}

process.stdout.write(JSON.stringify(await (process.argv[2] === 'flood' ? flood() : tunnels())));
