/** What the kernel's network looks like, by iproute2, without what differs between two equal states. */
import type { World } from './world.js';

export interface KernelPicture {
  readonly links: readonly string[];
  readonly addresses: readonly string[];
  readonly routes: readonly string[];
  readonly rules: readonly string[];
}

interface LinkRecord {
  readonly ifname: string;
  readonly mtu: number;
  readonly txqlen: number;
  readonly flags: readonly string[];
  readonly addr_info?: readonly AddressRecord[];
}

interface AddressRecord {
  readonly local?: string;
  readonly prefixlen?: number;
  readonly broadcast?: string;
  readonly scope?: string;
  readonly address?: string;
}

type RouteRecord = Readonly<Record<string, unknown>>;

export async function kernelPicture(world: World): Promise<KernelPicture> {
  const links = (await world.ip('addr show')) as LinkRecord[];
  const routes = [
    ...((await world.ip('-4 route show table all')) as RouteRecord[]),
    ...((await world.ip('-6 route show table all')) as RouteRecord[]),
  ];
  const rules = [
    ...((await world.ip('-4 rule show')) as RouteRecord[]),
    ...((await world.ip('-6 rule show')) as RouteRecord[]),
  ];
  return {
    links: links.map(({ ifname, mtu, txqlen, flags }) => `${ifname} mtu ${mtu} qlen ${txqlen} ${up(flags)}`),
    addresses: links.flatMap(({ ifname, addr_info: addresses = [] }) =>
      addresses
        // The kernel's own link-local addresses are random.
        .filter(({ local, scope }) => local !== undefined && scope !== 'link')
        .map(
          ({ local, prefixlen, broadcast = '-', address = '-' }) =>
            `${ifname} ${local}/${prefixlen} brd ${broadcast} peer ${address}`,
        ),
    ),
    routes: routes
      .map(({ flags: _flags, pref: _pref, expires: _expires, cache: _cache, ...route }) => JSON.stringify(route))
      .filter((line) => !line.includes('fe80:') && !line.includes('ff00::'))
      .toSorted(),
    rules: rules.map((rule) => JSON.stringify(rule)),
  };
}

function up(flags: readonly string[]): string {
  return flags.includes('UP') ? 'up' : 'down';
}
