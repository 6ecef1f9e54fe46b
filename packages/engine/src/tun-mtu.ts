/** How large a tun may become that the server has its size from. */
import type { Connection } from './options/options.js';

/** Upstream's TUN_MTU_MAX_MIN: so much is announced (IV_MTU) and taken without `tun-mtu-max`. */
const USUAL_LARGEST = 1_600;

export function largestTunMtu({ tunMtu, tunMtuMaximum }: Pick<Connection, 'tunMtu' | 'tunMtuMaximum'>): number {
  return Math.max(tunMtu, tunMtuMaximum, USUAL_LARGEST);
}
