/** Where the service is found on the bus. */
export const NETCFG = 'net.openvpn.v3.netcfg';
export const NETCFG_PATH = '/net/openvpn/v3/netcfg';

/** The signals of every object of the service. */
export const LOG_ARGUMENTS = { group: 'u', level: 'u', message: 's' } as const;
export const CHANGE_ARGUMENTS = { type: 'u', device: 's', details: 'a{ss}' } as const;

/**
 * Clients read this to know which version of the interface there is: from v26 on AddNetworks takes metrics, `a(suibb)`.
 * Both signatures are accepted whatever they make of it.
 */
export const INTERFACE_VERSION = 'v27_seikan';
