/**
 * What dies with a soft restart: the session with the peer, its keys, what was agreed, the server's messages. A static-key
 * peer stands here too, which has no session. Upstream's level 2, `c2`.
 *
 *   opened ─▶ (initiated ─▶ pulling) ─▶ agreed ─▶ installed
 *
 * upstream: init.c `do_init_crypto_tls`, `do_up`; ssl.c (2.6).
 */
import {
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
  parsePeerInfo,
  sameEndpoint,
} from '@seikan/core';
import { sanitizeSubject } from '../certificate-policy.js';
import { breaksStream, Context, type ContextOwner, earliest, type ReplacedKey, STREAM_ERROR } from '../context.js';
import { contextSettings } from '../context-settings.js';
import { type PeerSettingsInput, packetSizes, peerSettings } from '../data-settings.js';
import { peerInfoText } from '../local-hello.js';
import {
  initialPacket,
  logDataChannel,
  logFailure,
  logPeerInfo,
  logSoftReset,
  logWrongKey,
  noSecondSession,
} from '../log-lines.js';
import { OFFLOAD_ADVICE, offloadRefusal } from '../offload.js';
import type { Connection, Options } from '../options/options.js';
import type { PulledOptions } from '../options/pull.js';
import { logDifferences, optionsStrings } from '../options-string.js';
import type { Time } from '../output.js';
import { LIMIT_REACHED } from '../session-limits.js';
import { exportedEnvironment } from '../tunnel-environment.js';
import { afInet, type TunnelLog } from '../tunnel-log.js';
import { type Agreement, agreeAsPeers, agreeOnPush, agreeOnStaticKey } from './agreement.js';
import { importLines } from './import-lines.js';
import { RunningTunnel } from './running-tunnel.js';
import { ServerMessages } from './server-messages.js';
import { NOWHERE, StaticPeer } from './static-peer.js';
import type { TunnelSessionHost, TunnelSessionSettings } from './tunnel-session-host.js';

type ControlEvent = DataChannelEvent & { event: 'control' };

/** Nobody sends more before it is asked anything. */
const MOST_HELD = 16;

export class TunnelSession implements ContextOwner {
  readonly #settings: TunnelSessionSettings;
  readonly #options: Options;
  readonly #host: TunnelSessionHost;
  readonly #log: TunnelLog;
  #context: Context | undefined;
  #generation = 0;
  #server: ServerMessages | undefined;
  /** Once it is agreed what holds for the session. */
  #running: RunningTunnel | undefined;
  /** Keys whose negotiation is over. */
  readonly #active = new WeakSet<KeyState>();
  /** Messages that came before the key was granted. */
  #held: string[] = [];
  /** Static key mode: there is no Context then. */
  #staticPeer: StaticPeer | undefined;

  constructor(settings: TunnelSessionSettings, host: TunnelSessionHost) {
    this.#settings = settings;
    this.#options = settings.options;
    this.#host = host;
    this.#log = host.log;
  }

  /** The peer's address; undefined without a session, and of a static-key peer. */
  get remote(): Endpoint | undefined {
    return this.#context?.remote;
  }

  get agreement(): Agreement | undefined {
    return this.#running?.agreement;
  }

  /** A static-key peer says no more than its first packet, a p2p peer with TLS not even that it is ready. */
  get isStatic(): boolean {
    return this.#staticPeer !== undefined;
  }

  /** Nobody says yet whether the other end is there too. */
  get isAwaited(): boolean {
    return this.#staticPeer !== undefined ? !this.#staticPeer.isHeard : !this.#options.pull;
  }

  /** The common name of the peer's certificate. */
  get peerName(): string | undefined {
    const key = this.#context?.session.active?.primary;
    return key === undefined ? undefined : nameOf(key);
  }

  usesLink(link: LinkId): boolean {
    return this.#context?.link === link || this.#staticPeer?.link === link;
  }

