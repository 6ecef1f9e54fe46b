/** Certificates for tests, issued by the `openssl` command into a temporary folder. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Issued {
  readonly cert: string;
  readonly key: string;
  readonly folder: string;
}

export interface Wish {
  readonly name: string;
  readonly usage?: 'server' | 'client' | 'authority' | 'none';
  /** Extra lines of the certificate's extension section. */
  readonly extensions?: readonly string[];
  /** Subject after the common name's own, in the command's form: `/O=Seikan/OU=Test`. */
  readonly subject?: string;
  /** ASN.1 times such as `20200101000000Z`. */
  readonly from?: string;
  readonly until?: string;
  readonly serial?: string;
  readonly keyKind?: readonly string[];
}

const USAGE = {
  server: ['keyUsage=digitalSignature,keyEncipherment', 'extendedKeyUsage=serverAuth'],
  client: ['keyUsage=digitalSignature', 'extendedKeyUsage=clientAuth'],
  authority: ['keyUsage=keyCertSign,cRLSign'],
  none: [],
} as const;

const EC_KEY = words('-newkey ec -pkeyopt ec_paramgen_curve:prime256v1');
export const RSA_KEY = words('-newkey rsa:2048');

export class TestAuthority {
  readonly folder: string;
  readonly cert: string;
  readonly key: string;

  private constructor(folder: string, cert: string, key: string) {
    this.folder = folder;
    this.cert = cert;
    this.key = key;
    mkdirSync(join(folder, 'issued'), { recursive: true });
    writeFileSync(join(folder, 'index.txt'), '');
    writeFileSync(join(folder, 'index.txt.attr'), 'unique_subject = no\n');
    writeFileSync(join(folder, 'serial'), '0A1B\n');
    writeFileSync(join(folder, 'crlnumber'), '01\n');
    writeFileSync(join(folder, 'ca.crt'), cert);
    writeFileSync(join(folder, 'ca.key'), key);
  }

  static root(name = 'Test Root'): TestAuthority {
    const folder = mkdtempSync(join(tmpdir(), 'seikan-pki-'));
    const [cert, key] = [join(folder, 'self.crt'), join(folder, 'self.key')];
    const extensions = [
      'basicConstraints=critical,CA:TRUE',
      'keyUsage=keyCertSign,cRLSign',
      'subjectKeyIdentifier=hash',
    ];
    openssl([
      ...words(`req -x509 -nodes -days 3650 -config ${emptyConfig(folder)} -keyout ${key} -out ${cert}`),
      ...EC_KEY,
      ...extensions.flatMap((line) => ['-addext', line]),
      '-subj',
      `/CN=${name}`,
    ]);
    return new TestAuthority(folder, readFileSync(cert, 'utf8'), readFileSync(key, 'utf8'));
  }

  intermediate(name: string): TestAuthority {
    const { cert, key, folder } = this.issue({ name, usage: 'authority' });
    return new TestAuthority(join(folder, 'authority'), cert, key);
  }

  issue(wish: Wish): Issued {
    const folder = mkdtempSync(join(this.folder, 'issued', 'x'));
    const file = (name: string) => join(folder, name);
    openssl([
      ...words(`req -new -nodes -utf8 -config ${emptyConfig(folder)} -keyout ${file('key')} -out ${file('csr')}`),
      ...(wish.keyKind ?? EC_KEY),
      '-subj',
      `${wish.subject ?? ''}/CN=${wish.name}`,
    ]);
    const usage = wish.usage ?? 'client';
    const constraints = usage === 'authority' ? ['basicConstraints=critical,CA:TRUE'] : ['basicConstraints=CA:FALSE'];
    const [from, until] = [wish.from ?? '20200101000000Z', wish.until ?? '20490101000000Z'];
    this.#command(
      `-in ${file('csr')} -out ${file('cert')} -notext -extensions wanted -startdate ${from} -enddate ${until}`,
      [...constraints, ...USAGE[usage], ...(wish.extensions ?? [])],
    );
    return { cert: readFileSync(file('cert'), 'utf8'), key: readFileSync(file('key'), 'utf8'), folder };
  }

  revoke(issued: Issued): void {
    this.#command(`-revoke ${join(issued.folder, 'cert')}`);
  }

  crl(until = '20490101000000Z'): string {
    const out = join(this.folder, 'crl.pem');
    this.#command(`-gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate ${until} -out ${out}`);
    return readFileSync(out, 'utf8');
  }

  /** Removes everything that this authority and those below it issued. */
  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  #command(args: string, extensions: readonly string[] = []): void {
    const { folder } = this;
    const config = join(folder, 'ca.cnf');
    const lines = `
      [ca]
      default_ca=this
      [this]
      new_certs_dir=${folder}/issued
      database=${folder}/index.txt
      serial=${folder}/serial
      crlnumber=${folder}/crlnumber
      certificate=${folder}/ca.crt
      private_key=${folder}/ca.key
      default_md=sha256
      preserve=yes
      policy=any
      [any]
      C=optional
      ST=optional
      O=optional
      OU=optional
      CN=supplied
      emailAddress=optional
      [wanted]
      ${extensions.join('\n')}`;
    writeFileSync(config, lines.replaceAll(/^ +/gm, ''));
    openssl(['ca', '-batch', '-utf8', '-config', config, ...words(args)]);
  }
}

export function openssl(args: readonly string[], input = '', encoding: 'utf8' | 'latin1' = 'utf8'): string {
  try {
    return execFileSync('openssl', args, { encoding, input, stdio: ['pipe', 'pipe', 'pipe'] });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new Error('these tests need the openssl command: apt-get install openssl', { cause: error });
    }
    throw error;
  }
}

function emptyConfig(folder: string): string {
  const path = join(folder, 'req.cnf');
  writeFileSync(path, '[req]\ndistinguished_name=dn\n[dn]\n');
  return path;
}

function words(line: string): string[] {
  return line.split(' ');
}
