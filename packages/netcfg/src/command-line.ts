/**
 * The service's options: the original's command line and its JSON file, whose values win. Pure.
 * `--user`, `--run-as-root` and `--dco` are ours: the original fixes its user and its kernel family when it is built.
 */
import { parseArgs } from 'node:util';

import { HIGHEST_LEVEL } from './service-log.js';
import { REDIRECT_METHODS, type RedirectMethod } from './socket-protection.js';

export interface ServiceOptions {
  readonly logLevel: number;
  /** A path, `stdout:`, or undefined for none. */
  readonly logFile: string | undefined;
  readonly colour: boolean;
  /** Minutes; 0: never. */
  readonly idleExit: number;
  readonly dns: { readonly kind: 'none' | 'systemd-resolved' } | { readonly kind: 'file'; readonly path: string };
  readonly redirectMethod: RedirectMethod;
  readonly mark: number | undefined;
  readonly stateDir: string | undefined;
  /** The property `config_file`: where the JSON file is, or would be. */
  readonly configFile: string;
  /** Who the service becomes; undefined: the first of the usual names that exists. */
  readonly user: string | undefined;
  readonly runAsRoot: boolean;
  /** Which of the kernel's families of offload clients get; `auto`: the one that clients up to v27 speak, else mainline's. */
  readonly dco: DcoChoice;
}

const DCO_CHOICES = ['auto', 'ovpn-dco-v2', 'ovpn', 'off'] as const;
export type DcoChoice = (typeof DCO_CHOICES)[number];

export type CommandLine =
  | { readonly kind: 'run'; readonly options: ServiceOptions }
  | { readonly kind: 'help' | 'version' }
  | { readonly kind: 'error'; readonly text: string; readonly status: number };

export const EXIT_USAGE = 2;
export const EXIT_FATAL = 3;

export const HELP = `usage: seikan-netcfg [options]
The D-Bus service net.openvpn.v3.netcfg: network configuration for VPN clients without privileges.
  -h, --help                 this text
  --version                  what this is
  --log-level LEVEL          0 to 6, default 4
  --log-file FILE            also write the log there; stdout: for standard output
  --colour                   colours in the log on a terminal
  --idle-exit MINUTES        end when unused that long, default 5; 0: never
  --resolv-conf FILE         DNS by this file, usually /etc/resolv.conf
  --systemd-resolved         DNS by systemd-resolved
  --redirect-method METHOD   how transports are kept out of tunnels: host-route (default), bind-device, none
  --set-somark MARK          mark transports with this number instead
  --state-dir DIR            read options from DIR/netcfg.json; they win over the command line
  --user NAME                run as this user; default: _openvpn, openvpn or seikan, the first that exists
  --run-as-root              stay root, for containers without other users
  --dco FAMILY               kernel offload: ovpn-dco-v2 (clients up to v27), ovpn (newer ones), off; default auto: the first there is
`;

/** `readConfig` gives the text of the JSON file, undefined when it cannot be read. */
export function parseCommandLine(
  argv: readonly string[],
  readConfig: (path: string) => string | undefined,
): CommandLine {
  let values: ReturnType<typeof readArguments>;
  try {
    values = readArguments(argv);
  } catch (error) {
    return { kind: 'error', text: (error as Error).message, status: EXIT_USAGE };
  }
  if (values.help === true) return { kind: 'help' };
  if (values.version === true) return { kind: 'version' };
  const stateDir = values['state-dir'];
  const configFile = stateDir === undefined ? '' : `${stateDir}/netcfg.json`;
  const file = configFile === '' ? {} : parseConfig(readConfig(configFile));
  return combine(values, file, { stateDir, configFile });
}

function readArguments(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    strict: true,
    allowPositionals: false,
    options: {
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean' },
      'log-level': { type: 'string' },
      'log-file': { type: 'string' },
      colour: { type: 'boolean' },
      'idle-exit': { type: 'string' },
      'resolv-conf': { type: 'string' },
      'systemd-resolved': { type: 'boolean' },
      'redirect-method': { type: 'string' },
      'set-somark': { type: 'string' },
      'state-dir': { type: 'string' },
      user: { type: 'string' },
      'run-as-root': { type: 'boolean' },
      dco: { type: 'string' },
    },
  }).values;
}

interface ConfigFile {
  readonly [key: string]: unknown;
}

/** A file that is missing or no JSON object says nothing, as in the original. openvpn3-admin writes comments into it. */
function parseConfig(text: string | undefined): ConfigFile {
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(withoutComments(text));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as ConfigFile) : {};
  } catch {
    return {};
  }
}

/** Strings are passed over whole, so that what looks like a comment in them stays. */
function withoutComments(text: string): string {
  return text.replaceAll(/("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[^]*?\*\//g, (_match, kept?: string) => kept ?? '');
}

function combine(
  values: ReturnType<typeof readArguments>,
  file: ConfigFile,
  where: Pick<ServiceOptions, 'stateDir' | 'configFile'>,
): CommandLine {
  const fault = (text: string, status: number): CommandLine => ({ kind: 'error', text, status });
  const text = (key: string, option: string | undefined): string | undefined =>
    typeof file[key] === 'string' || typeof file[key] === 'number' ? String(file[key]) : option;

  // An option of the pair in the file takes the other one off the command line.
  const fileResolved = file['systemd_resolved'] !== undefined && file['systemd_resolved'] !== false;
  const filePath = text('resolv_conf_file', undefined);
  const fromFile = fileResolved || filePath !== undefined;
  const resolved = fromFile ? fileResolved : values['systemd-resolved'] === true;
  const path = fromFile ? filePath : values['resolv-conf'];
  if (resolved && path !== undefined) {
    return fault('--resolv-conf and --systemd-resolved exclude each other', EXIT_USAGE);
  }
  const method = text('redirect_method', values['redirect-method']) ?? 'host-route';
  const redirectMethod = REDIRECT_METHODS.find((one) => one === method);
  if (redirectMethod === undefined) {
    return fault(`--redirect-method is ${REDIRECT_METHODS.join(', ')}, not ${method}`, EXIT_USAGE);
  }
  const choice = text('dco', values.dco) ?? 'auto';
  const dco = DCO_CHOICES.find((one) => one === choice);
  if (dco === undefined) return fault(`--dco is ${DCO_CHOICES.join(', ')}, not ${choice}`, EXIT_USAGE);
  const logLevel = leadingNumber(text('log_level', values['log-level'])) ?? 4;
  if (logLevel < 0 || logLevel > HIGHEST_LEVEL) return fault(`--log-level is 0 to ${HIGHEST_LEVEL}`, EXIT_FATAL);
  const mark = leadingNumber(text('set_somark', values['set-somark']));
  return {
    kind: 'run',
    options: {
      logLevel,
      logFile: text('log_file', values['log-file']),
      colour: values.colour === true,
      idleExit: Math.max(0, leadingNumber(text('idle_exit', values['idle-exit'])) ?? 5),
      dns: resolved ? { kind: 'systemd-resolved' } : path === undefined ? { kind: 'none' } : { kind: 'file', path },
      redirectMethod,
      mark: mark === undefined || mark < 0 ? undefined : mark >>> 0,
      ...where,
      user: values.user,
      runAsRoot: values['run-as-root'] === true,
      dco,
    },
  };
}

/** As the original reads numbers: leading digits count, nothing else is 0. Undefined when there is no text. */
function leadingNumber(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number.parseInt(text, 10);
  return Number.isNaN(number) ? 0 : number;
}
