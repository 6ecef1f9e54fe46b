/**
 * The scripts and plugins of the tunnel itself, in OpenVPN's order, and the environment that grows with it:
 *
 *   tls-verify (each certificate) ─▶ ipchange ─▶ tun, addresses ─▶ up ─▶ routes ─▶ route-up
 *   route-predown ─▶ routes away ─▶ (down with down-pre) ─▶ tun closed ─▶ down
 *
 * A step without a script goes on at once. A server has the same steps without the first two. A no to up, route-predown or
 * down is fatal; to the others it is a line in the log.
 * upstream: init.c `run_up_down`, `do_open_tun`, `do_close_tun`, `do_route` (2.6).
 */
import type { Endpoint, PeerCertificate } from '@seikan/core';
import type { EventName, EventRequest } from '@seikan/plugin-sdk';

import type { Asks } from './asks.js';
import { sanitizeSubject } from './certificate-policy.js';
import type { PeerInfo } from './negotiation.js';
import type { Options } from './options/options.js';
import type { Time } from './output.js';
import { addressEnvironment, certificateEnvironment, linkAddress } from './server/client-environment.js';
import {
  type Environment,
  peerInfoEnvironment,
  type TunFacts,
  tunArguments,
  tunEnvironment,
} from './tunnel-environment.js';

/** Why a script or plugin keeps the tunnel from going on; undefined where none does. */
export type Refusal = string | undefined;

export type AsksFor = (event: EventName) => boolean;

/** Whether the tun is new, or stays over a soft restart (`up-restart`). */
export type UpContext = 'init' | 'restart';

export class TunnelScripts {
  readonly #asks: Asks;
  readonly #asksFor: AsksFor;
  readonly #base: Environment;
  #environment: Environment;
  #arguments: readonly string[] = [];
  /** One script at a time, as upstream runs them: the next starts when the one before has ended. */
  #running = false;
  #waiting: ((time: Time) => void)[] = [];

  constructor(asks: Asks, asksFor: AsksFor, environment: Environment) {
    this.#asks = asks;
    this.#asksFor = asksFor;
    this.#base = environment;
    this.#environment = environment;
  }

  get environment(): Environment {
    return this.#environment;
  }

  /** The owner has taken its questions back: nothing runs and nothing waits any more. */
  cancelled(): void {
    this.#running = false;
    this.#waiting = [];
  }

  /** A session is over: what it has told is forgotten. */
  reset(): void {
    this.#environment = this.#base;
  }

  /** Asks about each certificate of the peer, from the root down. `passed` is told of those that it let pass; `then` learns which one was refused. */
  tlsVerify(
    chain: readonly PeerCertificate[],
    remote: Endpoint,
    verify: Options['verify'],
    passed: (certificate: PeerCertificate) => void,
    then: (refused: PeerCertificate | undefined, time: Time) => void,
    time: Time,
  ): void {
    const [certificate, ...rest] = chain.toSorted((a, b) => b.depth - a.depth);
    if (certificate === undefined) return then(undefined, time);
    this.#set(certificateEnvironment([certificate], remote, verify.track));
    const { depth, der } = certificate;
    const name = certificate.subjectFields.findLast((field) => field.name === 'CN')?.value;
    if (depth === 0 && name !== undefined) this.#set({ common_name: sanitizeSubject(name) });
    const argv = [String(depth), sanitizeSubject(certificate.subject)];
    return this.#run({ event: 'tls-verify', argv, certificate: { depth, der } }, time, (good, at) => {
      if (!good) return then(certificate, at);
      if (this.#asksFor('tls-verify')) passed(certificate);
      return this.tlsVerify(rest, remote, verify, passed, then, at);
    });
  }

  /** The key exchange is over and nobody objected; `exported` is for this question only. */
  tlsFinal(exported: Environment, time: Time, then: (good: boolean, time: Time) => void): void {
    this.#run({ event: 'tls-final', argv: [] }, time, then, { ...this.#environment, ...exported });
  }

  /** What the peer says of itself. */
  peerTold(peerInfo: PeerInfo): void {
    this.#set(peerInfoEnvironment(peerInfo));
  }

  /** The peer is authenticated at this address. */
  peerInitiated(remote: Endpoint, time: Time, then: (time: Time) => void = () => undefined): void {
    this.#set(addressEnvironment('trusted', remote));
    this.#run({ event: 'ipchange', argv: [linkAddress(remote)] }, time, (_good, at) => then(at));
  }

  /** setenv-safe of the configuration and of the server. */
  pulled(environment: Options['environment']): void {
    this.#set(Object.fromEntries(environment.map(({ name, value }) => [name, value])));
  }

  /** The tun is open: its facts are told from here on. */
  tunOpened(options: Options, facts: TunFacts): void {
    this.#set(tunEnvironment(options, facts));
    this.#arguments = tunArguments(options, facts);
  }

  /** The tun of the session before is used again. */
  tunKept(options: Options, facts: TunFacts): void {
    this.#set(tunEnvironment(options, facts, true));
  }

  up(context: UpContext, time: Time, then: (refusal: Refusal, time: Time) => void): void {
    this.#set({ script_context: context });
    this.#runOrRefuse({ event: 'up', argv: [...this.#arguments, context] }, time, then);
  }

  /** Routes are in place, or failed; `redirected` is undefined where they are left to the script (route-noexec). */
  routeUp(redirected: boolean | undefined, time: Time, then: (time: Time) => void): void {
    if (redirected !== undefined) this.#set({ redirect_gateway: redirected ? '1' : '0' });
    this.#run({ event: 'route-up', argv: [] }, time, (_good, at) => then(at));
  }

  /** `signal`: why the tunnel comes down, as `sigterm` or `ping-restart`. */
  routePreDown(signal: string, time: Time, then: (refusal: Refusal, time: Time) => void): void {
    this.#set({ signal, script_context: 'init' });
    this.#runOrRefuse({ event: 'route-predown', argv: [...this.#arguments, 'init'] }, time, then);
  }

  down(context: UpContext, signal: string, time: Time, then: (refusal: Refusal, time: Time) => void): void {
    this.#set({ signal, script_context: context });
    this.#runOrRefuse({ event: 'down', argv: [...this.#arguments, context] }, time, then);
  }

  #set(variables: Environment): void {
    this.#environment = { ...this.#environment, ...variables };
  }

  #runOrRefuse(
    request: Pick<EventRequest, 'event' | 'argv'>,
    time: Time,
    then: (refusal: Refusal, time: Time) => void,
  ): void {
    this.#run(request, time, (good, at, cause) => {
      then(good ? undefined : `ERROR: up/down: ${cause ?? `${request.event} failed`}`, at);
    });
  }

  #run(
    request: Pick<EventRequest, 'event' | 'argv' | 'certificate'>,
    time: Time,
    then: (good: boolean, time: Time, cause?: string) => void,
    env: Environment = this.#environment,
  ): void {
    if (!this.#asksFor(request.event)) return then(true, time);
    if (this.#running) {
      this.#waiting.push((at) => this.#run(request, at, then, env));
      return undefined;
    }
    this.#running = true;
    this.#asks.ask('event', { request: { ...request, context: 0, env } }, (verdict, at) => {
      this.#running = false;
      this.#waiting.shift()?.(at);
      then(verdict.result === 'success', at, verdict.result === 'failure' ? verdict.cause : undefined);
    });
    return undefined;
  }
}
