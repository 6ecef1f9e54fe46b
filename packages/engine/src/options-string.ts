/** Our options string, from the configuration: the words that old peers compare and new ones log. */
import { type Crypto, type OptionsStringInput, optionsString } from '@seikan/core';

import { dataCiphers } from './local-hello.js';
import { bitsNetmask, formatIpv4, netmaskBits, parseIpv4 } from './options/address.js';
import type { Connection, Options } from './options/options.js';
import type { TunnelLog } from './tunnel-log.js';

/** `own` is sent; `expected` is what a peer that is configured alike sends. */
export function optionsStrings(
  options: Options,
  connection: Connection,
  crypto: Crypto,
): { readonly own: string; readonly expected: string } {
  const { data, device, tls } = options;
  const direction = connection.wrap.tlsAuth?.direction ?? data.secret?.direction;
  const input: OptionsStringInput = {
    mode: tls.role === 'none' ? 'secret' : tls.role === 'client' ? 'tls-client' : 'tls-server',
    device: device.type === 'tap' ? 'tap' : 'tun',
    tunMtu: connection.occMtu === 0 ? connection.tunMtu : connection.occMtu,
    tunMtuExtra: connection.tunMtuExtra,
    protocol: connection.protocol,
    socks: connection.proxy?.kind === 'socks',
    pointToPoint:
      options.mode === 'p2p' && !options.pull
        ? { tunIpv6: options.addresses.ipv6 !== undefined, ifconfig: ifconfigWords(options) }
        : undefined,
    compression: data.compression.framing === 'none' ? 'none' : data.compression.framing === 'stub-v2' ? 'v2' : 'v1',
    fragment: connection.fragment > 0,
    keyDirection: direction === undefined ? 'bidirectional' : direction === 0 ? 'normal' : 'inverse',
    cipher: data.cipher,
    dataCiphers: dataCiphers(options.data, crypto),
    digest: data.auth,
    tlsAuth: connection.wrap.tlsAuth !== undefined,
  };
  return { own: optionsString(crypto, input, 'local'), expected: optionsString(crypto, input, 'remote') };
}

function ifconfigWords({ addresses, device }: Options) {
  const { ipv4, noWarn } = addresses;
  if (ipv4 === undefined || noWarn) return undefined;
  if (device.type === 'tun' && device.topology !== 'subnet') return { local: ipv4.local, remote: ipv4.remoteOrNetmask };
  const netmask = parseIpv4(ipv4.remoteOrNetmask) ?? 0;
  const network = formatIpv4(((parseIpv4(ipv4.local) ?? 0) & netmask) >>> 0);
  return { network, netmask: formatIpv4(bitsNetmask(netmaskBits(netmask) ?? 32)) };
}

/** Whether a peer says what is expected of it. A string of another version is not compared, as upstream has it. */
export function optionsAgree(expected: string, said: string): boolean {
  return said.slice(0, VERSION_SIZE) !== expected.slice(0, VERSION_SIZE) || said === expected;
}

const VERSION_SIZE = 2;

/** The level at which upstream logs them. */
export const DIFFERENCES = 7;

/** Words that one end says and the other does not. */
export function logDifferences(expected: string, said: string, log: TunnelLog): void {
  // What the peer says goes into a log: printable ASCII.
  const [ours, theirs] = [words(expected), words(said.replace(/[^ -~]/g, '_'))];
  for (const [name, word] of ours) {
    const other = theirs.get(name);
    if (other === undefined)
      log.write(
        'warning',
        DIFFERENCES,
        `WARNING: '${name}' is present in local config but missing in remote config, local='${word}'`,
      );
    else if (other !== word)
      log.write(
        'warning',
        DIFFERENCES,
        `WARNING: '${name}' is used inconsistently, local='${word}', remote='${other}'`,
      );
  }
  for (const [name, word] of theirs)
    if (!ours.has(name))
      log.write(
        'warning',
        DIFFERENCES,
        `WARNING: '${name}' is present in remote config but missing in local config, remote='${word}'`,
      );
}

function words(text: string): Map<string, string> {
  return new Map(text.split(',').map((word) => [word.split(' ', 1)[0] ?? '', word]));
}
