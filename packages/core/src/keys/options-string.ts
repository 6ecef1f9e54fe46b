/**
 * The options string (OCC): what each end believes that both were configured to, compared by old peers, logged by new
 * ones. It names the tunnel as it was before negotiation, so its link-mtu is a fiction that has to be reproduced:
 * packets of the configured `cipher` (BF-CBC if none), without a peer-id, with the overheads that old versions reserved.
 *
 *   V4,dev-type tun,link-mtu 1541,tun-mtu 1500,proto UDPv4,auth SHA1,keysize 128,key-method 2,tls-client
 *
 * Source: OpenVPN 2.6.14 `options.c` (`options_string`), `mtu.c` (`calc_options_string_link_mtu`); recorded in
 * tests/vectors/options-strings.
 */
import type { CipherTraits, Crypto } from '../crypto/crypto.js';
import type { KeyDirection } from '../wrap/static-key.js';

export interface OptionsStringInput {
  readonly mode: 'tls-client' | 'tls-server' | 'secret';
  readonly device: 'tun' | 'tap';
  /** `tun-mtu`, or its occ-mtu argument. */
  readonly tunMtu: number;
  /** `tun-mtu-extra`: 32 for tap, else 0. */
  readonly tunMtuExtra: number;
  readonly protocol: 'udp' | 'tcp-client' | 'tcp-server';
  /** UDP through a SOCKS proxy. */
  readonly socks: boolean;
  /** Neither a server of many nor a client that pulls: only then the addresses are named, and the cipher always. */
  readonly pointToPoint: PointToPoint | undefined;
  /** The version of the framing that `compress` or `comp-lzo` asked for; version 1 takes a byte. */
  readonly compression: 'none' | 'v1' | 'v2';
  readonly fragment: boolean;
  readonly keyDirection: KeyDirection;
  /** The `cipher` directive's: `BF-CBC` without it, or `none`. The options have made sure that it exists (BF-CBC need not). */
  readonly cipher: string;
  readonly dataCiphers: readonly string[];
  /** The `auth` directive's, or `none`. */
  readonly digest: string;
  readonly tlsAuth: boolean;
}

export interface PointToPoint {
  /** There is an `ifconfig-ipv6`. */
  readonly tunIpv6: boolean;
  /** `undefined` without `ifconfig` or with `ifconfig-nowarn`. */
  readonly ifconfig:
    | { readonly local: string; readonly remote: string }
    /** tap, and tun with topology subnet. */
    | { readonly network: string; readonly netmask: string }
    | undefined;
}

/** `local` is what we send; `remote` is what we expect of the peer. */
export function optionsString(crypto: Crypto, input: OptionsStringInput, view: 'local' | 'remote'): string {
  const { mode, pointToPoint, digest, keyDirection } = input;
  const remote = view === 'remote';
  // BF-CBC is named without asking the library, which may not have it any more.
  const cipher = input.cipher === 'BF-CBC' || input.cipher === 'none' ? undefined : crypto.cipher(input.cipher);
  const cipherName = input.cipher === 'none' ? '[null-cipher]' : (cipher?.name ?? input.cipher);
  const words = [
    'V4',
    `dev-type ${input.device}`,
    `link-mtu ${linkMtu(crypto, input, cipher)}`,
    `tun-mtu ${input.tunMtu}`,
    `proto ${protocolName(input.protocol, remote)}`,
  ];
  if (pointToPoint?.tunIpv6) words.push('tun-ipv6');
  if (pointToPoint?.ifconfig) words.push(`ifconfig ${ifconfigWords(pointToPoint.ifconfig, remote)}`);
  if (input.compression !== 'none') words.push('comp-lzo');
  if (input.fragment) words.push('mtu-dynamic');
  if (keyDirection !== 'bidirectional') words.push(`keydir ${(keyDirection === 'inverse') === remote ? 0 : 1}`);
  if (pointToPoint || input.dataCiphers.includes(cipherName)) words.push(`cipher ${cipherName}`);
  words.push(`auth ${digest === 'none' || cipher?.mode === 'aead' ? '[null-digest]' : digest.toUpperCase()}`);
  words.push(`keysize ${input.cipher === 'BF-CBC' ? 128 : (cipher?.keySize ?? 0) * 8}`);
  if (mode === 'secret') words.push('secret');
  else {
    if (input.tlsAuth) words.push('tls-auth');
    words.push('key-method 2', (mode === 'tls-client') === remote ? 'tls-server' : 'tls-client');
  }
  return words.join(',');
}

/** The words of a received string by their names: `cipher` → `AES-256-CBC`, `comp-lzo` → ``. */
export function parseOptionsString(text: string): Map<string, string> {
  const words = new Map<string, string>();
  for (const word of text.split(',')) {
    const blank = word.indexOf(' ');
    if (blank < 0) words.set(word, '');
    else words.set(word.slice(0, blank), word.slice(blank + 1));
  }
  return words;
}

function linkMtu(crypto: Crypto, input: OptionsStringInput, cipher: CipherTraits | undefined): number {
  const { mode, protocol, digest } = input;
  const hmac = digest === 'none' || cipher?.mode === 'aead' ? 0 : (crypto.digestSize(digest) ?? 0);
  const longPacketId = mode === 'secret' || cipher?.mode === 'cfb' || cipher?.mode === 'ofb';
  return (
    input.tunMtu +
    input.tunMtuExtra +
    (input.compression === 'v1' ? 1 : 0) +
    (input.fragment ? 4 : 0) +
    (protocol === 'udp' ? 0 : 2) +
    (input.socks && protocol === 'udp' ? 10 : 0) +
    (mode === 'secret' ? 0 : 1) +
    (longPacketId ? 8 : 4) +
    cipherOverhead(input.cipher, cipher) +
    hmac
  );
}

/** What old versions reserved: an IV and a whole block (for AEAD too), and the tag. */
function cipherOverhead(name: string, cipher: CipherTraits | undefined): number {
  if (name === 'BF-CBC') return 8 + 8;
  if (cipher === undefined) return 0;
  // Upstream counts a stream mode's block as that of the cipher under it.
  const block = cipher.mode === 'cfb' || cipher.mode === 'ofb' ? cipher.ivSize : cipher.blockSize;
  return cipher.ivSize + block + (cipher.mode === 'aead' ? 16 : 0);
}

/** IPv6 is not named; the two ends of TCP differ. */
function protocolName(protocol: OptionsStringInput['protocol'], remote: boolean): string {
  if (protocol === 'udp') return 'UDPv4';
  return (protocol === 'tcp-server') === remote ? 'TCPv4_CLIENT' : 'TCPv4_SERVER';
}

/** The far end's address comes first. */
function ifconfigWords(ifconfig: NonNullable<PointToPoint['ifconfig']>, remote: boolean): string {
  if ('network' in ifconfig) return `${ifconfig.network} ${ifconfig.netmask}`;
  return remote ? `${ifconfig.local} ${ifconfig.remote}` : `${ifconfig.remote} ${ifconfig.local}`;
}
