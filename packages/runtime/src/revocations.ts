/**
 * `crl-verify`: lists of revoked certificates that may change while the tunnel runs.
 *
 * A file is looked at before each new handshake and read again when its time or size is another; one that cannot be
 * read leaves the list before in force. Of a directory the file of the very serial number is looked for each time.
 * upstream: ssl.c `tls_ctx_reload_crl`, ssl_verify.c `verify_check_crl_dir` (2.6).
 */
import { existsSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';

import type { TlsContext } from '@seikan/core';
import type { LogLine, Options, RevokedSerials } from '@seikan/engine';
import { type OpensslContext, TlsSetupError } from '@seikan/native';

import { MaterialError, readMaterial } from './materials.js';

/** The context with its list kept up to date; as it is where there is nothing to watch. */
export function keepRevocations(
  context: OpensslContext,
  { verify }: Options,
  log: (line: LogLine) => void,
): TlsContext {
  const { crl } = verify;
  if (crl?.kind !== 'file' || crl.source.from !== 'file') return context;
  const { source } = crl;
  const warn = (text: string): void => log({ verb: 1, severity: 'warning', prefix: undefined, text });
  let known = statSync(source.path, { throwIfNoEntry: false });
  const refresh = (): void => {
    let now: Stats;
    try {
      now = statSync(source.path);
    } catch {
      warn('WARNING: Failed to stat CRL file, not reloading CRL.');
      return;
    }
    if (known !== undefined && now.mtimeMs === known.mtimeMs && now.size === known.size) return;
    try {
      context.setCrl(readMaterial(source, 'crl-verify'));
      known = now;
    } catch (error) {
      if (!(error instanceof MaterialError) && !(error instanceof TlsSetupError)) throw error;
      warn(`CRL: cannot read CRL from file ${source.path}: ${error.message}`);
    }
  };
  return {
    open(judge) {
      refresh();
      return context.open(judge);
    },
    close: () => context.close(),
  };
}

/** The `crl-verify … dir` directory, if there is one. */
export function revokedSerials({ verify: { crl } }: Options): RevokedSerials | undefined {
  if (crl?.kind !== 'directory') return undefined;
  return { has: (serial) => existsSync(join(crl.path, serial)) };
}
