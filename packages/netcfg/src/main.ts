/**
 * `seikan-netcfg`: reads the options, becomes the service's user with the few capabilities that it needs, and runs.
 *
 * Started by root (D-Bus activation) it makes its folder, opens the log file, and executes itself anew as that user: so
 * all of node's threads have the kept capabilities and none has more. Started with CAP_NET_ADMIN (a systemd unit with
 * User= and AmbientCapabilities=) it runs at once.
 */
import { chownSync, closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';

import { type Capability, Descriptor, executeAs, hasCapability, type Identity, lookUpIdentity } from '@seikan/native';

import { EXIT_FATAL, EXIT_USAGE, HELP, parseCommandLine, type ServiceOptions } from './command-line.js';
import { kernelDco, kernelLinks } from './dco/kernel-dco.js';
import { type DcoPort, noDco } from './dco-port.js';
import { reasonOf } from './errors.js';
import { INTERFACE_VERSION, NETCFG } from './names.js';
import { networkFolder, Service, type ServiceEnd } from './service.js';

const USERS = ['_openvpn', 'openvpn', 'seikan'] as const;
const DEFAULT_STATE_FOLDER = '/run/seikan/netcfg';
/** From the first process to the second. */
const LOG_DESCRIPTOR = 'SEIKAN_NETCFG_LOG_DESCRIPTOR';
const LOG_MODE = 0o640;
const EXIT_UNRESTORED = 4;

/** Runs the service to its end and gives its exit status: 0, 2 wrong options or no privileges, 3 fatal, 4 not restored. */
export async function netcfgMain(argv: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const line = parseCommandLine(argv, (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  });
  switch (line.kind) {
    case 'help':
      process.stdout.write(HELP);
      return 0;
    case 'version':
      process.stdout.write(`${NETCFG} ${INTERFACE_VERSION}\n`);
      return 0;
    case 'error':
      complain(line.text);
      return line.status;
    case 'run':
      return run(line.options, { argv, environment });
    default:
      return line satisfies never;
  }
}

async function run(
  options: ServiceOptions,
  { argv, environment }: { argv: readonly string[]; environment: NodeJS.ProcessEnv },
): Promise<number> {
  const stateFolder = environment['SEIKAN_NETCFG_STATE_FOLDER'] ?? DEFAULT_STATE_FOLDER;
  const root = process.geteuid?.() === 0;
  if (!root && !hasCapability('CAP_NET_ADMIN')) {
    complain('this must be started by root');
    return EXIT_USAGE;
  }
  try {
    if (root && !options.runAsRoot) becomeUser(options, { argv, environment, stateFolder });
    if (root) mkdirSync(stateFolder, { recursive: true, mode: 0o700 });
    return await serve(options, stateFolder, openLog(options, environment));
  } catch (error) {
    complain(reasonOf(error));
    return EXIT_FATAL;
  }
}

/** Never comes back when it works: the program starts anew as the service's user. */
function becomeUser(
  options: ServiceOptions,
  where: { argv: readonly string[]; environment: NodeJS.ProcessEnv; stateFolder: string },
): never {
  const { argv, environment, stateFolder } = where;
  const identity = findUser(options.user);
  mkdirSync(stateFolder, { recursive: true, mode: 0o755 });
  chownSync(stateFolder, identity.uid ?? 0, identity.gid ?? 0);
  if (options.logFile !== undefined && options.logFile !== 'stdout:') {
    const log = new Descriptor(openSync(options.logFile, 'a', LOG_MODE), 'log file');
    log.setInheritable(true);
    environment[LOG_DESCRIPTOR] = `${log.release()}`;
  }
  const script = process.argv[1] ?? '';
  return executeAs(identity, capabilitiesFor(options), [process.execPath, ...process.execArgv, script, ...argv]);
}

function findUser(named: string | undefined): Identity {
  if (named !== undefined) return lookUpIdentity(named, undefined);
  for (const name of USERS) {
    try {
      return lookUpIdentity(name, undefined);
    } catch {
      // The next one.
    }
  }
  throw new Error(`none of the users ${USERS.join(', ')} exists: make one, or name another with --user`);
}

/** For the tunnels; for putting a file in place of another user's resolv.conf, or back; for binding sockets to devices. */
export function capabilitiesFor({ dns, redirectMethod }: Pick<ServiceOptions, 'dns' | 'redirectMethod'>): Capability[] {
  return [
    'CAP_NET_ADMIN',
    ...(dns.kind === 'file' ? (['CAP_DAC_OVERRIDE', 'CAP_FOWNER'] as const) : []),
    ...(redirectMethod === 'bind-device' ? (['CAP_NET_RAW'] as const) : []),
  ];
}

function openLog(
  { logFile, colour }: ServiceOptions,
  environment: NodeJS.ProcessEnv,
): ((line: string) => void) | undefined {
  if (logFile === undefined) return undefined;
  if (logFile === 'stdout:') {
    const paint = colour && process.stdout.isTTY;
    return (line) => process.stdout.write(paint ? painted(line) : line);
  }
  const passed = Number(environment[LOG_DESCRIPTOR] ?? '');
  const fd = passed > 2 ? passed : openSync(logFile, 'a', LOG_MODE);
  process.once('exit', () => closeSync(fd));
  return (line) => {
    try {
      writeSync(fd, line);
    } catch {
      // A full disk must not end the tunnels.
    }
  };
}

function painted(line: string): string {
  const colour = / (WARNING|ERROR|CRITICAL|FATAL) /.test(line) ? 31 : 36;
  return `\u001b[${colour}m${line.trimEnd()}\u001b[0m\n`;
}

async function serve(
  options: ServiceOptions,
  stateFolder: string,
  writeLog: ((line: string) => void) | undefined,
): Promise<number> {
  const service = await Service.start(options, { stateFolder, dco: dcoPort(options, stateFolder), writeLog, complain });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => service.stop());
  const why = await service.ended;
  const restored = await service.close();
  return restored ? STATUS[why] : EXIT_UNRESTORED;
}

function dcoPort({ dco }: ServiceOptions, stateFolder: string): DcoPort {
  if (dco === 'off') return noDco;
  return kernelDco(kernelLinks(dco === 'auto' ? ['ovpn-dco-v2', 'ovpn'] : [dco], networkFolder(stateFolder)));
}

const STATUS: Readonly<Record<ServiceEnd, number>> = {
  stopped: 0,
  idle: 0,
  'name-lost': EXIT_FATAL,
  disconnected: EXIT_FATAL,
};

function complain(text: string): void {
  process.stderr.write(`seikan-netcfg: ${text}\n`);
}
