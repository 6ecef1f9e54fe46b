/**
 * `crl-verify`: lists of revoked certificates that may change while the tunnel runs.
 *
 * A file is looked at before each new handshake and read again when its time or size is another; one that is gone
 * leaves the list before in force, while with one that holds no list nobody is let in. Of a directory the file of the very serial number is looked for each time.
 * upstream: ssl.c `tls_ctx_reload_crl`, ssl_verify.c `verify_check_crl_dir` (2.6).
 */
import { existsSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';

import type { TlsContext } from '@seikan/core';
import type { LogLine, Options, RevokedSerials } from '@seikan/engine';
import { TlsSetupError } from '@seikan/native';

import { MaterialError, type Materials, readMaterial } from './materials.js';

/** The context with its list kept up to date; as it is where there is nothing to watch. */
export function keepRevocations(
  { tls: context, revoked }: Pick<Materials, 'tls' | 'revoked'>,
  { verify }: Options,
  log: (line: LogLine) => void,
): TlsContext {
  const { crl } = verify;
  if (crl?.kind !== 'file' || revoked === undefined) return context;
  const { source } = crl;
  const warn = (text: string): void => log({ verb: 1, severity: 'warning', prefix: undefined, text });
  const loaded = (pem: string): void => {
    const count = pem.split('-----BEGIN X509 CRL-----').length - 1;
    const name = source.from === 'file' ? source.path : '[[INLINE]]';
    log({ verb: 1, severity: 'notice', prefix: undefined, text: `CRL: loaded ${count} CRLs from file ${name}` });
  };
  loaded(revoked.pem);
  if (source.from !== 'file') return context;
  let hasList = true;
  let known = revoked.seen;
  const refresh = (): void => {
    let now: Stats;
    try {
      now = statSync(source.path);
    } catch {
      warn('WARNING: Failed to stat CRL file, not reloading CRL.');
      return;
    }
    if (known !== undefined && now.mtimeMs === known.mtimeMs && now.size === known.size) return;
    known = now;
    try {
      const pem = readMaterial(source, 'crl-verify');
      context.setCrl(pem);
      hasList = true;
      loaded(pem);
    } catch (error) {
      if (!(error instanceof MaterialError) && !(error instanceof TlsSetupError)) throw error;
      hasList = false;
      warn(`CRL: cannot read CRL from file ${source.path}: ${error.message}`);
    }
  };
  const refuse = (): 'reject' => {
    log({ verb: 1, severity: 'error', prefix: undefined, text: 'VERIFY ERROR: CRL not loaded' });
    return 'reject';
  };
  return {
    open(judge) {
      refresh();
      return context.open(hasList ? judge : refuse);
    },
    close: () => context.close(),
  };
}

/** The `crl-verify … dir` directory, if there is one. */
export function revokedSerials({ verify: { crl } }: Options): RevokedSerials | undefined {
  if (crl?.kind !== 'directory') return undefined;
  return { has: (serial) => existsSync(join(crl.path, serial)) };
}
