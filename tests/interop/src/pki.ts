/**
 * The test certificates and keys, made by the openssl and openvpn commands (never by our own code) in a folder of
 * the run: a CA, a server, a client, clients that must be refused, a CRL, and the control channel's keys.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority, execute } from '@seikan/testkit';

const authorityConfig = `[ca]
default_ca = test
[test]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 30
`;

export interface Pki {
  readonly folder: string;
  /** Path of a file of the folder: 'ca.crt', 'client.key', 'tls-crypt.key' … */
  file(name: string): string;
}

export async function createPki(folder: string): Promise<Pki> {
  const file = (name: string): string => join(folder, name);
  const { openssl, issue } = await createAuthority(folder, { commonName: 'Test-CA', keys: 'rsa:2048' });
  // openssl ca keeps its database beside its configuration
  writeFileSync(file('ca.cnf'), authorityConfig.replaceAll(/= (index.txt|crlnumber)$/gm, `= ${folder}/$1`));
  writeFileSync(file('index.txt'), '');
  writeFileSync(file('crlnumber'), '01\n');

  await issue('server', 'server');
  await issue('client', 'client');
  await issue('revoked', 'client');
  await issue('expired', 'client', -1);
  await openssl('ca -config @ca.cnf -cert @ca.crt -keyfile @ca.key -revoke @revoked.crt');
  await openssl('ca -config @ca.cnf -cert @ca.crt -keyfile @ca.key -gencrl -out @crl.pem');

  for (const name of ['tls-auth', 'tls-crypt', 'static', 'other'])
    await genkey('--genkey', 'secret', file(`${name}.key`));
  for (const name of ['tls-crypt-v2-server', 'other-v2-server'])
    await genkey('--genkey', 'tls-crypt-v2-server', file(`${name}.key`));
  const clientKey = (server: string, client: string, ...metadata: string[]): Promise<void> =>
    genkey('--tls-crypt-v2', file(server), '--genkey', 'tls-crypt-v2-client', file(client), ...metadata);
  await clientKey('tls-crypt-v2-server.key', 'tls-crypt-v2.key');
  await clientKey('tls-crypt-v2-server.key', 'tls-crypt-v2-user.key', Buffer.from('test client').toString('base64'));
  await clientKey('other-v2-server.key', 'other-v2.key');
  writeFileSync(file('login'), 'alice\nsecret\n', { mode: 0o600 });
  writeFileSync(file('bad-login'), 'alice\nwrong\n', { mode: 0o600 });
  return { folder, file };
}

async function genkey(...args: string[]): Promise<void> {
  await execute(['openvpn', ...args]);
}
