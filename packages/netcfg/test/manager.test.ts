/** What a bus cannot show with one user: two whose processes have the same number, as those of foreign pid namespaces have. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { Connection } from '@seikan/dbus';
import { noDco } from '@seikan/netcfg';
import { inNetworkNamespace, ip, makeHost, type PrivateBus, startBus } from '@seikan/testkit';

import type { Caller } from '#src/callers.js';
import { DnsService } from '#src/dns-service.js';
import { HostNetwork } from '#src/host-network.js';
import { Manager } from '#src/manager.js';
import { NetworkChanges } from '#src/network-changes.js';
import { ServiceLog } from '#src/service-log.js';

inNetworkNamespace(import.meta.filename, () => {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-manager-'));
  let daemon: PrivateBus;
  let bus: Connection;
  let network: HostNetwork;
  let manager: Manager;
  const lines: string[] = [];
  const protect = (caller: Caller, remote: string) =>
    manager.protectSocket(caller, { remote, ipv6: false, devicePath: '/' }, undefined);

  before(async () => {
    makeHost();
    daemon = await startBus();
    bus = await Connection.open({ address: daemon.address });
    ({ network } = await HostNetwork.open({ stateFolder: folder, failed: (error) => assert.ifError(error) }));
    manager = new Manager({
      network,
      dns: new DnsService(undefined),
      changes: new NetworkChanges(bus),
      log: new ServiceLog({ bus, write: (line) => void lines.push(line) }),
      logLevel: 6,
      method: 'host-route',
      mark: undefined,
      dco: noDco,
      exported: () => {},
      unexported: () => {},
    });
  });

  after(async () => {
    await manager.close();
    await network.close();
    bus.close();
    await daemon.close();
    rmSync(folder, { recursive: true });
    ip('link del e0');
  });

  test('the process number alone makes nothing another user’s', async () => {
    const ada: Caller = { name: ':1.100', uid: 1_000, pid: 0 };
    const eve: Caller = { name: ':1.200', uid: 1_001, pid: 0 };
    const device = manager.createDevice(ada, 'work');
    manager.createDevice(eve, 'evil');
    await protect(ada, '198.51.100.1');
    await protect(eve, '198.51.100.2');
    assert.match(ip('route show 198.51.100.1'), /via 192\.0\.2\.1/);

    await manager.cleanUp(eve);
    assert.deepEqual(manager.devicesOf(eve.uid), []);
    assert.deepEqual(manager.devicesOf(ada.uid), [device.path]);
    assert.match(ip('route show 198.51.100.1'), /via 192\.0\.2\.1/);
    assert.equal(ip('route show 198.51.100.2'), '');
  });

  test('control characters reach neither names nor the log, also those that only old terminals know', async () => {
    const ada: Caller = { name: ':1.400', uid: 1_000, pid: 400 };
    lines.length = 0;
    assert.match(manager.createDevice(ada, 'x\u001b1m\u009b2my').path, /\/400_x1m2my$/);
    await protect(ada, 'server\u009b31m\n.example');
    assert.match(lines.join(''), /remote 'server31m\.example'/);
    await manager.cleanUp(ada);
  });

  test('a route that cannot be taken back from who vanished is logged, and the service goes on', async ({ mock }) => {
    const ada: Caller = { name: ':1.300', uid: 1_000, pid: 300 };
    await protect(ada, '198.51.100.3');
    const broken = mock.method(network, 'release', () => Promise.reject(new Error('the disk is full')));
    await manager.handleVanished(ada);
    broken.mock.restore();
    assert.ok(lines.some((line) => /ERROR .*PID 300 could not be removed: the disk is full/.test(line)));
    assert.match(ip('route show 198.51.100.3'), /via/);
    ip('route del 198.51.100.3');
  });
});
