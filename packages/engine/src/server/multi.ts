/**
 * The main machine of a server: it registers the instances, brings control packets to them, gives each client its
 * place (config, address, routes) and takes it back.
 *
 *   start: link ─▶ tun ─▶ addresses ─▶ "Initialization Sequence Completed"
 *   end:   last status ─▶ instances ─▶ addresses and tun ─▶ links
 *
 * upstream: multi.c (`multi_init`, `multi_top_init`, `multi_uninit`, `multi_top_free`), openvpn.c `tunnel_server` (2.6).
 */
import {
  type DataChannelEvent,
  type Endpoint,
  formatEndpoint,
  type LinkId,
  type Millis,
  OccType,
  type PeerRef,
} from '@seikan/core';
import { AskBook, Asks } from '../asks.js';
import { earliest } from '../context.js';
import { connectionReset } from '../log-lines.js';
import type { Connection } from '../options/options.js';
import type { AskId, EngineOutput, SignalSource, Time } from '../output.js';
import { TunnelDevice } from '../tunnel-device.js';
import type { Environment } from '../tunnel-environment.js';
import { afInet, realAddress, TunnelLog } from '../tunnel-log.js';
import { type Refusal, TunnelScripts } from '../tunnel-scripts.js';
import { Authenticator } from './authenticator.js';
import { timeEnvironment } from './client-environment.js';
import { Connecting } from './connecting.js';
import { Farewells } from './farewells.js';
import type { Instance, InstanceHost } from './instance.js';
import { InstanceTable } from './instance-table.js';
import { Opening } from './opening.js';
import { AddressPool } from './pool.js';
import { PoolFile } from './pool-file.js';
import { pushToClient } from './push.js';
import { Reception } from './reception.js';
import { ServerLinks } from './server-links.js';
import { Status } from './status.js';
import { Top, type TopSettings } from './top.js';
import { Turns } from './turns.js';
import { VirtualAddresses } from './virtual-addresses.js';

/** Between RESTART to all clients and the end, so that it arrives (12.17). */
const SHUTDOWN_NOTICE: Millis = 1_000;

/** Of what is not our peers' doing: enough to find the place. */
const FAULT_LINES = 3;

type EndSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGUSR1';

export class Multi implements InstanceHost {
  readonly top: Top;
  readonly askBook = new AskBook();
  readonly #settings: TopSettings;
  readonly #outputs: EngineOutput[] = [];
  readonly #log: TunnelLog;
  readonly #asks: Asks;
  readonly #pool: AddressPool;
  readonly #connecting: Connecting;
  readonly #instances: InstanceTable;
  readonly #reception: Reception;
  readonly #addresses: VirtualAddresses;
  readonly #status: Status;
  readonly #poolFile: PoolFile;
  readonly #farewells: Farewells;
  readonly #links: ServerLinks;
  readonly #scripts: TunnelScripts;
  readonly #device: TunnelDevice;
  readonly #opening: Opening;
  #phase: 'idle' | 'starting' | 'running' | 'leaving' | 'ended' = 'idle';
  #endAt: { readonly at: Millis; readonly signal: EndSignal; readonly source: SignalSource } | undefined;

