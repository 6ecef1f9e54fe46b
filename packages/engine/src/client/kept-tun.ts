/**
 * The tun of a process that has one tunnel: it may be there before its peer is, and stay when a session ends.
 *
 *   closed ─▶ (opened first) ─▶ open ─▶ kept over a restart, or closed because other options were pulled
 *
 * upstream: init.c `do_open_tun`, `do_up`, `do_close_tun` with `persist-tun` and `pulled_options_digest_save` (2.6).
 */
import type { Endpoint } from '@seikan/core';

import type { Options } from '../options/options.js';
import type { Time } from '../output.js';
import type { TunnelDevice, TunOutcome } from '../tunnel-device.js';
import type { TunnelLog } from '../tunnel-log.js';
import type { Refusal } from '../tunnel-scripts.js';
import type { Agreement } from './agreement.js';

type Opened = (outcome: TunOutcome, time: Time) => void;
type Closed = (refusal: Refusal, time: Time) => void;

export class KeptTun {
  readonly #device: TunnelDevice;
  readonly #log: TunnelLog;
  /** persist-tun, ours or once pushed. */
  #persists: boolean;
  /** Of the pulled options that it was set up with, if it is open. */
  #digest: string | undefined;
  /** What came of opening it before the peer was known. */
  #openedFirst: TunOutcome | undefined;
  /** The data channel is gone, and the tun with it: not even persist-tun can keep it. */
  #isLost = false;

  constructor(device: TunnelDevice, log: TunnelLog, persists: boolean) {
    this.#device = device;
    this.#log = log;
    this.#persists = persists;
  }

  get isOpen(): boolean {
    return this.#device.isOpen;
  }

  pulled({ persist }: Options): void {
    this.#persists = persist.tun;
  }

  lost(): void {
    this.#isLost = true;
  }

  /** Without a server's push and without up-delay: what is meant for the tunnel goes nowhere else until it stands. */
  openFirst(options: Options, mtu: number, remote: Endpoint | undefined, time: Time, then: Opened): void {
    const opened = (outcome: TunOutcome, at: Time): void => {
      this.#openedFirst = outcome;
      then(outcome, at);
    };
    if (this.#digest !== undefined) this.#preserve(time, opened);
    else {
      this.#digest = '';
      this.#device.open(options, mtu, remote, opened);
    }
  }

  /** Makes room for what was agreed upon: a tun with other pulled options is closed. */
  prepare({ digest }: Agreement, signal: string, time: Time, then: Closed): void {
    if (this.#digest === undefined || this.#digest === digest) {
      then(undefined, time);
      return;
    }
    this.#log.notice('NOTE: Pulled options changed on restart, will need to close and reopen TUN/TAP device.');
    this.close(signal, time, then);
  }

  open({ options, connection, digest }: Agreement, remote: Endpoint | undefined, time: Time, then: Opened): void {
    if (this.#openedFirst !== undefined) then(this.#openedFirst, time);
    else if (this.#digest !== undefined) this.#preserve(time, then);
    else if (options.device.type === 'null') then({ routeErrors: [] }, time);
    else {
      this.#digest = digest;
      this.#device.open(options, connection.tunMtu, remote, then);
    }
  }

  /** The session ends and another will come: closes the tun, unless it stays. */
  restart(signal: string, time: Time, then: Closed): void {
    const stays = this.#persists && this.#device.isUp && !this.#isLost;
    this.#isLost = false;
    this.#openedFirst = undefined;
    if (this.#device.isOpen && !stays) this.close(signal, time, then);
    else this.#device.restarting(signal, time, then);
  }

  close(signal: string, time: Time, then: Closed): void {
    this.#digest = undefined;
    this.#openedFirst = undefined;
    this.#device.close(signal, time, then);
  }

  #preserve(time: Time, then: Opened): void {
    this.#log.notice(`Preserving previous TUN/TAP instance: ${this.#device.name}`);
    this.#device.restarted(time, then);
  }
}
