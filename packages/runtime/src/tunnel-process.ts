/**
 * One run of a tunnel: the engine's machine, the data channel, and everything that the engine asks for.
 * This is the only place where the pure machines meet the clock and the kernel.
 *
 *   data channel ──events──▶ machine ──outputs──▶ commands to the data channel, asks to the system, log lines
 *        timer ─────────────────▲ ▲── answers, signals
 */
import { readFile } from 'node:fs/promises';

import type { DataChannelEvent, LinkId, PeerRef, UnixSeconds } from '@seikan/core';
import { atTurnEnd, type DataThread, type LinkSource } from '@seikan/dataplane';
import type { KernelOffload } from '@seikan/dco';
import {
  type AskFailure,
  type AskMap,
  type AskName,
  createProtection,
  type DynamicChallenge,
  type EndCause,
  type EngineOutput,
  type Environment,
  type LogLine,
  Multi,
  type Options,
  PointToPoint,
  type Product,
  type StateChange,
  type Time,
  type TunnelSignal,
} from '@seikan/engine';
import { createCrypto } from '@seikan/native';
import type { NetcfgClient } from '@seikan/netcfg';
import type { EventContext, EventRequest, EventVerdict } from '@seikan/plugin-sdk';

import { hostFacts } from './host-facts.js';
import type { KeptFiles } from './kept-files.js';
import { KeptSockets } from './kept-sockets.js';
import { formatLocalTime } from './line-log.js';
import { openLink } from './links.js';
import { type Materials, reasonOf } from './materials.js';
import { type CarrierOptions, inKernel, inThread, type PacketCarrier } from './packet-carrier.js';
import type { PortShare } from './port-share.js';
import { ProxyLogins } from './proxy-logins.js';
import { RandomPool } from './random-pool.js';
import { resolveHost } from './resolve-host.js';
import { keepRevocations, revokedSerials } from './revocations.js';
import { TunnelDns } from './tunnel-dns.js';
import type { TunnelHost } from './tunnel-tun.js';

export interface TunnelProcessSettings {
  readonly options: Options;
  readonly product: Product;
  readonly log: (line: LogLine) => void;
  readonly onState?: ((change: StateChange) => void) | undefined;
  /** A server has pushed `verb` or `mute`. */
  readonly onLogLevels?: ((levels: Pick<Options['log'], 'verb' | 'mute'>) => void) | undefined;
  /** Runs plugins and scripts; without it no event is asked. */
  readonly events?: EventRunner | undefined;
  /** What scripts see from the start: `configurationEnvironment`. */
  readonly environment: Environment;
  /** A server's tun is up: what has to be done before anybody is served. A failure ends the tunnel. */
  readonly onReady?: ((environment: Environment) => Promise<object | AskFailure>) | undefined;
  readonly materials: Materials;
  /** Moves the packets; it outlives the tunnel, and serves one at a time. */
  readonly thread: DataThread;
  /** Makes the tun, with its network and DNS, for a process without privileges. */
  readonly network?: NetcfgClient | undefined;
  /** The kernel moves them instead. */
  readonly offload?: KernelOffload | undefined;
  /** `port-share`: takes connections that do not speak OpenVPN. */
  readonly portShare?: PortShare | undefined;
  /** Status and pool; they outlive a soft restart. */
  readonly files: KeptFiles;
  /** User name and password of a client, when the configuration asks for them. */
  readonly credentials?:
    | ((challenge: DynamicChallenge | undefined) => Promise<{ username: string; password: string } | AskFailure>)
    | undefined;
}

export interface EventRunner {
  has(event: EventRequest['event']): boolean;
  /** Answers with at most one interim verdict and one final one; the function given back ends the request. */
  run(request: EventRequest, answer: (verdict: EventVerdict) => void): () => void;
  openContext(context: EventContext): void;
  closeContext(context: EventContext): void;
  /** How long plugins have taken so far, in lines for people. */
  readonly stats: { describe(): readonly string[] };
}

/** Node's timers hold no longer delay. */
const LONGEST_DELAY = 2 ** 31 - 1;

export class TunnelProcess {
  readonly #settings: TunnelProcessSettings;
  readonly #machine: PointToPoint | Multi;
  readonly #channel: PacketCarrier['channel'];
  readonly #tun: TunnelHost;
  readonly #running = new Map<number, () => void>();
  readonly #crypto = createCrypto();
  readonly #proxyLogins: ProxyLogins;
  readonly #ended: Promise<EndCause>;
  #end: (cause: EndCause) => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer rings. It may be too early, and then is set again. */
  #timerAt = Number.POSITIVE_INFINITY;
  /** The machine's deadline will be looked at when everything of this turn is done. */
  #rearms = false;
  #pumping = false;
  readonly #sockets = new KeptSockets();
  #over = false;

