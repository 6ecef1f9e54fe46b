/**
 * What a server process is configured with, and what all its clients share. It is no tunnel: it owns the tun, the
 * listening links and the settings from which each child context is made.
 *
 * upstream: the context with mode CM_TOP; init.c `inherit_context_child` (2.6).
 */
import type {
  ControlProtection,
  Crypto,
  Endpoint,
  LinkId,
  PeerCounters,
  PeerRef,
  RandomFill,
  TlsContext,
  UnixSeconds,
} from '@seikan/core';
import type { EventName } from '@seikan/plugin-sdk';

import type { RevokedSerials } from '../certificate-policy.js';
import type { ContextSettings } from '../context.js';
import { contextSettings } from '../context-settings.js';
import type { ChannelAbilities, Product } from '../local-hello.js';
import type { Connection, Options } from '../options/options.js';
import { optionsStrings } from '../options-string.js';
import type { Time } from '../output.js';
import type { Environment } from '../tunnel-environment.js';
import type { Authenticator } from './authenticator.js';
import type { Instance } from './instance.js';

export interface TopSettings {
  readonly options: Options;
  readonly crypto: Crypto;
  readonly random: RandomFill;
  readonly tls: TlsContext;
  /** Made anew for each client. */
  readonly protection: (connection: Connection) => ControlProtection;
  readonly product: Product;
  readonly abilities: ChannelAbilities;
  readonly revokedSerials: RevokedSerials | undefined;
  /** Whether a script or a plugin stands behind an event; without one it is not asked. */
  readonly asksFor: (event: EventName) => boolean;
  /** The level up to which log lines are made; all of them without it. */
  readonly verb?: number | undefined;
  /** 32 bytes that tokens are signed with (`auth-gen-token-secret`, or random for this run). */
  readonly authTokenKey: Uint8Array;
  /** What scripts see from the start: `configurationEnvironment`. */
  readonly environment: Environment;
  readonly readCounters: (peer: PeerRef) => PeerCounters | undefined;
  /** Local time as `2026-11-21 02:49:36`. */
  readonly formatTime: (time: UnixSeconds) => string;
}

/** What scripts and plugins are told of a client, with its environment. */
const CLIENT_EVENTS: readonly EventName[] = [
  'tls-crypt-v2-verify',
  'tls-verify',
  'auth-user-pass-verify',
  'tls-final',
  'ipchange',
  'client-connect',
  'client-connect-v2',
  'client-connect-script',
  'client-disconnect',
  'learn-address',
  'client-crresponse',
];

export class Top {
  readonly settings: TopSettings;
  readonly authenticator: Authenticator;
  readonly push: (instance: Instance, time: Time) => void;
  #optionsStrings: { readonly connection: Connection; readonly own: string; readonly expected: string } | undefined;

  constructor(settings: TopSettings, authenticator: Authenticator, push: (instance: Instance, time: Time) => void) {
    this.settings = settings;
    this.authenticator = authenticator;
    this.push = push;
  }

  /** The options string that a client is expected to send. */
  get expectedOptions(): string {
    const [connection] = this.options.connections;
    return connection === undefined ? '' : this.#stringsOf(connection).expected;
  }

  /** Whether scripts or plugins are told anything of clients. */
  get tellsOfClients(): boolean {
    return CLIENT_EVENTS.some((event) => this.asksFor(event));
  }

  get options(): Options {
    return this.settings.options;
  }

  get revokedSerials(): RevokedSerials | undefined {
    return this.settings.revokedSerials;
  }

  asksFor(event: EventName): boolean {
    return this.settings.asksFor(event);
  }

  /** What a client's context is made of. */
  childSettings(
    instance: Instance,
    child: {
      readonly link: LinkId;
      readonly remote: Endpoint;
      readonly transport: 'udp' | 'tcp';
      readonly connection: Connection;
      readonly protection: ControlProtection;
    },
  ): ContextSettings {
    const { options, crypto, random, tls } = this.settings;
    return contextSettings({
      mode: child.transport === 'udp' ? 'child-udp' : 'child-tcp',
      options,
      connection: child.connection,
      crypto,
      random,
      tls,
      protection: child.protection,
      link: child.link,
      remote: child.remote,
      counters: () => this.settings.readCounters(instance.peer),
      hello: () => ({ options: this.#stringsOf(child.connection).own }),
      verify: (_key, certificate, error) => instance.chains.verify(certificate, error),
    });
  }

  /** Made once: all clients of a listening place are told the same. */
  #stringsOf(connection: Connection): { readonly own: string; readonly expected: string } {
    if (this.#optionsStrings?.connection !== connection) {
      const { options, crypto } = this.settings;
      this.#optionsStrings = { connection, ...optionsStrings(options, connection, crypto) };
    }
    return this.#optionsStrings;
  }
}
