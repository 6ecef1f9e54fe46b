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
import {
  type ControlProtection,
  type Crypto,
  type DataChannelCommand,
  type DataChannelEvent,
  type Endpoint,
  type KeyFailure,
  type KeyState,
  type LinkId,
  type Millis,
  OccType,
  type PeerCounters,
  type PeerRef,
  type RandomFill,
  type StaticKey,
  sameEndpoint,
  type TlsContext,
  type UnixSeconds,
} from '@seikan/core';

import { AskBook, Asks } from './asks.js';
import { type RevokedSerials, sanitizeSubject } from './certificate-policy.js';
import { type Agreement, agreeAsPeers, agreeOnPush, agreeOnStaticKey } from './client/agreement.js';
import { ConnectionList } from './client/connection-list.js';
import { Connector } from './client/connector.js';
import { Login } from './client/login.js';
import { ServerMessages } from './client/server-messages.js';
import { StaticPeer } from './client/static-peer.js';
import { Statistics } from './client/statistics.js';
import { Context, type ContextOwner, earliest } from './context.js';
import { contextSettings } from './context-settings.js';
import { peerSettings } from './data-settings.js';
import { type ChannelAbilities, type HostFacts, type Product, peerInfoText } from './local-hello.js';
import { OFFLOAD_ADVICE, offloadRefusal } from './offload.js';
import type { Connection, Options } from './options/options.js';
import type { PulledOptions } from './options/pull.js';
import { logDifferences, optionsStrings } from './options-string.js';
import type { AskId, EngineOutput, SignalSource, Time, TunnelState } from './output.js';
import { PeerChains } from './peer-chains.js';
import { SessionLimits } from './session-limits.js';
import { TunnelDevice, type TunOutcome } from './tunnel-device.js';
import { type Environment, exportedEnvironment } from './tunnel-environment.js';
import { afInet, TunnelLog } from './tunnel-log.js';
import { type AsksFor, type Refusal, TunnelScripts } from './tunnel-scripts.js';

export interface PointToPointSettings {
  readonly options: Options;
  readonly crypto: Crypto;
  readonly random: RandomFill;
  readonly tls: TlsContext;
  /** Made anew for each session: the keys of one place to connect to. */
  readonly protection: (connection: Connection) => ControlProtection;
  readonly product: Product;
  readonly abilities: ChannelAbilities;
  readonly hostFacts: () => HostFacts;
  /** Serial numbers in the `crl-verify … dir` directory. */
  readonly revokedSerials: RevokedSerials | undefined;
  /** `secret`: without it there is TLS. */
  readonly staticKey: StaticKey | undefined;
  /** Whether a script or a plugin stands behind an event; without one it is not asked. */
  readonly asksFor: AsksFor;
  /** What scripts see from the start: `configurationEnvironment`. */
  readonly environment: Environment;
  readonly readCounters: (peer: PeerRef) => PeerCounters | undefined;
  /** Local time as `2026-11-21 02:49:36`. */
  readonly formatTime: (time: UnixSeconds) => string;
}

export type TunnelSignal = 'SIGUSR1' | 'SIGUSR2' | 'SIGHUP' | 'SIGTERM' | 'SIGINT';

/** Stock peers look at their state once a second. */
const SETTLING: Millis = 1_500;
/** How long EXIT is given to leave before everything is closed. */
const EXIT_NOTICE: Millis = 1_000;

type Phase =
  /** `connecting`: the Connector is at work. */
  | { readonly name: 'idle' | 'connecting' | 'closing' | 'ended' }
  /** The first packet of the server is awaited until `deadline`. */
  | { readonly name: 'calling'; readonly deadline: Millis }
  | { readonly name: 'negotiating' | 'pulling' }
  /** `awaiting`: with up-delay, a static-key peer's first packet comes before the tun. */
  | { readonly name: 'awaiting' | 'configuring' | 'connected' }
  /** p2p: everything is up here; the peer may take until `until`. */
  | { readonly name: 'settling'; readonly until: Millis; readonly routeErrors: readonly string[] }
  | { readonly name: 'pausing'; readonly until: Millis }
  /** EXIT was sent; at `until` the tunnel is closed and the process ends. */
  | {
      readonly name: 'leaving';
      readonly until: Millis;
      readonly signal: 'SIGTERM' | 'SIGINT';
      readonly source: SignalSource;
    };

/** Nobody sends more before it is asked anything. */
const MOST_HELD = 16;

