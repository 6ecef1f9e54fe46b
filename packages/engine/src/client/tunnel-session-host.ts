/** What a session with the peer needs: what the process gives to each, and whoever restarts it. */
import type {
  ControlProtection,
  Crypto,
  DataChannelCommand,
  LinkId,
  Millis,
  PeerCounters,
  PeerRef,
  RandomFill,
  StaticKey,
  TlsContext,
} from '@seikan/core';
import type { ChannelAbilities, HostFacts, Product } from '../local-hello.js';
import type { Connection, Options } from '../options/options.js';
import type { SignalSource, Time, TunnelState } from '../output.js';
import type { PeerChains } from '../peer-chains.js';
import type { TunnelLog } from '../tunnel-log.js';
import type { TunnelScripts } from '../tunnel-scripts.js';
import type { Agreement } from './agreement.js';
import type { Advance, ConnectionList } from './connection-list.js';
import type { Login } from './login.js';

export interface TunnelSessionSettings {
  readonly options: Options;
  readonly crypto: Crypto;
  readonly random: RandomFill;
  readonly tls: TlsContext;
  /** Made anew for each session: the keys of one place to connect to. */
  readonly protection: (connection: Connection) => ControlProtection;
  readonly product: Product;
  readonly abilities: ChannelAbilities;
  readonly hostFacts: () => HostFacts;
  /** `secret`: without it there is TLS. */
  readonly staticKey: StaticKey | undefined;
  readonly readCounters: (peer: PeerRef) => PeerCounters | undefined;
}

/** What comes after a session's end. */
export interface RestartManner {
  readonly message?: string | undefined;
  readonly advance?: Advance | undefined;
  /** The pause is no shorter; `none`: there is none. */
  readonly pause?: Millis | 'none' | undefined;
}

/** Whoever restarts it. */
export interface TunnelSessionHost {
  readonly log: TunnelLog;
  readonly connections: ConnectionList;
  readonly login: Login;
  readonly scripts: TunnelScripts;
  readonly chains: PeerChains;
  command(command: DataChannelCommand): void;
  onState(state: TunnelState): void;
  /** The session waits for the server's options. */
  pulling(): void;
  /** The server's options were taken, with ours: what of them has its effect outside of the session. */
  pulled(options: Options, link: LinkId): void;
  /** The tun has to be opened, or may stay as it is: `then` goes on when it is not one of other options. */
  prepareTun(agreement: Agreement, time: Time, then: (time: Time) => void): void;
  /** Peer and key are in the data channel: the tun may come up. A static-key peer's need not yet. */
  agreed(agreement: Agreement, time: Time): void;
  restart(source: SignalSource, reason: string, time: Time, manner?: RestartManner): void;
  leave(source: SignalSource, reason: string, time: Time): void;
  fatal(text: string, time: Time): void;
}
