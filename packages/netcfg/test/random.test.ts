import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { DbusError } from '@seikan/dbus';
import { type Descriptor, UdpSocket } from '@seikan/native';
import { kernelDco, NETCFG, type NetcfgClient, type RemoteDevice } from '@seikan/netcfg';
import { hostState, inNetworkNamespace, makeHost } from '@seikan/testkit';
import {
  type Arbitrary,
  array,
  asyncProperty,
  boolean,
  assert as check,
  constant,
  constantFrom,
  nat,
  oneof,
  record,
} from 'fast-check';

import { Bench, eventually } from './bench.js';
import { FakeKernel } from './fake-kernel.js';

const RANDOM_RUNS = process.env['SEIKAN_LONG'] === undefined ? 20 : 300;
const CALLERS = 3;
const RESOLVER = 'nameserver 192.0.2.53\nsearch lan.example\n';

const small = nat({ max: 3 });
const happening = record({
  caller: nat({ max: CALLERS - 1 }),
  device: nat({ max: 2 }),
  /** Whether the next happening waits for this one's answer. */
  wait: boolean(),
  what: oneof(
    record({ kind: constantFrom('create' as const, 'create' as const) }),
    record({ kind: constant('address' as const), net: small, prefix: constantFrom(24, 32, 30, 99) }),
    record({ kind: constant('address6' as const), net: small }),
    record({
      kind: constant('route' as const),
      net: small,
      exclude: boolean(),
      metric: constantFrom(-1, 0, 70),
    }),
    record({ kind: constant('remote' as const) }),
    record({
      kind: constant('properties' as const),
      layer: constantFrom(3, 3, 3, 2, 7),
      reroute: boolean(),
    }),
    record({ kind: constant('dns' as const), net: small }),
    { weight: 5, arbitrary: record({ kind: constant('establish' as const) }) },
    record({ kind: constantFrom('disable', 'clear', 'destroy', 'cleanup') }),
    record({ kind: constant('offload' as const) }),
    record({ kind: constant('protect' as const), net: small }),
    record({ kind: constantFrom('die' as const) }),
    record({ kind: constantFrom('closeTun' as const) }),
  ),
});
type Happening = typeof happening extends Arbitrary<infer T> ? T : never;

let established = 0;
let offloaded = 0;

/** 198.51.100.7, port 1194, as a sockaddr_in. */
const PEER_ADDRESS = Buffer.from('020004aac63364070000000000000000', 'hex').toString('base64');

/** A client with what it holds. It goes on after a refusal, as a careless one would. */
class Careless {
  readonly client: NetcfgClient;
  readonly number: number;
  readonly devices = new Map<number, RemoteDevice>();
  readonly tuns: Descriptor[] = [];

  constructor(client: NetcfgClient, number: number) {
    this.client = client;
    this.number = number;
  }

  async act({ device: number, what }: Happening): Promise<void> {
    try {
      await this.#act(number, what);
    } catch (error) {
      // Refusals, calls that were under way when it died, and what the client itself says of a missing tun.
      if (!(error instanceof DbusError)) throw error;
    }
  }

