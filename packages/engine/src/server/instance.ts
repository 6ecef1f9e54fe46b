/**
 * One client of a server: a child context, who the client is, what it was given, and how far it has come.
 *
 *   handshaking ─▶ authenticating ─▶ authenticated ─▶ connecting ─▶ established
 *        └──────────────┴──── refused ────┴──▶ closed
 *
 * Every question to the outside (scripts, plugins, files) is asynchronous and belongs to this instance alone.
 * upstream: `struct multi_instance` (multi.h); multi.c `multi_process_post`, `multi_connection_established` (2.6).
 */
import {
  type ControlProtection,
  type DataChannelCommand,
  type DropReason,
  type Endpoint,
  earlier,
  encodeText,
  type KeyFailure,
  type KeyState,
  type LinkId,
  type Millis,
  type PeerCounters,
  type PeerRef,
  parsePeerInfo,
  type Session,
  toHex,
} from '@seikan/core';
import type { EventContext, EventRequest, EventVerdict, PendingAuth } from '@seikan/plugin-sdk';
import { type AskBook, Asks } from '../asks.js';
import { commonNameOf } from '../certificate-policy.js';
import { Context, type ContextOwner, type ReplacedKey, STREAM_ERROR } from '../context.js';
import { logFailure, logPeerInfo, logSoftReset } from '../log-lines.js';
import { capabilitiesOf, type PeerInfo } from '../negotiation.js';
import type { ClientConfig } from '../options/client-config.js';
import type { Connection, Options } from '../options/options.js';
import { DIFFERENCES, logDifferences } from '../options-string.js';
import type { EngineOutput, Time } from '../output.js';
import type { PacketSizes } from '../packet-sizes.js';
import { PeerChains } from '../peer-chains.js';
import { LIMIT_REACHED, SessionLimits } from '../session-limits.js';
import { type Environment, peerInfoEnvironment } from '../tunnel-environment.js';
import { afInet, realAddress, redact, TunnelLog } from '../tunnel-log.js';
import { addressEnvironment, ClientEnvironment, linkAddress } from './client-environment.js';
import { ClientIdentity } from './client-identity.js';
import { ClientToken } from './client-token.js';
import { verifyClient } from './client-verification.js';
import { askForMore, knowsMethod } from './pending-auth.js';
import type { Lease } from './pool.js';
import type { Top } from './top.js';
import { UserAnswers } from './user-answers.js';

export type InstancePhase =
  | 'handshaking'
  | 'authenticating'
  | 'authenticated'
  | 'connecting'
  | 'established'
  | 'refused'
  | 'closed';

/** What the Multi does for its instances. */
export interface InstanceHost {
  readonly top: Top;
  readonly environment: Readonly<Record<string, string>>;
  emit(output: EngineOutput): void;
  /** The first key is authenticated: give it its place (config, address, routes); ends in `instance.connected`. */
  connect(instance: Instance, time: Time): void;
  /** Closes and forgets the instance. */
  close(instance: Instance, why: string, time: Time): void;
  readonly askBook: AskBook;
  /** Something is done to the instance: its deadlines may move. */
  touch(instance: Instance): void;
  /** Does something to the instance; what that throws is the end of this instance and of nobody else. */
  contain(instance: Instance, act: () => void, time: Time): void;
}

const NOTHING_SAID: PeerInfo = new Map();

/** How long a refused client's AUTH_FAILED may take to arrive; upstream schedules the exit after 5 s. */
const REFUSAL_GRACE: Millis = 5_000;
const DELAYED_EXIT = 'Delayed exit in 5 seconds';

