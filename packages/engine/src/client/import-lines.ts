/** What a push has changed, as OpenVPN logs it. Pure. upstream: init.c `do_deferred_options` (2.6). */
import type { Permission } from '../options/directive.js';
import type { PulledOptions } from '../options/pull.js';
import { directiveTable } from '../options/table.js';

/** In its order; of timers, exit-notify, compression and negotiation it says nothing at this level. */
const LINES: readonly (readonly [Permission, string])[] = [
  ['messages', '--verb and/or --mute level changed'],
  ['socket-buffer', '--sndbuf/--rcvbuf options modified'],
  ['socket-flags', '--socket-flags option modified'],
  ['persist', '--persist options modified'],
  ['up', '--ifconfig/up options modified'],
  ['route', 'route options modified'],
  ['route-extras', 'route-related options modified'],
  ['dhcp-dns', '--ip-win32 and/or --dhcp-option options modified'],
  ['setenv', 'environment modified'],
];

export function importLines({ names, connection }: PulledOptions): readonly string[] {
  const found = new Set(Array.from(names).flatMap((name) => directiveTable.get(name)?.permissions ?? []));
  const lines = LINES.filter(([permission]) => found.has(permission)).map(([, what]) => what);
  if (names.has('tun-mtu')) lines.push(`tun-mtu set to ${connection.tunMtu}`);
  return lines.map((what) => `OPTIONS IMPORT: ${what}`);
}
