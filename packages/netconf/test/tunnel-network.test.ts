import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { hostState, inNetworkNamespace, ip, makeHost, makeTun } from '@seikan/testkit';
import type { DesiredNetwork, RedirectGateway } from '#src/desired-network.js';
import { RouteNetlink } from '#src/netlink/route-netlink.js';
import { tableRule } from '#src/netlink/rule.js';
import { watchNetwork } from '#src/network-watch.js';
import { describeStep } from '#src/step.js';
import { NetworkSetupError, TunnelNetwork } from '#src/tunnel-network.js';

const redirect: RedirectGateway = {
  reroute: true,
  ipv4: true,
  ipv6: true,
  def1: true,
  local: 'never',
  blockLocal: true,
};

const full: DesiredNetwork = {
  device: 'tun0',
  mtu: 1400,
  txQueueLength: 333,
  addresses: [
    { address: '10.8.0.2', prefixLength: 32, peer: '10.8.0.1' },
    { address: 'fd00::2', prefixLength: 64 },
  ],
  gateway4: '10.8.0.1',
  remote: '198.51.100.7',
  redirect,
  routes: [
    { destination: '10.99.0.0', prefixLength: 24 },
    { destination: '10.98.0.0', prefixLength: 24, gateway: 'net_gateway', metric: 77 },
    { destination: '10.97.0.0', prefixLength: 24, gateway: '10.8.0.1' },
    { destination: '10.99.0.0', prefixLength: 24 },
    { destination: 'fd77::', prefixLength: 48 },
  ],
};

