/**
 * What a `client-config-dir` file or a client-connect script says about one client, on top of the server's options.
 * Source: options.c options_server_import with the permissions of multi.h CLIENT_CONNECT_OPT_MASK (2.6.14).
 */
import type { CompressionOptions, Options, TimerOptions } from './options.js';

export interface ClientConfig {
  /** The client may not connect. */
  readonly disable: boolean;
  /** What is pushed to this client: the server's list after push-reset, push-remove and its own pushes. */
  readonly push: readonly string[];
  readonly ifconfigPush:
    | { readonly local: string; readonly remoteOrNetmask: string; readonly alias: string | undefined }
    | undefined;
  readonly ifconfigIpv6Push: { readonly local: string; readonly bits: number; readonly remote: string } | undefined;
  /** `push-remove ifconfig`, `push-remove ifconfig-ipv6`: an address is assigned but not pushed. */
  readonly ifconfigBlocked: boolean;
  readonly ifconfigIpv6Blocked: boolean;
  readonly iroutes: readonly { readonly network: string; readonly bits: number }[];
  readonly iroutesIpv6: readonly { readonly network: string; readonly bits: number }[];
  readonly timers: TimerOptions;
  readonly dataCiphers: readonly string[];
  readonly cipher: string;
  readonly fallback: boolean;
  readonly compression: CompressionOptions;
  readonly maxRoutesPerClient: number;
}

/** A client about which nothing special is said. */
export function plainClientConfig(options: Options): ClientConfig {
  return {
    disable: false,
    push: options.push,
    ifconfigPush: undefined,
    ifconfigIpv6Push: undefined,
    ifconfigBlocked: false,
    ifconfigIpv6Blocked: false,
    iroutes: [],
    iroutesIpv6: [],
    timers: options.timers,
    dataCiphers: options.data.dataCiphers,
    cipher: options.data.cipher,
    fallback: options.data.fallback,
    compression: options.data.compression,
    maxRoutesPerClient: options.server.maxRoutesPerClient,
  };
}
