/**
 * A tunnel of ours whose server has a thousand other clients and ten thousand routes behind them. The others are
 * sessions in one process (bench/src/handshake/load.ts) that stay silent once they are connected.
 *
 *     node crowd.js FOLDER ADDRESS PORT COUNT      run in the client's namespace
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Load } from '../handshake/load.js';
import { wire } from './hosts.js';
import { type OpenvpnOptions, PORT, startOpenvpn } from './openvpn.js';
import { startPreferred } from './preferred.js';
import type { Tunnel } from './tunnel.js';

const PEERS = 1_000;
const CONCURRENCY = 16;
const CONNECT_LIMIT_MS = 120_000;

/** A client-connect script: ten networks of its own for each address of the pool, from 10.16.0.0/24 on. */
const tenRoutes = `#!/bin/sh
IFS=. read -r _ _ c d <<EOT
$ifconfig_pool_remote_ip
EOT
first=$(((c * 256 + d) * 10))
for i in 0 1 2 3 4 5 6 7 8 9; do
  n=$((first + i))
  echo "iroute 10.$((16 + n / 256)).$((n % 256)).0 255.255.255.0"
done >"$1"
`;

export async function startCrowdedOpenvpn(options: OpenvpnOptions): Promise<Tunnel> {
  const { folder, teardown } = options;
  const script = join(folder, 'ten-routes');
  writeFileSync(script, tenRoutes, { mode: 0o755 });
  const hook = ['--script-security', '2', '--client-connect', script];
  const tunnel = await startOpenvpn({
    ...options,
    serverOptions: [...'--duplicate-cn --max-clients 2000 --connect-freq-initial 100000 1'.split(' '), ...hook],
    beforeClient: async (hosts) => {
      const program = [process.execPath, new URL(import.meta.url).pathname] as const;
      const crowd = startPreferred({
        name: 'crowd',
        command: [...program, folder, wire.server, `${PORT}`, `${PEERS}`],
        namespace: hosts.client,
        teardown,
      });
      await crowd.waitFor(/^connected$/, { timeout: CONNECT_LIMIT_MS });
    },
  });
  const routes = tunnel.processes.server?.lines.filter((line) => line.includes('internal route')).length ?? 0;
  if (routes < PEERS * 10) throw new Error(`the crowd has ${routes} routes, not ${PEERS * 10}`);
  return tunnel;
}

/** The 256 bytes of a static key file. */
function keyBytes(text: string): Uint8Array {
  const lines = text.split('\n').filter((line) => /^[\da-f]{32}$/.test(line));
  return Buffer.from(lines.join(''), 'hex');
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [folder = '', address = '', port = '', count = ''] = process.argv.slice(2);
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const materials = { folder, ca: read('ca.crt'), cert: read('client.crt'), key: read('client.key') };
  const load = new Load({ ...materials, tlsCrypt: keyBytes(read('tls-crypt.key')) }, { address, port: Number(port) });
  await load.connect(Number(count), CONCURRENCY);
  console.log('connected');
}
