/**
 * The main machine of a process that has one tunnel: a client, or one end of a p2p tunnel.
 *
 *   idle ─▶ resolving ─▶ connecting ─▶ negotiating ─▶ pulling ─▶ configuring ─▶ connected
 *     ▲                                                                            │
 *     └── pausing ◀── SIGUSR1: ping-restart, tls-error, RESTART, a user's signal ──┘
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
  fromBase64,
  type KeyFailure,
  type KeyState,
  type LinkId,
  type Millis,
  OccType,
  type PeerCertificate,
  type PeerCounters,
  type PeerRef,
  type RandomFill,
  type StaticKey,
  sameEndpoint,
  type TlsContext,
  type UnixSeconds,
  type VerifyError,
} from '@seikan/core';

import { Asks } from './asks.js';
import { judgeCertificate, type RevokedSerials, sanitizeSubject } from './certificate-policy.js';
import { type Agreement, agreeAsPeers, agreeOnPush, agreeOnStaticKey, staticDataKey } from './client/agreement.js';
import { ConnectionList } from './client/connection-list.js';
import { formatStatistics } from './client/statistics.js';
import { Context, type ContextOwner, earliest } from './context.js';
import { peerSettings } from './data-settings.js';
import { IdleWatch } from './idle-watch.js';
import { type ChannelAbilities, type Product, peerInfoText } from './local-hello.js';
import type { Connection, Options } from './options/options.js';
import { PushReader } from './options/pull.js';
import { localOptionsString } from './options-string.js';
import type { AskId, EngineOutput, SignalSource, Time, TunnelState } from './output.js';
import { TunnelDevice, type TunOutcome } from './tunnel-device.js';
import type { Environment } from './tunnel-environment.js';
import { afInet, redact, TunnelLog } from './tunnel-log.js';
import { type AsksFor, TunnelScripts } from './tunnel-scripts.js';

export interface PointToPointSettings {
  readonly options: Options;
  readonly crypto: Crypto;
  readonly random: RandomFill;
  readonly tls: TlsContext;
  /** Made anew for each session: the keys of one place to connect to. */
  readonly protection: (connection: Connection) => ControlProtection;
  readonly product: Product;
  readonly abilities: ChannelAbilities;
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

/** Upstream asks again after so long, and gives up with the hand-window. */
const PUSH_REQUEST_INTERVAL: Millis = 5_000;
/** The address of a peer that has not spoken yet. */
const NOWHERE: Endpoint = { family: 4, address: '0.0.0.0', port: 0 };
/** Stock peers look at their state once a second. */
const SETTLING: Millis = 1_500;
/** How long EXIT is given to leave before everything is closed. */
const EXIT_NOTICE: Millis = 1_000;

type Phase =
  | { readonly name: 'idle' | 'resolving' | 'opening' | 'closing' | 'ended' }
  /** Nobody is known to talk to: the first who comes is the peer (a p2p server). */
  | { readonly name: 'listening'; readonly link: LinkId }
  /** A TCP connection is being made. */
  | { readonly name: 'dialling'; readonly link: LinkId; readonly remote: Endpoint; readonly deadline: Millis }
  /** The first packet of the server is awaited until `deadline`. */
  | { readonly name: 'connecting'; readonly deadline: Millis }
  | { readonly name: 'negotiating' }
  | { readonly name: 'pulling'; requestAt: Millis; readonly deadline: Millis }
  | { readonly name: 'configuring' | 'connected' }
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

