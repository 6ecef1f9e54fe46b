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
import { resolve } from 'node:path';

import {
  type AskFailure,
  ConfigError,
  type Configuration,
  type ConfigWarning,
  checkFiles,
  configurationEnvironment,
  type DynamicChallenge,
  type Environment,
  type LogLine,
  readConfiguration,
  type StateChange,
  startWarnings,
} from '@seikan/engine';
import { notifySystemd, TlsSetupError } from '@seikan/native';
import type { NetcfgClient } from '@seikan/netcfg';
import { type Log, type PluginCascade, PluginError, PluginSet } from '@seikan/plugin-host';
import {
  askAtTerminal,
  chooseOffload,
  configuredPlugins,
  type DaemonStart,
  DataThread,
  eventLog,
  type Handoff,
  KeptFiles,
  LineLog,
  loadProviders,
  MaterialError,
  type Materials,
  PortShare,
  ProcessPrivileges,
  readCredentials,
  readMaterials,
  readPassphrase,
  reasonOf,
  runAsDaemon,
  servePluginTrace,
  TunnelProcess,
  takeHandoff,
  tunnelEvents,
  type UserPass,
} from '@seikan/runtime';

import { runAction } from './actions/run-action.js';
import { ConfigurationFiles, fileProbe } from './files.js';
import { bannerLines, product } from './product.js';
import { ProcessSignals } from './signals.js';

const EXIT_GOOD = 0;
const EXIT_ERROR = 1;

/**
 * Runs OpenVPN's command line (without the program's name) and gives its exit status. `network`: makes the tun, for a
 * process without privileges.
 */
export async function openvpnMain(argv: readonly string[], network?: NetcfgClient): Promise<number> {
  const signals = new ProcessSignals();
  try {
    return await new OpenvpnProcess(argv, { signals, network, daemon: await takeHandoff(process.env) }).run();
  } finally {
    signals.close();
  }
}

const EXITING: LogLine = { verb: 1, severity: 'notice', prefix: undefined, text: 'Exiting due to fatal error' };

/** A configuration with its plugins, which are loaded and, where they have a say in it, open. */
interface Read {
  readonly configuration: Configuration;
  readonly plugins: PluginSet;
  readonly eventLog: Log;
  /** Lines that were written before the log was open go there, and whatever comes. */
  readonly openLog: (log: LineLog) => void;
  /** A plugin keeps us from starting; the log is opened first, to say so. */
  readonly failure: PluginError | undefined;
}

/** What outlives a soft restart of a server. */
interface Kept {
  readonly privileges: ProcessPrivileges;
  readonly materials: Materials;
  readonly files: KeptFiles;
  readonly events: PluginCascade;
  readonly environment: Environment;
  readonly offload: Awaited<ReturnType<typeof chooseOffload>>;
}

/** What outlives a SIGHUP: the arguments, given-up privileges, secrets that cannot be asked for again. */
class OpenvpnProcess {
  readonly #argv: readonly string[];
  readonly #signals: ProcessSignals;
  readonly #network: NetcfgClient | undefined;
  readonly #daemon: DaemonStart | undefined;
  readonly #files: ConfigurationFiles;
  readonly #folder = process.cwd();
  /** Kept over every restart: after `chroot` no new one could be started. */
  readonly #thread = new DataThread();
  readonly #portShare = new PortShare();
  #privileges: ProcessPrivileges | undefined;
  #passphrase: string | undefined;
  #credentials: UserPass | undefined;
  #first = true;

  constructor(
    argv: readonly string[],
    parts: {
      readonly signals: ProcessSignals;
      readonly network: NetcfgClient | undefined;
      readonly daemon: DaemonStart | undefined;
    },
  ) {
    const { signals, network, daemon } = parts;
    this.#argv = argv;
    this.#signals = signals;
    this.#network = network;
    this.#daemon = daemon;
    this.#files = new ConfigurationFiles(daemon?.handoff.standardInput);
    const { username, password, passphrase } = daemon?.handoff ?? {};
    if (username !== undefined && password !== undefined) this.#credentials = { username, password };
    this.#passphrase = passphrase;
  }

