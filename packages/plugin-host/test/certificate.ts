import { execFileSync } from 'node:child_process';

/** A certificate of `/CN=ada` as PEM in a file, and as DER. */
export function certificate(pem: string): Uint8Array {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null'];
  execFileSync('openssl', ['req', '-x509', ...key, '-subj', '/CN=ada', '-out', pem], { stdio: 'ignore' });
  return execFileSync('openssl', ['x509', '-in', pem, '-outform', 'DER']);
}