inNetworkNamespace(import.meta.filename, () => {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-netconf-'));
  const journalPath = join(folder, 'tun0.journal');
  let network: TunnelNetwork;
  let clean: string[];
  let tunIndex: number;

  before(async () => {
    makeHost();
    makeTun('tun0');
    tunIndex = Number(/^\d+/.exec(ip('link show tun0'))?.[0]);
    network = await TunnelNetwork.open({ journalPath });
    clean = hostState();
  });

  after(async () => {
    await network.close();
    rmSync(folder, { recursive: true });
  });

  test('redirect-gateway def1 block-local ipv6 gives the routes that OpenVPN 2.6.14 gives', async () => {
    const { results, warnings } = await network.apply(full);
    assert.deepEqual(warnings, []);
    assert.deepEqual(
      results.filter(({ outcome }) => outcome !== 'done').map(({ outcome, step }) => [outcome, step.kind]),
      [['existed', 'route']],
    );
    // Recorded from OpenVPN 2.6.14 with the same options on the same host, less what the host had before.
    assert.deepEqual(
      ip('route show')
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => !/proto kernel|^default|10.250|^$/.test(line)),
      [
        '0.0.0.0/1 via 10.8.0.1 dev tun0 linkdown',
        '10.97.0.0/24 via 10.8.0.1 dev tun0 linkdown',
        '10.98.0.0/24 via 192.0.2.1 dev e0 metric 77',
        '10.99.0.0/24 via 10.8.0.1 dev tun0 linkdown',
        '128.0.0.0/1 via 10.8.0.1 dev tun0 linkdown',
        '192.0.2.0/25 via 10.8.0.1 dev tun0 linkdown',
        '192.0.2.1 via 192.0.2.1 dev e0',
        '192.0.2.128/25 via 10.8.0.1 dev tun0 linkdown',
        '198.51.100.7 via 192.0.2.1 dev e0',
      ],
    );
    await network.undo();
    assert.deepEqual(hostState(), clean);
  });

  test('a second apply keeps what both want, makes the new, then takes back the old', async () => {
    await network.apply({ ...full, redirect: { ...redirect, blockLocal: false, ipv6: false } });
    const { results, undone } = await network.apply({
      ...full,
      mtu: 1_300,
      redirect: { ...redirect, blockLocal: false, ipv6: false },
      routes: [
        { destination: '10.99.0.0', prefixLength: 24 },
        { destination: '10.50.0.0', prefixLength: 16 },
        { destination: 'fd77::', prefixLength: 48, gateway: 'fd00::1' },
      ],
    });
    assert.deepEqual(
      results
        .filter(({ outcome }) => outcome !== 'kept')
        .map(({ outcome, step }) => `${outcome} ${describeStep(step)}`),
      [
        `done set mtu 1300 on link ${tunIndex}`,
        `done add route 10.50.0.0/16 via 10.8.0.1 link ${tunIndex}`,
        `done add route fd77::/48 via fd00::1 link ${tunIndex} metric 1024`,
      ],
    );
    assert.deepEqual(undone.steps.map(describeStep), [
      `add route fd77::/48 link ${tunIndex} metric 1024`,
      `add route 10.97.0.0/24 via 10.8.0.1 link ${tunIndex}`,
      'add route 10.98.0.0/24 via 192.0.2.1 link 3 metric 77',
    ]);
    assert.match(ip('link show tun0'), /mtu 1300 .* qlen 333/);
    assert.match(ip('-6 route show fd77::/48'), /^fd77::\/48 via fd00::1 dev tun0/);
    await network.undo();
    assert.deepEqual(hostState(), clean);
  });

  test('another address rebuilds the tunnel', async () => {
    await network.apply(full);
    const { results, undone } = await network.apply({
      ...full,
      addresses: [{ address: '10.8.0.6', prefixLength: 32, peer: '10.8.0.1' }],
    });
    assert.equal(
      results.some(({ outcome }) => outcome === 'kept'),
      false,
    );
    assert.equal(undone.steps.length > 10, true);
    assert.match(ip('addr show tun0'), /inet 10\.8\.0\.6 peer 10\.8\.0\.1\/32/);
    assert.match(ip('route get 10.99.0.1'), /via 10\.8\.0\.1 dev tun0 src 10\.8\.0\.6/);
    await network.undo();
    assert.deepEqual(hostState(), clean);
  });

  test('after the default route moved, a second apply moves the way to the server', async () => {
    await network.apply(full);
    ip('route del default via 192.0.2.1');
    const { undone } = await network.apply(full);
    assert.match(ip('route show 198.51.100.7'), /^198\.51\.100\.7 via 203\.0\.113\.1 dev e2/);
    assert.ok(undone.steps.some((step) => describeStep(step) === 'add route 198.51.100.7/32 via 192.0.2.1 link 3'));
    await network.undo();
    ip('route add default via 192.0.2.1 dev e0 metric 50');
    assert.deepEqual(hostState(), clean);
  });

  test('a route that the kernel refuses does not stop the others', async () => {
    const { results } = await network.apply({
      ...full,
      routes: [
        { destination: '10.1.0.0', prefixLength: 16, gateway: '172.31.0.1' },
        { destination: '10.2.0.0', prefixLength: 16 },
      ],
    });
    const [refused, made] = results.filter(({ step }) => step.kind === 'route' && step.purpose === 'route');
    assert.equal(refused?.outcome, 'failed');
    assert.match(
      String(refused?.error?.message),
      /^add route 10\.1\.0\.0\/16 via 172\.31\.0\.1: .*ENETUNREACH.*invalid gateway/,
    );
    assert.equal(made?.outcome, 'done');
    await network.undo();
    assert.deepEqual(hostState(), clean);
  });

  test('a tolerant tunnel goes on where an address is refused', async () => {
    const tolerant = await TunnelNetwork.open({ tolerant: true });
    const { results } = await tolerant.apply({
      device: 'tun0',
      addresses: [
        { address: '10.8.0.2', prefixLength: 99 },
        { address: 'fd00::2', prefixLength: 64 },
      ],
    });
    assert.deepEqual(
      results.map(({ outcome }) => outcome),
      ['done', 'failed', 'done'],
    );
    await tolerant.undo();
    await tolerant.close();
    assert.deepEqual(hostState(), clean);
  });

  test('a thousand routes come and go in a moment', async () => {
    const routes = Array.from({ length: 1_000 }, (_, n) => ({
      destination: `10.${n >> 8}.${n & 255}.0`,
      prefixLength: 24,
    }));
    const start = performance.now();
    await network.apply({ ...full, routes });
    await network.undo();
    assert.ok(performance.now() - start < 5_000);
    assert.deepEqual(hostState(), clean);
  });

  test('tells of changes: links, addresses, routes', async () => {
    const seen: string[] = [];
    const stop = watchNetwork((change) => {
      if (change.kind === 'lost') seen.push('lost');
      else if (change.kind === 'link') seen.push(`link ${change.link.name} ${change.link.mtu}`);
      else if (change.kind === 'address') seen.push(`address ${change.address.address} removed ${change.removed}`);
      else if (change.route.table === 254) seen.push(`route ${change.route.destination} removed ${change.removed}`);
    });
    ip('link set tun0 mtu 1280');
    ip('addr add 10.1.2.3/32 dev tun0');
    ip('route add 10.77.0.0/16 via 192.0.2.1');
    ip('route del 10.77.0.0/16');
    ip('addr del 10.1.2.3/32 dev tun0');
    ip('link set tun0 mtu 1500');
    const deadline = Date.now() + 5_000;
    while (!seen.includes('link tun0 1500') && Date.now() < deadline) await new Promise((next) => setTimeout(next, 5));
    stop();
    for (const expected of [
      'link tun0 1280',
      'address 10.1.2.3 removed false',
      'route 10.77.0.0 removed false',
      'route 10.77.0.0 removed true',
      'address 10.1.2.3 removed true',
      'link tun0 1500',
    ]) {
      assert.ok(seen.includes(expected), `${expected} in ${seen.join(', ')}`);
    }
    assert.deepEqual(hostState(), clean);
  });

  test('finds the route to a host, links and rules', async () => {
    const netlink = new RouteNetlink();
    const e0 = await netlink.link('e0');
    assert.deepEqual([e0?.name, e0?.kind, e0?.up], ['e0', 'veth', true]);
    assert.match(e0?.hardwareAddress ?? '', /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
    assert.equal(await netlink.link('nobody'), undefined);
    assert.equal((await netlink.routeTo('198.51.100.7'))?.gateway, '192.0.2.1');
    assert.equal((await netlink.routeTo('2001:db8:9::7'))?.gateway, '2001:db8::1');
    const rule = tableRule({ family: 4, table: 300, priority: 77, mark: 5, suppressPrefix: 0 });
    await netlink.addRule(rule);
    assert.match(ip('rule show'), /77:\s+from all fwmark 0x5 lookup 300 suppress_prefixlength 0/);
    await assert.rejects(netlink.addRule(rule), { code: 'EEXIST' });
    const found = (await netlink.rules(4)).find(({ priority }) => priority === 77);
    assert.deepEqual([found?.table, found?.mark, found?.suppressPrefix], [300, 5, 0]);
    await netlink.deleteRule(rule);
    await assert.rejects(netlink.deleteRule(rule), { code: 'ENOENT' });
    netlink.close();
    assert.deepEqual(hostState(), clean);
  });

  test('a device that does not take its MTU is an error, and nothing stays', async () => {
    await assert.rejects(network.apply({ ...full, mtu: 70_000 }), (error: NetworkSetupError) => {
      assert.ok(error instanceof NetworkSetupError);
      assert.match(error.message, /^cannot set mtu 70000 on link \d+$/);
      assert.match(String(error.cause), /EINVAL.*mtu/i);
      return true;
    });
    assert.deepEqual(hostState(), clean);
  });
});
