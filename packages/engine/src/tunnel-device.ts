/**
 * The tun of a tunnel from opening to closing, with its addresses, routes and scripts in OpenVPN's order:
 *
 *   closed ─▶ open-tun ─▶ addresses ─▶ DNS ─▶ up ─▶ (route-delay) ─▶ routes ─▶ route-up ─▶ open
 *   open ─▶ DNS ─▶ route-predown ─▶ (down-pre: routes away, down) ─▶ close-tun ─▶ down ─▶ closed
 *
 * Clients, p2p peers and servers have one of these; it asks in its owner's name, who takes questions back by cancelAll.
 * A script or plugin that says no to route-predown or down is the end of the process: what is told `then` is why. The
 * network is put back first all the same; no other script runs after a refused route-predown.
 * Differs from OpenVPN 2.x: after a failed route-predown it leaves its routes behind.
 * upstream: init.c `do_open_tun`, `do_route`, `do_close_tun` (2.6).
 */
import type { Endpoint, Millis } from '@seikan/core';

import type { Asks } from './asks.js';
import { planTun, type TunPlan } from './client/tun-plan.js';
import type { DnsOptions, Options } from './options/options.js';
import type { Time } from './output.js';
import type { TunFacts } from './tunnel-environment.js';
import type { TunnelLog } from './tunnel-log.js';
import { withAddresses } from './tunnel-names.js';
import type { Refusal, TunnelScripts } from './tunnel-scripts.js';

export interface TunnelDeviceSettings {
  readonly asks: Asks;
  readonly log: TunnelLog;
  readonly scripts: TunnelScripts;
  readonly onState: (state: 'ASSIGN_IP' | 'ADD_ROUTES') => void;
}

/** `fatal`: the tunnel cannot go on. */
export type TunOutcome = { readonly routeErrors: readonly string[] } | { readonly fatal: string };

type Then = (outcome: TunOutcome, time: Time) => void;

interface OpenTun {
  readonly options: Options;
  readonly facts: TunFacts;
  readonly plan: TunPlan['configure'];
}

export class TunnelDevice {
  readonly #settings: TunnelDeviceSettings;
  #state: 'closed' | 'opening' | 'up' = 'closed';
  #tun: OpenTun | undefined;
  #routes: { readonly at: Millis; readonly done: Then } | undefined;
  #dnsGiven = false;

  constructor(settings: TunnelDeviceSettings) {
    this.#settings = settings;
  }

  /** Whether there is something to close. */
  get isOpen(): boolean {
    return this.#state !== 'closed';
  }

  /** Empty while there is none. */
  get name(): string {
    return this.#tun?.facts.name ?? '';
  }

  /** Whether it came up whole: only then can it stay over a restart. */
  get isUp(): boolean {
    return this.#state === 'up';
  }

  open(options: Options, mtu: number, remote: Endpoint | undefined, then: Then): void {
    const { asks, log, onState } = this.#settings;
    this.#state = 'opening';
    onState('ASSIGN_IP');
    withAddresses(asks, options, (named) => {
      if ('fatal' in named) {
        this.#state = 'closed';
        then(named, named.time);
        return;
      }
      for (const problem of named.problems) log.warning(problem);
      this.#open(named.options, mtu, remote, then);
    });
  }

