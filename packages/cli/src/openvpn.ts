/**
 * The OpenVPN-compatible entry: OpenVPN's own argv, log lines and exit codes.
 * upstream: openvpn.c `openvpn_main` (2.6).
 */
import { readFileSync } from 'node:fs';

import { ConfigError, type Configuration, type Options, parseArguments } from '@seikan/engine';
import { LineLog, MaterialError, scriptEvents, TunnelProcess } from '@seikan/runtime';

import { product, versionText } from './product.js';

const EXIT_GOOD = 0;
const EXIT_ERROR = 1;

/** Runs OpenVPN's command line (without the program's name) and gives its exit status. */
export async function openvpnMain(argv: readonly string[]): Promise<number> {
  const configuration = parse(argv);
  if (configuration === undefined) return EXIT_ERROR;
  const { options } = configuration;
  switch (options.action.do) {
    case 'run':
      return await run(configuration, argv);
    case 'version':
      process.stdout.write(versionText());
      return EXIT_GOOD;
    case 'help':
    case 'test-crypto':
    case 'mktun':
    case 'rmtun':
    case 'show-ciphers':
    case 'show-digests':
    case 'show-tls':
    case 'show-groups':
    case 'show-engines':
    case 'show-gateway':
    case 'genkey':
      process.stdout.write(
        `Options error: --${options.action.do} is not yet built here\nUse --help for more information.\n`,
      );
      return EXIT_ERROR;
    default:
      throw new Error(options.action satisfies never);
  }
}

function parse(argv: readonly string[]): Configuration | undefined {
  // Files are named relative to where `cd` leads, which stands before everything else that is read.
  try {
    return parseArguments(argv, { read: readIfThere });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stdout.write(`${error.message}\nUse --help for more information.\n`);
    return undefined;
  }
}

async function run(first: Configuration, argv: readonly string[]): Promise<number> {
  let configuration = first;
  for (;;) {
    const { options } = configuration;
    if (options.process.cd !== undefined) process.chdir(options.process.cd);
    const log = new LineLog(options.log);
    const cause = await runOnce(configuration, log);
    log.close();
    if (cause === 'failed') return EXIT_ERROR;
    if (cause !== 'SIGHUP') return EXIT_GOOD;
    const again = parse(argv);
    if (again === undefined) return EXIT_ERROR;
    configuration = again;
  }
}

async function runOnce({ options, warnings }: Configuration, log: LineLog): Promise<'failed' | 'ended' | 'SIGHUP'> {
  for (const { level, text } of warnings) {
    log.write({ verb: 1, severity: level === 'warning' ? 'warning' : 'notice', prefix: undefined, text });
  }
  for (const line of versionText().split('\n').slice(0, 2))
    log.write({ verb: 1, severity: 'notice', prefix: undefined, text: line });
  let tunnel: TunnelProcess;
  try {
    tunnel = new TunnelProcess({
      options,
      product,
      log: (line) => log.write(line),
      events: scriptEvents(options, (line) => log.write(line)),
      credentials: () => readCredentials(options),
    });
  } catch (error) {
    if (!(error instanceof MaterialError)) throw error;
    log.write({ verb: 0, severity: 'error', prefix: undefined, text: error.message });
    log.write({ verb: 0, severity: 'error', prefix: undefined, text: 'Exiting due to fatal error' });
    return 'failed';
  }
  const handlers = (['SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGTERM', 'SIGINT'] as const).map((signal) => {
    const handler = (): void => tunnel.handleSignal(signal);
    process.on(signal, handler);
    return () => process.off(signal, handler);
  });
  const cause = await tunnel.run();
  for (const remove of handlers) remove();
  if (cause.why === 'fatal') {
    log.write({ verb: 0, severity: 'error', prefix: undefined, text: 'Exiting due to fatal error' });
    return 'failed';
  }
  return cause.signal === 'SIGHUP' ? 'SIGHUP' : 'ended';
}

async function readCredentials(options: Options): Promise<{ username: string; password: string } | { error: string }> {
  const { userPass } = options.auth;
  if (userPass === undefined || userPass.from === 'stdin') {
    return {
      error:
        "neither stdin nor stderr are a tty device and you have neither a controlling tty nor systemd - can't ask for 'Enter Auth Username:'.",
    };
  }
  try {
    const text = userPass.from === 'inline' ? userPass.text : readFileSync(userPass.path, 'utf8');
    const [username = '', password = ''] = text.split(/\r?\n/);
    return { username, password };
  } catch (error) {
    const path = userPass.from === 'file' ? userPass.path : '[inline]';
    return { error: `Error opening 'Auth' auth file: ${path}: ${(error as Error).message}` };
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
