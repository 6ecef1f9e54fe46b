/** The service as a process: its end by a signal and by idleness, and its crash. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

import { credentialsOf } from '@seikan/dbus';
import { NETCFG, NetcfgClient } from '@seikan/netcfg';
import { hostState, inNetworkNamespace, ip, makeHost, startBus } from '@seikan/testkit';

import { Bench, eventually } from './bench.js';

const PROGRAM = resolve(import.meta.dirname, '../dist/bin/seikan-netcfg.js');
const RESOLVER = 'nameserver 192.0.2.53\n';

inNetworkNamespace(import.meta.filename, () => {
  test('an idle service ends; one with a device does not, and subscribers do not count', async () => {
    const bench = await Bench.open([], { idleExit: 0.01 });
    let ended = false;
    void bench.service.ended.then((why) => {
      ended = why === 'idle';
    });
    const client = await bench.client();
    const device = await client.create('d');
    await client.watch(1, () => {});
    await new Promise((elapsed) => setTimeout(elapsed, 2_000));
    assert.equal(ended, false);
    await device.destroy();
    await eventually('the service ends', () => ended);
    client.close();
    await bench.close();
  });

  test('what a killed service left is taken back by the next one, and SIGTERM takes back what stands', async () => {
    makeHost();
    const folder = mkdtempSync(join(tmpdir(), 'seikan-netcfg-process-'));
    const resolver = join(folder, 'resolv.conf');
    writeFileSync(resolver, RESOLVER);
    const bus = await startBus();
    const clean = hostState();
    const start = async (): Promise<ChildProcess> => {
      const argv = ['--run-as-root', '--idle-exit', '0', '--resolv-conf', resolver];
      const env = { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: bus.address, SEIKAN_NETCFG_STATE_FOLDER: folder };
      const child = spawn(process.execPath, [PROGRAM, ...argv], { env, stdio: 'ignore' });
      const client = await NetcfgClient.open({ address: bus.address });
      await eventually('the service is there', () =>
        credentialsOf(client.bus, NETCFG).then(
          ({ pid }) => pid === child.pid,
          () => false,
        ),
      );
      client.close();
      return child;
    };
    const connect = async () => {
      const client = await NetcfgClient.open({ address: bus.address });
      const device = await client.create('d');
      await device.addAddress({ address: '10.20.0.2', prefix: 24, gateway: '10.20.0.1', ipv6: false });
      await device.setRemote('198.51.100.7');
      await device.setProperties({ layer: 3, mtu: 1_500, reroute4: true, reroute6: false });
      await device.addDns(['10.20.0.53'], []);
      await device.addRoutes([{ network: '10.23.0.0', prefix: 16, metric: -1, ipv6: false, exclude: true }]);
      await client.protectSocket('198.51.100.7', undefined);
      return { client, tun: await device.establish() };
    };

    const first = await start();
    const before = await connect();
    assert.match(ip('route show 10.23.0.0/16'), /via 192\.0\.2\.1/);
    assert.match(readFileSync(resolver, 'utf8'), /10\.20\.0\.53/);
    first.kill('SIGKILL');
    await once(first, 'exit');
    assert.match(ip('route show 198.51.100.7'), /via 192\.0\.2\.1/);
    before.tun.close();
    before.client.close();

    const second = await start();
    await eventually('the host is as it was', () => JSON.stringify(hostState()) === JSON.stringify(clean));
    assert.equal(readFileSync(resolver, 'utf8'), RESOLVER);

    const after = await connect();
    second.kill('SIGTERM');
    assert.deepEqual(await once(second, 'exit'), [0, null]);
    after.tun.close();
    after.client.close();
    await eventually('the host is as it was again', () => JSON.stringify(hostState()) === JSON.stringify(clean));
    assert.equal(readFileSync(resolver, 'utf8'), RESOLVER);
    await bus.close();
    rmSync(folder, { recursive: true });
  });
});
