/**
 * User-defined scripts: `up`, `auth-user-pass-verify`, `client-connect` … Each is executed without a shell and without
 * a search path, with the environment of its context and nothing of ours, and gives its verdict by exit status and files.
 *
 *     exit 0  success            auth-user-pass-verify: 2 is deferred (AuthFiles), all else is no
 *     exit n  failure            client-connect: after exit 0 the deferred file may say 2, later 1 or 0
 *
 * Source: OpenVPN 2.6 src/openvpn/run_command.c, ssl_verify.c verify_user_pass_script(), multi.c
 * multi_client_connect_call_script(), tls_crypt.c tls_crypt_v2_verify_metadata().
 * Differs from OpenVPN 2.x: nothing waits while a script runs; a script that exceeds its deadline is killed and has failed.
 * Several run at once, then, and what limits processes (LimitNPROC of a unit) lets them wait for one another.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import type { Writable } from 'node:stream';
import { type EventName, type EventRequest, type EventVerdict, encodeText, isStrict } from '@seikan/plugin-sdk';
import { AuthFiles, ConnectFiles } from './answer-files.js';
import { splitCommand } from './command-line.js';
import { FrameWriter } from './frame.js';
import { hostProgram } from './host-process.js';
import { KeptEnv } from './kept-env.js';
import type { Log } from './log.js';
import { createTempFile, removeFile } from './temp-file.js';

/** The directive that names a script, by the occasion on which it runs, and what the script finds in `script_type`. */
const scripts = {
  up: { directive: 'up', type: 'up' },
  down: { directive: 'down', type: 'down' },
  'route-up': { directive: 'route-up', type: 'route-up' },
  'route-predown': { directive: 'route-pre-down', type: 'route-pre-down' },
  ipchange: { directive: 'ipchange', type: 'ipchange' },
  'tls-verify': { directive: 'tls-verify', type: 'tls-verify' },
  'tls-crypt-v2-verify': { directive: 'tls-crypt-v2-verify', type: 'tls-crypt-v2-verify' },
  'auth-user-pass-verify': { directive: 'auth-user-pass-verify', type: 'user-pass-verify' },
  'client-connect-script': { directive: 'client-connect', type: 'client-connect' },
  'client-disconnect': { directive: 'client-disconnect', type: 'client-disconnect' },
  'learn-address': { directive: 'learn-address', type: 'learn-address' },
  'client-crresponse': { directive: 'client-crresponse', type: 'client-crresponse' },
} as const;

type ScriptEvent = keyof typeof scripts;
export type ScriptDirective = (typeof scripts)[ScriptEvent]['directive'];

export interface ScriptSettings {
  /** script-security: scripts run from 2 on; at 3 they see passwords in their environment. */
  readonly security: 0 | 1 | 2 | 3;
  /** One command line per directive, as configured: program, quoted arguments. */
  readonly commands: Partial<Record<ScriptDirective, string>>;
  /** `auth-user-pass-verify … via-file` or `via-env`. */
  readonly authVia?: 'file' | 'env';
  readonly tmpDir: string;
  /** tls-export-cert: the folder in which tls-verify scripts find the certificate as PEM. */
  readonly exportCertDir?: string;
  /**
   * How long a script may run when its request does not say, ms; 0 is for ever. Absent: a minute, and for ever for the
   * scripts of the tunnel itself (up, down, route-up, route-pre-down), which OpenVPN waits for too.
   */
  readonly deadline?: number;
}

/** Ends a request: kills what runs for it and removes its files. Nothing is answered afterwards. */
export type Cancel = () => void;

const ofTheTunnel: ReadonlySet<EventName> = new Set(['up', 'down', 'route-up', 'route-predown']);

/** Upstream runs them by one function, and has one name for them. */
const ofUpAndDown: ReadonlySet<string> = new Set(['up', 'down', 'route-pre-down']);

const scriptSecurityWarning =
  "WARNING: External program may not be called unless '--script-security 2' or higher is enabled. See --help text or man page for detailed info.";

export class ScriptRunner {
  readonly #settings: ScriptSettings;
  readonly #log: Log;
  readonly #kept: KeptEnv;
  #warned = false;

  /** `kept` is shared with the plugins of the same tunnel: both write the same variables. */
  constructor(settings: ScriptSettings, log: Log, kept: KeptEnv = new KeptEnv()) {
    this.#settings = settings;
    this.#log = log;
    this.#kept = kept;
  }

  has(event: EventName): boolean {
    return this.#command(event) !== undefined;
  }

