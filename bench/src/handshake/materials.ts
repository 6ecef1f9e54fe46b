/** A certificate authority, a server, a client and a tls-crypt key in a folder, made with the openssl command. */
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type CertificateKind = 'ec' | 'rsa';

export interface Materials {
  readonly folder: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** 256 bytes. */
  readonly tlsCrypt: Uint8Array;
}

/** Makes everything in `folder`; what a client needs comes back read. */
export function makeMaterials(folder: string, kind: CertificateKind): Materials {
  const newKey =
    kind === 'ec' ? ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'] : ['-newkey', 'rsa:2048'];
  const issue = (name: string, extra: readonly string[]): void => {
    const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)];
    execFileSync(
      'openssl',
      ['req', '-x509', '-nodes', '-days', '2', ...newKey, '-subj', `/CN=${name}`, ...files, ...extra],
      {
        stdio: 'pipe',
      },
    );
  };
  const signed = ['-CA', join(folder, 'ca.crt'), '-CAkey', join(folder, 'ca.key')];
  issue('ca', ['-addext', 'keyUsage=keyCertSign,cRLSign']);
  for (const name of ['server', 'client']) {
    const usages = ['keyUsage=digitalSignature,keyEncipherment', `extendedKeyUsage=${name}Auth`];
    const extensions = ['basicConstraints=critical,CA:FALSE', ...usages].flatMap((text) => ['-addext', text]);
    issue(name, [...signed, ...extensions]);
  }
  const tlsCrypt = randomFillSync(new Uint8Array(256));
  const lines = Buffer.from(tlsCrypt).toString('hex').match(/.{32}/g) ?? [];
  const text = ['-----BEGIN OpenVPN Static key V1-----', ...lines, '-----END OpenVPN Static key V1-----', ''].join(
    '\n',
  );
  writeFileSync(join(folder, 'tls-crypt.key'), text, { mode: 0o600 });
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  return { folder, ca: read('ca.crt'), cert: read('client.crt'), key: read('client.key'), tlsCrypt };
}