  async run(): Promise<number> {
    try {
      return await this.#runUntilEnd();
    } finally {
      await this.#thread.end();
      await this.#portShare.end();
    }
  }

  async #runUntilEnd(): Promise<number> {
    for (;;) {
      const read = await this.#read();
      if (read === undefined) return EXIT_ERROR;
      const again = !this.#first || this.#daemon !== undefined;
      const log = openLog(read.configuration, again);
      read.openLog(log);
      try {
        if (read.failure !== undefined) throw read.failure;
        const status = await this.#runOnce(read, log);
        await read.plugins.close();
        if (status !== 'again') return status;
      } catch (error) {
        await read.plugins.abort();
        if (!(error instanceof MaterialError || error instanceof TlsSetupError || error instanceof PluginError))
          throw error;
        fatal(log, error.message);
        return EXIT_ERROR;
      } finally {
        log.close();
      }
      this.#first = false;
    }
  }

  /** Undefined: it is no configuration, and that was said. */
  async #read(): Promise<Read | undefined> {
    const early: LogLine[] = [];
    let write = (line: LogLine): void => void early.push(line);
    const log = eventLog((line) => write(line));
    let plugins = new PluginSet([], log);
    let failure: PluginError | undefined;
    try {
      const reading = readConfiguration(this.#argv, this.#files);
      try {
        const folder = resolve(this.#folder, reading.folder ?? '.');
        plugins = configuredPlugins(reading.plugins, { openvpnVersion: product.openvpnVersion, folder }, log);
        await plugins.load();
        for (const text of await plugins.open(1, {})) reading.add(text);
      } catch (error) {
        if (!(error instanceof PluginError)) throw error;
        failure = error;
      }
      const openLog = (to: LineLog): void => {
        write = (line) => to.write(line);
        for (const line of early.splice(0)) write(line);
      };
      return { configuration: reading.finish(), plugins, eventLog: log, openLog, failure };
    } catch (error) {
      await plugins.abort();
      if (!(error instanceof ConfigError)) throw error;
      for (const { text } of early) process.stdout.write(`${text}\n`);
      sayUsage(failure ?? error);
      return undefined;
    }
  }

  async #runOnce(read: Read, log: LineLog): Promise<number | 'again'> {
    const { configuration, plugins } = read;
    const { options } = configuration;
    loadProviders(options);
    if (options.action.do !== 'run') return await runAction(configuration, log);
    const write = (line: LogLine): void => log.write(line);
    // The parent of a daemon has written all this before.
    const quiet = this.#first && this.#daemon !== undefined;
    const warn = (warnings: readonly ConfigWarning[]): void => {
      for (const { level, text } of warnings)
        if (!quiet && level === 'warning') write({ verb: 0, severity: 'warning', prefix: undefined, text });
        else if (!quiet) write({ verb: 1, severity: 'notice', prefix: undefined, text });
    };
    warn(configuration.warnings);
    this.#changeFolder(options.process.cd);
    try {
      warn(this.#privileges === undefined ? checkFiles(configuration, fileProbe) : []);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      log.flush();
      sayUsage(error);
      return EXIT_ERROR;
    }
    for (const text of quiet ? [] : bannerLines()) write({ verb: 1, severity: 'notice', prefix: undefined, text });

    if (this.#first && this.#daemon === undefined) {
      await this.#readSecrets(configuration, write);
      // Under systemd, which waits for a notification, nothing has to leave the foreground.
      const managed = notifySystemd(process.env, 'READY=0');
      if (options.process.daemon && !managed) {
        // What they opened is nothing that a process could hand over: the daemon loads them anew.
        await plugins.close();
        return await runAsDaemon(this.#handoff());
      }
    }
    if (this.#first) writePid(configuration, write);
    this.#privileges ??= await ProcessPrivileges.prepare(options.process, write);
    if (this.#first) this.#daemon?.ready();
    warn(startWarnings(configuration));
    const environment = configurationEnvironment(options, {
      pid: process.pid,
      startTime: Math.floor(Date.now() / 1000 - process.uptime()),
      daemon: this.#daemon !== undefined,
    });
    const { portShare } = options.server;
    if (portShare !== undefined) await this.#portShare.open(portShare, write);
    await plugins.open(2, environment);
    // A client's tun and the end of its privileges come with its connection, which its plugins are to see.
    if (options.mode !== 'server') for (const point of [3, 4] as const) await plugins.open(point, environment);
    const kept = {
      privileges: this.#privileges,
      materials: readMaterials(options, this.#passphrase),
      files: new KeptFiles(options, write),
      events: tunnelEvents(options, plugins, read.eventLog),
      environment,
      // Offload of a process without privileges is the service's.
      offload: this.#network === undefined ? await chooseOffload(options, write) : undefined,
    };
    const stopTrace = plugins.size > 0 ? await servePluginTrace(kept.events) : undefined;
    try {
      for (let again = !this.#first; ; again = true) {
        const status = await this.#runTunnel(configuration, log, kept, again);
        if (status !== 'soft') return status;
      }
    } finally {
      await stopTrace?.();
      kept.offload?.close();
      kept.files.close();
    }
  }

  /** `soft`: to be run once more with the same keys, which root alone may be able to read; `again`: from the start. */
  async #runTunnel(
    { options }: Configuration,
    log: LineLog,
    { privileges, materials, files, events, environment, offload }: Kept,
    again: boolean,
  ): Promise<number | 'soft' | 'again'> {
    const write = (line: LogLine): void => log.write(line);
    let failure: unknown;
    const giveUpPrivileges = (): void => {
      if (!privileges.drop(write)) return;
      const { forOthers } = privileges;
      if (forOthers !== undefined) events.plugins.dropPrivileges(forOthers).catch((error: unknown) => fail(error));
    };
    const fail = (error: unknown): void => {
      failure ??= error;
      tunnel.handleSignal('SIGTERM');
    };
    const onState = (change: StateChange): void => {
      try {
        if (change.state === 'CONNECTED') giveUpPrivileges();
        this.#stateChanged(change);
      } catch (error) {
        fail(error);
      }
    };
    const onReady = async (seen: Environment): Promise<object | AskFailure> => {
      try {
        await events.plugins.open(3, seen);
        giveUpPrivileges();
        await events.plugins.open(4, seen);
        return {};
      } catch (error) {
        if (!(error instanceof PluginError || error instanceof MaterialError)) throw error;
        return { error: error.message };
      }
    };
    const tunnel = new TunnelProcess({
      options,
      product,
      log: write,
      onState,
      onLogLevels: (levels) => log.setLevels(levels),
      materials,
      files,
      thread: this.#thread,
      portShare: this.#portShare,
      network: this.#network,
      offload,
      events,
      environment,
      onReady,
      credentials: async (challenge) => await this.#takeCredentials(options, challenge),
    });
    const release = this.#signals.sendTo(tunnel);
    const cause = await tunnel.run(again);
    release();
    if (failure !== undefined) throw failure;
    if (cause.why === 'fatal') {
      write(EXITING);
      await events.plugins.abort();
      return EXIT_ERROR;
    }
    if (cause.signal === 'SIGUSR1') return 'soft';
    return cause.signal === 'SIGHUP' ? 'again' : EXIT_GOOD;
  }

  #stateChanged({ state }: StateChange): void {
    if (state === 'CONNECTED') {
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
          verb: 0,
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
  async #takeCredentials(
    options: Configuration['options'],
    challenge: DynamicChallenge | undefined,
  ): ReturnType<typeof readCredentials> {
    const known = this.#credentials;
    this.#credentials = undefined;
    return known ?? (await readCredentials(options, askAtTerminal, challenge));
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
  for (const text of message.split('\n')) log.write({ verb: 0, severity: 'error', prefix: undefined, text });
  log.write(EXITING);
}

/** Upstream's lines about a configuration go to standard output without a time. */
function sayUsage(error: Error): void {
  process.stdout.write(`${error.message}\nUse --help for more information.\n`);
}