export class PointToPoint implements ContextOwner {
  readonly #settings: PointToPointSettings;
  readonly #options: Options;
  readonly #log: TunnelLog;
  readonly #outputs: EngineOutput[] = [];
  readonly #asks: Asks;
  readonly #connections: ConnectionList;
  readonly #connector: Connector;
  readonly #login: Login;
  readonly #scripts: TunnelScripts;
  readonly #device: TunnelDevice;
  readonly #chains: PeerChains;
  readonly #statistics: Statistics;
  #phase: Phase = { name: 'idle' };
  #context: Context | undefined;
  #generation = 0;
  #server: ServerMessages | undefined;
  /** Why the session or the process ends, for the scripts of the way down. */
  #signal = 'sigterm';
  /** What the tun was set up with, if it is open: the digest of the pulled options. */
  #tun: { readonly digest: string } | undefined;
  /** Not even persist-tun can keep it. */
  #deviceIsGone = false;
  /** The tun was opened before the peer was known, with these errors of routes. */
  #openedFirst: readonly string[] | undefined;
  /** What holds for the session once it is agreed. */
  #agreement: Agreement | undefined;
  /** Keys whose negotiation is over. */
  readonly #active = new WeakSet<KeyState>();
  /** Messages that came before the key was granted. */
  #held: string[] = [];
  /** Static key mode: there is no Context then. */
  #staticPeer: StaticPeer | undefined;
  /** Once connected. */
  #limits: SessionLimits | undefined;

