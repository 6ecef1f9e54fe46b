/**
 * The main machine of a process that has one tunnel: a client, or one end of a p2p tunnel.
 *
 *   idle ─▶ connecting ─▶ calling ─▶ negotiating ─▶ pulling ─▶ configuring ─▶ connected
 *     ▲                                                                         │
 *     └── pausing ◀─ SIGUSR1: ping-restart, tls-error, RESTART, a user's signal ┘
 *
 * What survives a soft restart stands here (the tun with persist-tun, credentials, tokens, the place in the list of
 * remotes); what dies with it stands in the Context. The order of opening and closing is upstream's:
 * link, session, tun, routes; and back: exit notice, routes and tun, peer and keys, link.
 *
 * upstream: openvpn.c `tunnel_point_to_point`, init.c `init_instance`, `close_instance`, `do_up` (2.6).
 */
import type { DataChannelCommand, DataChannelEvent, Endpoint, LinkId, Millis, UnixSeconds } from '@seikan/core';
import { AskBook, Asks } from './asks.js';
import type { RevokedSerials } from './certificate-policy.js';
import type { Agreement } from './client/agreement.js';
import { ConnectionList } from './client/connection-list.js';
import { Connector } from './client/connector.js';
import { KeptTun } from './client/kept-tun.js';
import { Login } from './client/login.js';
import { EXIT_NOTICE, type Phase, SETTLING, UNATTENDED_PAUSE } from './client/phase.js';
import { Statistics } from './client/statistics.js';
import { TunnelSession } from './client/tunnel-session.js';
import type { RestartManner, TunnelSessionSettings } from './client/tunnel-session-host.js';
import { earliest } from './context.js';
import { connectionReset } from './log-lines.js';
import type { Connection, Options } from './options/options.js';
import type { AskId, EndCause, EngineOutput, SignalSource, Time, TunnelState } from './output.js';
import { PeerChains } from './peer-chains.js';
import { TunnelDevice } from './tunnel-device.js';
import type { Environment } from './tunnel-environment.js';
import { TunnelLog } from './tunnel-log.js';
import { type AsksFor, type Refusal, TunnelScripts } from './tunnel-scripts.js';

export interface PointToPointSettings extends TunnelSessionSettings {
  /** Serial numbers in the `crl-verify … dir` directory. */
  readonly revokedSerials: RevokedSerials | undefined;
  /** Whether a script or a plugin stands behind an event; without one it is not asked. */
  readonly asksFor: AsksFor;
  /** What scripts see from the start: `configurationEnvironment`. */
  readonly environment: Environment;
  /** Local time as `2026-11-21 02:49:36`. */
  readonly formatTime: (time: UnixSeconds) => string;
}

export type TunnelSignal = 'SIGUSR1' | 'SIGUSR2' | 'SIGHUP' | 'SIGTERM' | 'SIGINT';

export class PointToPoint {
  readonly #options: Options;
  readonly #log: TunnelLog;
  readonly #outputs: EngineOutput[] = [];
  readonly #asks: Asks;
  readonly #connections: ConnectionList;
  readonly #connector: Connector;
  readonly #login: Login;
  readonly #scripts: TunnelScripts;
  readonly #device: TunnelDevice;
  readonly #tun: KeptTun;
  readonly #session: TunnelSession;
  readonly #statistics: Statistics;
  #phase: Phase = { name: 'idle' };
  /** Why the session or the process ends, for the scripts of the way down. */
  #signal = 'sigterm';