  /** Runs the script of an event. Answers at once where there is none; see EventRequest for the order of answers. */
  run(request: EventRequest, answer: (verdict: EventVerdict) => void): Cancel {
    const command = this.#command(request.event);
    if (command === undefined) {
      answer({ result: 'success' });
      return () => {};
    }
    const call = new ScriptCall(command, request, answer);
    if (this.#settings.security < 2) {
      if (!this.#warned) this.#log('warn', scriptSecurityWarning);
      this.#warned = true;
      this.#warnFailed(command.directive, 'disallowed by script-security setting');
      call.finish({ result: 'failure', cause: 'script-security does not allow scripts' });
      return call.cancel;
    }
    try {
      this.#start(call);
    } catch (error) {
      this.#warnFailed(command.directive, error instanceof Error ? error.message : String(error));
      call.finish({ result: 'failure', cause: 'the script could not be prepared' });
    }
    return call.cancel;
  }

  #command(event: EventName): Command | undefined {
    if (!(event in scripts)) return undefined;
    const { directive, type } = scripts[event as ScriptEvent];
    const line = this.#settings.commands[directive];
    return line === undefined ? undefined : { directive, type, words: splitCommand(line) };
  }

  #start(call: ScriptCall): void {
    const { request, command } = call;
    const { tmpDir, exportCertDir } = this.#settings;
    const argv = [...command.words, ...request.argv];
    const added: Record<string, string> = { script_type: command.type };

    switch (request.event) {
      case 'auth-user-pass-verify': {
        if (this.#settings.authVia === 'file') {
          const { username = '', password = '' } = request.env;
          argv.push(call.file(createTempFile(tmpDir, 'up', encodeText(`${username}\n${password}\n`))));
        }
        call.auth = new AuthFiles(tmpDir);
        Object.assign(added, call.auth.env);
        this.#kept.add(request.context, call.auth.env);
        break;
      }
      case 'client-connect-script':
        call.connect = new ConnectFiles(tmpDir);
        Object.assign(added, call.connect.env);
        argv.push(call.connect.configFile);
        break;
      case 'tls-verify':
        if (exportCertDir !== undefined && request.certificate !== undefined && !('peer_cert' in request.env)) {
          const pem = new X509Certificate(request.certificate.der).toString();
          added['peer_cert'] = call.file(createTempFile(exportCertDir, 'pef', pem));
        }
        break;
      case 'tls-crypt-v2-verify':
        added['metadata_file'] = call.file(
          createTempFile(tmpDir, 'tls_crypt_v2_metadata_', request.metadata ?? new Uint8Array()),
        );
        break;
      case 'client-crresponse':
        argv.push(call.file(createTempFile(tmpDir, 'cr', encodeText(`${request.env['crresponse'] ?? ''}\n`))));
        break;
      default:
        break;
    }

    if (ofUpAndDown.has(command.directive)) this.#log('note', argv.join(' '));
    const env = { ...this.#kept.of(request), ...added };
    if (this.#settings.authVia === 'file') delete env['password'];
    if (this.#settings.security < 3)
      for (const name of Object.keys(env)) if (name.startsWith('password')) delete env[name];
    const usual = ofTheTunnel.has(request.event) ? 0 : 60_000;
    call.spawn(argv, env, request.deadline ?? this.#settings.deadline ?? usual, (ended) => this.#ended(call, ended));
  }

  #ended(call: ScriptCall, ended: Ended): void {
    const { request, command } = call;
    const isAuth = request.event === 'auth-user-pass-verify';
    if (ended.code === 0) {
      if (call.connect !== undefined) this.#connected(call, call.connect);
      else call.finish({ result: 'success' });
    } else if (isAuth && ended.code === 2 && call.auth !== undefined) {
      this.#deferred(call, call.auth);
    } else {
      const cause = `${command.directive} script ${ended.text}`;
      if (!isAuth || ended.code === undefined) this.#warnFailed(command.directive, `external program ${ended.text}`);
      call.finish(call.auth?.failure(cause) ?? { result: 'failure', cause });
    }
  }

  #deferred(call: ScriptCall, files: AuthFiles): void {
    const pending = files.pending();
    if (pending === 'malformed') {
      this.#log('warn', 'auth pending control file is not three lines: a number of seconds, a method, a text');
      call.finish({ result: 'failure', cause: 'the auth_pending_file is malformed' });
      return;
    }
    call.interim(pending === undefined ? { result: 'deferred' } : { result: 'pending', ...pending });
    files.onAnswer((verdict) => call.finish(verdict));
  }

  #connected(call: ScriptCall, files: ConnectFiles): void {
    const look = (later: boolean): void => {
      const answer = files.answer();
      if (answer === 'failure' && later)
        call.finish({ result: 'failure', cause: 'client_connect_deferred_file says no' });
      else if (answer === 'success' || (answer !== 'deferred' && !later)) {
        call.finish({ result: 'success', config: files.config() });
      } else if (!later) {
        call.interim({ result: 'deferred' });
        files.watch(() => look(true));
        look(true);
      }
    };
    look(false);
  }

