/** A certificate authority in a folder, kept by the openssl command (never by our own code). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { execute } from './program.js';

const purposes = `[server]
basicConstraints = CA:FALSE
keyUsage = digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
[client]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = clientAuth
`;

const keyKinds = {
  'rsa:2048': '-newkey rsa:2048',
  'P-256': '-newkey ec -pkeyopt ec_paramgen_curve:P-256',
} as const;

export interface Authority {
  /** Runs an openssl command; a word @NAME is a file of the folder. */
  readonly openssl: (command: string) => Promise<void>;
  /** Makes NAME.key and NAME.crt, with NAME as the common name. Negative days: expired. */
  readonly issue: (name: string, purpose: 'server' | 'client', days?: number) => Promise<void>;
}

/** Makes ca.key and ca.crt in `folder`. */
export async function createAuthority(
  folder: string,
  { commonName, keys }: { commonName: string; keys: keyof typeof keyKinds },
): Promise<Authority> {
  const file = (name: string): string => join(folder, name);
  const openssl = async (command: string): Promise<void> => {
    const words = command.split(' ').map((word) => (word.startsWith('@') ? file(word.slice(1)) : word));
    await execute(['openssl', ...words], { timeout: 60_000 });
  };
  const issue = async (name: string, purpose: 'server' | 'client', days = 365): Promise<void> => {
    await openssl(`req ${keyKinds[keys]} -nodes -keyout @${name}.key -out @${name}.csr -subj /CN=${name}`);
    await openssl(
      `x509 -req -in @${name}.csr -CA @ca.crt -CAkey @ca.key -CAcreateserial -days ${days} -sha256 ` +
        `-extfile @purposes.cnf -extensions ${purpose} -out @${name}.crt`,
    );
  };
  writeFileSync(file('purposes.cnf'), purposes);
  await openssl(`req -x509 ${keyKinds[keys]} -nodes -keyout @ca.key -out @ca.crt -subj /CN=${commonName} -days 365`);
  return { openssl, issue };
}
