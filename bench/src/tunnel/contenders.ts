/** Who is measured, how each is started, and what version it is. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { execute } from '@seikan/testkit';

import { startCrowdedOpenvpn } from './crowd.js';
import { compile, startForwarder, startVeth } from './forwarder.js';
import { createKeys, ours, type Side, startOpenvpn, stock, tuned } from './openvpn.js';
import type { Contender, ContenderName, Setting } from './tunnel.js';
import { unpacked } from './unpacked.js';
import { startWireguard } from './wireguard.js';

/** Makes what the named contenders need in `folder`, and asks each for its version. */
export async function prepare(
  names: readonly ContenderName[],
  { folder, setting }: { folder: string; setting: Setting },
): Promise<Contender[]> {
  await createKeys(folder);
  const seikan = ours(folder, setting);
  const pair = (server: Side, client: Side): Contender['start'] => {
    return (teardown) => startOpenvpn({ server, client, setting, folder, teardown });
  };
  const openvpn = async (): Promise<string> => {
    const text = await execute(['openvpn', '--version']);
    return /^OpenVPN (\S+)/.exec(text)?.[1] ?? 'unknown';
  };
  const own = async (): Promise<string> => {
    const manifest = resolve(import.meta.dirname, '../../../packages/cli/package.json');
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
    return `${version} on Node ${await nodeVersion(setting.node)}`;
  };
  const wireguard = async (name: ContenderName, suite: 'bookworm' | 'trixie'): Promise<Contender> => {
    const { program, version } = await unpacked(suite, 'wireguard-go');
    const { program: wg } = await unpacked('bookworm', 'wireguard-tools');
    return { name, version, start: (teardown) => startWireguard({ wireguard: program, wg, folder, teardown }) };
  };
  const find = async (name: ContenderName): Promise<Contender> => {
    switch (name) {
      case 'ours':
        return { name, version: await own(), start: pair(seikan, seikan) };
      case 'ours-1000-peers': {
        const start: Contender['start'] = (teardown) =>
          startCrowdedOpenvpn({ server: seikan, client: seikan, setting, folder, teardown });
        return { name, version: await own(), start };
      }
      case 'openvpn':
        return { name, version: await openvpn(), start: pair(stock, stock) };
      case 'openvpn-tuned':
        return { name, version: await openvpn(), start: pair(tuned, tuned) };
      case 'ours-to-openvpn':
        return { name, version: 'client ours', start: pair(stock, seikan) };
      case 'openvpn-to-ours':
        return { name, version: 'server ours', start: pair(seikan, stock) };
      case 'wireguard-go':
        return wireguard(name, 'bookworm');
      case 'wireguard-go-gso':
        return wireguard(name, 'trixie');
      case 'forwarder': {
        const program = await compile('tunnel-forwarder', folder);
        return { name, version: 'no cipher', start: (teardown) => startForwarder(program, teardown) };
      }
      case 'veth': {
        const kernel = (await execute(['uname', '-r'])).trim();
        return { name, version: `Linux ${kernel}`, start: startVeth };
      }
      default:
        return name satisfies never;
    }
  };
  const found: Contender[] = [];
  for (const name of names) found.push(await find(name));
  return found;
}

/** Without the v. */
export async function nodeVersion(node: string): Promise<string> {
  return (await execute([node, '--version'])).trim().slice(1);
}
