import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { forbidSwap } from '@seikan/native';

const folder = mkdtempSync(join(tmpdir(), 'seikan-swap-'));
after(() => rmSync(folder, { recursive: true }));

const HEAD = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n';
const ONE = `${HEAD}/dev/vda2 partition 1048572 0 -2\n`;
const SERVICE = '/system.slice/openvpn-server@x.service';

/** A kernel's view: what /proc/swaps and /proc/self/cgroup say, and the swap limit of one group. */
function kernel(name: string, swaps: string, group: string, limit: string | undefined) {
  const proc = join(folder, name, 'proc');
  const controlGroups = join(folder, name, 'cgroup');
  mkdirSync(join(proc, 'self'), { recursive: true });
  mkdirSync(join(controlGroups, group), { recursive: true });
  writeFileSync(join(proc, 'swaps'), swaps);
  writeFileSync(join(proc, 'self/cgroup'), `1:name=systemd:/other\n0::${group}\n`);
  const file = join(controlGroups, group, 'memory.swap.max');
  if (limit !== undefined) writeFileSync(file, limit);
  return { folders: { proc, controlGroups }, limit: () => readFileSync(file, 'utf8') };
}

test('without swap, or where the group may not swap, there is nothing to do', () => {
  forbidSwap(kernel('none', HEAD, '/user.slice', undefined).folders);
  forbidSwap(kernel('zero', ONE, '/user.slice', '0\n').folders);
});

test("a service's own group is told not to swap", () => {
  const view = kernel('service', ONE, SERVICE, 'max\n');
  forbidSwap(view.folders);
  assert.equal(view.limit(), '0');
});

test('a group that others share is left alone, and the error says what to do', () => {
  const shared = kernel('shared', ONE, '/user.slice/session-1.scope', 'max\n');
  assert.throws(() => forbidSwap(shared.folders), /session-1\.scope.*MemorySwapMax=0/);
  assert.equal(shared.limit(), 'max\n');
  assert.throws(() => forbidSwap(kernel('blind', ONE, SERVICE, undefined).folders), /MemorySwapMax=0/);
});
