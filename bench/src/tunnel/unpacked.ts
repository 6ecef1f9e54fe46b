/** Programs that the machine lacks, unpacked into .cache/peers by tools/stock-peer, never installed. */
import { join, resolve } from 'node:path';
import { execute } from '@seikan/testkit';

const root = resolve(import.meta.dirname, '../../..');

/** All that is needed of a suite is named in one call. */
const suites = {
  bookworm: ['wireguard-go:usr/bin/wireguard-go', 'wireguard-tools:usr/bin/wg', 'ethtool:sbin/ethtool'],
  trixie: ['wireguard-go:usr/bin/wireguard-go'],
} as const;

export interface Unpacked {
  readonly program: string;
  readonly version: string;
}

/** The path and the version of a suite's program; `name` is its package's. */
export async function unpacked(suite: keyof typeof suites, name: string): Promise<Unpacked> {
  const text = await execute([join(root, 'tools/stock-peer'), suite, ...suites[suite]], { timeout: 300_000 });
  const file = suites[suite]
    .find((word) => word.startsWith(`${name}:`))
    ?.split('/')
    .at(-1);
  const version = text
    .split('\n')
    .find((line) => line.startsWith(`${name} `))
    ?.slice(name.length + 1);
  if (file === undefined || version === undefined) throw new Error(`${suite} has no ${name}: ${text}`);
  return { program: join(root, '.cache/peers', suite, file), version };
}
