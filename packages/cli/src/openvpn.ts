/**
 * The OpenVPN-compatible entry: OpenVPN's own argv, log lines and exit codes.
 *
 *   parse ─▶ cd ─▶ check files ─▶ log, banner ─▶ secrets asked ─▶ daemon, pid file ─▶ tunnel ─▶ exit
 *              ▲                                                                        │
 *              └────────────────────────────── SIGHUP ──────────────────────────────────┘
 *
 * upstream: openvpn.c `openvpn_main` (2.6).
 */
import { writeFileSync } from 'node:fs';

import {
  ConfigError,
  type Configuration,
  type ConfigWarning,
  checkFiles,
  type LogLine,
  parseArguments,
  type StateChange,
  startWarnings,
} from '@seikan/engine';
import { notifySystemd, TlsSetupError } from '@seikan/native';
import {
  type DaemonStart,
  type Handoff,
  KeptFiles,
  LineLog,
  MaterialError,
  type Materials,
  ProcessPrivileges,
  readCredentials,
  readMaterials,
  readPassphrase,
  reasonOf,
  runAsDaemon,
  scriptEvents,
  TunnelProcess,
  takeHandoff,
  type UserPass,
} from '@seikan/runtime';

import { runAction } from './actions/run-action.js';
import { ConfigurationFiles, fileProbe } from './files.js';
import { bannerLines, product } from './product.js';
import { ProcessSignals } from './signals.js';

const EXIT_GOOD = 0;
const EXIT_ERROR = 1;

/** Runs OpenVPN's command line (without the program's name) and gives its exit status. */
export async function openvpnMain(argv: readonly string[]): Promise<number> {
  const signals = new ProcessSignals();
  try {
    return await new OpenvpnProcess(argv, signals, await takeHandoff(process.env)).run();
  } finally {
    signals.close();
  }
}

/** What outlives a soft restart of a server. */
interface Kept {
  readonly privileges: ProcessPrivileges;
  readonly materials: Materials;
  readonly files: KeptFiles;
}

/** What outlives a SIGHUP: the arguments, given-up privileges, secrets that cannot be asked for again. */
class OpenvpnProcess {
  readonly #argv: readonly string[];
  readonly #signals: ProcessSignals;
  readonly #daemon: DaemonStart | undefined;
  readonly #files: ConfigurationFiles;
  readonly #folder = process.cwd();
  #privileges: ProcessPrivileges | undefined;
  #passphrase: string | undefined;
  #credentials: UserPass | undefined;
  #first = true;

  constructor(argv: readonly string[], signals: ProcessSignals, daemon: DaemonStart | undefined) {
    this.#argv = argv;
    this.#signals = signals;
    this.#daemon = daemon;
    this.#files = new ConfigurationFiles(daemon?.handoff.standardInput);
    const { username, password, passphrase } = daemon?.handoff ?? {};
    if (username !== undefined && password !== undefined) this.#credentials = { username, password };
    this.#passphrase = passphrase;
  }

  async run(): Promise<number> {
    for (;;) {
      const configuration = this.#parse();
      if (configuration === undefined) return EXIT_ERROR;
      const again = !this.#first || this.#daemon !== undefined;
      const log = openLog(configuration, again);
      try {
        const status = await this.#runOnce(configuration, log);
        if (status !== 'again') return status;
      } catch (error) {
        if (!(error instanceof MaterialError) && !(error instanceof TlsSetupError)) throw error;
        fatal(log, error.message);
        return EXIT_ERROR;
      } finally {
        log.close();
      }
      this.#first = false;
    }
  }

  #parse(): Configuration | undefined {
    try {
      return parseArguments(this.#argv, this.#files);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      sayUsage(error);
      return undefined;
    }
  }