  constructor(settings: TopSettings) {
    this.#settings = settings;
    const { options, crypto, random } = settings;
    const emit = (output: EngineOutput): void => this.emit(output);
    this.#log = new TunnelLog(emit, { verb: settings.verb });
    this.#asks = new Asks(emit, this.askBook);
    const authenticator = new Authenticator(options, (event) => settings.asksFor(event), {
      secret: { crypto, hmacKey: settings.authTokenKey },
      random,
    });
    this.#scripts = new TunnelScripts(this.#asks, settings.asksFor, settings.environment);
    this.#device = new TunnelDevice({
      asks: this.#asks,
      log: this.#log,
      scripts: this.#scripts,
      onState: () => undefined,
    });
    this.top = new Top(settings, authenticator, (instance, time) => pushToClient(this.top, instance, time));
    this.#pool = new AddressPool({
      ipv4: options.server.pool,
      ipv6: options.server.poolIpv6,
      topology: options.device.topology,
      device: options.device.type === 'tap' ? 'tap' : 'tun',
      duplicateCn: options.server.duplicateCn,
    });
    this.#links = new ServerLinks({ emit, window: options.tls.handWindow * 1_000 });
    this.#instances = new InstanceTable(options.server.maxClients);
    const turns = new Turns();
    const addresses = new VirtualAddresses(this.top, emit, this.askBook, turns);
    this.#addresses = addresses;
    this.#farewells = new Farewells({ top: this.top, emit, book: this.askBook, turns, addresses });
    const { poolPersist } = options.server;
    this.#poolFile = new PoolFile({ persist: poolPersist, pool: this.#pool, asks: this.#asks, log: this.#log, emit });
    this.#connecting = new Connecting(this.top, this.#pool, {
      log: this.#log,
      addRoute: (instance, route, text, time) => this.#addresses.add(instance, route, text, time),
      // Also one that was refused since: it is only waiting for its client to hear that, and has the client's address.
      sameName: (instance) =>
        this.#instances
          .all()
          .find(
            (other) =>
              other !== instance && other.context.peer !== undefined && other.commonName === instance.commonName,
          ),
      close: (instance, why, time) => this.close(instance, why, time),
      poolChanged: (time) => this.#poolFile.changed(time),
      afterNamesake: (instance, time, then) =>
        this.#farewells.afterNamesake(instance, time, (at) => {
          if (instance.phase !== 'connecting') return;
          then(at);
          this.touch(instance);
        }),
      disconnected: (instance, time) => this.#farewells.disconnect(instance, time),
    });
    this.#opening = new Opening({
      options,
      connection: this.#connection,
      asks: this.#asks,
      log: this.#log,
      links: this.#links,
      device: this.#device,
      poolFile: this.#poolFile,
      environment: () => this.environment,
      done: (time) => this.#started(time),
      fatal: (text, time) => this.#fatal(text, time),
    });
    this.#status = new Status({ top: this.top, instances: this.#instances, emit });
    this.#reception = new Reception({
      host: this,
      connection: this.#connection,
      instances: this.#instances,
      links: this.#links,
      log: this.#log,
      emit,
    });
  }

  get #connection(): Connection {
    const [connection] = this.#settings.options.connections;
    if (connection === undefined) throw new RangeError('a server configuration without a listening place');
    return connection;
  }

  poll(): EngineOutput | undefined {
    return this.#outputs.shift();
  }

  /** What scripts see of the server itself; a client's own variables come on top. */
  get environment(): Environment {
    return this.#scripts.environment;
  }

  emit(output: EngineOutput): void {
    this.#outputs.push(output);
  }

  /** `again`: the process has had a tunnel before, and does not hurry to the next. */
  handleStart(time: Time, again = false): void {
    if (this.#phase !== 'idle') return;
    this.#phase = 'starting';
    if (again) this.#opening.beginAgain(time);
    else this.#opening.begin(time);
  }

  handleSignal(signal: 'SIGUSR1' | 'SIGUSR2' | 'SIGHUP' | 'SIGTERM' | 'SIGINT', time: Time): void {
    switch (signal) {
      case 'SIGUSR2':
        for (const line of this.#status.text(time).split('\n')) if (line !== '') this.#log.notice(line);
        return;
      case 'SIGTERM':
      case 'SIGINT':
      case 'SIGHUP':
        this.#leave({ signal, source: 'hard' }, time);
        return;
      case 'SIGUSR1': {
        // A server has nothing of its own to keep on a soft restart: its clients come back either way.
        const { remapUsr1 } = this.top.options.process;
        this.#leave({ signal: remapUsr1 ?? signal, source: remapUsr1 === undefined ? 'hard' : 'soft' }, time);
        return;
      }
      default:
        signal satisfies never;
    }
  }

  handleAnswer(id: AskId, answer: unknown, interim: boolean, time: Time): boolean {
    return this.askBook.handleAnswer(id, answer, interim, time);
  }

  handleEvent(event: DataChannelEvent, time: Time): void {
    switch (event.event) {
      case 'control':
        return this.#control(event.link, event.from, event.bytes, time);
      case 'linkUp':
        return this.#linkUp(event.link, event.listener, event.remote, time);
      case 'linkDown':
        return this.#linkDown(event.link, event.reason, time);
      case 'linkForeign':
        return this.#linkForeign(event.link);
      case 'linkError':
        return this.#log.notice(event.text);
      case 'channelDown':
        this.#log.write('error', 0, event.reason);
        return this.#end({ signal: 'SIGUSR1', source: 'soft' }, time);
      case 'tunDown':
        return this.#fatal(`ERROR: the tun device is gone: ${event.reason}`, time);
      case 'float':
        return this.#float(event.peer, event.link, event.to, time);
      case 'floatConflict':
        return this.#floatConflict(event.peer, event.link, event.to, event.holder, time);
      case 'peerTimeout': {
        const instance = this.#instances.of(event.peer);
        if (instance === undefined) return undefined;
        const { pingAction } = instance.timers;
        const [signal, does] = pingAction === 'exit' ? ['SIGTERM', 'exiting'] : ['SIGUSR1', 'restarting'];
        const name = instance.commonName ?? 'UNDEF';
        instance.log.notice(`[${name}] Inactivity timeout (--ping-${pingAction}), ${does}`);
        return this.close(instance, `${signal}[soft,ping-${pingAction}] received, client-instance ${does}`, time);
      }
      case 'peerLost': {
        const instance = this.#instances.of(event.peer);
        if (instance !== undefined)
          this.close(instance, `SIGTERM[soft,ovpn-dco: ${event.reason}] received, client-instance exiting`, time);
        return undefined;
      }
      case 'peerDeleted':
        return this.#farewells.peerDeleted(event.peer, event.counters, time);
      case 'keyConfirmed':
        return this.#containPeer(event.peer, ({ context }) => context.keyConfirmed(event.keyId, time), time);
      case 'keyLimit':
        return this.#containPeer(event.peer, ({ context }) => void context.renegotiate(time), time);
      case 'message':
        return this.#containPeer(event.peer, (instance) => this.#message(instance, event.plaintext, time), time);
      case 'learned':
        return this.#containPeer(event.peer, (instance) => this.#addresses.seen(instance, event.mac, time), time);
      default:
        return event satisfies never;
    }
  }

  #containPeer(peer: PeerRef, act: (instance: Instance) => void, time: Time): void {
    const instance = this.#instances.of(peer);
    if (instance !== undefined) this.contain(instance, () => act(instance), time);
  }

  #message(instance: Instance, plaintext: Uint8Array, time: Time): void {
    if (plaintext[0] !== OccType.exit) {
      instance.sizes?.handle(plaintext);
      return;
    }
    instance.log.info(1, 'OCC exit message received by peer');
    this.close(instance, 'SIGUSR1[soft,remote-exit] received, client-instance restarting', time);
  }

  handleTimeout(time: Time): void {
    this.#opening.handleTimeout(time);
    for (const instance of this.#instances.takeDue(time.now))
      this.contain(instance, () => instance.handleTimeout(time), time);
    for (const remote of this.#links.handleTimeout(time.now))
      this.#log.info(3, `${realAddress(remote)} Connection closed: no session began within the hand-window`);
    this.#status.handleTimeout(time);
    this.#poolFile.handleTimeout(time);
    if (this.#endAt !== undefined && time.now >= this.#endAt.at) this.#end(this.#endAt, time);
  }

  nextTimeout(): Millis | undefined {
    return earliest(
      this.#opening.nextTimeout(),
      this.#status.nextTimeout(),
      this.#endAt?.at,
      this.#poolFile.nextTimeout(),
      this.#instances.nextTimeout(),
      this.#links.nextTimeout(),
    );
  }

  /** Drops of control packets, by reason. */
  get drops(): ReadonlyMap<string, number> {
    return this.#reception.drops;
  }

  // InstanceHost.

  touch(instance: Instance): void {
    this.#instances.touch(instance);
  }

  contain(instance: Instance, act: () => void, time: Time): void {
    this.touch(instance);
    try {
      act();
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      for (const line of text.split('\n', FAULT_LINES))
        instance.log.write('error', 0, `internal error: ${line.trim()}`);
      this.close(instance, 'SIGTERM[soft,internal-error] received, client-instance exiting', time);
    }
  }

  connect(instance: Instance, time: Time): void {
    instance.setEnvironment(() => timeEnvironment(time.wallClock, this.#settings.formatTime));
    this.#connecting.start(instance, time);
  }

  close(instance: Instance, why: string, time: Time): void {
    if (!this.#instances.remove(instance)) return;
    instance.log.notice(why);
    const was = { connected: instance.wasConnected, hadPeer: instance.context.peer !== undefined };
    this.#reception.forget(instance);
    const { link } = instance.context;
    // At once, so that the same client, which may be why this one is closed, gets its address again.
    if (instance.lease !== undefined) this.#pool.release(instance.lease.handle, time.now);
    instance.close();
    this.#farewells.begin(instance, was, time);
    this.#links.closeConnection(link);
  }

  #started(time: Time): void {
    this.#phase = 'running';
    const { maxClients } = this.top.options.server;
    const { genToken } = this.top.options.auth;
    if (genToken !== undefined && genToken.secret === undefined)
      this.#log.notice('Using random OpenVPN auth-token server key.');
    this.#log.info(3, `MULTI: multi_init called, r=256 v=256`);
    this.#pool.describe(this.#log);
    this.#log.info(4, `MULTI: room for ${maxClients} clients`);
    this.#log.notice('Initialization Sequence Completed');
    this.#status.start(time.now);
    this.emit({
      output: 'state',
      state: 'CONNECTED',
      detail: 'SUCCESS',
      virtualAddress: this.top.options.addresses.ipv4?.local,
      virtualAddressIpv6: this.top.options.addresses.ipv6?.local,
      remote: undefined,
    });
  }

  // Packets and links.

  #control(link: LinkId, from: Endpoint, bytes: Uint8Array, time: Time): void {
    if (this.#reception.handle(link, from, bytes, time)) return;
    const open = this.#links.get(link);
    if (open !== undefined && this.#phase === 'running') this.#reception.greet(open, from, bytes, time);
  }

  #linkUp(link: LinkId, listener: LinkId | undefined, remote: Endpoint, time: Time): void {
    if (!this.#links.accepted(link, listener, remote, time.now)) return;
    this.#log.notice(`TCP connection established with ${afInet(remote)}`);
    const { maxClients } = this.top.options.server;
    if (this.#instances.count + this.#links.strangers <= maxClients) return;
    this.#log.warning(`MULTI: new incoming connection would exceed maximum number of clients (${maxClients})`);
    this.#links.closeConnection(link);
  }

  /** It is somebody else's from now on. */
  #linkForeign(link: LinkId): void {
    const from = this.#links.down(link);
    if (from === undefined) return;
    this.#log.notice(`${realAddress(from)} Non-OpenVPN client protocol detected`);
    this.#log.info(3, `${realAddress(from)} SIGTERM[soft,port-share-redirect] received, client-instance exiting`);
  }

  #linkDown(link: LinkId, reason: string, time: Time): void {
    const stranger = this.#links.down(link);
    if (stranger !== undefined) this.#log.notice(`${realAddress(stranger)} ${connectionReset(reason)}`);
    for (const instance of this.#instances.all()) {
      if (instance.context.link !== link) continue;
      instance.log.notice(connectionReset(reason));
      this.close(instance, 'SIGUSR1[soft,connection-reset] received, client-instance restarting', time);
    }
  }

  #float(peer: PeerRef, link: LinkId, to: Endpoint, time: Time): void {
    const instance = this.#instances.of(peer);
    if (instance === undefined) return;
    // Who is not let in yet is no peer of the data channel, which knows of no conflict then.
    const holder = this.#reception.at(link, to);
    if (holder !== undefined && holder !== instance && !this.#yields(holder, instance, to, time)) {
      const { link: home, remote } = instance.context;
      this.emit({ output: 'command', command: { verb: 'setPeer', peer, settings: { link: home, remote } } });
      return;
    }
    instance.log.info(
      1,
      `peer ${peer.index} (${instance.commonName ?? 'UNDEF'}) floated from ${afInet(instance.remote)} to ${afInet(to)}`,
    );
    this.#reception.move(instance, link, to);
  }

  #floatConflict(peer: PeerRef, link: LinkId, to: Endpoint, holder: PeerRef, time: Time): void {
    const instance = this.#instances.of(peer);
    const other = this.#instances.of(holder);
    if (instance === undefined || other === undefined || !this.#yields(other, instance, to, time)) return;
    this.emit({ output: 'command', command: { verb: 'setPeer', peer, settings: { link, remote: to } } });
    this.#float(peer, link, to, time);
  }

  /** The address belongs to somebody: only the same certificate may take it over. */
  #yields(holder: Instance, instance: Instance, to: Endpoint, time: Time): boolean {
    if (instance.leafHash === undefined || instance.leafHash !== holder.leafHash) {
      this.#log.warning(`Disallow float to an address taken by another client ${formatEndpoint(to)}`);
      return false;
    }
    this.close(holder, 'closing instance due to float collision', time);
    return true;
  }

  // Ending.

  /** Clients are told, who need not find out then that nobody answers. A second signal does not wait for that. */
  #leave({ signal, source }: { signal: EndSignal; source: SignalSource }, time: Time): void {
    if (this.#phase === 'ended') return;
    const again = this.#phase === 'leaving';
    const notify = this.#connection.explicitExitNotify;
    const connected = this.#instances.established();
    this.#phase = 'leaving';
    if (again || notify === 0 || connected.length === 0 || this.#connection.protocol !== 'udp') {
      this.#end({ signal, source }, time);
      return;
    }
    const text = notify === 2 ? 'RESTART,[N]' : 'RESTART';
    for (const instance of connected) {
      this.#instances.touch(instance);
      instance.tell(text, time);
    }
    this.#log.notice(`${signal} received, sending exit notification to ${connected.length} clients`);
    this.#endAt = { at: time.now + SHUTDOWN_NOTICE, signal, source };
  }

  #end({ signal, source }: { signal: EndSignal; source: SignalSource }, time: Time): void {
    this.#finish(time, signal.toLowerCase(), (refusal) => {
      if (refusal !== undefined) {
        this.#log.write('error', 0, refusal);
        this.emit({ output: 'end', cause: { why: 'fatal', text: refusal } });
        return;
      }
      const text = `${signal}[${source},] received, process ${signal === 'SIGHUP' || signal === 'SIGUSR1' ? 'restarting' : 'exiting'}`;
      this.#log.notice(text);
      this.emit({ output: 'end', cause: { why: 'signal', signal, source, text } });
    });
  }

  #fatal(text: string, time: Time): void {
    this.#log.write('error', 0, text);
    this.#finish(time, undefined, (refusal) => {
      if (refusal !== undefined) this.#log.write('error', 0, refusal);
      this.emit({ output: 'end', cause: { why: 'fatal', text } });
    });
  }

  /** Orderly: instances, what was written down, tun, links. Without a signal something is broken: tun and links only. */
  #finish(time: Time, signal: string | undefined, then: (refusal: Refusal) => void): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    this.#opening.cancel();
    this.#endAt = undefined;
    this.#asks.cancelAll();
    this.#scripts.cancelled();
    this.#status.stop(signal !== undefined, time);
    if (signal !== undefined) {
      for (const instance of this.#instances.all())
        this.close(instance, 'SIGTERM[soft,server-exit] received, client-instance exiting', time);
      this.#poolFile.write();
    }
    const closeLinks = (refusal?: Refusal): void => {
      this.#links.closeAll();
      then(refusal);
    };
    const closeDevice = (at: Time): void => {
      if (this.#device.isOpen) this.#device.close(signal ?? 'sigterm', at, closeLinks);
      else closeLinks();
    };
    if (signal === undefined) closeDevice(time);
    else this.#farewells.whenDone(closeDevice, time);
  }
}