export class PointToPoint implements ContextOwner {
  readonly #settings: PointToPointSettings;
  readonly #options: Options;
  readonly #log: TunnelLog;
  readonly #outputs: EngineOutput[] = [];
  readonly #asks: Asks;
  readonly #connections: ConnectionList;
  readonly #scripts: TunnelScripts;
  readonly #device: TunnelDevice;
  /** Certificates of a handshake, as they were met. */
  readonly #chains = new WeakMap<KeyState, PeerCertificate[]>();
  #phase: Phase = { name: 'idle' };
  #context: Context | undefined;
  #nextLink: LinkId = 1;
  #generation = 0;
  #credentials: { username: string; password: string } | undefined;
  #authToken: { username: string | undefined; token: string } | undefined;
  #pushReader: PushReader | undefined;
  /** Why the session or the process ends, for the scripts of the way down. */
  #signal = 'sigterm';
  /** What the tun was set up with, if it is open: the digest of the pulled options. */
  #tun: { readonly digest: string } | undefined;
  /** What holds for the session once it is agreed. */
  #agreement: Agreement | undefined;
  /** Static key mode: the one peer, and whether it was heard. */
  #staticPeer: { readonly peer: PeerRef; readonly link: LinkId; readonly remote: Endpoint } | undefined;
  #staticHeard = false;
  /** Where the connection of a listening p2p peer came from. */
  #listener: LinkId | undefined;
  #idle: IdleWatch | undefined;
  /** Dies with the session: `inactive` and `session-timeout`. */
  #connectedAt: Millis | undefined;
  #statusAt: Millis | undefined;
  #control = { read: 0, written: 0 };