  async #runOnce(configuration: Configuration, log: LineLog): Promise<number | 'again'> {
    const { options } = configuration;
    if (options.action.do !== 'run') return await runAction(configuration, log);
    const write = (line: LogLine): void => log.write(line);
    // The parent of a daemon has written all this before.
    const quiet = this.#first && this.#daemon !== undefined;
    const warn = (warnings: readonly ConfigWarning[]): void => {
      for (const { level, text } of warnings)
        if (!quiet) write({ verb: 1, severity: level === 'warning' ? 'warning' : 'notice', prefix: undefined, text });
    };
    warn(configuration.warnings);
    this.#changeFolder(options.process.cd);
    try {
      warn(this.#privileges === undefined ? checkFiles(configuration, fileProbe) : []);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      sayUsage(error);
      return EXIT_ERROR;
    }
    for (const text of quiet ? [] : bannerLines()) write({ verb: 1, severity: 'notice', prefix: undefined, text });

    if (this.#first && this.#daemon === undefined) {
      await this.#readSecrets(configuration, write);
      // Under systemd, which waits for a notification, nothing has to leave the foreground.
      const managed = notifySystemd(process.env, 'READY=0');
      if (options.process.daemon && !managed) return await runAsDaemon(this.#handoff());
    }
    if (this.#first) writePid(configuration, write);
    this.#privileges ??= await ProcessPrivileges.prepare(options.process, write);
    if (this.#first) this.#daemon?.ready();
    warn(startWarnings(configuration));
    const kept = {
      privileges: this.#privileges,
      materials: readMaterials(options, this.#passphrase),
      files: new KeptFiles(options, write),
    };
    try {
      for (;;) {
        const status = await this.#runTunnel(configuration, log, kept);
        if (status !== 'soft') return status;
      }
    } finally {
      kept.files.close();
    }
  }

  /** `soft`: to be run once more with the same keys, which root alone may be able to read; `again`: from the start. */
  async #runTunnel(
    { options }: Configuration,
    log: LineLog,
    { privileges, materials, files }: Kept,
  ): Promise<number | 'soft' | 'again'> {
    const write = (line: LogLine): void => log.write(line);
    let failure: unknown;
    const onState = (change: StateChange): void => {
      try {
        this.#stateChanged(change, privileges, write);
      } catch (error) {
        failure = error;
        tunnel.handleSignal('SIGTERM');
      }
    };
    const tunnel = new TunnelProcess({
      options,
      product,
      log: write,
      onState,
      materials,
      files,
      daemon: this.#daemon !== undefined,
      events: scriptEvents(options, write),
      credentials: async () => await this.#takeCredentials(options),
    });
    const release = this.#signals.sendTo(tunnel);
    const cause = await tunnel.run();
    release();
    if (failure !== undefined) throw failure;
    if (cause.why === 'fatal') {
      write({ verb: 0, severity: 'error', prefix: undefined, text: 'Exiting due to fatal error' });
      return EXIT_ERROR;
    }
    if (cause.signal === 'SIGUSR1') return 'soft';
    return cause.signal === 'SIGHUP' ? 'again' : EXIT_GOOD;
  }

  #stateChanged({ state }: StateChange, privileges: ProcessPrivileges, write: (line: LogLine) => void): void {
    if (state === 'CONNECTED') {
      privileges.drop(write);
      // A server has no earlier moment to be ready at.
      this.#notifyReady();
      notifySystemd(process.env, 'STATUS=Initialization Sequence Completed');
    } else if (state === 'WAIT' || state === 'TCP_CONNECT') this.#notifyReady();
  }

  #ready = false;

  /** A client is ready for systemd before its server answers: the unit shall not time out while that is away. */
  #notifyReady(): void {
    if (this.#ready) return;
    this.#ready = true;
    const status = 'STATUS=Pre-connection initialization successful';
    notifySystemd(process.env, `READY=1\n${status}\nMAINPID=${process.pid}`);
  }

  #changeFolder(cd: string | undefined): void {
    if (cd === undefined || this.#privileges?.rootChanged === true) return;
    try {
      process.chdir(this.#folder);
      process.chdir(cd);
    } catch (error) {
      throw new MaterialError(`cd to '${cd}' failed: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** What a terminal may have to be asked for, before the daemon leaves it. */
  async #readSecrets({ options }: Configuration, write: (line: LogLine) => void): Promise<void> {
    if (options.auth.userPass !== undefined) {
      const answer = await readCredentials(options);
      if ('error' in answer) throw new MaterialError(answer.error);
      this.#credentials = answer;
      if (!options.auth.noCache)
        write({
          verb: 1,
          severity: 'warning',
          prefix: undefined,
          text: 'WARNING: this configuration may cache passwords in memory -- use the auth-nocache option to prevent this',
        });
    }
    this.#passphrase = await readPassphrase(options);
  }

  #handoff(): Handoff {
    return {
      standardInput: this.#files.standardInput,
      username: this.#credentials?.username,
      password: this.#credentials?.password,
      passphrase: this.#passphrase,
    };
  }

  /** The first answer is what was asked at the start; later ones are asked anew. */
  async #takeCredentials(options: Configuration['options']): ReturnType<typeof readCredentials> {
    const known = this.#credentials;
    this.#credentials = undefined;
    return known ?? (await readCredentials(options));
  }
}

function openLog({ options }: Configuration, again: boolean): LineLog {
  const { programName } = options.process;
  try {
    return new LineLog(options.log, { programName, again });
  } catch (error) {
    const log = new LineLog({ ...options.log, destination: { to: 'stdout' } }, { programName });
    const path = options.log.destination.to === 'file' ? options.log.destination.path : '';
    const text = `Warning: Error redirecting stdout/stderr to --log file: ${path}: ${reasonOf(error)}`;
    log.write({ verb: 0, severity: 'warning', prefix: undefined, text });
    return log;
  }
}

function writePid({ options }: Configuration, write: (line: LogLine) => void): void {
  const { writePid: path } = options.process;
  if (path === undefined) return;
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    const text = `Open error on pid file ${path}: ${reasonOf(error)}`;
    write({ verb: 1, severity: 'error', prefix: undefined, text });
  }
}

function fatal(log: LineLog, message: string): void {
  for (const text of [...message.split('\n'), 'Exiting due to fatal error'])
    log.write({ verb: 0, severity: 'error', prefix: undefined, text });
}

/** Upstream's lines about a configuration go to standard output without a time. */
function sayUsage(error: ConfigError): void {
  process.stdout.write(`${error.message}\nUse --help for more information.\n`);
}
