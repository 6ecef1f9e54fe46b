/** The addresses that a client is given: by hand, or from the pool. upstream: multi.c `multi_select_virtual_addr` (2.6). */
import type { Instance } from './instance.js';
import type { Top } from './top.js';

export interface ClientAddresses {
  /** `second` is the netmask in a subnet or on a tap, else the server's end. */
  readonly ipv4: { readonly address: string; readonly second: string | undefined } | undefined;
  readonly ipv6: { readonly address: string; readonly bits: number; readonly remote: string | undefined } | undefined;
}

export function clientAddresses({ options }: Top, instance: Instance): ClientAddresses {
  const { addresses, server } = options;
  const { config, virtualAddress, virtualAddressIpv6, lease } = instance;
  const second = hasNetmask(options)
    ? (server.pool?.netmask ?? addresses.ipv4?.remoteOrNetmask)
    : (lease?.ipv4Peer ?? addresses.ipv4?.local);
  return {
    ipv4:
      virtualAddress === undefined
        ? undefined
        : { address: virtualAddress, second: config?.ifconfigPush?.remoteOrNetmask ?? second },
    ipv6:
      virtualAddressIpv6 === undefined
        ? undefined
        : {
            address: virtualAddressIpv6,
            bits: config?.ifconfigIpv6Push?.bits ?? server.poolIpv6?.bits ?? addresses.ipv6?.bits ?? 64,
            remote: config?.ifconfigIpv6Push?.remote ?? addresses.ipv6?.local,
          },
  };
}

/** Whether the second address is a netmask. */
export function hasNetmask({ device }: Top['options']): boolean {
  return device.type === 'tap' || device.topology === 'subnet';
}
