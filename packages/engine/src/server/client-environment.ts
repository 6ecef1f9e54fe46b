/**
 * What scripts and plugins of a server see of a client, by OpenVPN's names.
 * upstream: ssl_verify.c `setenv_*`, multi.c `multi_client_connect_setenv`, manual "Environmental Variables" (2.6).
 */
import { type Endpoint, type PeerCertificate, toHex, type UnixSeconds } from '@seikan/core';

import { sanitizeSubject } from '../certificate-policy.js';
import type { Environment } from '../tunnel-environment.js';
import type { ClientAddresses } from './client-addresses.js';

/** The variables of one client over those of the server, gathered only where somebody will be told of them. */
export class ClientEnvironment {
  readonly #server: Environment;
  readonly #own: Record<string, string> | undefined;

  constructor(server: Environment, wanted: boolean) {
    this.#server = server;
    this.#own = wanted ? {} : undefined;
  }

  /** A name that is set again keeps its place. */
  set(make: () => Environment): void {
    if (this.#own !== undefined) Object.assign(this.#own, make());
  }

  /** As they stand now. */
  get all(): Environment {
    return { ...this.#server, ...this.#own };
  }
}

/** `tls_id_0`, `tls_serial_0`, `X509_0_CN` … of a whole chain, and the address it came from. */
export function certificateEnvironment(
  chain: readonly PeerCertificate[],
  remote: Endpoint,
  track: readonly { readonly name: string; readonly fullChain: boolean }[],
): Record<string, string> {
  const env: Record<string, string> = addressEnvironment('untrusted', remote);
  for (const certificate of chain.toSorted((a, b) => b.depth - a.depth)) {
    const { depth } = certificate;
    env[`tls_id_${depth}`] = sanitizeSubject(certificate.subject);
    env[`tls_digest_${depth}`] = colonHex(certificate.sha1);
    env[`tls_digest_sha256_${depth}`] = colonHex(certificate.sha256);
    env[`tls_serial_${depth}`] = certificate.serialDecimal;
    env[`tls_serial_hex_${depth}`] = certificate.serialHex;
    const tracked = (name: string): boolean =>
      track.some((wanted) => wanted.name === name && (depth === 0 || wanted.fullChain));
    if (tracked('SHA1')) env[`X509_${depth}_SHA1`] = colonHex(certificate.sha1).toUpperCase();
    for (const { name, value: text } of certificate.subjectFields) {
      const value = sanitizeSubject(text);
      if (track.length > 0 && !tracked(name)) continue;
      // Of a tracked field the first counts, as x509_setenv_track does.
      if (track.length > 0 && env[`X509_${depth}_${name}`] !== undefined) continue;
      // A field that occurs several times is numbered from the second on, as setenv_x509 does.
      let key = `X509_${depth}_${name}`;
      for (let n = 1; env[key] !== undefined && env[key] !== value; n += 1) key = `X509_${depth}_${name}_${n}`;
      env[key] = value;
    }
  }
  return env;
}

/** `trusted_ip`, `trusted_port`; IPv6 is `trusted_ip6`. */
export function addressEnvironment(
  kind: 'trusted' | 'untrusted',
  { family, address, port }: Endpoint,
): Record<string, string> {
  return { [`${kind}_ip${family === 6 ? '6' : ''}`]: address, [`${kind}_port`]: String(port) };
}

/** The argument of ipchange. upstream: socket.c `ipchange_fmt`. */
export function linkAddress({ family, address, port }: Endpoint): string {
  return `[AF_INET${family === 6 ? '6' : ''}]${address} ${port}`;
}

/** upstream: multi.c `multi_set_virtual_addr_env` (2.6). */
export function poolEnvironment({ ipv4, ipv6 }: ClientAddresses, secondIsNetmask: boolean): Record<string, string> {
  const env: Record<string, string> = {};
  if (ipv4 !== undefined) {
    env['ifconfig_pool_remote_ip'] = ipv4.address;
    if (ipv4.second !== undefined)
      env[secondIsNetmask ? 'ifconfig_pool_netmask' : 'ifconfig_pool_local_ip'] = ipv4.second;
  }
  if (ipv6 !== undefined) {
    env['ifconfig_pool_remote_ip6'] = ipv6.address;
    if (ipv6.remote !== undefined) env['ifconfig_pool_local_ip6'] = ipv6.remote;
    env['ifconfig_pool_ip6_netbits'] = String(ipv6.bits);
  }
  return env;
}

export function timeEnvironment(since: UnixSeconds, formatTime: (time: UnixSeconds) => string): Record<string, string> {
  return { time_ascii: formatTime(since), time_unix: String(since) };
}

function colonHex(bytes: Uint8Array): string {
  return toHex(bytes).replace(/..(?=.)/g, '$&:');
}
