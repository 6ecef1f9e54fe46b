/**
 * One script of D-Bus calls, made by the service's user with our own D-Bus layer from inside the tree, and everything
 * that comes of it: replies, errors, signals to a subscriber, the kernel's state. The script is data; it is run against
 * both services and the records are compared.
 *
 *     node scripted-calls.js      prints {"records":[…]} ; runs inside a tree
 */
import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';

import { Connection, DbusError, type DbusValue, type Variant } from '@seikan/dbus';
import type { Descriptor } from '@seikan/native';

const NAME = 'net.openvpn.v3.netcfg';
const ROOT = '/net/openvpn/v3/netcfg';
/** The last version whose AddNetworks takes no metrics. */
const LAST_WITHOUT_METRIC = 25;
const PROPERTIES = 'org.freedesktop.DBus.Properties';

export interface Record {
  readonly what: string;
  /** `ok` and the values, with the number of descriptors; or the error's name and text. */
  readonly answer: string;
}

/** Lines of what the service said to a subscriber of everything, and of the kernel. */
export interface Transcript {
  readonly records: readonly Record[];
  readonly changes: readonly string[];
}

type Step =
  | { readonly call: string; readonly on?: string; readonly signature?: string; readonly body?: readonly DbusValue[] }
  | { readonly get: string; readonly on?: string }
  | { readonly getAll: true; readonly on?: string }
  | { readonly set: string; readonly value: Variant; readonly on?: string }
  /** AddNetworks, in the form that the service's version takes. */
  | { readonly networks: readonly Network[]; readonly on?: string }
  | { readonly kernel: string };
type Network = readonly [network: string, prefix: number, ipv6: boolean, exclude: boolean];

const dev = 'device';
const u = (value: number): Variant => ({ signature: 'u', value });
const q = (value: number): Variant => ({ signature: 'q', value });
const s = (value: string): Variant => ({ signature: 's', value });
const b = (value: boolean): Variant => ({ signature: 'b', value });

/** `on: device` is the path that the last CreateVirtualInterface gave. What the original crashes on is not here. */
export const SCRIPT: readonly Step[] = [
  { get: 'version' },
  { get: 'config_file' },
  { get: 'log_level' },
  { get: 'global_dns_servers' },
  { get: 'nonsense' },
  { set: 'version', value: s('x') },
  { set: 'log_level', value: s('x') },
  { set: 'log_level', value: u(5) },
  { get: 'log_level' },
  { call: 'DcoAvailable' },
  { call: 'NotificationSubscribe', signature: 'u', body: [0] },
  { call: 'NotificationSubscribe', signature: 'u', body: [65_536] },
  { call: 'NotificationSubscribe', signature: 's', body: ['x'] },
  { call: 'NotificationSubscribe', signature: 'u', body: [2_047] },
  { call: 'CreateVirtualInterface', signature: 's', body: ['a-b'] },
  { call: 'CreateVirtualInterface', signature: 's', body: ['a b'] },
  { call: 'CreateVirtualInterface', signature: 'u', body: [1] },
  { call: 'CreateVirtualInterface', signature: 's', body: ['est0'] },
  { getAll: true, on: dev },
  { set: 'mtu', value: u(1_400), on: dev },
  { set: 'mtu', value: q(1_420), on: dev },
  { set: 'txqueuelen', value: q(77), on: dev },
  { set: 'layer', value: u(3), on: dev },
  { set: 'reroute_ipv4', value: b(true), on: dev },
  { set: 'owner', value: u(1), on: dev },
  { set: 'dns_scope', value: s('nonsense'), on: dev },
  { set: 'dns_scope', value: s('global'), on: dev },
  { call: 'AddIPAddress', signature: 'susb', body: ['10.19.0.2', 24, '10.19.0.1', false], on: dev },
  { call: 'AddIPAddress', signature: 'susb', body: ['10.20.0.2', 24, '10.20.0.1', false], on: dev },
  { call: 'AddIPAddress', signature: 'susb', body: ['fd20::2', 64, 'fd20::1', true], on: dev },
  { call: 'AddIPAddress', signature: 'ss', body: ['1', '2'], on: dev },
  {
    networks: [
      ['10.21.5.0', 24, false, false],
      ['fd21::', 48, true, false],
      ['10.23.0.0', 16, false, true],
    ],
    on: dev,
  },
  { call: 'AddNetworks', signature: 'a(sub)', body: [[]], on: dev },
  { call: 'AddDNS', signature: 'as', body: [['10.20.0.1', '10.20.0.1', 'fd20::1']], on: dev },
  { call: 'AddDNSSearch', signature: 'as', body: [['corp.example']], on: dev },
  { call: 'SetDNSSEC', signature: 's', body: ['nonsense'], on: dev },
  { call: 'SetDNSSEC', signature: 's', body: ['optional'], on: dev },
  { call: 'SetDNSTransport', signature: 's', body: ['unset'], on: dev },
  { call: 'SetDNSTransport', signature: 's', body: ['plain'], on: dev },
  { call: 'EnableDCO', signature: 's', body: ['tun'], on: dev },
  { call: 'SetRemoteAddress', signature: 'sb', body: ['198.51.100.1', false], on: dev },
  { getAll: true, on: dev },
  { get: 'global_dns_servers' },
  { get: 'global_dns_search' },
  { call: 'ProtectSocket', signature: 'sbo', body: ['nonsense', false, '/'] },
  { call: 'ProtectSocket', signature: 'sbo', body: ['198.51.100.1', false, '/'] },
  { call: 'Establish', on: dev },
  { kernel: 'addr show' },
  { kernel: '-4 route show' },
  { kernel: '-6 route show' },
  { get: 'device_name', on: dev },
  { call: 'Disable', on: dev },
  { kernel: '-4 route show' },
  { getAll: true, on: dev },
  { call: 'AddDNS', signature: 'as', body: [['10.20.0.1']], on: dev },
  { call: 'Establish', on: dev },
  { kernel: '-4 route show' },
  { call: 'Destroy', on: dev },
  { call: 'Destroy', on: dev },
  { get: 'mtu', on: dev },
  { call: 'Cleanup' },
  { kernel: '-4 route show' },
  { kernel: '-6 route show' },
  { call: 'NotificationUnsubscribe', signature: 's', body: [''] },
  { call: 'NotificationUnsubscribe', signature: 's', body: [''] },
];