  constructor(settings: PointToPointSettings) {
    this.#settings = settings;
    this.#options = settings.options;
    const emit = (output: EngineOutput): void => void this.#outputs.push(output);
    this.#log = new TunnelLog(emit);
    this.#asks = new Asks(emit, { next: 1 });
    this.#scripts = new TunnelScripts(this.#asks, settings.asksFor, settings.environment);
    this.#device = new TunnelDevice({
      asks: this.#asks,
      log: this.#log,
      scripts: this.#scripts,
      onState: (state) => this.#state(state),
    });
    const { remoteRandom } = settings.options.connecting;
    this.#connections = new ConnectionList(settings.options.connections, remoteRandom ? settings.random : undefined);
  }

  poll(): EngineOutput | undefined {
    return this.#outputs.shift();
  }

  handleStart(time: Time): void {
    if (this.#options.log.status !== undefined) this.#statusAt = time.now;
    this.#begin(time);
  }

  handleSignal(signal: TunnelSignal, time: Time): void {
    if (this.#phase.name === 'ended') return;
    switch (signal) {
      case 'SIGUSR1':
        return this.#restart('hard', '', time);
      case 'SIGUSR2':
        for (const line of this.#statistics(time).trimEnd().split('\n')) this.#log.write('notice', 0, line);
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
        this.#control.read += event.bytes.length;
        if (this.#phase.name === 'listening' && this.#phase.link === event.link) {
          this.#openSession(this.#connections.current, event.link, event.from, time);
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
        if (this.#phase.name === 'connecting') this.#phase = { name: 'negotiating' };
        context.handleControl(event.bytes, time);
        return;
      case 'linkDown':
        if (context?.link === event.link)
          this.#restart('soft', 'connection-reset', time, `Connection reset, restarting [${event.reason}]`);
        return;
      case 'tunDown':
        this.#fatal(`ERROR: the tun device is gone: ${event.reason}`, time);
        return;
      case 'peerTimeout':
        this.#peerTimeout(time);
        return;
      case 'keyConfirmed':
        context?.keyConfirmed(event.keyId, time);
        if (this.#staticPeer === undefined) {
          if (this.#phase.name === 'settling') this.#completed(this.#phase.routeErrors);
        } else this.#staticPeerHeard();
        return;
      case 'keyLimit':
        context?.renegotiate(time);
        return;
      case 'message':
        this.#occMessage(event.plaintext, time);
        return;
      case 'float':
        if (this.#staticPeer !== undefined) this.#staticPeer = { ...this.#staticPeer, remote: event.to };
        context?.moveTo(event.link, event.to);
        return;
      case 'linkUp':
        if (this.#phase.name === 'dialling' && this.#phase.link === event.link) this.#dialled(undefined, time);
        else if (this.#phase.name === 'listening' && this.#phase.link === event.listener) {
          this.#log.notice(`TCP connection established with ${afInet(event.remote)}`);
          this.#listener = this.#phase.link;
          this.#openSession(this.#connections.current, event.link, event.remote, time);
        } else this.#outputs.push({ output: 'close-link', link: event.link });
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
    else if (phase.name === 'dialling' && now >= phase.deadline) this.#dialled('Connection timed out', time);
    else if (phase.name === 'connecting' && now >= phase.deadline) {
      this.#log.error('Server poll timeout, restarting');
      this.#connections.advance();
      this.#restart('soft', 'server_poll', time);
    } else if (phase.name === 'pulling' && now >= phase.deadline) {
      const seconds = this.#options.tls.handWindow;
      this.#log.error(`No reply from server after sending ${Math.ceil(seconds / 5)} push requests`);
      this.#restart('soft', 'no-push-reply', time);
    } else if (phase.name === 'pulling' && now >= phase.requestAt) this.#requestPush(phase, time);
    const { sessionTimeout } = this.#timers;
    if (sessionTimeout > 0 && this.#connectedAt !== undefined && now >= this.#connectedAt + sessionTimeout * 1000) {
      this.#log.notice('Session timeout, exiting');
      this.#leave('SIGTERM', 'soft', time, 'session-timeout');
    }
    const peer = this.#context?.peer ?? this.#staticPeer?.peer;
    if (peer !== undefined && this.#idle?.isOver(this.#settings.readCounters(peer), now) === true) {
      this.#log.notice('Inactivity timeout (--inactive), exiting');
      this.#leave('SIGTERM', 'soft', time, 'inactive');
    }
    if (this.#statusAt !== undefined && now >= this.#statusAt) this.#writeStatus(time);
    this.#device.handleTimeout(time);
    this.#context?.handleTimeout(time);
  }

  /** A server may push timers. */
  get #timers(): Options['timers'] {
    return (this.#agreement?.options ?? this.#options).timers;
  }

  nextTimeout(): Millis | undefined {
    const phase = this.#phase;
    const { sessionTimeout } = this.#timers;
    const own =
      phase.name === 'pausing' || phase.name === 'leaving' || phase.name === 'settling'
        ? phase.until
        : phase.name === 'connecting' || phase.name === 'dialling'
          ? phase.deadline
          : phase.name === 'pulling'
            ? Math.min(phase.requestAt, phase.deadline)
            : undefined;
    const session =
      sessionTimeout > 0 && this.#connectedAt !== undefined ? this.#connectedAt + sessionTimeout * 1000 : undefined;
    return earliest(
      own,
      session,
      this.#idle?.nextLook,
      this.#statusAt,
      this.#device.nextTimeout(),
      this.#context?.nextTimeout(),
    );
  }

  // What the Context says.

  command(command: DataChannelCommand): void {
    if (command.verb === 'sendControl') this.#control.written += command.bytes.length;
    this.#outputs.push({ output: 'command', command });
  }

  secured(key: KeyState, time: Time): void {
    const context = this.#context;
    if (context === undefined) return;
    const chain = this.#chains.get(key) ?? [];
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
    key.authentication = 'granted';
    this.#context?.grant(key, time);
  }

  active(key: KeyState, time: Time): void {
    const context = this.#context;
    if (context === undefined) return;
    this.#log.notice(`Control Channel: ${key.connection.describe()}`);
    if (this.#agreement !== undefined) {
      // A renegotiation: what was agreed stays.
      context.installKey(key, time);
      return;
    }
    const name = key.connection.peerCertificate?.subjectFields.findLast((field) => field.name === 'CN')?.value ?? '';
    this.#log.notice(`[${name}] Peer Connection Initiated with ${afInet(context.remote)}`);
    this.#scripts.peerInitiated(context.remote, time);
    if (this.#options.pull) {
      this.#state('GET_CONFIG');
      const deadline = time.now + this.#options.tls.handWindow * 1000;
      const phase: Phase = { name: 'pulling', requestAt: time.now, deadline };
      this.#phase = phase;
      this.#requestPush(phase, time);
    } else {
      this.#startData(agreeAsPeers(this.#options, this.#connections.current, key, this.#settings.crypto), key, time);
    }
  }

  message(_key: KeyState, text: string, time: Time): void {
    const [keyword = '', ...rest] = text.split(',');
    const argument = rest.join(',');
    switch (keyword) {
      case 'PUSH_REPLY':
        this.#log.notice(`PUSH: Received control message: '${redact(text)}'`);
        this.#pushReply(text, time);
        return;
      case 'AUTH_FAILED':
        this.#authFailed(argument, time);
        return;
      case 'RESTART':
        this.#log.notice(`Connection reset command was pushed by server ('${argument}')`);
        if (/^\[[^\]]*N/.test(argument)) this.#connections.advance('remote');
        this.#restart('soft', 'server-pushed-connection-reset', time);
        return;
      case 'HALT':
        this.#log.notice(`Halt command was pushed by server ('${argument}')`);
        this.#leave('SIGTERM', 'soft', time);
        return;
      case 'EXIT':
        this.#log.notice('CC-EEN exit message received by peer');
        this.#restart('soft', 'remote-exit', time);
        return;
      case 'AUTH_PENDING':
        this.#authPending(argument, time);
        return;
      case 'INFO':
      case 'INFO_PRE':
        this.#log.notice(`Info command was pushed by server ('${argument}')`);
        return;
      default:
        this.#log.warning(`WARNING: Received unknown control message: ${keyword}`);
    }
  }

  failed(_key: KeyState, failure: KeyFailure, time: Time): void {
    this.#log.error(`TLS Error: ${failure.reason}`);
    this.#log.error('TLS Error: TLS handshake failed');
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
    this.#phase = { name: 'resolving' };
    const { current } = this.#connections;
    const { connectRetryMax } = this.#options.connecting;
    if (connectRetryMax > 0 && this.#connections.rounds >= connectRetryMax) {
      this.#fatal(`All connections have been connect-retry-max (${connectRetryMax}) times unsuccessful, exiting`, time);
      return;
    }
    if (this.#options.auth.userPass !== undefined && this.#credentials === undefined) {
      this.#asks.ask('credentials', { purpose: 'Auth', retry: false }, (answer, at) => {
        if ('error' in answer) this.#fatal(answer.error, at);
        else {
          this.#credentials = answer;
          this.#resolve(current);
        }
      });
      return;
    }
    this.#resolve(current);
  }

  #resolve(connection: Connection): void {
    if (this.#connections.address !== undefined || connection.remote === undefined) {
      this.#openLink(connection, this.#connections.address);
      return;
    }
    this.#state('RESOLVE');
    const { remote: host, remotePort: port, family } = connection;
    this.#asks.ask('resolve', { host, port, family }, (answer, time) => {
      if ('error' in answer || answer.addresses.length === 0) {
        this.#log.error(
          `RESOLVE: Cannot resolve host address: ${host}:${port}${'error' in answer ? ` (${answer.error})` : ''}`,
        );
        this.#connections.advance('remote');
        this.#restart('soft', 'init_instance', time);
        return;
      }
      this.#connections.resolved(answer.addresses);
      this.#openLink(connection, this.#connections.address);
    });
  }

  #openLink(connection: Connection, remote: Endpoint | undefined): void {
    const { options } = this.#settings;
    this.#phase = { name: 'opening' };
    const link = this.#nextLink;
    this.#nextLink = link + 1;
    const family = remote?.family ?? connection.family ?? 4;
    if (connection.protocol === 'tcp-client') this.#state('TCP_CONNECT');
    const bind = connection.bind
      ? { address: connection.localAddress, port: connection.localPort, family, ipv6Only: connection.ipv6Only }
      : undefined;
    this.#asks.ask('open-link', { link, protocol: connection.protocol, bind, remote }, (answer, time) => {
      if ('error' in answer) {
        this.#log.error(answer.error);
        this.#connections.advance();
        this.#restart('soft', 'init_instance', time);
        return;
      }
      const name = `${connection.protocol === 'udp' ? 'UDP' : 'TCP'}v${family}${connection.protocol === 'tcp-client' ? '_CLIENT' : ''}`;
      this.#log.notice(
        `${name} link local: ${answer.local === undefined ? '(not bound)' : `(bound) ${afInet(answer.local)}`}`,
      );
      this.#log.notice(`${name} link remote: ${remote === undefined ? '[AF_UNSPEC]' : afInet(remote)}`);
      if (options.tls.role === 'none' && connection.protocol === 'udp') {
        this.#openStatic(connection, link, remote, time);
        return;
      }
      if (remote === undefined) {
        this.#phase = { name: 'listening', link };
        return;
      }
      if (connection.protocol === 'tcp-client')
        this.#phase = { name: 'dialling', link, remote, deadline: time.now + connection.connectTimeout * 1000 };
      else this.#openSession(connection, link, remote, time);
    });
  }

  /** The TCP connection is up, or `failure` says why not. */
  #dialled(failure: string | undefined, time: Time): void {
    if (this.#phase.name !== 'dialling') return;
    const { link, remote } = this.#phase;
    if (failure === undefined) {
      this.#log.notice(`TCP connection established with ${afInet(remote)}`);
      this.#openSession(this.#connections.current, link, remote, time);
      return;
    }
    this.#log.error(`TCP: connect to ${afInet(remote)} failed: ${failure}`);
    this.#connections.advance();
    this.#restart('soft', 'connection-failed', time);
  }

  #openSession(connection: Connection, link: LinkId, remote: Endpoint, time: Time): void {
    const { options, crypto, random, tls } = this.#settings;
    if (options.tls.role === 'none') {
      this.#openStatic(connection, link, remote, time);
      return;
    }
    this.#pushReader = undefined;
    this.#agreement = undefined;
    const overhead = (remote.family === 4 ? 20 : 40) + (connection.protocol === 'udp' ? 8 : 22);
    const context = new Context(
      {
        mode: 'p2p',
        crypto,
        protection: this.#settings.protection(connection),
        link,
        remote,
        replayWindow: options.data.replayWindow,
        replayTime: options.data.replayTime * 1000,
        renegotiation: {
          after: options.tls.renegSec * 1000,
          bytes: options.tls.renegBytes ?? 0,
          packets: options.tls.renegPackets,
        },
        session: {
          role: options.tls.role === 'server' ? 'server' : 'client',
          crypto,
          random,
          tls,
          tlsTimeout: options.tls.timeout * 1000,
          handWindow: options.tls.handWindow * 1000,
          tranWindow: options.tls.tranWindow * 1000,
          controlSize: connection.maxPacketSize - overhead,
          singleSession: options.tls.singleSession,
          hello: () => this.#hello(connection),
          verify: (key, certificate, error) => this.#verify(key, certificate, error),
        },
      },
      this,
    );
    this.#context = context;
    this.#state('WAIT');
    if (options.tls.role === 'client') {
      this.#phase = { name: 'connecting', deadline: time.now + connection.connectTimeout * 1000 };
      context.start(time);
    } else this.#phase = { name: 'negotiating' };
  }

  /** Static key mode: no negotiation, the key is in the file. The peer may be unknown until it speaks. */
  #openStatic(connection: Connection, link: LinkId, remote: Endpoint | undefined, time: Time): void {
    const { options, crypto, staticKey } = this.#settings;
    if (staticKey === undefined) {
      this.#fatal('static key mode without a static key', time);
      return;
    }
    this.#generation += 1;
    const peer = { index: 0, generation: this.#generation };
    const agreement = agreeOnStaticKey(options, connection);
    const known = remote ?? NOWHERE;
    this.#agreement = agreement;
    this.#staticPeer = { peer, link, remote: known };
    const settings = peerSettings({ ...agreement, remote: known, crypto });
    this.command({
      verb: 'newPeer',
      peer,
      settings: { ...settings, link, remote: known, float: settings.float || remote === undefined },
    });
    const key = staticDataKey(options, staticKey, crypto);
    const bits = key.send.cipher.length * 8;
    for (const direction of ['Outgoing', 'Incoming']) {
      this.#log.info(2, `${direction} Static Key Encryption: Cipher '${key.cipher}' initialized with ${bits} bit key`);
    }
    this.command({ verb: 'newKey', peer, keyId: 0, key });
    this.command({ verb: 'swapKeys', peer, primary: 0 });
    this.#logDataChannel(agreement);
    this.#phase = { name: 'configuring' };
    this.#openTun(agreement, time);
  }

  #staticPeerHeard(): void {
    if (this.#staticPeer === undefined || this.#staticHeard) return;
    this.#staticHeard = true;
    this.#log.notice(`Peer Connection Initiated with ${afInet(this.#staticPeer.remote)}`);
    if (this.#phase.name === 'settling') this.#completed(this.#phase.routeErrors);
  }

  #hello(connection: Connection) {
    const { options, product, abilities, crypto } = this.#settings;
    const password = this.#authToken?.token ?? this.#credentials?.password;
    const username = this.#authToken?.username ?? this.#credentials?.username;
    return {
      options: localOptionsString(options, connection, crypto),
      username,
      password,
      peerInfo: peerInfoText(options, connection, product, abilities, crypto),
    };
  }

  #verify(key: KeyState, certificate: PeerCertificate, error: VerifyError | undefined): 'accept' | 'reject' {
    const { options, revokedSerials } = this.#settings;
    const { verdict, log } = judgeCertificate({ verify: options.verify, revokedSerials }, certificate, error);
    for (const { severity, verb, text } of log) this.#log.write(severity, verb, text);
    const chain = this.#chains.get(key) ?? [];
    chain.push(certificate);
    this.#chains.set(key, chain);
    return verdict;
  }

  // Pulling.

  #requestPush(phase: Extract<Phase, { name: 'pulling' }>, time: Time): void {
    phase.requestAt = time.now + PUSH_REQUEST_INTERVAL;
    this.#log.notice("SENT CONTROL [server]: 'PUSH_REQUEST' (status=1)");
    this.#context?.send('PUSH_REQUEST', time);
  }

  #pushReply(text: string, time: Time): void {
    const context = this.#context;
    const key = context?.session.active?.primary;
    if (context === undefined || key === undefined) return;
    this.#pushReader ??= new PushReader(this.#options, this.#connections.current);
    const read = this.#pushReader.read(text);
    if (read.outcome === 'more' || read.outcome === 'not-a-reply') return;
    this.#pushReader = undefined;
    if (read.outcome === 'rejected') {
      this.#log.error(read.reason);
      this.#restart('soft', 'process-push-msg-failed', time);
      return;
    }
    const { pulled } = read;
    for (const { text: warning } of pulled.warnings) this.#log.warning(warning);
    if (pulled.authToken !== undefined) {
      const username =
        pulled.authTokenUser === undefined ? this.#credentials?.username : decodeBase64Text(pulled.authTokenUser);
      this.#authToken = { token: pulled.authToken, username };
    }
    // A renewed token comes alone, under a running tunnel (9.8).
    if (this.#phase.name !== 'pulling') return;
    const agreement = agreeOnPush(this.#options, pulled, this.#settings.crypto);
    if (typeof agreement === 'string') {
      this.#log.error(agreement);
      this.#restart('soft', 'process-push-msg-failed', time);
      return;
    }
    this.#startData(agreement, key, time);
  }

  #startData(agreement: Agreement, key: KeyState, time: Time): void {
    const context = this.#context;
    if (context === undefined) return;
    this.#agreement = agreement;
    this.#phase = { name: 'configuring' };
    this.#generation += 1;
    const { negotiated } = agreement;
    const { crypto } = this.#settings;
    const settings = peerSettings({ ...agreement, remote: context.remote, crypto });
    context.openPeer({ index: 0, generation: this.#generation }, settings, negotiated);
    context.installKey(key, time);
    this.#logDataChannel(agreement);
    const { ping, pingTimeout, pingAction } = agreement.options.timers;
    this.#log.notice(`Timers: ping ${ping}, ping-${pingAction} ${pingTimeout}`);
    this.#openTun(agreement, time);
  }

  #logDataChannel({ negotiated, peerId }: Agreement): void {
    const { epoch, cipher, digest } = negotiated;
    const auth = this.#settings.crypto.cipher(cipher)?.mode === 'aead' ? '' : `, auth '${digest}'`;
    const flags = `${peerId === undefined ? '' : `, peer-id: ${peerId}`}${epoch ? ', aead-epoch' : ''}`;
    this.#log.notice(`Data Channel: cipher '${cipher}'${auth}${flags}`);
  }

  #openTun(agreement: Agreement, time: Time): void {
    const { options, connection, digest } = agreement;
    const opened = (outcome: TunOutcome, at: Time): void => {
      if ('fatal' in outcome) this.#fatal(outcome.fatal, at);
      else this.#connected(agreement, outcome.routeErrors, at);
    };
    if (this.#tun !== undefined && this.#tun.digest === digest) {
      this.#log.notice('Preserving previous TUN/TAP instance');
      this.#device.restarted(time, opened);
      return;
    }
    if (this.#tun !== undefined) {
      this.#log.notice('NOTE: Pulled options changed on restart, will need to close and reopen TUN/TAP device.');
      this.#closeTun(time, (at) => this.#openTun(agreement, at));
      return;
    }
    if (options.device.type === 'null') {
      this.#connected(agreement, [], time);
      return;
    }
    this.#tun = { digest };
    this.#device.open(options, connection.tunMtu, this.#context?.remote, opened);
  }

  #connected(_agreement: Agreement, routeErrors: readonly string[], time: Time): void {
    for (const error of routeErrors) this.#log.warning(error);
    this.#connectedAt = time.now;
    const { inactive, inactiveBytes } = this.#timers;
    this.#idle = inactive > 0 ? new IdleWatch({ span: inactive * 1000, bytes: inactiveBytes }, time.now) : undefined;
    this.#connections.succeeded();
    const awaited = this.#staticPeer !== undefined ? !this.#staticHeard : !this.#options.pull;
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

  // What the server says besides.

  #authFailed(reason: string, time: Time): void {
    this.#log.write('error', 0, `AUTH: Received control message: AUTH_FAILED${reason === '' ? '' : `,${reason}`}`);
    if (reason.startsWith('SESSION:') || this.#authToken !== undefined) {
      // The token has run out: what the user typed still holds.
      this.#authToken = undefined;
      this.#restart('soft', 'auth-failure (auth-token)', time);
      return;
    }
    const temporary = /^TEMP(?:\[([^\]]*)\])?/.exec(reason);
    if (temporary !== null) {
      const flags = (temporary[1] ?? '').split(',');
      const advance = flags.find((flag) => flag.startsWith('advance '))?.slice(8) ?? 'addr';
      const backoff = Number(flags.find((flag) => flag.startsWith('backoff '))?.slice(8) ?? 0);
      if (advance !== 'no') this.#connections.advance(advance === 'remote' ? 'remote' : 'address');
      this.#restart('soft', 'auth-temp-failure (server temporary reject)', time, undefined, backoff * 1000);
      return;
    }
    this.#credentials = undefined;
    if (this.#options.auth.retry === 'none') this.#leave('SIGTERM', 'soft', time, 'auth-failure');
    else this.#restart('soft', 'auth-failure', time, undefined, this.#options.auth.retry === 'nointeract' ? 10_000 : 0);
  }

  #authPending(argument: string, time: Time): void {
    if (this.#phase.name !== 'pulling') return;
    const asked = Number(/timeout (\d+)/.exec(argument)?.[1] ?? 0);
    const { renegSec, handWindow } = this.#options.tls;
    const seconds = Math.min(asked === 0 ? handWindow : asked, Math.max(renegSec / 2, handWindow));
    this.#state('AUTH_PENDING');
    this.#log.notice(`AUTH_PENDING received, extending handshake timeout from ${handWindow}s to ${seconds}s`);
    this.#phase = { name: 'pulling', requestAt: this.#phase.requestAt, deadline: time.now + seconds * 1000 };
  }

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
    if (plaintext[0] !== OccType.exit) return;
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
    const pause = Math.max(this.#connections.pause(), leastPause);
    const wait = (at: Time): void => {
      this.#scripts.reset();
      this.#phase = { name: 'pausing', until: at.now + pause };
      this.#log.notice(`Restart pause, ${Math.ceil(pause / 1000)} second(s)`);
      this.#state('RECONNECTING', reason);
    };
    this.#phase = { name: 'idle' };
    if (this.#device.isOpen && !(this.#options.persist.tun && this.#device.isUp)) this.#closeTun(time, wait);
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
    this.#writeStatus(time);
    this.#statusAt = undefined;
    this.#state('EXITING', signal);
    const finish = (): void => {
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
    // What is open of the link is closed by #closeSession, which knows it from the phase that was.
    const { name } = this.#phase;
    if (name !== 'listening' && name !== 'dialling') this.#phase = { name: 'closing' };
    this.#closeTun(time, finish);
  }

  #fatal(text: string, time: Time): void {
    const finish = (): void => {
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
    // What is open of the link is closed by #closeSession, which knows it from the phase that was.
    const { name } = this.#phase;
    if (name !== 'listening' && name !== 'dialling') this.#phase = { name: 'closing' };
    this.#closeTun(time, finish);
  }

  #closeTun(time: Time, then: (time: Time) => void): void {
    this.#tun = undefined;
    this.#device.close(this.#signal, time, then);
  }

  /** Level 2: session, keys, peer and link. */
  #closeSession(): void {
    const context = this.#context;
    if (this.#listener !== undefined) this.#outputs.push({ output: 'close-link', link: this.#listener });
    this.#listener = undefined;
    if (this.#staticPeer !== undefined) {
      this.command({ verb: 'delPeer', peer: this.#staticPeer.peer });
      this.#outputs.push({ output: 'close-link', link: this.#staticPeer.link });
      this.#staticPeer = undefined;
      this.#staticHeard = false;
    }
    if (this.#phase.name === 'listening') this.#outputs.push({ output: 'close-link', link: this.#phase.link });
    if (this.#phase.name === 'dialling') this.#outputs.push({ output: 'close-link', link: this.#phase.link });
    this.#context = undefined;
    this.#connectedAt = undefined;
    this.#idle = undefined;
    this.#agreement = undefined;
    this.#control = { read: 0, written: 0 };
    if (this.#options.auth.noCache) this.#credentials = undefined;
    if (context === undefined) return;
    context.close();
    this.#outputs.push({ output: 'close-link', link: context.link });
  }

  #writeStatus(time: Time): void {
    const { status } = this.#options.log;
    if (status === undefined) return;
    this.#statusAt = time.now + Math.max(1, status.interval) * 1000;
    this.#outputs.push({ output: 'write-file', path: status.file, text: this.#statistics(time) });
  }

  #statistics({ wallClock }: Time): string {
    const peer = this.#staticPeer?.peer ?? this.#context?.peer;
    const counters = peer === undefined ? undefined : this.#settings.readCounters(peer);
    return formatStatistics(counters, this.#control, wallClock, this.#settings.formatTime);
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

/** Base64 of UTF-8 text; `undefined` when it is none. */
function decodeBase64Text(text: string): string | undefined {
  const bytes = fromBase64(text);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
}
