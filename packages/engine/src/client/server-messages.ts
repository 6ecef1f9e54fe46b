/**
 * What a server says in its control messages, and what we do about it: its options, refusals, the end of the session.
 * upstream: forward.c `check_incoming_control_channel`, push.c (2.6).
 */

import type { Connection, Options } from '../options/options.js';
import type { PulledOptions } from '../options/pull.js';
import type { SignalSource, Time, TunnelState } from '../output.js';
import { redact, type TunnelLog } from '../tunnel-log.js';
import type { Login } from './login.js';
import { Pull } from './pull.js';
import type { RestartManner } from './tunnel-session-host.js';

export interface ServerMessagesHost {
  readonly options: Options;
  readonly log: TunnelLog;
  /** The place that the session is with. */
  readonly connection: Connection;
  readonly login: Login;
  /** Sends a control message to the server. */
  send(text: string, time: Time): void;
  onState(state: TunnelState): void;
  /** The options of a new session are here. */
  pulled(options: PulledOptions, time: Time): void;
  restart(reason: string, time: Time, manner?: RestartManner): void;
  leave(source: SignalSource, reason: string, time: Time): void;
}

/** Lives with one session. */
export class ServerMessages {
  readonly #host: ServerMessagesHost;
  readonly #pull: Pull;

  constructor(host: ServerMessagesHost) {
    this.#host = host;
    this.#pull = new Pull(host.options, host.connection, (time) => {
      host.log.info(3, "SENT CONTROL [server]: 'PUSH_REQUEST' (status=1)");
      host.send('PUSH_REQUEST', time);
    });
  }

  startPulling(time: Time): void {
    this.#pull.start(time);
  }

  handle(text: string, time: Time): void {
    const { log } = this.#host;
    const comma = text.indexOf(',');
    const [keyword, argument] = comma < 0 ? [text, ''] : [text.slice(0, comma), text.slice(comma + 1)];
    switch (keyword) {
      case 'PUSH_REPLY':
        log.info(3, `PUSH: Received control message: '${redact(text)}'`);
        return this.#pushReply(text, time);
      case 'AUTH_FAILED':
        return this.#authFailed(argument, time);
      case 'RESTART':
        log.notice(`Connection reset command was pushed by server ('${argument}')`);
        return this.#host.restart('server-pushed-connection-reset', time, {
          advance: this.#flagsOf(argument).includes('N') ? 'address' : undefined,
        });
      case 'HALT':
        log.notice(`Halt command was pushed by server ('${argument}')`);
        this.#flagsOf(argument);
        return this.#host.leave('soft', 'server-pushed-halt', time);
      case 'EXIT':
        log.notice('CC-EEN exit message received by peer');
        return this.#host.restart('remote-exit', time);
      case 'AUTH_PENDING':
        return this.#authPending(argument, time);
      case 'INFO':
      case 'INFO_PRE':
        return log.notice(`Info command was pushed by server ('${argument}')`);
      default:
        return log.warning(`WARNING: Received unknown control message: ${keyword}`);
    }
  }

  handleTimeout(time: Time): void {
    const noReply = this.#pull.handleTimeout(time);
    if (noReply === undefined) return;
    this.#host.log.error(noReply);
    this.#host.restart('no-push-reply', time);
  }

  nextTimeout(): number | undefined {
    return this.#pull.nextTimeout();
  }

  #pushReply(text: string, time: Time): void {
    const { log, login } = this.#host;
    const read = this.#pull.read(text);
    if (read.outcome === 'more' || read.outcome === 'not-a-reply') return;
    if (read.outcome === 'rejected') {
      this.#warn(read.warnings);
      log.error(read.reason);
      this.#host.restart(read.byFilter ? 'Offending option received from server' : 'process-push-msg-failed', time);
      return;
    }
    const { pulled } = read;
    this.#warn(pulled.warnings);
    if (pulled.authToken !== undefined) login.takeToken(pulled.authToken, pulled.authTokenUser);
    // A renewed token comes alone, under a running tunnel (9.8).
    if (!this.#pull.isWaiting) return;
    this.#pull.finish();
    this.#host.pulled(pulled, time);
  }

  #warn(warnings: PulledOptions['warnings']): void {
    const { log } = this.#host;
    for (const { level, text } of warnings) {
      if (level === 'warning') log.warning(text);
      else log.info(level === 'info' ? 3 : 4, text);
    }
  }

  /** The letters in front of a RESTART's or HALT's text, `[PN]text`: without P the login is asked for, or read, again. */
  #flagsOf(argument: string): string {
    const flags = /^\[([^\]]*)/.exec(argument)?.[1] ?? '';
    if (!flags.includes('P')) this.#host.login.forget();
    return flags;
  }

  #authFailed(reason: string, time: Time): void {
    const { log, login, options } = this.#host;
    log.error(`AUTH: Received control message: AUTH_FAILED${reason === '' ? '' : `,${reason}`}`);
    const refusal = login.refused(reason, (text) => log.warning(text));
    if (reason.startsWith('CRV1:') && options.auth.retry !== 'interact')
      log.warning('The server asks a question (dynamic challenge), which is answered with auth-retry interact only');
    if (refusal.action === 'exit') {
      this.#host.leave('soft', 'auth-failure', time);
      return;
    }
    this.#host.restart(refusal.reason, time, refusal);
  }

  #authPending(argument: string, time: Time): void {
    const seconds = this.#pull.extend(argument, time.now);
    if (seconds === undefined) return;
    const { log, options } = this.#host;
    this.#host.onState('AUTH_PENDING');
    log.notice(`AUTH_PENDING received, extending handshake timeout from ${options.tls.handWindow}s to ${seconds}s`);
  }
}
