/**
 * Results of the packet path. A batch call returns how many packets it moved, or a negative errno: nothing is thrown
 * there, because what the network does to a socket is no exception.
 */
import { constants } from 'node:os';

import { loadAddon } from './addon.js';

/** What a stream call returns when nothing can be moved now. Batches of datagrams and tun packets return 0 instead. */
export const WOULD_BLOCK: number = -constants.errno.EAGAIN;

/** What libc says of a negative result, as OpenVPN's log lines have it: `Connection refused`. */
export function errorText(result: number): string {
  return (loadAddon() as { errorText(error: number): string }).errorText(-result);
}

/** The errno name of a negative result: `ECONNREFUSED`. node:util's table lacks some, a removed tun's EBADFD for one. */
export function resultName(result: number): string {
  return (loadAddon() as { errorName(error: number): string }).errorName(-result);
}
