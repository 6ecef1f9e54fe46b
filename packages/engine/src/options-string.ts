/** Our options string, from the configuration: the words that old peers compare and new ones log. */
import { type Crypto, optionsString } from '@seikan/core';

import { dataCiphers } from './local-hello.js';
import { bitsNetmask, formatIpv4, netmaskBits, parseIpv4 } from './options/address.js';
import type { Connection, Options } from './options/options.js';

export function localOptionsString(options: Options, connection: Connection, crypto: Crypto): string {
  const { data, device, tls } = options;
  const direction = connection.wrap.tlsAuth?.direction ?? data.secret?.direction;
  return optionsString(
    crypto,
    {
      mode: tls.role === 'none' ? 'secret' : tls.role === 'client' ? 'tls-client' : 'tls-server',
      device: device.type === 'tap' ? 'tap' : 'tun',
      tunMtu: connection.occMtu === 0 ? connection.tunMtu : connection.occMtu,
      tunMtuExtra: connection.tunMtuExtra,
      protocol: connection.protocol,
      socks: false,
      pointToPoint:
        options.mode === 'p2p' && !options.pull
          ? { tunIpv6: options.addresses.ipv6 !== undefined, ifconfig: ifconfigWords(options) }
          : undefined,
      compression: data.compression.framing === 'none' ? 'none' : data.compression.framing === 'stub-v2' ? 'v2' : 'v1',
      fragment: connection.fragment > 0,
      keyDirection: direction === undefined ? 'bidirectional' : direction === 0 ? 'normal' : 'inverse',
      cipher: data.cipher,
      dataCiphers: dataCiphers(options, crypto),
      digest: data.auth,
      tlsAuth: connection.wrap.tlsAuth !== undefined,
    },
    'local',
  );
}

function ifconfigWords({ addresses, device }: Options) {
  const { ipv4, noWarn } = addresses;
  if (ipv4 === undefined || noWarn) return undefined;
  if (device.type === 'tun' && device.topology !== 'subnet') return { local: ipv4.local, remote: ipv4.remoteOrNetmask };
  const netmask = parseIpv4(ipv4.remoteOrNetmask) ?? 0;
  const network = formatIpv4(((parseIpv4(ipv4.local) ?? 0) & netmask) >>> 0);
  return { network, netmask: formatIpv4(bitsNetmask(netmaskBits(netmask) ?? 32)) };
}
