/** Random wishes of a tunnel on the host of `makeHost`: few distinct values, so that they meet each other and the host's. */
import { type Arbitrary, array, boolean, constantFrom, option, record } from 'fast-check';

import type { DesiredAddress, DesiredNetwork, DesiredRoute } from '#src/desired-network.js';

const ADDRESSES: readonly DesiredAddress[] = [
  { address: '10.8.0.2', prefixLength: 24, broadcast: '10.8.0.255' },
  { address: '10.8.0.3', prefixLength: 24 },
  { address: '10.8.0.2', prefixLength: 32, peer: '10.8.0.1' },
  { address: '192.0.2.10', prefixLength: 24 },
  { address: 'fd00::2', prefixLength: 64 },
  { address: 'fd00:1::2', prefixLength: 112 },
];

const DESTINATIONS: readonly (readonly [destination: string, prefixLength: number])[] = [
  ['10.99.0.0', 24],
  ['10.99.0.7', 24],
  ['10.250.0.0', 16],
  ['192.0.2.0', 24],
  ['192.0.2.128', 25],
  ['198.51.100.0', 24],
  ['0.0.0.0', 0],
  ['remote_host', 32],
  ['fd77::', 48],
  ['2001:db8::', 64],
  ['2001:db8:9::', 48],
  ['::', 0],
];

const route: Arbitrary<DesiredRoute> = record(
  {
    destination: constantFrom(...DESTINATIONS),
    gateway: constantFrom(
      'vpn_gateway',
      'net_gateway',
      'remote_host',
      '10.8.0.1',
      '192.0.2.77',
      '172.31.0.1',
      'fd00::1',
      '2001:db8::77',
    ),
    metric: constantFrom(0, 50, 77, 200),
    table: constantFrom(0, 254, 300),
    exclude: boolean(),
  },
  { requiredKeys: ['destination'] },
).map(({ destination: [destination, prefixLength], ...rest }) => Object.assign(rest, { destination, prefixLength }));

export const desiredNetwork: Arbitrary<DesiredNetwork> = record(
  {
    device: constantFrom('tun0', 'tun1'),
    mtu: constantFrom(1_280, 1_400, 1_500),
    txQueueLength: constantFrom(100, 500),
    addresses: array(constantFrom(...ADDRESSES), { maxLength: 3 }),
    gateway4: constantFrom('10.8.0.1', '10.8.0.9', '203.0.113.1'),
    gateway6: constantFrom('fd00::1', 'fd00::9'),
    routes: array(route, { maxLength: 6 }),
    remote: constantFrom('198.51.100.7', '192.0.2.20', '203.0.113.5', '2001:db8:9::7', '2001:db8::20', '10.8.0.1'),
    redirect: record({
      reroute: boolean(),
      ipv4: boolean(),
      ipv6: boolean(),
      def1: boolean(),
      local: constantFrom('never', 'auto', 'always'),
      blockLocal: boolean(),
    }),
    bypass: array(constantFrom('192.0.2.53', '9.9.9.9'), { maxLength: 2 }),
    ignoreDevices: constantFrom(['tun1'], []),
  },
  { requiredKeys: [] },
);

/** One thing that happens to a tunnel; `crash` loses the process' memory, the journal stays. */
export type Happening =
  | { readonly kind: 'apply'; readonly desired: DesiredNetwork }
  | { readonly kind: 'undo' }
  | { readonly kind: 'crash' };

export const happenings: Arbitrary<readonly Happening[]> = array(
  option(desiredNetwork, { freq: 3 }).chain((desired) =>
    desired === null
      ? constantFrom<Happening>({ kind: 'undo' }, { kind: 'crash' })
      : constantFrom<Happening>({ kind: 'apply', desired }),
  ),
  { minLength: 1, maxLength: 5 },
);