  constructor(settings: TunnelProcessSettings) {
    this.#settings = settings;
    const { options, product, materials } = settings;
    const crypto = this.#crypto;
    this.#proxyLogins = new ProxyLogins(options.auth.noCache);
    const isServer = options.mode === 'server';
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const carrying: CarrierOptions = {
      settings: {
        mode: isServer ? 'server' : options.tls.role === 'none' ? 'static-key' : 'p2p',
        device: options.device.type === 'tap' ? 'tap' : 'tun',
        maxPeers: isServer ? options.server.maxClients : 1,
        clientToClient: options.server.clientToClient,
        maxLearned: options.server.maxRoutesPerClient,
        asksToLearn: settings.events?.has('learn-address') ?? false,
      },
      passesTos: options.socket.passTos,
      log: settings.log,
      dns: new TunnelDns({ log: settings.log, obstacle: dnsObstacle(options) }),
      onEvent: (event) => this.#handleEvent(event),
    };
    const { offload, thread, network } = settings;
    const carrier = offload === undefined ? inThread(thread, carrying, network) : inKernel(offload, carrying);
    this.#channel = carrier.channel;
    this.#tun = carrier.tun;

    const asksFor = (event: EventRequest['event']): boolean => settings.events?.has(event) ?? false;
    const replay = { size: options.data.replayWindow, time: options.data.replayTime * 1000 };
    const common = {
      options,
      crypto,
      random: new RandomPool().fill,
      tls: keepRevocations(materials, options, settings.log),
      protection: (connection: Options['connections'][number]) =>
        createProtection({
          crypto,
          role: options.tls.role === 'server' ? 'server' : 'client',
          keys: materials.protection.get(connection.wrap) ?? {},
          replay,
        }),
      product,
      abilities: { epoch: !carrier.offloaded, offload: carrier.offloaded },
      revokedSerials: revokedSerials(options),
      asksFor,
      environment: settings.environment,
      readCounters: (peer: PeerRef) => this.#channel.readCounters(peer),
      formatTime: (time: UnixSeconds) => formatLocalTime(time * 1000),
    };
    this.#machine = isServer
      ? new Multi({ ...common, authTokenKey: materials.authTokenKey, verb: options.log.verb })
      : new PointToPoint({ ...common, staticKey: materials.staticKey, hostFacts });
  }

  /** Runs until the tunnel ends for good, and leaves nothing behind. `again`: after a pause, as the last one has just ended. */
  async run(again = false): Promise<EndCause> {
    const recovering = this.#settings.options.mode === 'server' ? undefined : this.#tun.recover?.();
    if (recovering !== undefined) await recovering;
    this.#machine.handleStart(this.#time, again);
    this.#pump();
    const cause = await this.#ended;
    this.#over = true;
    clearTimeout(this.#timer);
    for (const cancel of this.#running.values()) cancel();
    await this.#tun.close();
    this.#sockets.closeAll();
    await this.#channel.close();
    return cause;
  }

  handleSignal(signal: TunnelSignal): void {
    this.#machine.handleSignal(signal, this.#time);
    this.#pump();
    if (signal !== 'SIGUSR2') return;
    for (const text of this.#settings.events?.stats.describe() ?? [])
      this.#settings.log({ verb: 1, severity: 'notice', prefix: undefined, text });
  }

  get #time(): Time {
    return { now: performance.now(), wallClock: Math.floor(Date.now() / 1000) };
  }

  #handleEvent(event: DataChannelEvent): void {
    if (event.event === 'linkForeign') this.#settings.portShare?.take(event.fd, event.begun);
    this.#machine.handleEvent(event, this.#time);
    this.#pump();
  }

  #handleTimeout(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#machine.handleTimeout(this.#time);
    this.#pump();
  }

  /** Drains the machine; commands may cause events at once, which the outermost call goes on to drain. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    for (let output = this.#machine.poll(); output !== undefined; output = this.#machine.poll()) this.#execute(output);
    this.#pumping = false;
    if (this.#rearms || this.#over) return;
    this.#rearms = true;
    atTurnEnd(() => this.#rearm());
  }

  /** Deadlines mostly move away: only one that is nearer than the timer sets it. */
  #rearm(): void {
    this.#rearms = false;
    const next = this.#machine.nextTimeout();
    if (next === undefined || next >= this.#timerAt || this.#over) return;
    clearTimeout(this.#timer);
    this.#timerAt = next;
    const delay = Math.min(Math.max(0, Math.ceil(next - performance.now())), LONGEST_DELAY);
    this.#timer = setTimeout(() => this.#handleTimeout(), delay);
  }

  #execute(output: EngineOutput): void {
    switch (output.output) {
      case 'command':
        this.#channel.handle(output.command);
        return;
      case 'ask':
        this.#ask(output);
        return;
      case 'cancel':
        this.#running.get(output.id)?.();
        this.#running.delete(output.id);
        return;
      case 'close-link':
        this.#sockets.close(output.link);
        this.#channel.closeLink(output.link);
        return;
      case 'log':
        this.#settings.log(output);
        return;
      case 'state':
        this.#settings.onState?.(output);
        return;
      case 'pulled':
        this.#pulled(output);
        return;
      case 'write-file':
        this.#settings.files.write(output.path, output.text);
        return;
      case 'context':
        if (output.change === 'opened') this.#settings.events?.openContext(output.context);
        else this.#settings.events?.closeContext(output.context);
        return;
      case 'end':
        this.#end(output.cause);
        return;
      default:
        output satisfies never;
    }
  }