export class Instance implements ContextOwner {
  readonly clientId: number;
  readonly peer: PeerRef;
  readonly context: Context;
  readonly connectedAt: number;
  readonly asks: Asks;
  readonly log: TunnelLog;
  readonly chains: PeerChains;
  readonly token = new ClientToken();
  /** Set by the Multi while connecting. */
  lease: Lease | undefined;
  config: ClientConfig | undefined;
  virtualAddress: string | undefined;
  virtualAddressIpv6: string | undefined;
  /** The virtual addresses and networks that lead to the client, as the status file lists them. */
  routes: readonly string[] = [];
  /** Once its peer is in the data channel. */
  sizes: PacketSizes | undefined;
  pushSentAt: Millis | undefined;
  readonly #host: InstanceHost;
  readonly #environment: ClientEnvironment;
  readonly #identity = new ClientIdentity();
  readonly #userAnswers = new UserAnswers((crresponse, done) => {
    const env = { ...this.environment, crresponse };
    this.ask({ event: 'client-crresponse', argv: [], env }, (_verdict, at) => done(at));
  });
  #phase: InstancePhase = 'handshaking';
  #wasConnected = false;
  /** Log lines bear its name. */
  #isNamed = false;
  /** Bytes of control packets. */
  #controlRead = 0;
  #controlWritten = 0;
  #peerInfo: PeerInfo = NOTHING_SAID;
  #capabilities = 0;
  #closeAt: Millis | undefined;
  #limits: SessionLimits | undefined;
  #refusal: string | undefined;
  #pushRequested = false;
  /** `Peer Connection Initiated` is logged once, and ipchange told; its answer is awaited before the client connects. */
  #initiated: 'no' | 'telling' | 'told' = 'no';
  #loginHeard = false;
  #loginUntil: Millis | undefined;
  /** What the client is to be told while its login is pending. */
  #pending: string[] = [];

  constructor(
    host: InstanceHost,
    options: {
      readonly clientId: number;
      readonly peer: PeerRef;
      readonly link: LinkId;
      readonly remote: Endpoint;
      readonly transport: 'udp' | 'tcp';
      readonly connection: Connection;
      readonly protection: ControlProtection;
    },
    time: Time,
  ) {
    this.#host = host;
    this.clientId = options.clientId;
    this.peer = options.peer;
    this.connectedAt = time.wallClock;
    const emit = (output: EngineOutput): void => host.emit(output);
    this.log = new TunnelLog(emit, { prefix: () => this.prefix, verb: host.top.settings.verb });
    this.asks = new Asks(emit, host.askBook, (answer, at) => host.contain(this, () => answer(at), at));
    const { options: configured, revokedSerials, tellsOfClients } = host.top;
    this.#environment = new ClientEnvironment(host.environment, tellsOfClients);
    this.chains = new PeerChains({ options: configured, revokedSerials }, this.log);
    this.context = new Context(host.top.childSettings(this, options), this);
  }

  get phase(): InstancePhase {
    return this.#phase;
  }

  get remote(): Endpoint {
    return this.context.remote;
  }

  get commonName(): string | undefined {
    return this.#identity.commonName;
  }

  get username(): string | undefined {
    return this.#identity.username;
  }

  get peerInfo(): PeerInfo {
    return this.#peerInfo;
  }

  /** What its peer info says that it can (IV_PROTO). */
  get capabilities(): number {
    return this.#capabilities;
  }

  /** The SHA-256 of the client's certificate: who may take over an address. */
  get leafHash(): string | undefined {
    return this.#identity.leafHash;
  }

  get pushRequested(): boolean {
    return this.#pushRequested;
  }

  /** The push reply is on its way. */
  pushed(now: Millis): void {
    this.token.told();
    this.pushSentAt = now;
    this.#pushRequested = false;
  }

  /** A client's own file may set others. */
  get timers(): Options['timers'] {
    return this.config?.timers ?? this.#host.top.options.timers;
  }

  /** What scripts see of this client: certificate, peer info, addresses; set piece by piece. */
  get environment(): Readonly<Record<string, string>> {
    return this.#environment.all;
  }

  /** `make` is called only where a script or plugin will see the variables. */
  setEnvironment(make: () => Environment): void {
    this.#environment.set(make);
  }

  /** `CN/198.51.100.7:1194` (`CN/2001:db8::7`), or the address alone until it connects under its name. */
  get prefix(): string {
    const address = realAddress(this.remote);
    return this.#isNamed && this.commonName !== undefined ? `${this.commonName}/${address}` : address;
  }

  /** A control packet of `size` bytes has come. */
  heard(size: number): void {
    this.#controlRead += size;
  }

  /** What has crossed the link: the data channel counts no control packets. */
  traffic(counters: PeerCounters | undefined): { readonly received: number; readonly sent: number } {
    return {
      received: this.#controlRead + (counters?.linkRead ?? 0),
      sent: this.#controlWritten + (counters?.linkWritten ?? 0),
    };
  }

  /** It had its place once: what scripts were told is to be taken back, whatever has become of it since. */
  get wasConnected(): boolean {
    return this.#wasConnected;
  }

  begin(first: (session: Session) => DropReason | undefined, time: Time): DropReason | undefined {
    return this.context.begin(first, time);
  }

  /** The verdict of a script or plugin comes back through the instance's own table of questions. */
  ask(request: Omit<EventRequest, 'context'>, then: (verdict: EventVerdict, time: Time) => void): void {
    this.asks.ask('event', { request: { ...request, context: this.eventContext } }, then);
  }

  /** As plugins number contexts: 0 is the server itself. */
  get eventContext(): EventContext {
    return this.clientId + 1;
  }

  /** Somebody has deferred the login: until when there must be an answer; `undefined`: there is one. */
  awaitLogin(until: Millis | undefined): void {
    this.#loginUntil = until;
  }

  /** Has the client ask its user for more. False: it cannot, or it has waited too long already. */
  askUser(key: KeyState, pending: PendingAuth, time: Time): boolean {
    if (!knowsMethod(this.#peerInfo, pending)) {
      this.log.notice(`Client does not supported auth pending method '${pending.method}'`);
      return false;
    }
    const client = { age: time.now - key.createdAt, capabilities: this.#capabilities };
    const asked = askForMore(pending, client, this.#host.top.options.tls);
    if (asked === undefined) return false;
    this.#loginUntil = time.now + asked.seconds * 1000;
    this.#pending = asked.messages;
    this.#settle(time);
    return true;
  }

  /** Sends a control message; the log shows it without its secrets. */
  tell(text: string, time: Time): void {
    if (this.log.shows(3))
      this.log.info(3, `SENT CONTROL [${this.commonName ?? 'UNDEF'}]: '${redact(text)}' (status=1)`);
    this.context.send(text, time);
  }

  /** The Multi has given the client its place. */
  connected(time: Time): void {
    this.#phase = 'established';
    this.#wasConnected = true;
    this.#limits = new SessionLimits(this.timers, time.now);
    this.#settle(time);
  }

  /** Says no: with a reason to the client if one may be told, and closes a little later. */
  refuse(reason: string | undefined, time: Time): void {
    if (this.#phase === 'refused' || this.#phase === 'closed') return;
    this.#phase = 'refused';
    this.#loginUntil = undefined;
    this.#pending = [];
    this.#refusal = reason === undefined || reason === '' ? 'AUTH_FAILED' : shortened(`AUTH_FAILED,${reason}`);
    this.asks.cancelAll();
    this.#settle(time);
    this.loginHeard(time);
  }

  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.asks.cancelAll();
    this.context.close();
  }

  handleTimeout(time: Time): void {
    if (this.#closeAt !== undefined && time.now >= this.#closeAt) {
      this.#host.close(this, 'SIGTERM[soft,delayed-exit] received, client-instance exiting', time);
      return;
    }
    const limit = this.#limits?.reached(() => this.#host.top.settings.readCounters(this.peer), time.now);
    if (limit !== undefined) {
      this.log.notice(LIMIT_REACHED[limit]);
      this.#host.close(this, `SIGTERM[soft,${limit}] received, client-instance exiting`, time);
      return;
    }
    if (this.#loginUntil !== undefined && time.now >= this.#loginUntil) {
      this.log.error('TLS Auth Error: no answer to the login within its time');
      this.refuse(undefined, time);
    }
    this.context.handleTimeout(time);
  }

  nextTimeout(): Millis | undefined {
    const own = earlier(this.#closeAt, this.#loginUntil);
    return earlier(own, earlier(this.#limits?.nextTimeout(), this.context.nextTimeout()));
  }

  // What the Context says.

  command(command: DataChannelCommand): void {
    if (command.verb === 'sendControl') this.#controlWritten += command.bytes.length;
    this.#host.emit({ output: 'command', command });
  }

  secured(key: KeyState, time: Time): void {
    const { chain } = key;
    const leaf = chain.find(({ depth }) => depth === 0);
    const { verify } = this.#host.top.options;
    const name = leaf === undefined ? undefined : commonNameOf(leaf, verify.usernameFields);
    const changed = this.#identity.certified(name, leaf === undefined ? undefined : toHex(leaf.sha256));
    if (changed !== undefined) {
      this.#fail(key, changed, time);
      return;
    }
    const papers = { metadata: key.keyId === 0 ? this.context.session.clientMetadataOf(key) : undefined, chain, name };
    const then = (refusal: string | undefined, at: Time): void => {
      if (refusal === undefined) this.context.admit(key, at);
      else this.#fail(key, refusal, at);
    };
    verifyClient(this.#host.top, this, papers, then, time);
  }

  /** The options string that it should send. */
  get expectedOptions(): string {
    return this.#host.top.expectedOptions;
  }

  exchanged(key: KeyState, time: Time): void {
    const { peerHello } = key;
    if (peerHello === undefined) return;
    this.#peerInfo = parsePeerInfo(peerHello.peerInfo ?? '');
    this.#capabilities = capabilitiesOf(this.#peerInfo);
    if (this.#phase === 'handshaking') logPeerInfo(this.log, this.#peerInfo);
    this.setEnvironment(() => peerInfoEnvironment(this.#peerInfo));
    const { options } = this.#host.top;
    if (this.#phase === 'handshaking' && options.data.occ && this.log.shows(DIFFERENCES))
      logDifferences(this.expectedOptions, peerHello.options, this.log);
    if (this.#phase === 'handshaking') this.#phase = 'authenticating';
    this.#host.top.authenticator.authenticate(this, key, time);
  }

  /** The user's name takes the place of the certificate's (username-as-common-name). */
  nameAfter(username: string): void {
    this.#identity.named(username);
    this.setEnvironment(() => ({ common_name: username }));
  }

  /** The authenticator's word. */
  authenticated(key: KeyState, username: string | undefined, time: Time): void {
    if (this.#phase === 'refused' || this.#phase === 'closed') return;
    const changed = this.#identity.loggedIn(username);
    if (changed !== undefined) {
      this.#fail(key, changed, time);
      return;
    }
    this.context.grant(key, time);
    if (this.#phase === 'authenticating') {
      this.#phase = 'authenticated';
      this.#connect(time);
    }
    this.#settle(time);
  }

  /** As upstream, only when the key exchange is over too and that was told. */
  #connect(time: Time): void {
    if (this.#phase !== 'authenticated' || this.#initiated !== 'told') return;
    this.#phase = 'connecting';
    this.#isNamed = true;
    this.#host.connect(this, time);
  }

  active(key: KeyState, time: Time): void {
    if (this.log.shows(2)) this.log.info(2, `Control Channel: ${key.connection.describe()}`);
    this.#settle(time);
    this.#tellInitiated(time);
  }

  /** The login has been heard, whatever came of it: it may have no answer yet. */
  loginHeard(time: Time): void {
    this.#loginHeard = true;
    this.#tellInitiated(time);
  }

  /** ipchange comes between the login (with tls-final) and the connecting, also for a client that is refused. */
  #tellInitiated(time: Time): void {
    if (this.#initiated !== 'no' || !this.#loginHeard) return;
    if (this.context.session.active?.primary.isActive !== true) return;
    this.log.info(1, `[${this.commonName ?? ''}] Peer Connection Initiated with ${afInet(this.remote)}`);
    this.setEnvironment(() => addressEnvironment('trusted', this.remote));
    const told = (at: Time): void => {
      this.#initiated = 'told';
      this.#connect(at);
      this.#settle(at);
    };
    if (!this.#host.top.asksFor('ipchange')) return told(time);
    this.#initiated = 'telling';
    // The event is the server's own, with the client's environment, as upstream has it.
    const request = { event: 'ipchange', context: 0, argv: [linkAddress(this.remote)], env: this.environment } as const;
    this.asks.ask('event', { request }, (_verdict, at) => told(at));
    return undefined;
  }

  message(key: KeyState, text: string, time: Time): void {
    // A newcomer is nobody yet: what it says counts once it is let in.
    if (this.context.session.isInitial(key)) return;
    if (text === 'PUSH_REQUEST') {
      this.log.info(4, `PUSH: Received control message: 'PUSH_REQUEST'`);
      this.#pushRequested = true;
      this.#settle(time);
    } else if (text === 'EXIT') {
      this.log.info(1, 'CC-EEN exit message received by peer');
      this.log.info(3, DELAYED_EXIT);
      // State stays for a while, so that late retransmissions do not open a new session (2.12).
      this.#closeAt ??= time.now + REFUSAL_GRACE;
      this.command({ verb: 'setPeer', peer: this.peer, settings: { pingInterval: 0, pingTimeout: 0 } });
    } else if (text.startsWith('CR_RESPONSE')) {
      this.log.info(3, 'CR response was sent by client');
      const isHeard = this.#phase !== 'refused' && this.#host.top.asksFor('client-crresponse');
      if (isHeard) this.#userAnswers.take(text.slice('CR_RESPONSE,'.length));
    } else this.log.info(3, `Received unknown control message: ${text.split(',')[0]}`);
  }

  failed(key: KeyState, failure: KeyFailure, time: Time): void {
    logFailure(this.log, failure);
    if (failure.fault !== 'timeout') this.context.dismiss(key, time);
    if (this.context.session.isInitial(key)) {
      this.context.session.dropInitial();
      return;
    }
    const isStream = this.context.mode === 'child-tcp';
    if (isStream) this.log.error(STREAM_ERROR);
    const mayGoOn = failure.fault !== 'auth-failed' && !isStream;
    if (!mayGoOn || !this.context.keepOldKey(key, time)) this.#endByError(time);
  }

  /** A control packet that ends a TCP connection. */
  streamBroke(drop: DropReason, time: Time): void {
    this.log.error(`TLS Error: unusable control packet (${drop})`);
    this.log.error(STREAM_ERROR);
    this.#endByError(time);
  }

  #endByError(time: Time): void {
    const [signal, does] = this.#host.top.options.tls.exitOnError ? ['SIGTERM', 'exiting'] : ['SIGUSR1', 'restarting'];
    this.#host.close(this, `${signal}[soft,tls-error] received, client-instance ${does}`, time);
  }

  renegotiating(replaced: ReplacedKey): void {
    logSoftReset(this.log, replaced);
  }

  takenOver(_key: KeyState, time: Time): void {
    this.#pushRequested = false;
    this.pushSentAt = undefined;
    this.#settle(time);
  }

  /** Does whatever has become possible: tell a refusal, install a key, push. */
  #settle(time: Time): void {
    const key = this.context.session.active?.primary;
    if (key === undefined || !key.isActive) return;
    if (this.#phase === 'refused') {
      if (this.#refusal === undefined) return;
      this.tell(this.#refusal, time);
      this.#refusal = undefined;
      this.#closeAt = time.now + REFUSAL_GRACE;
      this.log.info(3, DELAYED_EXIT);
      return;
    }
    for (const text of this.#pending.splice(0)) this.tell(text, time);
    if (this.#phase !== 'established' || key.authentication !== 'granted') return;
    if (!this.context.hasKey(key)) this.context.installKey(key, time);
    const { untold } = this.token;
    if (this.pushSentAt !== undefined && untold !== undefined) {
      this.token.told();
      this.tell(`PUSH_REPLY,auth-token ${untold}`, time);
    }
    this.#host.top.push(this, time);
  }

  #fail(key: KeyState, reason: string, time: Time): void {
    this.log.error(reason);
    this.failed(key, { fault: 'auth-failed', reason: 'certificate verification failed' }, time);
  }
}

/** To what a client reads as one message, 1024 bytes with its NUL. upstream: push.c `send_auth_failed`, PUSH_BUNDLE_SIZE (2.6). */
function shortened(text: string): string {
  let short = text.slice(0, 1_023);
  while (encodeText(short).length > 1_023) short = short.slice(0, -1);
  return short;
}