export async function runScript(): Promise<Transcript> {
  const bus = await Connection.open();
  const changes: string[] = [];
  await bus.signals.subscribe({ interface: NAME, member: 'NetworkChange' }, ({ path, body }) => {
    const [type, device, details] = body as unknown as [number, string, ReadonlyMap<string, string>];
    const known = [...details].toSorted(([one], [other]) => one.localeCompare(other));
    changes.push(plain(`${path} ${type} ${device} ${known.map(([key, value]) => `${key}=${value}`).join(' ')}`));
  });
  const metrics = (await whenUp(bus)) > LAST_WITHOUT_METRIC;
  const records: Record[] = [];
  const tuns: Descriptor[] = [];
  let device = '/';
  for (const step of SCRIPT) {
    const { what, run } = act(step, bus, { device, metrics });
    try {
      const { body, descriptors } = await run();
      tuns.push(...descriptors);
      if ('call' in step && step.call === 'CreateVirtualInterface') device = body[0] as string;
      const count = descriptors.length === 0 ? '' : ` and ${descriptors.length} descriptors`;
      records.push({ what, answer: plain(`ok ${show(body)}${count}`) });
    } catch (error) {
      if (!(error instanceof DbusError)) throw error;
      records.push({ what, answer: plain(`${error.errorName}: ${error.message.trim()}`) });
    }
    // As clients do: the tun goes with the tunnel.
    if ('call' in step && (step.call === 'Disable' || step.call === 'Destroy')) {
      for (const tun of tuns.splice(0)) tun.close();
    }
  }
  bus.close();
  return { records, changes };
}

interface Result {
  readonly body: readonly DbusValue[];
  readonly descriptors: readonly Descriptor[];
}

function act(
  step: Step,
  bus: Connection,
  { device, metrics }: { device: string; metrics: boolean },
): { what: string; run: () => Promise<Result> } {
  if ('networks' in step) {
    const { networks } = step;
    const body = metrics ? networks.map(([net, prefix, ...flags]) => [net, prefix, -1, ...flags]) : networks;
    const signature = metrics ? 'a(suibb)' : 'a(subb)';
    const { run } = act({ call: 'AddNetworks', signature, body: [body], on: dev }, bus, { device, metrics });
    return { what: `${dev} AddNetworks ${show(networks)}`, run };
  }
  if ('kernel' in step) {
    const run = () => Promise.resolve({ body: kernelLines(step.kernel), descriptors: [] });
    return { what: `ip ${step.kernel}`, run };
  }
  const path = step.on === undefined ? ROOT : device;
  const call = (target: string, member: string, signature: string, body: readonly DbusValue[]): Promise<Result> =>
    bus.call<string>({
      destination: NAME,
      path,
      interface: target,
      member,
      signature,
      body,
      takesDescriptors: true,
    });
  const where = step.on ?? 'manager';
  if ('get' in step)
    return { what: `${where} get ${step.get}`, run: () => call(PROPERTIES, 'Get', 'ss', [NAME, step.get]) };
  if ('getAll' in step) return { what: `${where} get all`, run: () => call(PROPERTIES, 'GetAll', 's', [NAME]) };
  if ('set' in step) {
    const { value } = step;
    const what = `${where} set ${step.set} ${value.signature} ${show(value.value)}`;
    return { what, run: () => call(PROPERTIES, 'Set', 'ssv', [NAME, step.set, value]) };
  }
  const { signature = '', body = [] } = step;
  return {
    what: `${where} ${step.call} (${signature}) ${show(body)}`,
    run: () => call(NAME, step.call, signature, body),
  };
}

/** The original is on the bus a moment before its object is. Resolves to the number of its version. */
export async function whenUp(bus: Connection): Promise<number> {
  for (let tries = 0; ; tries++) {
    try {
      const target = { destination: NAME, path: ROOT, interface: PROPERTIES, member: 'Get' };
      const { body } = await bus.call({ ...target, signature: 'ss', body: [NAME, 'version'], returns: 'v' });
      return Number.parseInt(show(body[0].value).slice(2), 10);
    } catch (error) {
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function kernelLines(words: string): string[] {
  const text = execFileSync('ip', ['-o', ...words.split(' ')], { encoding: 'utf8' });
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.includes('fe80:') && !line.includes('ff00::'))
    .map((line) =>
      line
        .replaceAll(/^\d+: |\\.*$|(valid|preferred)_lft \S+|tentative|linkdown|pref medium|\s+$/g, '')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    )
    .toSorted();
}

/** Process ids and bus names differ from run to run. */
function plain(text: string): string {
  return text.replaceAll(/netcfg\/\d+_/g, 'netcfg/PID_').replaceAll(/:1\.\d+/g, ':1.N');
}

function show(value: unknown): string {
  return JSON.stringify(value, (_key, one: unknown) =>
    one instanceof Map
      ? Object.fromEntries([...one].toSorted(([a], [b_]) => String(a).localeCompare(String(b_))))
      : one,
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  process.stdout.write(JSON.stringify(await runScript()));
}
