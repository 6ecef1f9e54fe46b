/** The demo's keys and the two configuration files: what anybody would write for OpenVPN, keys inline. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { encodeStaticKey, STATIC_KEY_SIZE } from '@seikan/core';
import { createAuthority } from '@seikan/testkit';

const directives = {
  server: `dev tun
proto udp
local 192.0.2.1
port 1194
server 10.8.0.0 255.255.255.0
server-ipv6 fd08::/64
topology subnet
push "route 10.99.0.0 255.255.0.0"
push "route-ipv6 fd99::/64"
dh none
remote-cert-tls client
keepalive 10 60
explicit-exit-notify 1
verb 4`,
  client: `client
dev tun
proto udp
remote 192.0.2.1 1194
nobind
remote-cert-tls server
explicit-exit-notify 1
verb 4`,
} as const;

export interface Profile {
  readonly path: string;
  /** The file's directives without its keys. */
  readonly directives: string;
}

/** Makes a CA, both certificates and a tls-crypt key in `folder`, and a configuration file for each side. */
export async function createProfiles(folder: string): Promise<{ readonly server: Profile; readonly client: Profile }> {
  mkdirSync(folder, { mode: 0o700 });
  const { issue } = await createAuthority(folder, { commonName: 'Demo-CA', keys: 'P-256' });
  await issue('server', 'server');
  await issue('client', 'client');
  const key = randomBytes(STATIC_KEY_SIZE);
  writeFileSync(join(folder, 'tls-crypt.key'), encodeStaticKey(key), { mode: 0o600 });
  key.fill(0);
  const write = (side: 'server' | 'client'): Profile => {
    const files = { ca: 'ca.crt', cert: `${side}.crt`, key: `${side}.key`, 'tls-crypt': 'tls-crypt.key' };
    const blocks = Object.entries(files).map(
      ([name, file]) => `<${name}>\n${readFileSync(join(folder, file), 'utf8').trimEnd()}\n</${name}>\n`,
    );
    const path = join(folder, `${side}.conf`);
    writeFileSync(path, `${directives[side]}\n${blocks.join('')}`, { mode: 0o600 });
    return { path, directives: directives[side] };
  };
  return { server: write('server'), client: write('client') };
}
