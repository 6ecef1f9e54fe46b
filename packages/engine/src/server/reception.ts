/**
 * Control packets on their way in: to the instance that is known at their address, or, from strangers who have shown
 * what it takes, to a new one.
 *
 * upstream: multi.c `multi_create_instance`, mudp.c `multi_get_create_instance_udp` (2.6).
 */
import { type DropReason, type Endpoint, type LinkId, type Session, SessionCookie } from '@seikan/core';

import { breaksStream } from '../context.js';
import { initialPacket, logWrongKey, noSecondSession } from '../log-lines.js';
import type { Connection } from '../options/options.js';
import type { EngineOutput, Time } from '../output.js';
import { afInet, realAddress, type TunnelLog } from '../tunnel-log.js';
import { ExternalMultiplexer, type FirstPacketVerdict, RateLimit } from './external-multiplexer.js';
import { Instance, type InstanceHost } from './instance.js';
import type { InstanceTable } from './instance-table.js';
import type { ServerLink, ServerLinks } from './server-links.js';

export interface ReceptionSettings {
  readonly host: InstanceHost;
  /** The listening place. */
  readonly connection: Connection;
  readonly instances: InstanceTable;
  readonly links: ServerLinks;
  readonly log: TunnelLog;
  readonly emit: (output: EngineOutput) => void;
}

export class Reception {
  readonly #settings: ReceptionSettings;
  readonly #multiplexer: ExternalMultiplexer<Instance>;
  /** `connect-freq`. */
  readonly #newSessions: RateLimit | undefined;
  /** `connect-freq-initial`. */
  readonly #strangers: RateLimit;
  readonly #drops = new Map<string, number>();
  #nextClientId = 0;

  constructor(settings: ReceptionSettings) {
    this.#settings = settings;
    const { connection } = settings;
    const { options, settings: shared } = settings.host.top;
    const { connectFreq, connectFreqInitial } = options.server;
    this.#newSessions = connectFreq === undefined ? undefined : new RateLimit(connectFreq);
    this.#strangers = new RateLimit(connectFreqInitial);
    const secret = new Uint8Array(32);
    shared.random(secret);
    this.#multiplexer = new ExternalMultiplexer({
      cookies: new SessionCookie({ crypto: shared.crypto, secret, handWindow: options.tls.handWindow }),
      protection: () => shared.protection(connection),
      limit: this.#strangers,
      forceCookie: connection.wrap.tlsCryptV2?.forceCookie ?? false,
    });
    secret.fill(0);
  }

  /** Drops of control packets, by reason. */
  get drops(): ReadonlyMap<string, number> {
    return this.#drops;
  }

  /** False: nobody is known at this address. */
  handle(link: LinkId, from: Endpoint, bytes: Uint8Array, time: Time): boolean {
    const known = this.#multiplexer.find(link, from);
    if (known === undefined) return false;
    known.heard(bytes.length);
    this.#settings.host.contain(known, () => this.#handKnown(known, from, bytes, time), time);
    return true;
  }

  #handKnown(known: Instance, from: Endpoint, bytes: Uint8Array, time: Time): void {
    const drop = known.context.handleControl(bytes, from, time);
    if (drop === undefined) return;
    this.#drop(drop);
    if (drop === 'single-session') known.log.error(noSecondSession(from));
    if (known.context.mode === 'child-tcp' && breaksStream(drop)) known.streamBroke(drop, time);
  }

  /** A packet from an address that nobody is known at. */
  greet(open: ServerLink, from: Endpoint, bytes: Uint8Array, time: Time): void {
    const verdict = this.#multiplexer.judge(bytes, from, open.transport, time);
    switch (verdict.verdict) {
      case 'drop':
        this.#drop(verdict.reason);
        this.#logRefused(verdict.reason, from);
        this.#settings.links.closeConnection(open.link);
        return;
      case 'reply':
        this.#settings.emit({
          output: 'command',
          command: { verb: 'sendControl', link: open.link, to: from, bytes: verdict.bytes },
        });
        return;
      case 'create':
        this.#create(open, from, bytes.length, verdict, time);
        return;
      default:
        verdict satisfies never;
    }
  }

  /** Who is known at this address. */
  at(link: LinkId, address: Endpoint): Instance | undefined {
    return this.#multiplexer.find(link, address);
  }

  /** The instance has been moved to another address. */
  move(instance: Instance, link: LinkId, to: Endpoint): void {
    this.forget(instance);
    instance.context.moveTo(link, to);
    this.#multiplexer.add(link, to, instance);
  }

  forget(instance: Instance): void {
    this.#multiplexer.remove(instance.context.link, instance.remote, instance);
  }

  #create(
    { link, transport, connection }: ServerLink,
    from: Endpoint,
    size: number,
    { cookie, accepted, protection }: FirstPacketVerdict & { verdict: 'create' },
    time: Time,
  ): void {
    const { host, instances, links, log, emit } = this.#settings;
    if (this.#newSessions?.take(time.now) === false) {
      log.warning(
        `MULTI: Connection from ${realAddress(from)} would exceed new connection frequency limit as controlled by --connect-freq`,
      );
      this.#drop('rate-limited');
      links.closeConnection(link);
      return;
    }
    const peer = instances.free();
    if (peer === undefined) {
      const { maxClients } = host.top.options.server;
      log.warning(`MULTI: new incoming connection would exceed maximum number of clients (${maxClients})`);
      links.closeConnection(link);
      return;
    }
    const clientId = this.#nextClientId;
    this.#nextClientId += 1;
    const instance = new Instance(
      host,
      { clientId, peer, link, remote: from, transport, connection, protection },
      time,
    );
    emit({ output: 'context', context: instance.eventContext, change: 'opened' });
    instances.add(instance);
    links.known(link);
    this.#multiplexer.add(link, from, instance);
    instance.heard(size);
    instance.log.info(3, 'MULTI: multi_create_instance called');
    if (instance.log.shows(3)) instance.log.info(3, initialPacket(from, accepted.packet.sessionId));
    const first = (session: Session): DropReason | undefined =>
      cookie === undefined
        ? session.startFromReset(accepted, time.now)
        : session.startFromCookie(cookie, accepted, time.now);
    const begin = (): void => {
      const drop = instance.begin(first, time);
      if (drop !== undefined) this.#drop(drop);
    };
    host.contain(instance, begin, time);
  }

  /** A wrong key is worth a line: it is how people find out that theirs does not match. */
  #logRefused(reason: DropReason | 'rate-limited', from: Endpoint): void {
    const { log, connection } = this.#settings;
    if (reason === 'rate-limited') {
      const { count, seconds } = this.#settings.host.top.options.server.connectFreqInitial;
      if (this.#strangers.firstRefusal())
        log.warning(
          `Note: --connect-freq-initial ${count} ${seconds} rate limit exceeded, dropping initial handshake packets for the next ${seconds} seconds`,
        );
    } else if (reason === 'bad-client-key' && connection.wrap.tlsCryptV2 !== undefined) {
      log.error(`tls-crypt-v2: client key authentication error (packet from ${afInet(from)})`);
    } else logWrongKey(log, connection.wrap, reason, from);
  }

  #drop(reason: DropReason | 'rate-limited'): void {
    this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1);
  }
}