  #warnFailed(directive: string, why: string): void {
    const named = ofUpAndDown.has(directive) ? 'up/--down' : directive;
    this.#log('warn', `WARNING: Failed running command (--${named}): ${why}`);
  }
}

/** execve() as OpenVPN calls it takes a bare name as a file of the working directory; node would search PATH. */
function execute([program = '', ...rest]: readonly string[], env: Record<string, string>): ChildProcess {
  const file = program.includes('/') ? program : `./${program}`;
  return spawn(file, rest, { argv0: program, env, stdio: ['ignore', 'inherit', 'inherit'] });
}

/** Node hands over UTF-8 only, and a name changed on the way could be somebody else's: the C program hands over bytes. */
function executeRaw(argv: readonly string[], env: Record<string, string>): ChildProcess {
  const child = spawn(hostProgram, ['execute'], { env: {}, stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
  const control = (child.stdio as ChildProcess['stdio'] | undefined)?.[3] as Writable | null | undefined;
  const frame = new FrameWriter('S', 0).vector(argv).env(env).finish();
  control?.on('error', () => {}); // it has ended already, which its exit tells
  control?.end(frame, () => frame.fill(0));
  return child;
}

interface Command {
  readonly directive: ScriptDirective;
  readonly type: string;
  readonly words: readonly string[];
}

/** No more processes or descriptors just now: other scripts are running, and will end. */
const SCARCE: ReadonlySet<string> = new Set(['EAGAIN', 'EMFILE', 'ENFILE']);
const ANOTHER_TRY_MS = 50;

/** How a script ended: `code` is its exit status, absent after a signal, a deadline or where it could not run. */
interface Ended {
  readonly code?: number;
  readonly text: string;
}

/** One run of one script, with everything that must be gone after it. */
class ScriptCall {
  readonly command: Command;
  readonly request: EventRequest;
  auth: AuthFiles | undefined;
  connect: ConnectFiles | undefined;
  readonly #files: string[] = [];
  readonly #answer: (verdict: EventVerdict) => void;
  #child: ChildProcess | undefined;
  #over = false;

  constructor(command: Command, request: EventRequest, answer: (verdict: EventVerdict) => void) {
    this.command = command;
    this.request = request;
    this.#answer = answer;
  }

  /** A file that goes with the script's process. */
  file(path: string): string {
    this.#files.push(path);
    return path;
  }

  readonly cancel = (): void => {
    if (this.#over) return;
    this.#clear();
    this.#child?.kill('SIGKILL');
  };

  interim(verdict: EventVerdict): void {
    if (!this.#over) this.#answer(verdict);
  }

  finish(verdict: EventVerdict): void {
    if (this.#over) return;
    this.#clear();
    this.#answer(verdict);
  }

  spawn(argv: readonly string[], env: Record<string, string>, deadline: number, ended: (how: Ended) => void): void {
    const isText = argv.every(isStrict) && Object.values(env).every(isStrict);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#child?.kill('SIGKILL');
    }, deadline);
    if (deadline === 0) clearTimeout(timer);
    const end = (how: Ended): void => {
      clearTimeout(timer);
      for (const path of this.#files.splice(0)) removeFile(path);
      if (!this.#over) ended(how);
    };
    const begin = (): void => {
      if (this.#over) {
        clearTimeout(timer);
        return;
      }
      if (late) {
        end({ text: `could not be executed within ${deadline} ms` });
        return;
      }
      let child: ChildProcess;
      try {
        child = isText ? execute(argv, env) : executeRaw(argv, env);
      } catch (error) {
        // E2BIG, ENOMEM: node throws these.
        end({ text: `could not be executed: ${error instanceof Error ? error.message : String(error)}` });
        return;
      }
      this.#child = child;
      child.once('error', (error: NodeJS.ErrnoException) => {
        if (!late && SCARCE.has(error.code ?? '')) setTimeout(begin, ANOTHER_TRY_MS);
        else end({ text: `could not be executed: ${error.message}` });
      });
      child.once('exit', (code, signal) => {
        if (late) end({ text: `ran longer than ${deadline} ms and was killed` });
        else if (code === null) end({ text: `was ended by ${signal ?? 'a signal'}` });
        else end({ code, text: `exited with error status: ${code}` });
      });
    };
    begin();
  }

  #clear(): void {
    this.#over = true;
    for (const path of this.#files.splice(0)) removeFile(path);
    this.auth?.remove();
    this.connect?.remove();
  }
}