  #ask(ask: EngineOutput & { output: 'ask' }): void {
    switch (ask.ask) {
      case 'event':
        this.#runEvent(ask.id, ask.request);
        return;
      case 'resolve':
        this.#answerLater(ask.id, resolveHost(ask.host, ask.port, ask.family));
        return;
      case 'open-link':
        this.#openLink(ask);
        return;
      case 'open-tun':
        this.#answerLater(ask.id, this.#tun.open(ask));
        return;
      case 'configure-tun':
        this.#answerLater(ask.id, this.#tun.configure(ask));
        return;
      case 'configure-dns':
        this.#answerLater(ask.id, this.#tun.configureDns?.(ask.dns) ?? Promise.resolve({}));
        return;
      case 'close-tun':
        this.#answerLater(ask.id, this.#tun.close());
        return;
      case 'ready':
        this.#answerLater(ask.id, this.#settings.onReady?.(ask.env) ?? Promise.resolve({}));
        return;
      case 'read-file':
        this.#answerLater(ask.id, readText(ask.path));
        return;
      case 'credentials':
        this.#answerLater(
          ask.id,
          this.#settings.credentials?.(ask.challenge) ??
            Promise.resolve({ error: 'auth-user-pass: nobody can be asked for a user name' }),
        );
        return;
      default:
        throw new Error(ask satisfies never);
    }
  }

  #answerLater<Name extends AskName>(id: number, answer: Promise<AskMap[Name]['answer']>): void {
    answer.then(
      (value) => this.#answer(id, value, false),
      (error: unknown) => this.#answer(id, { error: reasonOf(error) }, false),
    );
  }

  #answer(id: number, answer: object, interim: boolean): void {
    this.#machine.handleAnswer(id, answer, interim, this.#time);
    this.#pump();
  }

  #openLink(ask: EngineOutput & { output: 'ask'; ask: 'open-link' }): void {
    const { options, offload, log } = this.#settings;
    const cancel = new AbortController();
    this.#running.set(ask.id, () => cancel.abort());
    const channel = {
      openLink: (link: LinkId, source: LinkSource): void => {
        if (options.pull) this.#sockets.keep(link, source.fd);
        this.#channel.openLink(link, { ...source, passesTos: options.socket.passTos });
      },
    };
    const answer = openLink(channel, ask, {
      options,
      coalesce: offload === undefined,
      protect: this.#tun.protect?.bind(this.#tun),
      logins: this.#proxyLogins,
      crypto: this.#crypto,
      log,
      cancelled: cancel.signal,
    });
    this.#answerLater(
      ask.id,
      answer.finally(() => this.#running.delete(ask.id)),
    );
  }

  #pulled({ link, log, socket }: EngineOutput & { output: 'pulled' }): void {
    this.#settings.onLogLevels?.(log);
    try {
      this.#sockets.setBuffers(link, socket);
    } catch (error) {
      const text = `sndbuf and rcvbuf could not be set: ${reasonOf(error)}`;
      this.#settings.log({ verb: 1, severity: 'warning', prefix: undefined, text });
    }
  }

  #runEvent(id: number, request: EventRequest): void {
    const { events } = this.#settings;
    if (events === undefined) {
      this.#answer(id, { result: 'failure', cause: 'no scripts can be run here' } satisfies EventVerdict, false);
      return;
    }
    const cancel = events.run(request, (verdict) => {
      const interim = verdict.result === 'deferred' || verdict.result === 'pending';
      if (!interim) this.#running.delete(id);
      // Answers come after the ask has been dealt with, whoever runs the event.
      queueMicrotask(() => this.#answer(id, verdict, interim));
    });
    this.#running.set(id, cancel);
  }
}

/** What takes DNS back when the process has given up its privileges. */
function dnsObstacle({ process: { user, group, chroot } }: Options): string | undefined {
  const dropping = user ?? group ?? chroot;
  if (dropping === undefined) return undefined;
  return 'with user, group or chroot this process could not take it back ("dns-updown disable" leaves out this line)';
}

async function readText(path: string): Promise<{ text: string } | AskFailure> {
  try {
    return { text: await readFile(path, 'utf8') };
  } catch (error) {
    return { error: reasonOf(error) };
  }
}
