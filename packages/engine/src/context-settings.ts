/** What a Context is made of, from the configuration: the same for the one of a client and the children of a server. */
import type {
  ControlProtection,
  Crypto,
  Endpoint,
  LinkId,
  PeerCounters,
  RandomFill,
  SessionSettings,
  TlsContext,
} from '@seikan/core';

import type { ContextMode, ContextSettings } from './context.js';
import type { Connection, Options } from './options/options.js';

export interface ContextInput {
  readonly mode: ContextMode;
  readonly options: Options;
  readonly connection: Connection;
  readonly crypto: Crypto;
  readonly random: RandomFill;
  readonly tls: TlsContext;
  readonly protection: ControlProtection;
  readonly link: LinkId;
  readonly remote: Endpoint;
  /** What the data channel has counted for the peer. */
  readonly counters: () => PeerCounters | undefined;
  readonly hello: SessionSettings['hello'];
  readonly verify: SessionSettings['verify'];
}

export function contextSettings(input: ContextInput): ContextSettings {
  const { options, connection, remote, crypto, random } = input;
  const overhead = (remote.family === 4 ? 20 : 40) + (connection.protocol === 'udp' ? 8 : 22);
  return {
    mode: input.mode,
    crypto,
    link: input.link,
    remote,
    replayWindow: options.data.replayWindow,
    replayTime: options.data.replayTime * 1000,
    renegotiation: {
      after: renegotiationTime(options, random) * 1000,
      bytes: options.tls.renegBytes ?? 0,
      packets: options.tls.renegPackets,
    },
    counters: input.counters,
    session: {
      role: options.tls.role === 'server' ? 'server' : 'client',
      crypto,
      random,
      tls: input.tls,
      protection: input.protection,
      // Upstream's loop sleeps a second between two tries, even with `tls-timeout 0`.
      tlsTimeout: Math.max(1, options.tls.timeout) * 1000,
      handWindow: options.tls.handWindow * 1000,
      tranWindow: options.tls.tranWindow * 1000,
      controlSize: connection.maxPacketSize - overhead,
      singleSession: options.tls.singleSession,
      hello: input.hello,
      verify: input.verify,
    },
  };
}

/**
 * Seconds from one key to the next, drawn for each peer from the range of `reneg-sec max min`; 0 is never. A server draws
 * from the last tenth when it has no minimum, so that its clients do not all come at once (6.1).
 */
function renegotiationTime({ tls, mode }: Options, random: RandomFill): number {
  const { renegSec, renegSecMin = renegSec * (mode === 'server' ? 0.9 : 1) } = tls;
  const bytes = new Uint8Array(2);
  random(bytes);
  const share = (((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)) / 0xffff;
  return renegSecMin + (renegSec - renegSecMin) * share;
}
