/** The harness's own picture, to compare before and after: its descriptors and namespaces. */
import { readdirSync } from 'node:fs';
import { harnessNamespaces, type Picture } from '@seikan/testkit';
import { namespacePrefix } from './network.js';

/** How many descriptors a process holds. */
export function descriptorsOf(pid: number | 'self'): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

export async function pictureOfHarness(): Promise<Picture> {
  const { mine } = await harnessNamespaces(namespacePrefix);
  return [`descriptors ${descriptorsOf('self')}`, ...mine.map((name) => `namespace ${name}`)];
}
