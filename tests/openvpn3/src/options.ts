/** Both sides' options for a cell: a configuration of OpenVPN for the server, a profile for the client. */

import { serverAddress } from '#interop/network.js';
import type { Directive } from '#interop/options.js';
import { wrapOptions } from '#interop/options.js';
import type { Pki } from '#interop/pki.js';
import { type Cell, isAead, overUdp } from './cell.js';
import { events } from './events.js';

/** What options are made of. */
export interface Place {
  readonly pki: Pki;
  /** For scripts and what the server writes. */
  readonly folder: string;
}

export const statusFile = ({ folder }: Place): string => `${folder}/status`;

export function serverOptions(cell: Cell, place: Place): Directive[] {
  const { pki } = place;
  const { server, without = [] } = events[cell.event];
  const usual: Directive[] = [
    ['dev', 'tun'],
    ['proto', overUdp(cell) ? cell.proto : `${cell.proto}-server`],
    ['local', address(cell)],
    ['port', '1194'],
    ['topology', 'subnet'],
    ['server', '10.77.0.0', '255.255.255.0'],
    ['server-ipv6', 'fd00:77::/64'],
    ...identity(pki, 'server'),
    ['dh', 'none'],
    ['remote-cert-tls', 'client'],
    ...wrapOptions(cell.wrap, pki).server,
    ...shared(cell),
    ['data-ciphers', cell.cipher],
    ['tls-version-min', '1.2'],
    ...(cell.tls === '1.2' ? [['tls-version-max', '1.2'] satisfies Directive] : []),
    ['keepalive', '5', '30'],
    ['status', statusFile(place), '1'],
    ['status-version', '3'],
    ['verb', '4'],
    ['suppress-timestamps'],
  ];
  return [...usual.filter(([name]) => !without.includes(name)), ...(server?.(place) ?? [])];
}

export function profileOptions(cell: Cell, place: Place): Directive[] {
  const { pki } = place;
  return [
    ['client'],
    ['dev', 'tun'],
    ['proto', overUdp(cell) ? 'udp' : 'tcp'],
    ['remote', address(cell), '1194'],
    ['nobind'],
    ...identity(pki, 'client'),
    ['remote-cert-tls', 'server'],
    ['server-poll-timeout', '5'],
    ...wrapOptions(cell.wrap, pki).client,
    ...shared(cell),
    ...(isAead(cell) ? [] : [['cipher', cell.cipher] satisfies Directive]),
    ...(events[cell.event].profile?.(place) ?? []),
  ];
}

/** Without, core 3.10 and 3.11 offer AEAD only, whatever the profile says. */
export function overridesOf(cell: Cell): string[] {
  return isAead(cell) ? [] : ['--enable-legacy-algorithms', 'true'];
}

function address({ proto }: Cell): string {
  return serverAddress[proto.endsWith('6') ? 'ipv6' : 'ipv4'];
}

function identity(pki: Pki, name: string): Directive[] {
  return [
    ['ca', pki.file('ca.crt')],
    ['cert', pki.file(`${name}.crt`)],
    ['key', pki.file(`${name}.key`)],
  ];
}

/** The digest is that of CBC packets and of tls-auth. */
function shared(cell: Cell): Directive[] {
  return isAead(cell) && cell.wrap !== 'tls-auth' ? [] : [['auth', 'SHA256']];
}