  constructor(settings: PointToPointSettings) {
    this.#options = settings.options;
    const emit = (output: EngineOutput): void => void this.#outputs.push(output);
    this.#log = new TunnelLog(emit);
    this.#asks = new Asks(emit, new AskBook());
    const { options, revokedSerials, formatTime } = settings;
    this.#statistics = new Statistics({
      status: options.log.status,
      emit,
      counters: () => this.#session.counters(),
      formatTime,
    });
    this.#scripts = new TunnelScripts(this.#asks, settings.asksFor, settings.environment);
    this.#device = new TunnelDevice({
      asks: this.#asks,
      log: this.#log,
      scripts: this.#scripts,
      onState: (state) => this.#state(state),
    });
    this.#tun = new KeptTun(this.#device, this.#log, options.persist.tun);
    const { remoteRandom } = options.connecting;
    this.#connections = new ConnectionList(options.connections, remoteRandom ? settings.random : undefined);
    this.#login = new Login(this.#asks, options.auth);
    this.#connector = new Connector({
      asks: this.#asks,
      log: this.#log,
      connections: this.#connections,
      staticKey: options.tls.role === 'none',
      retriesNames: options.connecting.resolvRetry !== 0,
      randomizer: options.connecting.randomHostname ? settings.random : undefined,
      onState: (state) => this.#state(state),
      prepare: (remote, time, then) => this.#openTunFirst(remote, time, then),
      closeLink: (link) => this.#closeLink(link),
      opened: (connection, link, remote, time) => this.#openSession(connection, link, remote, time),
      failed: (reason, advance, time) => {
        this.#restart(reason === 'connection-failed' ? 'connection failed(soft)' : 'soft', reason, time, { advance });
      },
      fatal: (text, time) => this.#fatal(text, time),
    });
    this.#session = new TunnelSession(settings, {
      log: this.#log,
      connections: this.#connections,
      login: this.#login,
      scripts: this.#scripts,
      chains: new PeerChains({ options, revokedSerials }, this.#log),
      command: (command) => this.#command(command),
      onState: (state) => this.#state(state),
      pulling: () => {
        this.#phase = { name: 'pulling' };
      },
      pulled: (options, link) => this.#pulled(options, link),
      prepareTun: (agreement, time, then) => this.#prepareTun(agreement, time, then),
      agreed: (agreement, time) => this.#agreed(agreement, time),
      restart: (...why) => this.#restart(...why),
      leave: (source, reason, time) => this.#leave('SIGTERM', source, time, reason),
      fatal: (text, time) => this.#fatal(text, time),
    });
  }

  poll(): EngineOutput | undefined {
    return this.#outputs.shift();
  }

  /** `again`: the process has had a tunnel before, and does not hurry to the next. */
  handleStart(time: Time, again = false): void {
    // A signal may have come first.
    if (this.#phase.name !== 'idle') return;
    this.#statistics.start(time.now);
    if (again) this.#pause(0, time);
    else this.#begin(time);
  }

  handleSignal(signal: TunnelSignal, time: Time): void {
    if (this.#phase.name === 'ended') return;
    switch (signal) {
      case 'SIGUSR1':
        return this.#restart('hard', '', time);
      case 'SIGUSR2':
        for (const line of this.#statistics.text(time).trimEnd().split('\n')) this.#log.notice(line);
        return undefined;
      case 'SIGHUP':
        if (this.#phase.name === 'leaving') return this.#restartWhileLeaving(signal, 'hard', time);
        return this.#end(signal, 'hard', time);
      case 'SIGTERM':
      case 'SIGINT':
        return this.#leave(signal, 'hard', time);
      default:
        return signal satisfies never;
    }
  }

  handleAnswer(id: AskId, answer: unknown, interim: boolean, time: Time): boolean {
    return this.#asks.handleAnswer(id, answer, interim, time);
  }

  handleEvent(event: DataChannelEvent, time: Time): void {
    const session = this.#session;
    switch (event.event) {
      case 'control':
        this.#statistics.controlRead(event.bytes.length);
        if (this.#connector.listensOn(event.link)) this.#connector.handleFirstPacket(event.link, event.from, time);
        else if (this.#phase.name === 'calling' && session.takes(event)) this.#phase = { name: 'negotiating' };
        session.handleControl(event, time);
        return;
      case 'linkDown':
        if (this.#connector.handleLinkDown(event.link, event.reason, time)) return;
        if (session.usesLink(event.link))
          this.#restart('soft', 'connection-reset', time, { message: connectionReset(event.reason) });
        return;
      case 'linkError':
        this.#log.notice(event.text);
        // Another address may be of a family that this host has a route for.
        if (event.unreachable && this.#phase.name === 'calling' && session.usesLink(event.link))
          this.#restart('soft', 'network-unreachable', time, { message: 'Network unreachable, restarting' });
        return;
      case 'tunDown':
        this.#fatal(`ERROR: the tun device is gone: ${event.reason}`, time);
        return;
      case 'channelDown':
        this.#tun.lost();
        this.#restart('soft', 'channel-down', time, { message: event.reason });
        return;
      case 'peerTimeout':
        this.#peerTimeout(time);
        return;
      case 'peerLost':
        session.peerLost(event, time);
        return;
      case 'keyConfirmed':
        session.keyConfirmed(event, time);
        if (!session.isStatic || !session.isAwaited) this.#peerIsThere(time);
        return;
      case 'keyLimit':
        session.keyLimit(time);
        return;
      case 'message':
        session.handleMessage(event.plaintext, time);
        return;
      case 'float':
        session.moved(event, time);
        if (session.isStatic && !session.isAwaited) this.#peerIsThere(time);
        return;
      case 'linkUp':
        this.#connector.handleLinkUp(event.link, event.listener, event.remote, time);
        return;
      case 'floatConflict':
      case 'peerDeleted':
      case 'learned':
      case 'linkForeign':
        return;
      default:
        event satisfies never;
    }
  }

  handleTimeout(time: Time): void {
    const { now } = time;
    const phase = this.#phase;
    if (phase.name === 'pausing' && now >= phase.until) this.#begin(time);
    else if (phase.name === 'settling' && now >= phase.until) this.#completed(phase.routeErrors);
    else if (phase.name === 'leaving' && now >= phase.until) this.#leaveOn(phase.left - 1, time);
    else if (phase.name === 'calling' && now >= phase.until && phase.missed) this.#peerTimeout(time);
    else if (phase.name === 'calling' && now >= phase.until) {
      this.#log.error('Server poll timeout, restarting');
      this.#restart('soft', 'server_poll', time, { pause: 'none' });
    }
    this.#connector.handleTimeout(time);
    this.#session.handleTimeout(time);
    this.#statistics.handleTimeout(time);
    this.#device.handleTimeout(time);
  }

  nextTimeout(): Millis | undefined {
    const phase = this.#phase;
    return earliest(
      'until' in phase ? phase.until : undefined,
      this.#statistics.nextTimeout(),
      this.#connector.nextTimeout(),
      this.#session.nextTimeout(),
      this.#device.nextTimeout(),
    );
  }

  // Setting up.

  #begin(time: Time): void {
    this.#phase = { name: 'connecting' };
    const { connectRetryMax } = this.#options.connecting;
    if (connectRetryMax > 0 && this.#connections.rounds >= connectRetryMax) {
      this.#fatal(`All connections have been connect-retry-max (${connectRetryMax}) times unsuccessful, exiting`, time);
      return;
    }
    const asked = this.#login.ask((failure, at) => {
      if (failure === undefined) this.#connector.start(at);
      else this.#fatal(failure, at);
    });
    if (!asked) this.#connector.start(time);
  }

  #openSession(connection: Connection, link: LinkId, remote: Endpoint | undefined, time: Time): void {
    const calls = remote !== undefined && this.#options.tls.role === 'client';
    const { pingTimeout } = this.#options.timers;
    // `connect-timeout 0` is none.
    const connectTimeout = connection.connectTimeout === 0 ? Number.POSITIVE_INFINITY : connection.connectTimeout;
    const missed = pingTimeout > 0 && pingTimeout < connectTimeout;
    const until = time.now + (missed ? pingTimeout : connectTimeout) * 1000;
    this.#phase = calls ? { name: 'calling', until, missed } : { name: 'negotiating' };
    this.#session.open(connection, link, remote, time);
  }

  #prepareTun(agreement: Agreement, time: Time, then: (time: Time) => void): void {
    this.#phase = { name: 'configuring' };
    this.#tun.prepare(agreement, this.#signal, time, (refusal, at) => {
      if (refusal === undefined) then(at);
      else this.#fatal(refusal, at);
    });
  }

  #pulled(options: Options, link: LinkId): void {
    this.#tun.pulled(options);
    this.#scripts.pulled(options.environment);
    this.#outputs.push({ output: 'pulled', link, log: options.log, socket: options.socket });
  }

  #agreed(agreement: Agreement, time: Time): void {
    if (this.#session.isStatic && this.#options.scripts.upDelay) this.#phase = { name: 'awaiting' };
    else this.#openTun(agreement, time);
  }

  #peerIsThere(time: Time): void {
    const { agreement } = this.#session;
    if (this.#phase.name === 'awaiting' && agreement !== undefined) this.#openTun(agreement, time);
    if (this.#phase.name === 'settling') this.#completed(this.#phase.routeErrors);
  }

  #openTunFirst(remote: Endpoint | undefined, time: Time, then: () => void): void {
    const { pull, scripts, device } = this.#options;
    if (pull || scripts.upDelay || device.type === 'null') {
      then();
      return;
    }
    this.#tun.openFirst(this.#options, this.#connections.current.tunMtu, remote, time, (outcome, at) => {
      if ('fatal' in outcome) this.#fatal(outcome.fatal, at);
      else then();
    });
  }

  #openTun(agreement: Agreement, time: Time): void {
    this.#phase = { name: 'configuring' };
    this.#tun.open(agreement, this.#connector.relay ?? this.#session.remote, time, (outcome, at) => {
      if ('fatal' in outcome) this.#fatal(outcome.fatal, at);
      else this.#connected(outcome.routeErrors, at);
    });
  }

  #connected(routeErrors: readonly string[], time: Time): void {
    for (const error of routeErrors) this.#log.warning(error);
    const { isStatic, isAwaited } = this.#session;
    this.#session.connected(time.now);
    this.#connections.succeeded();
    if (!isAwaited) this.#completed(routeErrors);
    // Nobody says when a p2p peer is ready: it is heard, or has had its time. A static key's may come at any time.
    else
      this.#phase = {
        name: 'settling',
        until: isStatic ? Number.POSITIVE_INFINITY : time.now + SETTLING,
        routeErrors,
      };
  }

  #completed(routeErrors: readonly string[]): void {
    this.#phase = { name: 'connected' };
    this.#log.notice('Initialization Sequence Completed');
    const { addresses } = this.#session.agreement?.options ?? this.#options;
    this.#outputs.push({
      output: 'state',
      state: 'CONNECTED',
      detail: routeErrors.length > 0 ? 'ROUTE_ERROR' : 'SUCCESS',
      virtualAddress: addresses.ipv4?.local,
      virtualAddressIpv6: addresses.ipv6?.local,
      remote: this.#session.remote,
    });
  }

  // The end of the peer.

  #peerTimeout(time: Time): void {
    const { timers } = this.#session.agreement?.options ?? this.#options;
    const name = this.#session.peerName ?? 'UNDEF';
    if (timers.pingAction === 'exit') {
      this.#log.notice(`[${name}] Inactivity timeout (--ping-exit), exiting`);
      this.#leave('SIGTERM', 'soft', time, 'ping-exit');
      return;
    }
    this.#restart('soft', 'ping-restart', time, {
      message: `[${name}] Inactivity timeout (--ping-restart), restarting`,
    });
  }

  // Coming down.

  #restart(source: SignalSource, reason: string, time: Time, manner: RestartManner = {}): void {
    if (this.#phase.name === 'ended' || this.#phase.name === 'closing') return;
    if (this.#phase.name === 'leaving') {
      this.#restartWhileLeaving('SIGUSR1', source, time);
      return;
    }
    const { remapUsr1 } = this.#options.process;
    if (manner.message !== undefined) this.#log.notice(manner.message);
    if (remapUsr1 === 'SIGHUP') {
      this.#end('SIGHUP', 'soft', time, reason);
      return;
    }
    if (remapUsr1 === 'SIGTERM') {
      this.#leave('SIGTERM', 'soft', time, reason);
      return;
    }
    this.#signal = reason === '' ? 'sigusr1' : reason;
    this.#asks.cancelAll();
    this.#scripts.cancelled();
    this.#closeSession();
    // A person's restart may be for the sake of another address behind the name.
    if (source === 'hard' && !this.#options.persist.remoteIp) this.#connections.forgetAddresses();
    this.#connections.ended(manner.advance);
    const wait = (refusal: Refusal, at: Time): void => {
      if (refusal !== undefined) {
        this.#fatal(refusal, at);
        return;
      }
      this.#log.notice(`SIGUSR1[${source},${reason}] received, process restarting`);
      this.#scripts.reset();
      this.#pause(manner.pause ?? 0, at);
      this.#state('RECONNECTING', reason);
    };
    this.#phase = { name: 'idle' };
    this.#tun.restart(this.#signal, time, wait);
  }

  #pause(least: Millis | 'none', time: Time): void {
    const patience = this.#options.auth.retry === 'nointeract' ? UNATTENDED_PAUSE : 0;
    const pause = least === 'none' ? 0 : this.#connections.pause(Math.max(patience, least));
    this.#phase = { name: 'pausing', until: time.now + pause };
    if (pause > 0) this.#log.info(3, `Restart pause, ${Math.ceil(pause / 1000)} second(s)`);
  }

  #leave(signal: 'SIGTERM' | 'SIGINT', source: SignalSource, time: Time, reason = ''): void {
    if (this.#phase.name === 'ended') return;
    if (this.#phase.name === 'leaving') {
      // Whoever asks twice does not want to wait.
      if (source === 'hard') this.#end(signal, source, time, reason);
      return;
    }
    const notify = (this.#session.agreement?.connection ?? this.#connections.current).explicitExitNotify;
    if (notify > 0 && this.#connections.current.protocol === 'udp' && this.#session.hasPeer) {
      // Upstream turns a SIGINT into a SIGTERM here.
      this.#log.notice('SIGTERM received, sending exit notification to peer');
      this.#leaveOn(notify, time, false);
      return;
    }
    this.#end(signal, source, time, reason);
  }

  #leaveOn(left: number, time: Time, again = true): void {
    if (left === 0) {
      this.#end('SIGTERM', 'soft', time, 'exit-with-notification');
      return;
    }
    this.#session.sayGoodbye(again, time);
    this.#phase = { name: 'leaving', until: time.now + EXIT_NOTICE, left };
  }

  /** Who was told to end does not begin anew. upstream: sig.c `ignore_restart_signals`. */
  #restartWhileLeaving(signal: 'SIGUSR1' | 'SIGHUP', source: SignalSource, time: Time): void {
    if (source === 'hard') {
      this.#log.notice(`Ignoring ${signal} received during exit notification`);
      return;
    }
    this.#log.notice(`Converting soft ${signal} received during exit notification to SIGTERM`);
    this.#end('SIGTERM', 'soft', time, 'exit-with-notification');
  }

  #end(signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP', source: SignalSource, time: Time, reason = ''): void {
    this.#signal = reason === '' ? signal.toLowerCase() : reason;
    this.#statistics.stop(time);
    this.#state('EXITING', signal);
    const text = `${signal}[${source},${reason}] received, process ${signal === 'SIGHUP' ? 'restarting' : 'exiting'}`;
    this.#finish({ why: 'signal', signal, source, text }, time);
  }

  #fatal(text: string, time: Time): void {
    this.#log.write('error', 0, text);
    this.#finish({ why: 'fatal', text }, time);
  }

  /** The tun first, then everything else. */
  #finish(cause: EndCause, time: Time): void {
    this.#asks.cancelAll();
    this.#scripts.cancelled();
    const closed = (refusal?: Refusal): void => {
      if (refusal !== undefined && cause.why === 'signal') {
        this.#fatal(refusal, time);
        return;
      }
      if (refusal !== undefined) this.#log.write('error', 0, refusal);
      this.#closeSession();
      this.#phase = { name: 'ended' };
      if (cause.why === 'signal') this.#log.notice(cause.text);
      this.#outputs.push({ output: 'end', cause });
    };
    if (!this.#tun.isOpen) {
      closed();
      return;
    }
    this.#phase = { name: 'closing' };
    this.#tun.close(this.#signal, time, closed);
  }

  /** Level 2: session, keys, peer and link. */
  #closeSession(): void {
    this.#connector.close();
    const link = this.#session.close();
    this.#statistics.sessionEnded();
    this.#login.sessionEnded();
    if (link !== undefined) this.#closeLink(link);
  }

  #closeLink(link: LinkId): void {
    this.#outputs.push({ output: 'close-link', link });
  }

  #command(command: DataChannelCommand): void {
    if (command.verb === 'sendControl') this.#statistics.controlWritten(command.bytes.length);
    this.#outputs.push({ output: 'command', command });
  }

  #state(state: TunnelState, detail = ''): void {
    const { remote } = this.#session;
    this.#outputs.push({
      output: 'state',
      state,
      detail,
      virtualAddress: undefined,
      virtualAddressIpv6: undefined,
      remote,
    });
  }
}
