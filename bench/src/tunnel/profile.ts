/** Where the processor time of a tunnel's processes goes while four streams saturate it, by perf's samples. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execute } from '@seikan/testkit';

import { type Figures, type Measure, rotated, twice } from './measure.js';
import { runPreferred } from './preferred.js';
import { sum } from './statistics.js';
import { transfer } from './traffic.js';
import type { ContenderName, Tunnel } from './tunnel.js';

/** The first that fits counts: where a sample fell, by the name of the file or of the function. */
const places = [
  { key: 'kernel', object: /^\[kernel|^\[.*\.ko|^\[guest/ },
  // OpenSSL is a part of node; its assembler functions have names of their own
  {
    key: 'cipher',
    symbol: /aes|gcm|ghash|chacha|poly1305|EVP_|OSSL_|ossl_|CRYPTO_|evp_|SHA\d|sha\d/,
    object: /libcrypto|^node$|wireguard/,
  },
  { key: 'cipher', object: /libcrypto/ },
  { key: 'addon', object: /\.node$/ },
  { key: 'typescript', object: /JIT|^perf-\d+\.map$|anon|^\[unknown\]$/ },
  { key: 'runtime', object: /^node$|libstdc\+\+|libuv/ },
] as const;

const SECONDS = 3;
const RAMP_MS = 500;

export function profile(): Measure {
  return {
    name: 'profile',
    heading: 'Where the time goes',
    title: 'Shares of the processor time of both ends while 4 streams saturate the tunnel, by samples, %',
    columns: [
      { key: 'kernel', title: 'kernel', digits: 1 },
      { key: 'cipher', title: 'cipher', digits: 1 },
      { key: 'addon', title: 'addon', digits: 1 },
      { key: 'typescript', title: 'compiled TypeScript', digits: 1 },
      { key: 'runtime', title: 'Node and V8', digits: 1 },
      { key: 'rest', title: 'rest', digits: 1 },
    ],
    round: async (tunnels, round, progress) => {
      const figures = new Map<ContenderName, Figures>();
      for (const [name, tunnel] of rotated(tunnels, round)) {
        if (Object.keys(tunnel.processes).length === 0) continue;
        figures.set(name, await twice(() => sample(tunnel), {}, progress));
        progress(name);
      }
      return figures;
    },
  };
}

async function sample(tunnel: Tunnel): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), 'seikan-profile-'));
  const file = join(folder, 'perf.data');
  const processes = Object.values(tunnel.processes).map(({ pid }) => pid);
  try {
    const load = transfer(tunnel, { streams: 4, seconds: SECONDS + 1 });
    await sleep(RAMP_MS);
    // Virtual machines have no cycle counter; the clock samples as well.
    const perf = ['perf', 'record', '-e', 'cpu-clock', '-F', '997', '-o', file, '-p', processes.join(',')] as const;
    const command = [...perf, '--', 'sleep', `${SECONDS - 1}`] as const;
    const recorded = runPreferred({ name: 'perf', command, namespace: tunnel.hosts.client }, { timeout: 30_000 });
    await Promise.allSettled([recorded, load]);
    await Promise.all([recorded, load]);
    const shares = sharesOf(
      await execute(['perf', 'report', '--stdio', '-i', file, '-F', 'overhead,dso,sym', '-t', ';']),
    );
    if (sum(Object.values(shares)) < 90) throw new Error('perf has no samples');
    return shares;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Lines of `percent;object;symbol`. */
function sharesOf(text: string): Figures {
  const shares: Record<string, number> = { rest: 0, ...Object.fromEntries(places.map(({ key }) => [key, 0])) };
  for (const line of text.split('\n')) {
    const [percent = '', object = '', symbol = ''] = line.split(';').map((word) => word.trim());
    const share = Number.parseFloat(percent);
    if (line.startsWith('#') || Number.isNaN(share)) continue;
    const place = places.find((one) => one.object.test(object) && (!('symbol' in one) || one.symbol.test(symbol)));
    const key = place?.key ?? 'rest';
    shares[key] = (shares[key] ?? 0) + share;
  }
  return shares;
}
