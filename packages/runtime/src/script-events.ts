/** The scripts of a configuration as the engine's events see them. */
import type { LogLine, Options } from '@seikan/engine';
import { type LogLevel, type ScriptDirective, ScriptRunner } from '@seikan/plugin-host';

import type { EventRunner } from './tunnel-process.js';

const SEVERITY: Readonly<Record<LogLevel, LogLine['severity']>> = {
  error: 'error',
  warn: 'warning',
  note: 'notice',
  debug: 'debug',
};
const VERB: Readonly<Record<LogLevel, number>> = { error: 1, warn: 1, note: 1, debug: 6 };

export function scriptEvents(options: Options, log: (line: LogLine) => void): EventRunner {
  const { scripts, verify, auth, tls, server } = options;
  const configured: Record<ScriptDirective, string | undefined> = {
    up: scripts.up,
    down: scripts.down,
    'route-up': scripts.routeUp,
    'route-pre-down': scripts.routePreDown,
    ipchange: scripts.ipchange,
    'tls-verify': verify.script,
    'tls-crypt-v2-verify': tls.cryptV2Verify,
    'auth-user-pass-verify': auth.verify?.command,
    'client-connect': scripts.clientConnect,
    'client-disconnect': scripts.clientDisconnect,
    'learn-address': scripts.learnAddress,
    'client-crresponse': undefined,
  };
  const commands: Partial<Record<ScriptDirective, string>> = {};
  for (const [directive, command] of Object.entries(configured)) {
    if (command !== undefined) commands[directive as ScriptDirective] = command;
  }
  return new ScriptRunner(
    {
      security: scripts.security,
      commands,
      authVia: auth.verify?.method === 'via-file' ? 'file' : 'env',
      tmpDir: server.tempDirectory,
      ...(verify.exportDirectory === undefined ? {} : { exportCertDir: verify.exportDirectory }),
    },
    (level, text) => log({ verb: VERB[level], severity: SEVERITY[level], prefix: undefined, text }),
  );
}
