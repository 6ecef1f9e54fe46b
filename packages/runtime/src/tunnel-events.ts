/**
 * The plugins and scripts of a configuration as the engine's events see them, and the plugins' life beside the tunnel's:
 *
 *     configuration read ─▶ load all, open (1) ─▶ daemon ─▶ open (2) ─▶ tun up ─▶ open (3) ─▶ privileges given up ─▶ open (4)
 *     end: tunnel closed ─▶ close          SIGUSR1 keeps them; SIGHUP closes them and begins anew
 *
 * A client has no tun before it is connected: there (3) and (4) come before the connection, as upstream has it.
 * Source: init.c `open_plugins` and its callers (2.6).
 */
import { existsSync } from 'node:fs';

import type { LogLine, Options, PluginOption } from '@seikan/engine';
import {
  createMember,
  type Log,
  type LogLevel,
  PluginCascade,
  PluginSet,
  type ScriptDirective,
} from '@seikan/plugin-host';

const SEVERITY: Readonly<Record<LogLevel, LogLine['severity']>> = {
  error: 'error',
  warn: 'warning',
  note: 'notice',
  debug: 'debug',
};
const VERB: Readonly<Record<LogLevel, number>> = { error: 1, warn: 1, note: 1, debug: 7 };

/** What plugins and scripts report, as lines of the tunnel's log. */
export function eventLog(write: (line: LogLine) => void): Log {
  return (level, text) => write({ verb: VERB[level], severity: SEVERITY[level], prefix: undefined, text });
}

/** The plugins that a configuration names; nothing is loaded yet. Throws PluginError where a line cannot be understood. */
export function configuredPlugins(
  plugins: readonly PluginOption[],
  { openvpnVersion, folder }: { readonly openvpnVersion: string; readonly folder: string },
  log: Log,
): PluginSet {
  const [major = 0, minor = 0, patch = 0] = openvpnVersion.split('.').map(Number);
  const place = { pluginDir: pluginFolder(), folder, version: { major, minor, patch: `.${patch}` } };
  return new PluginSet(
    plugins.map((line) => {
      const { name } = line;
      if (name.startsWith('.'))
        log(
          'warn',
          `WARNING: plugin '${name}' specified by a relative pathname -- using an absolute pathname would be more secure`,
        );
      return createMember(line, place, log);
    }),
    log,
  );
}

/** Where Debian's openvpn package puts plugins, which is where a bare name is looked for. */
export function pluginFolder(): string {
  const machine = process.arch === 'x64' ? 'x86_64' : process.arch === 'arm64' ? 'aarch64' : process.arch;
  const debian = `/usr/lib/${machine}-linux-gnu/openvpn/plugins`;
  return existsSync(debian) ? debian : '/usr/lib/openvpn/plugins';
}

/** All that waits for the events of a tunnel. */
export function tunnelEvents(options: Options, plugins: PluginSet, log: Log): PluginCascade {
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
    'client-crresponse': scripts.clientCrresponse,
  };
  const commands: Partial<Record<ScriptDirective, string>> = {};
  for (const [directive, command] of Object.entries(configured)) {
    if (command !== undefined) commands[directive as ScriptDirective] = command;
  }
  const settings = {
    security: scripts.security,
    commands,
    authVia: auth.verify?.method === 'via-file' ? 'file' : 'env',
    tmpDir: server.tempDirectory,
    ...(verify.exportDirectory === undefined ? {} : { exportCertDir: verify.exportDirectory }),
  } as const;
  return new PluginCascade(plugins, { scripts: settings }, log);
}
