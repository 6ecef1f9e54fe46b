/**
 * `mlock`: keys and tunnel data are never written to swap. Under V8 mlockall(2) is no way to that: V8 gives pages back
 * with MADV_DONTNEED, which the kernel refuses on locked memory, and V8 then ends the process. So swap itself is
 * forbidden, for the control group of the service.
 *
 * Differs from OpenVPN 2.x: nothing is locked, and where swap can be neither absent nor forbidden this is an error.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where the kernel shows swap and control groups; tests give folders of their own. */
export interface SwapFolders {
  readonly proc: string;
  readonly controlGroups: string;
}

/**
 * Makes sure that no page of this process reaches swap: there is none, or its control group may not swap, or it is
 * told so now (its own group only, as a systemd unit has one). Throws an Error that says what to do when that fails.
 */
export function forbidSwap(
  { proc, controlGroups }: SwapFolders = { proc: '/proc', controlGroups: '/sys/fs/cgroup' },
): void {
  if (readFileSync(join(proc, 'swaps'), 'utf8').trim().split('\n').length <= 1) return;
  const group = /^0::(\/.*)$/m.exec(readFileSync(join(proc, 'self/cgroup'), 'utf8'))?.[1];
  const advice = 'turn swap off, or run it as a service with MemorySwapMax=0';
  if (group === undefined) throw new Error(`mlock: swap is on and there is no version 2 control group: ${advice}`);
  const limit = join(controlGroups, group, 'memory.swap.max');
  try {
    if (readFileSync(limit, 'utf8').trim() === '0') return;
    if (!group.endsWith('.service')) throw new Error('the group is not a service of its own');
    writeFileSync(limit, '0');
  } catch (error) {
    throw new Error(`mlock: swap is on and cannot be forbidden in ${group}: ${advice}`, { cause: error });
  }
}
