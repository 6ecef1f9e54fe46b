/** A device that could not be opened, in upstream's words (tun.c, 2.6). */
import { reasonOf } from './materials.js';

const OPEN = 'open /dev/net/tun: ';
const ATTACH = 'TUNSETIFF: ';

export function tunFailure(device: string, error: unknown): string {
  const reason = reasonOf(error);
  if (reason.startsWith(OPEN)) return `ERROR: Cannot open TUN/TAP dev /dev/net/tun: ${reason.slice(OPEN.length)}`;
  return `ERROR: Cannot ioctl TUNSETIFF ${device}: ${reason.startsWith(ATTACH) ? reason.slice(ATTACH.length) : reason}`;
}