  async #act(number: number, what: Happening['what']): Promise<void> {
    if (what.kind === 'create') {
      // Most of them could be established at once.
      const device = await this.client.create(`c${this.number}d${number}`);
      this.devices.set(number, device);
      await device.setRemote('198.51.100.7');
      await device.setProperties({ layer: 3, mtu: 1_500, reroute4: false, reroute6: false });
      return;
    }
    if (what.kind === 'cleanup') return this.client.cleanUp();
    if (what.kind === 'protect') return this.client.protectSocket(`198.51.100.${what.net}`, undefined);
    if (what.kind === 'closeTun') return this.tuns.shift()?.close();
    if (what.kind === 'establish' && !this.devices.has(number)) await this.#act(number, { kind: 'create' });
    const device = this.devices.get(number);
    if (device === undefined) return;
    switch (what.kind) {
      case 'address':
        return device.addAddress({
          address: `10.2${what.net}.0.2`,
          prefix: what.prefix,
          gateway: `10.2${what.net}.0.1`,
          ipv6: false,
        });
      case 'address6':
        return device.addAddress({
          address: `fd2${what.net}::2`,
          prefix: 64,
          gateway: `fd2${what.net}::1`,
          ipv6: true,
        });
      case 'route': {
        const { metric, exclude, net } = what;
        return device.addRoutes([
          { network: `10.4${net}.0.0`, prefix: 16, metric, ipv6: false, exclude },
          { network: `fd4${net}::`, prefix: 32, metric, ipv6: true, exclude },
        ]);
      }
      case 'remote':
        return device.setRemote('198.51.100.7');
      case 'properties':
        return device.setProperties({ layer: what.layer, mtu: 1_400, reroute4: what.reroute, reroute6: what.reroute });
      case 'dns':
        return device.addDns([`10.2${what.net}.0.53`], [`n${what.net}.example`]);
      case 'offload':
        return this.#offload(device);
      case 'establish':
        this.tuns.push(await device.establish());
        established++;
        return;
      case 'disable':
        return device.disable();
      case 'clear':
        return device.clearConfig();
      case 'destroy':
        return device.destroy();
      default:
    }
  }

  /** A kernel device with its object, its pipe, and a peer over a socket of ours. */
  async #offload(device: RemoteDevice): Promise<void> {
    const { bus } = this.client;
    const target = { destination: NETCFG, interface: NETCFG };
    const enabled = await bus.call({
      ...target,
      path: device.path,
      member: 'EnableDCO',
      signature: 's',
      body: ['tun'],
      returns: 'o',
    });
    const [path] = enabled.body;
    const { descriptors } = await bus.call({ ...target, path, member: 'GetPipeFD', takesDescriptors: true });
    this.tuns.push(...descriptors);
    await bus.call({
      ...target,
      path,
      member: 'NewPeer',
      signature: 'ususs',
      body: [1, PEER_ADDRESS, 16, '', ''],
      descriptors: [UdpSocket.open({ family: 4 }).descriptor],
    });
    offloaded++;
  }

  die(): void {
    this.client.close();
    for (const tun of this.tuns.splice(0)) tun.close();
  }
}

inNetworkNamespace(import.meta.filename, () => {
  test('whatever several clients call, and whenever they die, the host is as it was', async () => {
    makeHost();
    const folder = mkdtempSync(join(tmpdir(), 'seikan-netcfg-random-'));
    const resolver = join(folder, 'resolv.conf');
    writeFileSync(resolver, RESOLVER);
    const kernel = new FakeKernel();
    const bench = await Bench.open(['--resolv-conf', resolver], { port: kernelDco(kernel) });
    const clean = hostState();
    const open = readdirSync('/proc/self/fd').length;
    await check(
      asyncProperty(array(happening, { minLength: 20, maxLength: 80 }), async (happenings) => {
        const callers: Careless[] = [];
        const dead: Careless[] = [];
        for (let i = 0; i < CALLERS; i++) callers.push(new Careless(await bench.client(), i));
        const underWay: Promise<void>[] = [];
        for (const one of happenings) {
          const caller = callers[one.caller];
          if (caller === undefined) continue;
          if (one.what.kind === 'die') {
            caller.die();
            dead.push(caller);
            callers[one.caller] = new Careless(await bench.client(), one.caller);
            continue;
          }
          const done = caller.act(one);
          underWay.push(done);
          if (one.wait) await done;
        }
        for (const caller of callers) caller.die();
        await Promise.all(underWay);
        // Tuns that arrived after the death.
        for (const caller of [...callers, ...dead]) caller.die();
        await eventually('the host is as it was', () => JSON.stringify(hostState()) === JSON.stringify(clean)).catch(
          () => assert.deepEqual(hostState(), clean),
        );
        await eventually('resolv.conf is as it was', () => readFileSync(resolver, 'utf8') === RESOLVER);
        await eventually('no kernel device is left', () => kernel.taken.size === 0);
        await eventually('no descriptor is left', () => readdirSync('/proc/self/fd').length <= open);
      }),
      { numRuns: RANDOM_RUNS, interruptAfterTimeLimit: 40_000, endOnFailure: true },
    );
    assert.ok(established >= 5, `only ${established} tunnels came up`);
    assert.ok(offloaded > 0, 'no offload was tried');
    await bench.close();
    rmSync(folder, { recursive: true });
    const errors = bench.logLines.filter((line) => /Failed to undo|could not be (removed|taken back)/.test(line));
    assert.deepEqual(errors, []);
  });
});