  #open(options: Options, mtu: number, remote: Endpoint | undefined, then: Then): void {
    const { asks, log, scripts } = this.#settings;
    const { name = 'tun', type, txQueueLength, macAddress } = options.device;
    if (type === 'null') throw new TypeError('a null device is never opened');
    const { configure, problems } = planTun(options, mtu, remote);
    const nat = options.routing.clientNat;
    const ask = { device: name, type, mtu, txQueueLength, macAddress, nat, plan: configure, dns: ownDns(options) };
    asks.ask('open-tun', ask, (answer, time) => {
      if ('error' in answer) {
        this.#state = 'closed';
        then({ fatal: answer.error }, time);
        return;
      }
      log.notice(`${answer.offloaded === true ? 'DCO' : 'TUN/TAP'} device ${answer.name} opened`);
      for (const problem of problems) log.warning(problem);
      const { netGateway } = answer;
      const facts = { name: answer.name, mtu: answer.mtu, vpnGateway: configure.gateway4, netGateway, remote };
      this.#tun = { options, facts, plan: configure };
      scripts.tunOpened(options, facts);
      this.#assignAddresses(this.#tun, then);
    });
  }

  /** The tun stayed over a soft restart (persist-tun): `up-restart` scripts are told. */
  restarted(time: Time, then: Then): void {
    const { scripts } = this.#settings;
    if (this.#tun !== undefined) scripts.tunKept(this.#tun.options, this.#tun.facts);
    this.#giveDns(this.#tun?.options, time, (given) => {
      if (this.#tellsRestarts) scripts.up('restart', given, (refusal, at) => then(upOutcome(refusal), at));
      else then({ routeErrors: [] }, given);
    });
  }

  /** The session ends and the tun stays. */
  restarting(signal: string, time: Time, then: (refusal: Refusal, time: Time) => void): void {
    // Without a session the tunnel's servers answer nobody, and the way back may need a name.
    this.#takeDns(time, (taken) => {
      if (this.#tellsRestarts) this.#settings.scripts.down('restart', signal, taken, then);
      else then(undefined, taken);
    });
  }

  close(signal: string, time: Time, then: (refusal: Refusal, time: Time) => void): void {
    const { scripts } = this.#settings;
    const tun = this.#tun;
    this.#tun = undefined;
    this.#state = 'closed';
    this.#routes = undefined;
    if (tun === undefined) {
      this.#dnsGiven = false; // it goes with the device
      this.#closeTun((closed) => then(undefined, closed));
      return;
    }
    const { downPre } = tun.options.scripts;
    this.#takeDns(time, (taken) => {
      scripts.routePreDown(signal, taken, (refusal) => {
        if (refusal !== undefined) this.#closeTun((closed) => then(refusal, closed));
        else if (downPre) this.#downBefore(tun, signal, then);
        else this.#closeTun((closed) => scripts.down('init', signal, closed, then));
      });
    });
  }

  handleTimeout(time: Time): void {
    const routes = this.#routes;
    if (routes === undefined || this.#tun === undefined || time.now < routes.at) return;
    this.#routes = undefined;
    this.#addRoutes(this.#tun, routes.done);
  }

  nextTimeout(): Millis | undefined {
    return this.#routes?.at;
  }

  get #tellsRestarts(): boolean {
    return this.#tun?.options.scripts.upRestart === true;
  }

  /** Addresses alone, so that `up` runs before there are routes. */
  #assignAddresses(tun: OpenTun, then: Then): void {
    const { asks, scripts } = this.#settings;
    asks.ask('configure-tun', withoutRoutes(tun.plan), (answer, time) => {
      const failed = (fatal: string, at: Time): void => {
        this.#tun = undefined; // what never was up has nothing to tell when it goes
        then({ fatal }, at);
      };
      if ('error' in answer) {
        failed(answer.error, time);
        return;
      }
      this.#giveDns(tun.options, time, (given) => {
        scripts.up('init', given, (refusal, at) => {
          const delay = tun.options.routing.delay ?? 0;
          if (refusal !== undefined) failed(refusal, at);
          else if (delay > 0) this.#routes = { at: at.now + delay * 1000, done: then };
          else this.#addRoutes(tun, then);
        });
      });
    });
  }

  /** A tunnel without its name servers is still a tunnel: what goes wrong is a line of the log. */
  #giveDns(options: Options | undefined, time: Time, then: (time: Time) => void): void {
    const { asks, log } = this.#settings;
    const dns = options === undefined ? undefined : ownDns(options);
    if (dns === undefined) {
      then(time);
      return;
    }
    if (dns.updown === 'script' && options?.scripts.up !== undefined) {
      log.notice('NOTE: DNS settings are left to the --up script; "dns-updown force" applies them all the same');
      then(time);
      return;
    }
    this.#dnsGiven = true;
    asks.ask('configure-dns', { dns }, (answer, at) => {
      if ('error' in answer) log.warning(answer.error);
      then(at);
    });
  }

  #takeDns(time: Time, then: (time: Time) => void): void {
    if (!this.#dnsGiven) {
      then(time);
      return;
    }
    this.#dnsGiven = false;
    this.#settings.asks.ask('configure-dns', { dns: undefined }, (answer, at) => {
      if ('error' in answer) this.#settings.log.warning(answer.error);
      then(at);
    });
  }

  #addRoutes(tun: OpenTun, then: Then): void {
    const { asks, scripts, onState } = this.#settings;
    onState('ADD_ROUTES');
    asks.ask('configure-tun', tun.plan, (answer, time) => {
      if ('error' in answer) {
        then({ fatal: answer.error }, time);
        return;
      }
      const { routeErrors } = answer;
      const redirected = tun.options.routing.noExec ? undefined : tun.plan.redirect?.reroute === true;
      scripts.routeUp(redirected, time, (at) => {
        this.#state = 'up';
        then({ routeErrors }, at);
      });
    });
  }

  #downBefore(tun: OpenTun, signal: string, then: (refusal: Refusal, time: Time) => void): void {
    const { asks, log, scripts } = this.#settings;
    asks.ask('configure-tun', withoutRoutes(tun.plan), (answer, time) => {
      if ('error' in answer) log.warning(answer.error);
      scripts.down('init', signal, time, (refusal) => this.#closeTun((closed) => then(refusal, closed)));
    });
  }

  #closeTun(then: (time: Time) => void): void {
    const { asks, log } = this.#settings;
    asks.ask('close-tun', {}, (answer, time) => {
      if ('error' in answer) log.warning(answer.error);
      then(time);
    });
  }
}

function upOutcome(refusal: Refusal): TunOutcome {
  return refusal === undefined ? { routeErrors: [] } : { fatal: refusal };
}

function withoutRoutes(plan: TunPlan['configure']): TunPlan['configure'] {
  return { ...plan, routes: [], redirect: undefined };
}

/** A server's are for its clients. */
function ownDns({ mode, dns }: Options): DnsOptions | undefined {
  const { updown, servers, searchDomains, dhcpOptions } = dns;
  if (mode === 'server' || updown === 'disable') return undefined;
  return servers.length + searchDomains.length + dhcpOptions.length > 0 ? dns : undefined;
}
