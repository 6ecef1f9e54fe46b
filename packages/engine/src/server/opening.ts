/**
 * What a server opens before its first client comes, one step when the one before is done:
 *
 *   (pause between two servers) ─▶ pool file ─▶ link ─▶ tun ─▶ ready
 *
 * upstream: init.c `init_instance` with the restart pause of `socket_restart_pause`, multi.c `multi_top_init` (2.6).
 */
import type { LinkId, Millis } from '@seikan/core';

import type { Asks } from '../asks.js';
import type { Connection, Options } from '../options/options.js';
import type { Time } from '../output.js';
import type { TunnelDevice } from '../tunnel-device.js';
import type { Environment } from '../tunnel-environment.js';
import type { TunnelLog } from '../tunnel-log.js';
import type { PoolFile } from './pool-file.js';
import type { ServerLinks } from './server-links.js';

export interface OpeningSettings {
  readonly options: Options;
  readonly connection: Connection;
  readonly asks: Asks;
  readonly log: TunnelLog;
  readonly links: ServerLinks;
  readonly device: TunnelDevice;
  readonly poolFile: PoolFile;
  /** What scripts see of the server, once its tun is there. */
  readonly environment: () => Environment;
  readonly done: (time: Time) => void;
  readonly fatal: (text: string, time: Time) => void;
}

/** A server has one link today; the data channel numbers the connections that come in there from its own range. */
const LINK: LinkId = 1;

export class Opening {
  readonly #settings: OpeningSettings;
  #pausedUntil: Millis | undefined;

  constructor(settings: OpeningSettings) {
    this.#settings = settings;
  }

  begin(time: Time): void {
    this.#pausedUntil = undefined;
    this.#settings.poolFile.restore(time, () => this.#openLink());
  }

  /** The process has had a server before, and does not hurry to the next. */
  beginAgain(time: Time): void {
    const { connection, log } = this.#settings;
    const pause = connection.protocol === 'udp' ? connection.connectRetry : 1;
    this.#pausedUntil = time.now + pause * 1000;
    log.info(3, `Restart pause, ${pause} second(s)`);
  }

  /** The questions that it has asked are their owner's to take back. */
  cancel(): void {
    this.#pausedUntil = undefined;
  }

  handleTimeout(time: Time): void {
    if (this.#pausedUntil !== undefined && time.now >= this.#pausedUntil) this.begin(time);
  }

  nextTimeout(): Millis | undefined {
    return this.#pausedUntil;
  }

  #openLink(): void {
    const { connection, asks, log, links, fatal } = this.#settings;
    const { protocol, mtuDiscover, localAddress, localPort, ipv6Only } = connection;
    const transport = protocol === 'udp' ? 'udp' : 'tcp';
    const family = connection.family ?? (localAddress?.includes(':') === true ? 6 : 4);
    if (connection.family === undefined && localAddress === undefined)
      log.write('warning', 0, `Could not determine IPv4/IPv6 protocol. Using AF_INET${family === 6 ? '6' : ''}`);
    const bind = { address: localAddress, port: localPort, family, ipv6Only } as const;
    asks.ask('open-link', { link: LINK, protocol, bind, remote: undefined, mtuDiscover }, (answer, time) => {
      if ('error' in answer) {
        fatal(answer.error, time);
        return;
      }
      links.opened({ link: LINK, transport, connection });
      const name = transport === 'udp' ? `UDPv${family}` : `TCPv${family}_SERVER`;
      const bound = `[AF_INET${family === 6 ? '6' : ''}]${localAddress ?? '[undef]'}:${localPort}`;
      if (transport !== 'udp') log.notice(`Listening for incoming TCP connection on ${bound}`);
      log.notice(`${name} link local (bound): ${bound}`);
      log.notice(`${name} link remote: [AF_UNSPEC]`);
      this.#openTun();
    });
  }

  #openTun(): void {
    const { options, connection, device, log, fatal } = this.#settings;
    if (options.device.type === 'null') {
      this.#getReady();
      return;
    }
    device.open(options, connection.tunMtu, undefined, (outcome, time) => {
      if ('fatal' in outcome) {
        fatal(outcome.fatal, time);
        return;
      }
      for (const error of outcome.routeErrors) log.warning(error);
      this.#getReady();
    });
  }

  #getReady(): void {
    const { asks, environment, done, fatal } = this.#settings;
    asks.ask('ready', { env: environment() }, (answer, time) => {
      if ('error' in answer) fatal(answer.error, time);
      else done(time);
    });
  }
}
