import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { hostState, inNetworkNamespace, ip, makeHost, makeTun } from '@seikan/testkit';
import { asyncProperty, assert as check } from 'fast-check';
import type { DesiredNetwork } from '#src/desired-network.js';
import { journalPathOf } from '#src/journal.js';
import { RouteNetlink } from '#src/netlink/route-netlink.js';
import { NetworkSetupError, recoverNetworks, TunnelNetwork } from '#src/tunnel-network.js';

import { happenings } from './random-network.js';

/** Runs of a property test. */
const RANDOM_RUNS = process.env['SEIKAN_LONG'] === undefined ? 40 : 600;

const redirectAll: DesiredNetwork = {
  device: 'tun0',
  mtu: 1_400,
  addresses: [
    { address: '10.8.0.2', prefixLength: 24 },
    { address: 'fd00::2', prefixLength: 64 },
  ],
  gateway4: '10.8.0.1',
  remote: '198.51.100.7',
  redirect: { reroute: true, ipv4: true, ipv6: true, def1: false, local: 'never', blockLocal: false },
  routes: [{ destination: '10.99.0.0', prefixLength: 24 }],
};

inNetworkNamespace(import.meta.filename, () => {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-netconf-'));
  let netlink: RouteNetlink;
  let clean: string[];

  before(() => {
    makeHost();
    makeTun('tun0');
    makeTun('tun1');
    netlink = new RouteNetlink();
    clean = hostState();
  });

  after(() => {
    netlink.close();
    rmSync(folder, { recursive: true });
  });

  test('random sequences of applying, changing, undoing and crashing', async () => {
    const options = { netlink, journalPath: join(folder, 'random.journal') };
    await check(
      asyncProperty(happenings, async (sequence) => {
        let network = await TunnelNetwork.open(options);
        for (const happening of sequence) {
          if (happening.kind === 'undo') assert.deepEqual((await network.undo()).failures, []);
          else if (happening.kind === 'crash') {
            await network.close();
            network = await TunnelNetwork.open(options);
            assert.deepEqual(network.recovered.failures, []);
            assert.deepEqual(hostState(), clean);
          } else {
            await network.apply(happening.desired).catch((error: unknown) => {
              if (!(error instanceof NetworkSetupError)) throw error;
            });
          }
        }
        assert.deepEqual((await network.undo()).failures, []);
        assert.deepEqual(hostState(), clean);
        await network.close();
      }),
      // A failure leaves the host changed: shrinking would compare with that.
      { numRuns: RANDOM_RUNS, endOnFailure: true, includeErrorInReport: true },
    );
  });

  test('killed at any change, on the way up or down, the next start takes back the rest', async () => {
    const journalPath = join(folder, 'killed.journal');
    const program = fileURLToPath(new URL('doomed-tunnel.js', import.meta.url));
    // 12 changes up (mtu, up, 2 addresses, host route, default route out and in, a route, 4 for IPv6) and 12 down.
    for (const [number, moment] of [
      [1, 'after'],
      [4, 'before'],
      [6, 'after'],
      [7, 'before'],
      [7, 'after'],
      [12, 'after'],
      [15, 'after'],
      [19, 'before'],
      [20, 'after'],
    ] as const) {
      const killed = spawnSync(process.execPath, [
        program,
        journalPath,
        JSON.stringify(redirectAll),
        String(number),
        moment,
      ]);
      assert.equal(killed.signal, 'SIGKILL', killed.stderr.toString());
      const network = await TunnelNetwork.open({ netlink, journalPath });
      assert.deepEqual(network.recovered.failures, []);
      assert.ok(network.recovered.steps.length > 0);
      assert.deepEqual(hostState(), clean, `killed ${moment} change ${number}`);
      assert.equal(existsSync(journalPath), false);
      await network.close();
    }
  });

  test('a service that starts takes back what all dead tunnels left, and leaves the others alone', async () => {
    const journals = join(folder, 'journals');
    const program = fileURLToPath(new URL('doomed-tunnel.js', import.meta.url));
    const ours = await TunnelNetwork.open({ netlink, journalPath: await journalPathOf('tun1', journals) });
    await ours.apply({ ...redirectAll, device: 'tun1', redirect: undefined, remote: undefined });
    const before = hostState();
    const plainRoute = { routes: [{ destination: '10.77.0.0', prefixLength: 16, gateway: '192.0.2.77' }] };
    for (const [name, desired, changes] of [
      ['tun0', redirectAll, '9'],
      ['tun7', plainRoute, '1'],
    ] as const) {
      const args = [program, await journalPathOf(name, journals), JSON.stringify(desired), changes, 'after'];
      assert.equal(spawnSync(process.execPath, args).signal, 'SIGKILL');
    }
    await ours.close();
    const recover = `import { recoverNetworks } from ${JSON.stringify(new URL('../dist/tunnel-network.js', import.meta.url).href)};
      console.log((await recoverNetworks(${JSON.stringify(journals)})).map(({ steps }) => steps.length).join(' '));`;
    const other = spawnSync(process.execPath, ['--input-type=module', '-e', recover], { encoding: 'utf8' });
    // The newest first.
    assert.equal(other.stdout, '1 9\n', other.stderr);
    assert.deepEqual(hostState(), before);
    const again = await TunnelNetwork.open({ netlink, journalPath: await journalPathOf('tun1', journals) });
    assert.ok(again.recovered.steps.length > 0);
    assert.deepEqual(hostState(), clean);
    await again.close();
    assert.deepEqual(readdirSync(journals), []);
    await recoverNetworks(join(folder, 'no such folder'));
  });

  test('the default route comes back with its metric', async () => {
    const network = await TunnelNetwork.open({ netlink });
    await network.apply(redirectAll);
    assert.match(
      ip('route show default'),
      /^default via 10\.8\.0\.1 dev tun0.*\ndefault via 203\.0\.113\.1 dev e2 metric 500/,
    );
    await network.undo();
    assert.match(ip('route show default'), /^default via 192\.0\.2\.1 dev e0 metric 50/);
    assert.deepEqual(hostState(), clean);
  });

  test('a route that the host had is left to it', async () => {
    ip('route add 10.99.0.0/24 via 203.0.113.77');
    ip('-6 route add fd77::/48 via 2001:db8::77');
    const before = hostState();
    const network = await TunnelNetwork.open({ netlink });
    const { results } = await network.apply({
      routes: [
        { destination: '10.99.0.0', prefixLength: 24, gateway: '203.0.113.77' },
        { destination: 'fd77::', prefixLength: 48, gateway: '2001:db8::1' },
      ],
    });
    assert.deepEqual(
      results.map(({ outcome }) => outcome),
      ['existed', 'existed'],
    );
    assert.deepEqual(hostState(), before);
    await network.undo();
    assert.deepEqual(hostState(), before);
    ip('route del 10.99.0.0/24');
    ip('-6 route del fd77::/48');
  });

  test('a device that vanishes takes its part along; the bypass goes with the undo', async () => {
    const network = await TunnelNetwork.open({ netlink });
    makeTun('tun9');
    await network.apply({ ...redirectAll, device: 'tun9' });
    ip('link del tun9');
    const { failures } = await network.undo();
    assert.deepEqual(failures, []);
    assert.deepEqual(hostState(), clean);
  });

  test('a route that somebody removed is not removed from somebody else', async () => {
    const network = await TunnelNetwork.open({ netlink });
    await network.apply({ routes: [{ destination: '10.99.0.0', prefixLength: 24, gateway: '192.0.2.77' }] });
    ip('route del 10.99.0.0/24');
    ip('route add 10.99.0.0/24 via 192.0.2.77 metric 9');
    const others = hostState();
    await network.undo();
    assert.deepEqual(hostState(), others);
    ip('route del 10.99.0.0/24');
  });

  test('a full disk under the journal stops neither changes nor their undoing', async () => {
    const disk = join(folder, 'disk');
    const journalPath = join(disk, 'tun0.journal');
    const first = await TunnelNetwork.open({ netlink, journalPath });
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'none', disk]);
    await first.apply({ ...redirectAll, routes: [] });
    writeFileSync(join(disk, 'filler'), new Uint8Array(0));
    assert.throws(() => writeFileSync(join(disk, 'filler'), new Uint8Array(1 << 20)), { code: 'ENOSPC' });
    const manyRoutes = Array.from({ length: 90 }, (_, n) => ({ destination: `10.${n}.0.0`, prefixLength: 16 }));
    await assert.rejects(first.apply({ ...redirectAll, routes: manyRoutes }), { code: 'ENOSPC' });
    assert.deepEqual((await first.undo()).failures, []);
    assert.deepEqual(hostState(), clean);
    await first.close();
    spawnSync('umount', [disk]);
  });
});