  constructor(settings: PointToPointSettings) {
    this.#settings = settings;
    this.#options = settings.options;
    const emit = (output: EngineOutput): void => void this.#outputs.push(output);
    this.#log = new TunnelLog(emit);
    this.#asks = new Asks(emit, new AskBook());
    const { options, revokedSerials, formatTime } = settings;
    this.#chains = new PeerChains({ verify: options.verify, revokedSerials }, this.#log);
    this.#statistics = new Statistics({
      status: options.log.status,
      emit,
      counters: () => this.#counters(),
      formatTime,
    });
    this.#scripts = new TunnelScripts(this.#asks, settings.asksFor, settings.environment);
    this.#device = new TunnelDevice({
      asks: this.#asks,
      log: this.#log,
      scripts: this.#scripts,
      onState: (state) => this.#state(state),
    });
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
        this.#connections.advance(advance);
        this.#restart(reason === 'connection-failed' ? 'connection failed(soft)' : 'soft', reason, time);
      },
      fatal: (text, time) => this.#fatal(text, time),
    });
  }

  poll(): EngineOutput | undefined {
    return this.#outputs.shift();
  }

  handleStart(time: Time): void {
    // A signal may have come first.
    if (this.#phase.name !== 'idle') return;
    this.#statistics.start(time.now);
    this.#begin(time);
  }

  handleSignal(signal: TunnelSignal, time: Time): void {
    if (this.#phase.name === 'ended') return;
    switch (signal) {
      case 'SIGUSR1':
        return this.#restart('hard', '', time);
      case 'SIGUSR2':
        for (const line of this.#statistics.text(time).trimEnd().split('\n')) this.#log.write('notice', 0, line);
        return undefined;
      case 'SIGHUP':
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
    const context = this.#context;
    switch (event.event) {
      case 'control':
        this.#statistics.controlRead(event.bytes.length);
        if (this.#connector.listensOn(event.link)) {
          this.#connector.handleFirstPacket(event.link, event.from, time);
          this.#context?.handleControl(event.bytes, time);
          return;
        }
        if (context === undefined || event.link !== context.link) return;
        if (!this.#connections.current.float && !sameEndpoint(event.from, context.remote)) {
          this.#log.info(
            2,
            `TCP/UDP: Incoming packet rejected from ${afInet(event.from)}[${event.from.family}], expected peer address: ${afInet(context.remote)} (allow this incoming source address/port by removing --remote or adding --float)`,
          );
          return;
        }
        if (this.#phase.name === 'calling') this.#phase = { name: 'negotiating' };
        context.handleControl(event.bytes, time);
        return;
      case 'linkDown':
        if (this.#connector.handleLinkDown(event.link, event.reason, time)) return;
        if (context?.link === event.link || this.#staticPeer?.link === event.link)
          this.#restart('soft', 'connection-reset', time, `Connection reset, restarting [${event.reason}]`);
        return;
      case 'tunDown':
        this.#fatal(`ERROR: the tun device is gone: ${event.reason}`, time);
        return;
      case 'channelDown':
        this.#deviceIsGone = true;
        this.#restart('soft', 'channel-down', time, event.reason);
        return;
      case 'peerTimeout':
        this.#peerTimeout(time);
        return;
      case 'peerLost':
        if (event.peer.generation === context?.peer?.generation)
          this.#restart('soft', 'dco-peer-lost', time, `dco: ${event.reason}, restarting`);
        return;
      case 'keyConfirmed':
        context?.keyConfirmed(event.keyId, time);
        this.#staticPeer?.heard();
        if (this.#phase.name === 'awaiting' && this.#agreement !== undefined) this.#configure(this.#agreement, time);
        if (this.#phase.name === 'settling') this.#completed(this.#phase.routeErrors);
        return;
      case 'keyLimit':
        context?.renegotiate(time);
        return;
      case 'message':
        this.#occMessage(event.plaintext, time);
        return;
      case 'float':
        this.#staticPeer?.movedTo(event.to);
        context?.moveTo(event.link, event.to);
        return;
      case 'linkUp':
        this.#connector.handleLinkUp(event.link, event.listener, event.remote, time);
        return;
      case 'floatConflict':
      case 'peerDeleted':
      case 'learned':
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
    else if (phase.name === 'leaving' && now >= phase.until) this.#end(phase.signal, phase.source, time);
    else if (phase.name === 'calling' && now >= phase.deadline) {
      this.#log.error('Server poll timeout, restarting');
      this.#connections.advance();
      this.#restart('soft', 'server_poll', time);
    }
    this.#connector.handleTimeout(time);
    this.#server?.handleTimeout(time);
    this.#staticPeer?.handleTimeout(time.now);
    const limit = this.#limits?.reached(() => this.#counters(), now);
    if (limit === 'session-timeout') this.#log.notice('Session timeout, exiting');
    else if (limit === 'inactive') this.#log.notice('Inactivity timeout (--inactive), exiting');
    if (limit !== undefined) this.#leave('SIGTERM', 'soft', time, limit);
    this.#statistics.handleTimeout(time);
    this.#device.handleTimeout(time);
    this.#context?.handleTimeout(time);
  }

  /** A server may push timers. */
  get #timers(): Options['timers'] {
    return (this.#agreement?.options ?? this.#options).timers;
  }

  nextTimeout(): Millis | undefined {
    const phase = this.#phase;
    const own =
      phase.name === 'pausing' || phase.name === 'leaving' || phase.name === 'settling'
        ? phase.until
        : phase.name === 'calling'
          ? phase.deadline
          : undefined;
    return earliest(
      own,
      this.#limits?.nextTimeout(),
      this.#statistics.nextTimeout(),
      this.#connector.nextTimeout(),
      this.#server?.nextTimeout(),
      this.#staticPeer?.nextTimeout(),
      this.#device.nextTimeout(),
      this.#context?.nextTimeout(),
    );
  }

  // What the Context says.

  command(command: DataChannelCommand): void {
    if (command.verb === 'sendControl') this.#statistics.controlWritten(command.bytes.length);
    this.#outputs.push({ output: 'command', command });
  }

  secured(key: KeyState, time: Time): void {
    const context = this.#context;
    if (context === undefined) return;
    const chain = this.#chains.of(key);
    this.#scripts.tlsVerify(
      chain,
      context.remote,
      this.#options.verify,
      (refused, at) => {
        if (this.#context !== context) return;
        if (refused === undefined) context.admit(key, at);
        else {
          this.#log.error(`VERIFY SCRIPT ERROR: depth=${refused.depth}, ${sanitizeSubject(refused.subject)}`);
          this.failed(key, { fault: 'auth-failed', reason: 'certificate verification failed' }, at);
        }
      },
      time,
    );
  }

  exchanged(key: KeyState, time: Time): void {
    const context = this.#context;
    const grant = (good: boolean, at: Time): void => {
      if (this.#context !== context) return;
      if (good) {
        const late = this.#active.has(key);
        context?.grant(key, at);
        if (late) this.#initiated(key, at);
        for (const text of this.#held.splice(0)) this.#server?.handle(text, at);
        return;
      }
      const refuse = (later: Time): void => {
        if (this.#context === context)
          this.failed(key, { fault: 'auth-failed', reason: 'a plugin refused the finished handshake' }, later);
      };
      // The session is there all the same, and ipchange hears of it, as upstream has it.
      if (context === undefined || this.#agreement !== undefined) refuse(at);
      else this.#scripts.peerInitiated(context.remote, at, refuse);
    };
    this.#scripts.tlsFinal(exportedEnvironment(this.#options, key), time, grant);
  }

  active(key: KeyState, time: Time): void {
    this.#log.notice(`Control Channel: ${key.connection.describe()}`);
    this.#active.add(key);
    // Whoever has a say in it may not have spoken yet.
    if (key.authentication === 'granted') this.#initiated(key, time);
  }

  #initiated(key: KeyState, time: Time): void {
    const context = this.#context;
    if (context === undefined) return;
    if (this.#agreement !== undefined) {
      // A renegotiation: what was agreed stays.
      context.installKey(key, time);
      return;
    }
    const name = key.connection.peerCertificate?.subjectFields.findLast((field) => field.name === 'CN')?.value ?? '';
    this.#log.notice(`[${name}] Peer Connection Initiated with ${afInet(context.remote)}`);
    this.#scripts.peerInitiated(context.remote, time);
    if (this.#options.data.occ) {
      const { expected } = optionsStrings(this.#options, this.#connections.current, this.#settings.crypto);
      logDifferences(expected, key.peerHello?.options ?? '', this.#log);
    }
    if (this.#options.pull) {
      this.#state('GET_CONFIG');
      this.#phase = { name: 'pulling' };
      this.#server?.startPulling(time);
    } else {
      this.#startData(agreeAsPeers(this.#options, this.#connections.current, key, this.#settings.crypto), key, time);
    }
  }

  message(key: KeyState, text: string, time: Time): void {
    // A server pushes unasked: what it says counts once nobody here objects to it any more.
    if (key.authentication === 'granted') this.#server?.handle(text, time);
    else if (this.#held.length < MOST_HELD) this.#held.push(text);
  }

  failed(key: KeyState, failure: KeyFailure, time: Time): void {
    this.#log.error(`TLS Error: ${failure.reason}`);
    this.#log.error('TLS Error: TLS handshake failed');
    if (this.#context?.session.isInitial(key) === true) {
      this.#context.session.dropInitial();
      return;
    }
    // Over TCP an error is fatal, as upstream has it: a stream does not lose packets.
    const mayGoOn = failure.fault !== 'auth-failed' && this.#connections.current.protocol === 'udp';
    if (mayGoOn && this.#context?.keepOldKey(key, time) === true) return;
    this.#connections.advance();
    if (this.#options.tls.exitOnError) this.#leave('SIGTERM', 'soft', time);
    else this.#restart('soft', 'tls-error', time);
  }

  takenOver(_key: KeyState, _time: Time): void {
    // A p2p peer came back with a new session: it will be agreed with when it is active.
    this.#agreement = undefined;
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
    const { options, crypto, random, tls } = this.#settings;
    if (remote === undefined || options.tls.role === 'none') {
      this.#openStatic(connection, link, remote, time);
      return;
    }
    const context = new Context(
      contextSettings({
        mode: 'p2p',
        options,
        connection,
        crypto,
        random,
        tls,
        protection: this.#settings.protection(connection),
        link,
        remote,
        counters: () => this.#counters(),
        renegotiateAfter: options.tls.renegSec,
        hello: () => this.#hello(connection),
        verify: (key, certificate, error) => this.#chains.verify(key, certificate, error),
      }),
      this,
    );
    this.#context = context;
    this.#server = new ServerMessages({
      options,
      log: this.#log,
      connections: this.#connections,
      login: this.#login,
      send: (text, at) => void context.send(text, at),
      onState: (state) => this.#state(state),
      pulled: (pulled, at) => this.#pulled(pulled, at),
      restart: (reason, at, leastPause) => this.#restart('soft', reason, at, undefined, leastPause),
      leave: (source, reason, at) => this.#leave('SIGTERM', source, at, reason),
    });
    this.#state('WAIT');
    if (options.tls.role === 'client') {
      this.#phase = { name: 'calling', deadline: time.now + connection.connectTimeout * 1000 };
      context.start(time);
    } else this.#phase = { name: 'negotiating' };
  }

  #openStatic(connection: Connection, link: LinkId, remote: Endpoint | undefined, time: Time): void {
    const { options, crypto, staticKey } = this.#settings;
    if (staticKey === undefined) {
      this.#fatal('static key mode without a static key', time);
      return;
    }
    this.#generation += 1;
    const agreement = agreeOnStaticKey(options, connection);
    this.#agreement = agreement;
    this.#staticPeer = new StaticPeer(
      {
        peer: { index: 0, generation: this.#generation },
        link,
        remote,
        agreement,
        key: staticKey,
        crypto,
        log: this.#log,
        optionsStrings: optionsStrings(options, connection, crypto),
        command: (command) => this.command(command),
      },
      time.now,
    );
    this.#logDataChannel(agreement);
    this.#phase = { name: 'awaiting' };
    if (!options.scripts.upDelay) this.#configure(agreement, time);
  }

  #configure(agreement: Agreement, time: Time): void {
    this.#phase = { name: 'configuring' };
    this.#openTun(agreement, time);
  }

  #hello(connection: Connection) {
    const { options, product, abilities, crypto, hostFacts } = this.#settings;
    return {
      options: optionsStrings(options, connection, crypto).own,
      username: this.#login.username,
      password: this.#login.password,
      peerInfo: peerInfoText({ options, connection, product, abilities, crypto, hostFacts }),
    };
  }

  #pulled(options: PulledOptions, time: Time): void {
    const key = this.#context?.session.active?.primary;
    const agreement = agreeOnPush(this.#options, options, this.#settings.crypto);
    if (typeof agreement === 'string') {
      this.#log.error(agreement);
      this.#restart('soft', 'process-push-msg-failed', time);
    } else if (key !== undefined) this.#startData(agreement, key, time);
  }

  #startData(agreement: Agreement, key: KeyState, time: Time): void {
    const context = this.#context;
    if (context === undefined) return;
    const refusal = offloadRefusal(this.#settings.abilities, {
      peerId: agreement.peerId,
      cipher: agreement.negotiated.cipher,
      compression: agreement.options.data.compression,
    });
    if (refusal !== undefined) {
      this.#log.error(refusal);
      this.#log.error(OFFLOAD_ADVICE);
      this.#restart('soft', 'process-push-msg-failed', time);
      return;
    }
    this.#phase = { name: 'configuring' };
    if (this.#tun !== undefined && this.#tun.digest !== agreement.digest) {
      // Before there is a peer: the kernel's channel carries it with the tun.
      this.#log.notice('NOTE: Pulled options changed on restart, will need to close and reopen TUN/TAP device.');
      this.#closeTun(time, (refusal, at) => {
        if (this.#context !== context) return;
        if (refusal === undefined) this.#startData(agreement, key, at);
        else this.#fatal(refusal, at);
      });
      return;
    }
    this.#agreement = agreement;
    this.#generation += 1;
    const { negotiated } = agreement;
    const { crypto } = this.#settings;
    const settings = peerSettings({ ...agreement, remote: context.remote, crypto });
    context.openPeer({ index: 0, generation: this.#generation }, settings, negotiated);
    context.installKey(key, time);
    this.#logDataChannel(agreement);
    const { ping, pingTimeout, pingAction } = agreement.options.timers;
    this.#log.notice(`Timers: ping ${ping}, ping-${pingAction} ${pingTimeout}`);
    this.#configure(agreement, time);
  }

  #logDataChannel({ negotiated, peerId }: Agreement): void {
    const { epoch, cipher, digest } = negotiated;
    const auth = this.#settings.crypto.cipher(cipher)?.mode === 'aead' ? '' : `, auth '${digest}'`;
    const flags = `${peerId === undefined ? '' : `, peer-id: ${peerId}`}${epoch ? ', aead-epoch' : ''}`;
    this.#log.notice(`Data Channel: cipher '${cipher}'${auth}${flags}`);
  }

  /** Without a server's push and without up-delay, a tun is there before its peer: what is meant for it goes nowhere else. */
  #openTunFirst(remote: Endpoint | undefined, time: Time, then: () => void): void {
    const { pull, scripts, device } = this.#options;
    if (pull || scripts.upDelay || device.type === 'null') {
      then();
      return;
    }
    const opened = (outcome: TunOutcome, at: Time): void => {
      if ('fatal' in outcome) {
        this.#fatal(outcome.fatal, at);
        return;
      }
      this.#openedFirst = outcome.routeErrors;
      then();
    };
    if (this.#tun === undefined) {
      this.#tun = { digest: '' };
      this.#device.open(this.#options, this.#connections.current.tunMtu, remote, opened);
    } else {
      this.#log.notice('Preserving previous TUN/TAP instance');
      this.#device.restarted(time, opened);
    }
  }

  #openTun(agreement: Agreement, time: Time): void {
    if (this.#openedFirst !== undefined) {
      this.#connected(this.#openedFirst, time);
      return;
    }
    const { options, connection, digest } = agreement;
    const opened = (outcome: TunOutcome, at: Time): void => {
      if ('fatal' in outcome) this.#fatal(outcome.fatal, at);
      else this.#connected(outcome.routeErrors, at);
    };
    if (this.#tun !== undefined) {
      this.#log.notice('Preserving previous TUN/TAP instance');
      this.#device.restarted(time, opened);
      return;
    }
    if (options.device.type === 'null') {
      this.#connected([], time);
      return;
    }
    this.#tun = { digest };
    this.#device.open(options, connection.tunMtu, this.#connector.relay ?? this.#context?.remote, opened);
  }

  #connected(routeErrors: readonly string[], time: Time): void {
    for (const error of routeErrors) this.#log.warning(error);
    this.#limits = new SessionLimits(this.#timers, time.now);
    this.#connections.succeeded();
    const awaited = this.#staticPeer !== undefined ? !this.#staticPeer.isHeard : !this.#options.pull;
    if (!awaited) this.#completed(routeErrors);
    // Nobody says when a p2p peer is ready: it is heard, or has had its time. A static key's may come at any time.
    else
      this.#phase = {
        name: 'settling',
        until: this.#staticPeer === undefined ? time.now + SETTLING : Number.POSITIVE_INFINITY,
        routeErrors,
      };
  }

  #completed(routeErrors: readonly string[]): void {
    this.#phase = { name: 'connected' };
    this.#log.write('notice', 0, `Initialization Sequence Completed${routeErrors.length > 0 ? ' With Errors' : ''}`);
    const { addresses } = this.#agreement?.options ?? this.#options;
    this.#outputs.push({
      output: 'state',
      state: 'CONNECTED',
      detail: routeErrors.length > 0 ? 'ROUTE_ERROR' : 'SUCCESS',
      virtualAddress: addresses.ipv4?.local,
      virtualAddressIpv6: addresses.ipv6?.local,
      remote: this.#context?.remote,
    });
  }

  // The end of the peer.

  #peerTimeout(time: Time): void {
    if (this.#options.timers.pingAction === 'exit' && this.#agreement?.options.timers.pingAction !== 'restart') {
      this.#log.write('notice', 0, 'Inactivity timeout (--ping-exit), exiting');
      this.#leave('SIGTERM', 'soft', time, 'ping-exit');
      return;
    }
    const name = this.#context?.session.active?.primary.connection.peerCertificate?.subjectFields.findLast(
      (field) => field.name === 'CN',
    )?.value;
    this.#restart('soft', 'ping-restart', time, `[${name ?? 'UNDEF'}] Inactivity timeout (--ping-restart), restarting`);
  }

  #occMessage(plaintext: Uint8Array, time: Time): void {
    if (plaintext[0] !== OccType.exit) {
      this.#staticPeer?.handleMessage(plaintext);
      return;
    }
    this.#log.notice('OCC exit message received by peer');
    this.#restart('soft', 'remote-exit', time);
  }

  // Coming down.

  #restart(source: SignalSource, reason: string, time: Time, message?: string, leastPause: Millis = 0): void {
    if (['ended', 'leaving', 'closing'].includes(this.#phase.name)) return;
    const { remapUsr1 } = this.#options.process;
    if (message !== undefined) this.#log.write('notice', 0, message);
    if (remapUsr1 === 'SIGHUP') {
      this.#end('SIGHUP', source, time, reason);
      return;
    }
    if (remapUsr1 === 'SIGTERM') {
      this.#leave('SIGTERM', source, time, reason);
      return;
    }
    this.#log.write('notice', 0, `SIGUSR1[${source},${reason}] received, process restarting`);
    this.#signal = reason === '' ? 'sigusr1' : reason;
    this.#asks.cancelAll();
    this.#scripts.cancelled();
    this.#closeSession();
    // A person's restart may be for the sake of another address behind the name.
    if (source === 'hard' && !this.#options.persist.remoteIp) this.#connections.forgetAddresses();
    const pause = Math.max(this.#connections.pause(), leastPause);
    const wait = (refusal: Refusal, at: Time): void => {
      if (refusal !== undefined) {
        this.#fatal(refusal, at);
        return;
      }
      this.#scripts.reset();
      this.#phase = { name: 'pausing', until: at.now + pause };
      this.#log.notice(`Restart pause, ${Math.ceil(pause / 1000)} second(s)`);
      this.#state('RECONNECTING', reason);
    };
    this.#phase = { name: 'idle' };
    const kept = this.#options.persist.tun && this.#device.isUp && !this.#deviceIsGone;
    this.#deviceIsGone = false;
    if (this.#device.isOpen && !kept) this.#closeTun(time, wait);
    else this.#device.restarting(this.#signal, time, wait);
  }

  #leave(signal: 'SIGTERM' | 'SIGINT', source: SignalSource, time: Time, reason = ''): void {
    if (this.#phase.name === 'leaving' || this.#phase.name === 'ended') return;
    const notify = this.#connections.current.explicitExitNotify;
    const context = this.#context;
    if (notify > 0 && context?.peer !== undefined && this.#connections.current.protocol === 'udp') {
      if (context.negotiated?.exitNotify === true) context.send('EXIT', time);
      else this.command({ verb: 'sendMessage', peer: context.peer, plaintext: Uint8Array.of(OccType.exit) });
      this.#phase = { name: 'leaving', until: time.now + EXIT_NOTICE * notify, signal, source };
      this.#log.info(1, `${signal} received, sending exit notification to peer`);
      return;
    }
    this.#end(signal, source, time, reason);
  }

  #end(signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP', source: SignalSource, time: Time, reason = ''): void {
    this.#signal = reason === '' ? signal.toLowerCase() : reason;
    this.#asks.cancelAll();
    this.#scripts.cancelled();
    this.#statistics.stop(time);
    this.#state('EXITING', signal);
    const finish = (refusal?: Refusal): void => {
      if (refusal !== undefined) {
        this.#fatal(refusal, time);
        return;
      }
      this.#closeSession();
      this.#phase = { name: 'ended' };
      const text = `${signal}[${source},${reason}] received, process ${signal === 'SIGHUP' ? 'restarting' : 'exiting'}`;
      this.#log.write('notice', 0, text);
      this.#outputs.push({ output: 'end', cause: { why: 'signal', signal, source, text } });
    };
    if (!this.#device.isOpen) {
      finish();
      return;
    }
    this.#phase = { name: 'closing' };
    this.#closeTun(time, finish);
  }

  #fatal(text: string, time: Time): void {
    const finish = (refusal?: Refusal): void => {
      if (refusal !== undefined) this.#log.write('error', 0, refusal);
      this.#closeSession();
      this.#phase = { name: 'ended' };
      this.#outputs.push({ output: 'end', cause: { why: 'fatal', text } });
    };
    this.#asks.cancelAll();
    this.#scripts.cancelled();
    this.#log.write('error', 0, text);
    if (!this.#device.isOpen) {
      finish();
      return;
    }
    this.#phase = { name: 'closing' };
    this.#closeTun(time, finish);
  }

  #closeTun(time: Time, then: (refusal: Refusal, time: Time) => void): void {
    this.#tun = undefined;
    this.#device.close(this.#signal, time, then);
  }

  /** Level 2: session, keys, peer and link. */
  #closeSession(): void {
    const context = this.#context;
    this.#connector.close();
    this.#server = undefined;
    this.#openedFirst = undefined;
    if (this.#staticPeer !== undefined) {
      this.#staticPeer.close();
      this.#closeLink(this.#staticPeer.link);
      this.#staticPeer = undefined;
    }
    this.#context = undefined;
    this.#limits = undefined;
    this.#agreement = undefined;
    this.#held = [];
    this.#statistics.sessionEnded();
    this.#login.sessionEnded();
    if (context === undefined) return;
    context.close();
    this.#closeLink(context.link);
  }

  #closeLink(link: LinkId): void {
    this.#outputs.push({ output: 'close-link', link });
  }

  #counters(): PeerCounters | undefined {
    const peer = this.#staticPeer?.peer ?? this.#context?.peer;
    return peer === undefined ? undefined : this.#settings.readCounters(peer);
  }

  #state(state: TunnelState, detail = ''): void {
    const remote = this.#context?.remote;
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