  get #peer(): PeerRef | undefined {
    return this.#staticPeer?.peer ?? this.#context?.peer;
  }

  counters(): PeerCounters | undefined {
    const peer = this.#peer;
    return peer === undefined ? undefined : this.#settings.readCounters(peer);
  }

  /** Who knows its peer calls at once, a p2p server too. `remote` is undefined only for a static-key peer. */
  open(connection: Connection, link: LinkId, remote: Endpoint | undefined, time: Time): void {
    const { options, crypto, random, tls } = this.#settings;
    if (remote === undefined || options.tls.role === 'none') {
      this.#openStatic(connection, link, remote, time);
      return;
    }
    const { chains, login } = this.#host;
    this.#context = new Context(
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
        counters: () => this.counters(),
        hello: () => this.#hello(connection),
        verify: (_key, certificate, error) => chains.verify(certificate, error),
      }),
      this,
    );
    this.#server = new ServerMessages({
      options,
      log: this.#log,
      connection,
      login,
      send: (text, at) => void this.#context?.send(text, at),
      onState: (state) => this.#host.onState(state),
      pulled: (pulled, at) => this.#pulled(pulled, at),
      restart: (reason, at, manner) => this.#host.restart('soft', reason, at, manner),
      leave: (source, reason, at) => this.#host.leave(source, reason, at),
    });
    this.#host.onState('WAIT');
    const isConfigured = connection.remote !== undefined && connection.wrap.tlsCryptV2 === undefined;
    if (options.tls.role === 'client' || isConfigured) this.#context.start(time);
  }

  /** False: it is not of this session, or from a place that it does not take packets from. */
  takes({ link, from }: ControlEvent): boolean {
    const context = this.#context;
    if (context === undefined || link !== context.link) return false;
    const { connections } = this.#host;
    return connections.current.float || sameEndpoint(from, context.remote) || this.#answersFrom(from);
  }

  /** A server with several addresses may answer from another one of its name's: that is where it is from then on. */
  #answersFrom(from: Endpoint): boolean {
    const { active } = this.#context?.session ?? {};
    return active?.peerSessionId === undefined && this.#host.connections.has(from);
  }

  handleControl(event: ControlEvent, time: Time): void {
    const context = this.#context;
    if (context === undefined || event.link !== context.link) return;
    if (this.takes(event)) {
      const { active } = context.session;
      const isNew = active !== undefined && active.peerSessionId === undefined;
      const drop = context.handleControl(event.bytes, event.from, time);
      if (drop === 'single-session') this.#log.error(noSecondSession(event.from));
      else if (drop !== undefined) logWrongKey(this.#log, this.#host.connections.current.wrap, drop, event.from);
      if (isNew && active.peerSessionId !== undefined) {
        context.moveTo(context.link, event.from);
        this.#log.info(3, initialPacket(event.from, active.peerSessionId));
      }
      const isStream = this.#host.connections.current.protocol !== 'udp';
      if (drop !== undefined && isStream && breaksStream(drop)) {
        this.#log.error(STREAM_ERROR);
        this.#endByError(time);
      }
      return;
    }
    const { from } = event;
    this.#log.info(
      2,
      `TCP/UDP: Incoming packet rejected from ${afInet(from)}[${from.family}], expected peer address: ${afInet(context.remote)} (allow this incoming source address/port by removing --remote or adding --float)`,
    );
  }

  keyConfirmed(event: DataChannelEvent & { event: 'keyConfirmed' }, time: Time): void {
    this.#context?.keyConfirmed(event.keyId, time);
    this.#staticPeer?.heard(time);
  }

  keyLimit(time: Time): void {
    this.#context?.renegotiate(time);
  }

  moved({ to, link }: DataChannelEvent & { event: 'float' }, time: Time): void {
    this.#staticPeer?.movedTo(to, time);
    this.#context?.moveTo(link, to);
  }

  peerLost({ peer, reason }: DataChannelEvent & { event: 'peerLost' }, time: Time): void {
    if (peer.generation === this.#context?.peer?.generation)
      this.#host.restart('soft', 'dco-peer-lost', time, { message: `dco: ${reason}, restarting` });
  }

  handleMessage(plaintext: Uint8Array, time: Time): void {
    if (plaintext[0] !== OccType.exit) {
      this.#staticPeer?.handleMessage(plaintext);
      this.#running?.handleMessage(plaintext);
      return;
    }
    this.#log.notice('OCC exit message received by peer');
    this.#host.restart('soft', 'remote-exit', time);
  }

  /** Everything is up here: times run. */
  connected(now: Millis): void {
    this.#running?.connected(now);
  }

  handleTimeout(time: Time): void {
    this.#server?.handleTimeout(time);
    this.#staticPeer?.handleTimeout(time.now);
    const limit = this.#running?.handleTimeout(() => this.counters(), time.now);
    if (limit !== undefined) {
      this.#log.notice(LIMIT_REACHED[limit]);
      this.#host.leave('soft', limit, time);
    }
    this.#context?.handleTimeout(time);
  }

  nextTimeout(): Millis | undefined {
    return earliest(
      this.#running?.nextTimeout(),
      this.#server?.nextTimeout(),
      this.#staticPeer?.nextTimeout(),
      this.#context?.nextTimeout(),
    );
  }

  /** Whether a peer is there that would understand a farewell. */
  get hasPeer(): boolean {
    return this.#staticPeer?.isHeard ?? this.#context?.peer !== undefined;
  }

  /** Tells the peer that we leave; a control message is not said `again`, it arrives. */
  sayGoodbye(again: boolean, time: Time): void {
    const context = this.#context;
    if (context?.negotiated?.exitNotify === true) {
      if (again) return;
      this.#log.info(3, `SENT CONTROL [${this.peerName ?? 'UNDEF'}]: 'EXIT' (status=1)`);
      context.send('EXIT', time);
      return;
    }
    const peer = this.#peer;
    if (peer !== undefined) this.command({ verb: 'sendMessage', peer, plaintext: Uint8Array.of(OccType.exit) });
  }

  /** Gives back the link, for whoever opened it to close. */
  close(): LinkId | undefined {
    const context = this.#context;
    const staticPeer = this.#staticPeer;
    this.#server = undefined;
    this.#staticPeer = undefined;
    this.#context = undefined;
    this.#running = undefined;
    this.#held = [];
    staticPeer?.close();
    context?.close();
    return staticPeer?.link ?? context?.link;
  }

  // What the Context says.

  command(command: DataChannelCommand): void {
    this.#host.command(command);
  }

  secured(key: KeyState, time: Time): void {
    const context = this.#context;
    if (context === undefined) return;
    const { scripts } = this.#host;
    scripts.tlsVerify(
      key.chain,
      context.remote,
      this.#options.verify,
      (passed) => this.#log.info(2, `VERIFY SCRIPT OK: depth=${passed.depth}, ${sanitizeSubject(passed.subject)}`),
      (refused, at) => {
        if (this.#context !== context) return;
        if (refused === undefined) this.#admit(context, key, at);
        else {
          this.#log.error(`VERIFY SCRIPT ERROR: depth=${refused.depth}, ${sanitizeSubject(refused.subject)}`);
          this.failed(key, { fault: 'auth-failed', reason: 'certificate verification failed' }, at);
        }
      },
      time,
    );
  }

  /** What the peer is told next may have to be asked for first. */
  #admit(context: Context, key: KeyState, time: Time): void {
    const asked = this.#host.login.ask((failure, at) => {
      if (this.#context !== context) return;
      if (failure === undefined) context.admit(key, at);
      else this.#host.fatal(failure, at);
    });
    if (!asked) context.admit(key, time);
  }

  exchanged(key: KeyState, time: Time): void {
    const context = this.#context;
    const grant = (good: boolean, at: Time): void => {
      // The negotiation may have failed while it was asked about.
      if (this.#context !== context || key.state === 'failed') return;
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
      if (context === undefined || this.#running !== undefined) refuse(at);
      else this.#host.scripts.peerInitiated(context.remote, at, refuse);
    };
    this.#host.scripts.tlsFinal(exportedEnvironment(this.#options, key), time, grant);
  }

  active(key: KeyState, time: Time): void {
    this.#log.info(2, `Control Channel: ${key.connection.describe()}`);
    this.#active.add(key);
    // Whoever has a say in it may not have spoken yet.
    if (key.authentication === 'granted') this.#initiated(key, time);
  }

  message(key: KeyState, text: string, time: Time): void {
    // A server pushes unasked: what it says counts once nobody here objects to it any more.
    if (key.authentication === 'granted') this.#server?.handle(text, time);
    else if (this.#held.length < MOST_HELD) this.#held.push(text);
  }

  failed(key: KeyState, failure: KeyFailure, time: Time): void {
    const { connections } = this.#host;
    logFailure(this.#log, failure);
    if (this.#context?.session.isInitial(key) === true) {
      this.#context.session.dropInitial();
      return;
    }
    const isStream = connections.current.protocol !== 'udp';
    if (isStream) this.#log.error(STREAM_ERROR);
    const mayGoOn = failure.fault !== 'auth-failed' && !isStream;
    if (!mayGoOn || this.#context?.keepOldKey(key, time) !== true) this.#endByError(time);
  }

  #endByError(time: Time): void {
    if (this.#options.tls.exitOnError) this.#host.leave('soft', 'tls-error', time);
    else this.#host.restart('soft', 'tls-error', time);
  }

  renegotiating(replaced: ReplacedKey): void {
    logSoftReset(this.#log, replaced);
  }

  takenOver(_key: KeyState, _time: Time): void {
    // A p2p peer came back with a new session: it will be agreed with when it is active.
    this.#running = undefined;
  }

  // Agreeing.

  #initiated(key: KeyState, time: Time): void {
    const context = this.#context;
    if (context === undefined) return;
    if (this.#running !== undefined) {
      // A renegotiation: what was agreed stays.
      context.installKey(key, time);
      return;
    }
    const { connections, scripts } = this.#host;
    const { crypto } = this.#settings;
    const peerInfo = parsePeerInfo(key.peerHello?.peerInfo ?? '');
    logPeerInfo(this.#log, peerInfo);
    this.#log.notice(`[${nameOf(key) ?? ''}] Peer Connection Initiated with ${afInet(context.remote)}`);
    scripts.peerTold(peerInfo);
    scripts.peerInitiated(context.remote, time);
    if (this.#options.data.occ) {
      const { expected } = optionsStrings(this.#options, connections.current, crypto);
      logDifferences(expected, key.peerHello?.options ?? '', this.#log);
    }
    if (this.#options.pull) {
      this.#host.onState('GET_CONFIG');
      this.#host.pulling();
      this.#server?.startPulling(time);
    } else this.#agreeAsPeers(key, time);
  }

  #agreeAsPeers(key: KeyState, time: Time): void {
    const { connections } = this.#host;
    const { agreement, result } = agreeAsPeers(this.#options, connections.current, key, this.#settings.crypto);
    this.#log.info(3, `P2P mode NCP negotiation result: ${result}`);
    if (agreement !== undefined) {
      this.#startData(agreement, key, time);
      return;
    }
    this.#log.error(
      'ERROR: failed to negotiate cipher with peer and --data-ciphers-fallback not enabled. No usable data channel cipher',
    );
    // So that the peer, too, comes as far as to see why.
    this.#context?.flush(time);
    this.#host.restart('soft', 'connection initialisation failed', time);
  }

  #hello(connection: Connection) {
    const { options, product, abilities, crypto, hostFacts } = this.#settings;
    const { login } = this.#host;
    const { username, password } = login;
    login.sent();
    return {
      options: optionsStrings(options, connection, crypto).own,
      username,
      password,
      peerInfo: peerInfoText({ options, connection, product, abilities, crypto, hostFacts }),
    };
  }

  #pulled(pulled: PulledOptions, time: Time): void {
    const context = this.#context;
    const key = context?.session.active?.primary;
    const theirOptions = key?.peerHello?.options ?? '';
    const agreement = agreeOnPush(this.#options, pulled, theirOptions, this.#settings.crypto);
    if (typeof agreement === 'string') {
      this.#log.error(agreement);
      this.#host.restart('soft', 'process-push-msg-failed', time);
    } else if (context !== undefined && key !== undefined) {
      this.#host.pulled(pulled.options, context.link);
      for (const line of importLines(pulled)) this.#log.info(3, line);
      this.#startData(agreement, key, time);
    }
  }

  #startData(agreement: Agreement, key: KeyState, time: Time): void {
    const context = this.#context;
    if (context === undefined) return;
    const refusal = offloadRefusal(this.#settings.abilities, {
      peerId: agreement.peerId,
      cipher: agreement.negotiated.cipher,
      compression: agreement.options.data.compression,
      translates: agreement.options.routing.clientNat.length > 0,
    });
    if (refusal !== undefined) {
      this.#log.error(refusal);
      this.#log.error(OFFLOAD_ADVICE);
      this.#host.restart('soft', 'process-push-msg-failed', time);
      return;
    }
    // Before there is a peer: the kernel's channel carries it with the tun.
    this.#host.prepareTun(agreement, time, (at) => {
      if (this.#context === context) this.#install(context, agreement, key, at);
    });
  }

  #install(context: Context, agreement: Agreement, key: KeyState, time: Time): void {
    this.#generation += 1;
    const { negotiated } = agreement;
    const { crypto } = this.#settings;
    const input = { ...agreement, link: context.link, remote: context.remote, crypto };
    const peer = { index: 0, generation: this.#generation };
    this.#run(agreement, peer, input);
    context.openPeer(peer, peerSettings(input), negotiated);
    context.installKey(key, time);
    this.#logAgreement(agreement);
    this.#host.agreed(agreement, time);
  }

  #run(agreement: Agreement, peer: PeerRef, input: PeerSettingsInput): void {
    const sizes = packetSizes(input, (plaintext) => this.command({ verb: 'sendMessage', peer, plaintext }));
    this.#running = new RunningTunnel(agreement, sizes, this.#log);
  }

  #logAgreement({ options, connection, negotiated, peerId }: Agreement): void {
    const { timers } = options;
    const exitNotify = connection.explicitExitNotify;
    logDataChannel(this.#log, { negotiated, peerId, timers, exitNotify }, this.#settings.crypto);
  }

  #openStatic(connection: Connection, link: LinkId, remote: Endpoint | undefined, time: Time): void {
    const { options, crypto, staticKey } = this.#settings;
    if (staticKey === undefined) {
      this.#host.fatal('static key mode without a static key', time);
      return;
    }
    this.#generation += 1;
    const agreement = agreeOnStaticKey(options, connection);
    const peer = { index: 0, generation: this.#generation };
    this.#run(agreement, peer, { ...agreement, link, remote: remote ?? NOWHERE, crypto });
    this.#staticPeer = new StaticPeer(
      {
        peer,
        link,
        remote,
        agreement,
        key: staticKey,
        crypto,
        log: this.#log,
        scripts: this.#host.scripts,
        optionsStrings: optionsStrings(options, connection, crypto),
        command: (command) => this.command(command),
      },
      time.now,
    );
    this.#logAgreement(agreement);
    this.#host.agreed(agreement, time);
  }
}

function nameOf(key: KeyState): string | undefined {
  return key.connection.peerCertificate?.subjectFields.findLast((field) => field.name === 'CN')?.value;
}
