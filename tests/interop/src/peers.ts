/**
 * Who can play a side: stock OpenVPN of three series, or ours. All take OpenVPN's own arguments.
 */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { execute } from '@seikan/testkit';

export const implementations = ['ours', 'stock-2.5', 'stock-2.6', 'stock-2.7'] as const;
export type Implementation = (typeof implementations)[number];

const root = resolve(import.meta.dirname, '../../..');

/** The suite whose openvpn is unpacked into .cache/peers; 2.6 is the system's own. */
const suites = { 'stock-2.5': 'bullseye', 'stock-2.7': 'sid' } as const;

export interface Peer {
  readonly implementation: Implementation;
  readonly command: readonly [string, ...string[]];
  readonly version: string;
}

/** Finds (and unpacks, where needed) an implementation and asks it for its version; absence is an error. */
export async function findPeer(implementation: Implementation): Promise<Peer> {
  const command = await locate(implementation);
  const text = await execute([...command, '--version']).catch((error: unknown) => {
    // 2.5 exits 1 after printing its version
    const message = String(error);
    if (message.includes('OpenVPN 2.')) return message;
    throw error;
  });
  const version = /OpenVPN (\d+\.\d+\S*)/.exec(text)?.[1];
  if (version === undefined) throw new Error(`${implementation}: no version in: ${text.slice(0, 200)}`);
  if (implementation !== 'ours' && !version.startsWith(`${implementation.slice('stock-'.length)}.`))
    throw new Error(`${implementation} is ${version}`);
  return { implementation, command, version };
}

async function locate(implementation: Implementation): Promise<readonly [string, ...string[]]> {
  switch (implementation) {
    case 'stock-2.6':
      return ['openvpn'];
    case 'stock-2.5':
    case 'stock-2.7': {
      await execute([join(root, 'tools/stock-peer'), suites[implementation]], { timeout: 300_000 });
      return [join(root, '.cache/peers', suites[implementation], 'openvpn')];
    }
    case 'ours': {
      const program = join(root, 'bin/openvpn');
      if (!existsSync(program)) throw new Error('bin/openvpn is missing');
      return [program];
    }
    default:
      return implementation satisfies never;
  }
}
